"""A sweep as a job of Slurm: what it asks for, whether that can be, and the script that says so.

The script is `slurm.sbatch` beside this module. It begins with what is filled in here.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xstilts.cluster.partitions import Ask, seconds_of, time_text
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.run.places import Places

SCRIPT = Path(__file__).with_name("slurm.sbatch")
PLACE = re.compile(r"<([a-z_]+)>")

LEAST_NOTICE_S = 60
"""Slurm may look at the time once a minute."""

WORD = re.compile(r"[\w.,@:+=/-]+")
"""What names of partitions and accounts are made of."""

OURS = (
    *("job-name", "chdir", "output", "open-mode", "nodes", "ntasks-per-node", "mincpus"),
    *("cpus-per-task", "time", "signal", "no-kill", "requeue", "no-requeue", "gpus-per-node"),
    *("partition", "account"),
)
"""Options of sbatch that the command sets itself."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a job asks for, as the command line says it.

    `gpus_per_node` is `N` or `TYPE:N`; `cpus_per_node` of None are those of the trials that its
    GPUs run; `options` are further ones of sbatch; `restarts` is how often the job may start again.
    """

    nodes: str
    gpus_per_node: str
    time: str
    cpus_per_node: int | None = None
    partition: str | None = None
    account: str | None = None
    signal_before_s: int = 300
    restarts: int = 20
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"--nodes {self.nodes} --gpus-per-node {self.gpus_per_node} --time {self.time}"


@dataclass(frozen=True, slots=True)
class Job:
    """A request that is sound by itself: numbers in the place of texts.

    `nodes` are the fewest and the most; `cpus` those of a node; `gpus` is as sbatch reads it.
    """

    request: Request
    nodes: tuple[int, int]
    cpus: int
    gpus: str
    time_s: int

    @property
    def ask(self) -> Ask:
        """What a partition must be able to give."""
        kind, _, count = self.gpus.rpartition(":")
        return Ask(self.nodes[0], self.cpus, int(count), kind, self.time_s)


def job_of(request: Request, sweep: Sweep) -> Job:
    """The job that runs a sweep as it is asked for.

    Raises:
        ConfigError: every option that is wrong by itself, or for this sweep.
    """
    problems: list[Problem] = []
    nodes = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", request.nodes)
    least, most = (int(nodes[1]), int(nodes[2] or nodes[1])) if nodes else (1, 1)
    if not nodes or most < least:
        rule = "is a number, or the fewest and the most"
        problems.append(Problem("--nodes", rule, f'"{request.nodes}"', "as in 4 or 1-4"))
    gpus = re.fullmatch(r"(?:[\w.-]+:)?(\d+)", request.gpus_per_node)
    if not gpus:
        rule = "is a number, or a type and a number"
        got = f'"{request.gpus_per_node}"'
        problems.append(Problem("--gpus-per-node", rule, got, "as in 8 or a100:8"))
    for name, word in (("--partition", request.partition), ("--account", request.account)):
        if word is not None and not WORD.fullmatch(word):
            problems.append(Problem(name, "is a name", json.dumps(word)))
    problems += [problem for text in request.options if (problem := _odd_option(text))]
    num_gpus = int(gpus[1]) if gpus else 0
    cpus, wrong = _cpus_of(request, sweep, num_gpus)
    time_s, late = _time_of(request, sweep)
    problems += [*wrong, *late]
    if problems:
        raise ConfigError(problems)
    return Job(request, (least, most), cpus, request.gpus_per_node, time_s)


def _odd_option(text: str) -> Problem | None:
    got = json.dumps(text)  # of one line, whatever it holds
    name = re.match(r"--([a-z][a-z-]*)(?:[ =].+)?$", text)
    if name is None or "\n" in text:
        rule = "is one long option of sbatch"
        return Problem("--sbatch", rule, got, "as in --sbatch=--mem=64G")
    if name[1] in OURS:
        return Problem("--sbatch", "is set by the command itself", got, "leave it out")
    return None


def _cpus_of(request: Request, sweep: Sweep, num_gpus: int) -> tuple[int, list[Problem]]:
    """The CPUs of a node, and what is wrong where no trial has place on one."""
    cpus_per_trial, gpus_per_trial = sweep.resources.cpus_per_trial, sweep.resources.gpus_per_trial
    if gpus_per_trial > num_gpus:
        rule = f"a trial takes {gpus_per_trial:g} GPUs (resources.gpus_per_trial)"
        return 0, [Problem("--gpus-per-node", rule, request.gpus_per_node)]
    if num_gpus and not gpus_per_trial:
        rule = "no trial takes a GPU (resources.gpus_per_trial is 0)"
        return 0, [Problem("--gpus-per-node", rule, request.gpus_per_node, "ask for none")]
    if (cpus := request.cpus_per_node) is None:
        if not num_gpus:
            return 0, [Problem("--cpus-per-node", "is to be said where there are no GPUs")]
        cpus = math.ceil(math.floor(num_gpus / gpus_per_trial + 1e-9) * cpus_per_trial)
    if cpus < cpus_per_trial:
        rule = f"a trial takes {cpus_per_trial:g} CPUs (resources.cpus_per_trial)"
        return 0, [Problem("--cpus-per-node", rule, str(cpus))]
    return cpus, []


def _time_of(request: Request, sweep: Sweep) -> tuple[int, list[Problem]]:
    """The time limit in seconds, and what is wrong with it."""
    time_s = seconds_of(request.time)
    if not time_s:
        rule = "is a time as Slurm writes it"
        return 0, [Problem("--time", rule, f'"{request.time}"', "as in 24:00:00 or 2-12:00:00")]
    if request.signal_before_s < LEAST_NOTICE_S:
        rule = f"is at least {LEAST_NOTICE_S} s: Slurm looks at the time once a minute"
        return 0, [Problem("--signal-before", rule, str(request.signal_before_s))]
    minutes = sweep.resources.checkpoint_minutes
    if time_s - request.signal_before_s < 60 * minutes:
        rule = (
            f"less --signal-before {request.signal_before_s} s it is below the {minutes:g} minutes "
            "between checkpoints (resources.checkpoint_minutes)"
        )
        return 0, [Problem("--time", rule, f'"{request.time}"', "ask for more")]
    return time_s, []


def script(
    job: Job, arguments: Sequence[str], places: Places, identity: str, python: str, folder: Path
) -> str:
    """The script that runs the job, whole.

    Args:
        arguments: of the command `sweep`: the file, and options.
        identity: of the storage, which the nodes must see.
        python: the interpreter of the environment, at the same path on every node.
        folder: in which the command works; the log is written there.
    """
    request, (least, most) = job.request, job.nodes
    options = {"partition": request.partition, "account": request.account}
    if job.ask.gpus:
        options["gpus-per-node"] = job.gpus
    lines = [f"--{name}={value}" for name, value in options.items() if value]
    values = {
        "name": places.name,
        "folder": shlex.quote(str(folder)),
        "nodes": str(least) if least == most else f"{least}-{most}",
        "cpus": str(job.cpus),
        "gpus": job.gpus,
        "time": time_text(job.time_s),
        "notice_s": str(request.signal_before_s),
        "options": "\n".join(f"#SBATCH {line}" for line in (*lines, *request.options)),
        "python": shlex.quote(python),
        "storage": shlex.quote(str(places.storage)),
        "identity": identity,
        "sweep": shlex.join(arguments),
        "restarts": str(request.restarts),
    }
    filled = PLACE.sub(lambda place: values[place[1]], SCRIPT.read_text(encoding="utf-8"))
    return re.sub(r"\n{3,}", "\n\n", filled)

"""What a job asks for is checked before anything else, and stands in the script as it was said."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from xstilts.cli import app
from xstilts.cluster.slurm import SCRIPT, Request, job_of, script
from xstilts.errors import ConfigError
from xstilts.run.places import Places

from ..conftest import make_sweep

GPUS = Request("1-4", "a100:8", "24:00:00", partition="gpu", account="nlp")
SWEEP: dict[str, Any] = {"resources": {"gpus_per_trial": 1, "cpus_per_trial": 4}}


def written(request: Request, **changes: Any) -> str:
    sweep = make_sweep(**{**SWEEP, **changes})
    places = Places(Path("/lab/the runs"), sweep.name)
    words = ["/home/me/it's.yaml", "--set", "seeds=[0, 1]"]
    python, folder = "/home/me/venv/bin/python", Path("/home/me/my sweeps")
    return script(job_of(request, sweep), words, places, "abc", python, folder)


def test_the_script_asks_for_what_was_said() -> None:
    text = written(replace(GPUS, options=("--mem=64G", "--exclusive")))
    asked = dict(re.findall(r"(?m)^#SBATCH --([a-z-]+)=?(.*)$", text))
    assert asked == {
        "job-name": "xstilts-s",
        "chdir": "'/home/me/my sweeps'",
        "output": "xstilts-s-%j.log",
        "open-mode": "append",
        "nodes": "1-4",
        "mincpus": "32",
        "cpus-per-task": "32",
        "time": "1-00:00:00",
        "signal": "B:USR1@300",
        "no-kill": "",
        "requeue": "",
        "partition": "gpu",
        "account": "nlp",
        "gpus-per-node": "a100:8",
        "mem": "64G",
        "exclusive": "",
    }
    first = next(i for i, line in enumerate(text.splitlines()) if re.match(r"[^#]", line))
    assert "#SBATCH" not in "\n".join(text.splitlines()[first:]), "Slurm reads no further"


def test_the_script_is_bash_that_has_what_was_said_as_it_was_said() -> None:
    text = written(GPUS)
    assert not re.search(r"<[a-z_]+>", text), "something is not filled in"
    subprocess.run(["bash", "-n"], input=text, check=True, text=True)
    assigned = "\n".join(
        line for line in text.splitlines() if re.match(r"export PYTH|SWEEP=", line)
    )
    ask = f'{assigned}\nprintf "%s\\n" "${{SWEEP[@]}}" "$STORAGE" "$IDENTITY" "$CPUS" "$GPUS"'
    said = subprocess.run(["bash", "-c", ask], capture_output=True, check=True, text=True).stdout
    words = ["/home/me/it's.yaml", "--set", "seeds=[0, 1]", "/lab/the runs", "abc", "32", "a100:8"]
    assert said.splitlines() == words


def test_every_place_of_the_script_is_filled_in() -> None:
    places = set(re.findall(r"<([a-z_]+)>", SCRIPT.read_text()))
    assert places == {
        *("name", "folder", "nodes", "cpus", "time", "notice_s", "options", "python", "storage"),
        *("identity", "gpus", "sweep", "restarts"),
    }


def test_no_secret_and_no_other_ray_is_in_it() -> None:
    text = SCRIPT.read_text()
    assert "ray stop" not in text and "auto" not in text and "symmetric-run" not in text
    assert not re.search(r"[0-9a-f]{32}", text)


@pytest.mark.parametrize(
    ("change", "cpus"),
    [
        ({}, 32),
        ({"cpus_per_node": 48}, 48),
        ({"gpus_per_node": "2"}, 8),
    ],
)
def test_cpus_are_those_of_the_trials_unless_said(change: dict[str, Any], cpus: int) -> None:
    assert job_of(replace(GPUS, **change), make_sweep(**SWEEP)).cpus == cpus


CPUS: dict[str, Any] = {"resources": {"cpus_per_trial": 4}}
ONE = Request("1", "0", "1:00:00", cpus_per_node=4)


@pytest.mark.parametrize(
    ("request_", "sweep", "line"),
    [
        (replace(ONE, nodes="0"), CPUS, r'--nodes: is a number.*got "0"; as in 4 or 1-4'),
        (replace(ONE, nodes="4-1"), CPUS, r'--nodes: .*got "4-1"'),
        (replace(ONE, gpus_per_node="many"), CPUS, r'--gpus-per-node: is a number.*"many"'),
        (replace(ONE, gpus_per_node="2"), CPUS, r"--gpus-per-node: no trial takes a GPU"),
        (ONE, SWEEP, r"--gpus-per-node: a trial takes 1 GPUs .*got 0"),
        (replace(ONE, cpus_per_node=None), CPUS, r"--cpus-per-node: is to be said where"),
        (replace(ONE, cpus_per_node=3), CPUS, r"--cpus-per-node: a trial takes 4 CPUs .*got 3"),
        (replace(ONE, time="soon"), CPUS, r'--time: is a time as Slurm writes it; got "soon"'),
        (
            replace(ONE, time="14:59"),
            CPUS,
            r"--time: less --signal-before 300 s it is below the 10 minutes between checkpoints "
            r'\(resources.checkpoint_minutes\); got "14:59"; ask for more',
        ),
        (replace(ONE, signal_before_s=59), CPUS, r"--signal-before: is at least 60 s: .*got 59"),
        (replace(ONE, partition="a b"), CPUS, r'--partition: is a name; got "a b"'),
        (replace(ONE, account="x\n#"), CPUS, r"--account: is a name"),
        (replace(ONE, options=("--time=5",)), CPUS, r"--sbatch: is set by the command itself"),
        (replace(ONE, options=("mem=5",)), CPUS, r"--sbatch: is one long option of sbatch"),
        (replace(ONE, options=("--mem=5\nrm",)), CPUS, r"--sbatch: is one long option of sbatch"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    request_: Request, sweep: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        job_of(request_, make_sweep(**sweep))
    (problem,) = refused.value.problems
    assert re.fullmatch(f"{line}.*", str(problem)), problem


def test_a_time_limit_of_checkpoint_and_notice_is_enough() -> None:
    assert job_of(replace(ONE, time="15:00"), make_sweep(**CPUS)).time_s == 900


def test_the_page_runs_commands_that_exist() -> None:
    page = (Path(__file__).parents[2] / "docs" / "slurm.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    lines = [line.partition("#")[0] for block in blocks for line in block.splitlines()]
    used = [shlex.split(line)[1:] for line in lines if line.startswith("xstilts ")]
    known = typer.main.get_command(app)
    assert [words[0] for words in used] == ["prepare", "slurm", "slurm", "status", "report", "ui"]
    for name, *words in used:
        context = known.commands[name].make_context(name, words)
        if name == "slurm":
            given = {"nodes": "1-4", "gpus_per_node": "8", "time": "24:00:00"}
            assert {key: context.params[key] for key in given} == given
    defaults = {one.name: one.default for one in known.commands["slurm"].params}
    assert f"`--signal-before` seconds ({defaults['signal_before']})" in page
    assert f"`--restarts` times ({defaults['restarts']})" in page.replace("\n", " ")

"""What the partitions of a Slurm cluster can give, as `sinfo` tells it, and why one cannot give
what a job asks for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from xstilts.errors import ConfigError, Problem

FIELDS = ("%P", "%a", "%l", "%s", "%D", "%c", "%G", "%t")
"""Of `sinfo`: partition, whether it is up, its time limit, how many nodes a job may have, how many
nodes are alike, their CPUs, their generic resources, their state."""

GONE = ("down", "drain", "drng", "fail", "failg", "unk", "inval", "boot_fail")
"""Short states of nodes that take no jobs until somebody sees to them."""

TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<dhours>\d+)(?::(?P<dminutes>\d+))?(?::(?P<dseconds>\d+))?"
    r"|(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?)"
)
ANSWER_S = 30


@dataclass(frozen=True, slots=True)
class Ask:
    """What a job asks of a partition: at least so many nodes, with what each has, for how long.

    `gpu_type` is empty where any will do.
    """

    nodes: int
    cpus: int
    gpus: int
    gpu_type: str
    time_s: int


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes of a partition that are alike; `gpus` by type, empty where the cluster names none."""

    count: int
    cpus: int
    gpus: dict[str, int]
    is_gone: bool

    def fits(self, ask: Ask) -> bool:
        """Whether each of its nodes has what the job asks for."""
        gpus = self.gpus.get(ask.gpu_type, 0) if ask.gpu_type else sum(self.gpus.values())
        return self.cpus >= ask.cpus and gpus >= ask.gpus


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition; limits that it does not have are None."""

    name: str
    is_default: bool
    is_up: bool
    time_s: int | None
    most_nodes: int | None
    groups: tuple[NodeGroup, ...]

    def reason(self, ask: Ask) -> str:
        """Why it cannot give that; empty where it can."""
        if not self.is_up:
            return "is not up"
        if self.time_s is not None and self.time_s < ask.time_s:
            return f"gives {time_text(self.time_s)} at most"
        if self.most_nodes is not None and self.most_nodes < ask.nodes:
            return f"gives {self.most_nodes} nodes at most"
        fitting = [group for group in self.groups if group.fits(ask)]
        if not fitting:
            cpus = max((group.cpus for group in self.groups), default=0)
            gpus = max((sum(group.gpus.values()) for group in self.groups), default=0)
            types = sorted({kind for group in self.groups for kind in group.gpus if kind})
            named = f" ({', '.join(types)})" if types else ""
            return f"has nodes of at most {cpus} CPUs and {gpus} GPUs{named}"
        there = sum(group.count for group in fitting if not group.is_gone)
        if there < ask.nodes:
            return f"has {there} of these nodes that are up"
        return ""


def seconds_of(text: str) -> int | None:
    """A time as Slurm writes it (`90`, `1:30:00`, `2-12`); None where it is none, or infinite."""
    found = TIME.fullmatch(text)
    if not found:
        return None
    part = {name: int(value) for name, value in found.groupdict().items() if value is not None}
    if "days" in part:
        hours = 24 * part["days"] + part["dhours"]
        return 3600 * hours + 60 * part.get("dminutes", 0) + part.get("dseconds", 0)
    if "third" in part:
        return 3600 * part["first"] + 60 * part["second"] + part["third"]
    return 60 * part["first"] + part.get("second", 0)


def time_text(seconds: int) -> str:
    """A time as Slurm reads it."""
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


def partitions_of(text: str) -> list[Partition]:
    """The partitions that `sinfo` has told, a line of `FIELDS` for each group of like nodes."""
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == len(FIELDS) - 1]
    found = []
    for name in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == name]
        _, state, limit, size, *_ = own[0]
        most = size.rpartition("-")[2]
        found.append(
            Partition(
                name=name.removesuffix("*"),
                is_default=name.endswith("*"),
                is_up=state == "up",
                time_s=seconds_of(limit),
                most_nodes=int(most) if most.isdecimal() else None,
                groups=tuple(_group(row) for row in own),
            )
        )
    return found


def _group(row: Sequence[str]) -> NodeGroup:
    *_, count, cpus, gres, state = row
    gpus: dict[str, int] = {}
    # gpu:8, gpu:a100:8(S:0-1), shard:4
    for kind, number in re.findall(r"(?:^|,)gpu(?::([^:,()]+))?:(\d+)", gres):
        gpus[kind] = gpus.get(kind, 0) + int(number)
    # A mark at the end of a state says that the node does not answer, say, or is powered down.
    return NodeGroup(int(count), int(cpus.rstrip("+")), gpus, state.rstrip("*~#!%$@^-+") in GONE)


def ask_sinfo() -> list[Partition]:
    """What `sinfo` says here.

    Raises:
        ConfigError: it is not here, or does not answer.
    """
    command = ["sinfo", "--noheader", "--exact", f"--format={'|'.join(FIELDS)}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
        said = done.stderr.strip() if done.returncode else ""
    except FileNotFoundError:
        said = "there is none"
    except subprocess.TimeoutExpired:
        said = f"no answer within {ANSWER_S} s"
    if said:
        rule = "answers where jobs are submitted"
        raise ConfigError([Problem("sinfo", rule, f'"{said.splitlines()[-1]}"')])
    return partitions_of(done.stdout)


def check(partitions: Sequence[Partition], name: str | None, ask: Ask, given: str) -> None:
    """Refuse what no partition can give: neither the one that is named, else the default one.

    Args:
        given: the options that ask for it, for the message.

    Raises:
        ConfigError: with the reason of each partition, and those that can.
    """
    why = {one.name: one.reason(ask) for one in partitions}
    chosen = [one.name for one in partitions if (one.name == name if name else one.is_default)]
    if any(not why[one] for one in chosen):
        return
    able = [one for one in why if not why[one]]
    if name and not chosen:
        known = f"this cluster has {', '.join(why)}"
        raise ConfigError([Problem("--partition", "names a partition", f'"{name}"', known)])
    if able:
        rule = f"{name} cannot give that" if name else "the default one cannot give that"
        reasons = ", ".join(f"it {why[one]}" for one in chosen) or "there is none"
        repair = f"--partition {able[0]} can"
        raise ConfigError([Problem("--partition", rule, f"{given} ({reasons})", repair)])
    reasons = "; ".join(f"{one} {reason}" for one, reason in why.items())
    rule = "no partition can give that"
    raise ConfigError([Problem(given, rule, repair=reasons or "sinfo shows none")])

"""Benchmarks: which targets, in which languages, of which split a named average is the mean of.

An average is whole or it is none: `<name>/avg` is written where a sweep scores what the entry
names, all of it and nothing else. The mean is of targets, and a target's of its languages
(`xstilts.scores.aggregate`). A sweep file may bring an entry of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xstilts.tasks.task import GROUPS, Task

CUSTOM = "custom"
"""What averages of anything else are called."""

TAKEN = frozenset({"best", "cost", "dev", "examples", "gain", "group", "train"})
"""What the names of other metrics begin with."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named average.

    `languages` are those of single targets; of one that it does not name, all that the target has.
    `split` is the one that its figures are of, `test` or `validation`; where it is empty, whatever
    the sweep scores.
    """

    name: str
    targets: tuple[str, ...]
    languages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split: str = ""

    def lacks(
        self, targets: Sequence[Task], scored: Mapping[str, Sequence[str]], split: str
    ) -> str:
        """Why what a sweep scores is not the whole benchmark; empty if it is.

        Args:
            targets: the targets that it scores.
            scored: their languages, by target.
            split: the split that is scored.
        """
        if self.split and split != self.split:
            sets = {"test": "test sets", "validation": "validation sets"}[self.split]
            return f"{self.name}/avg is a score of the {sets}, not of {split}"
        names = {task.name for task in targets}
        if absent := sorted(set(self.targets) - names):
            return f"{self.name}/avg needs {', '.join(absent)}"
        if extra := sorted(names - set(self.targets)):
            return f"{self.name}/avg does not hold {', '.join(extra)}"
        for task in targets:
            wanted = self.languages.get(task.name, task.languages)
            if holes := [x for x in wanted if x not in scored[task.name]]:
                return f"{self.name}/avg needs {task.name} in {', '.join(holes)}"
            if extra := [x for x in scored[task.name] if x not in wanted]:
                return f"{self.name}/avg does not hold {task.name} in {', '.join(extra)}"
        return ""


def groups_of(targets: Sequence[Task]) -> dict[str, list[Task]]:
    """Targets by XTREME's task groups, in the order of the groups; without empty ones."""
    members = {group: [task for task in targets if task.group == group] for group in GROUPS}
    return {group: tasks for group, tasks in members.items() if tasks}


BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("mini", ("mini_xnli", "mini_udpos", "mini_xquad", "mini_tatoeba")),
        Benchmark(
            "xtreme",
            (
                *("xnli", "pawsx", "udpos", "panx", "xquad"),
                *("mlqa", "tydiqa", "bucc2018", "tatoeba"),
            ),
            split="test",
        ),
    )
}
"""The benchmarks that the package brings, by name."""

"""Benchmarks: which targets, in which languages, of which split a named average is the mean of.

An average is whole or it is none: `<name>/avg` is written where a sweep scores what the entry
names, all of it and nothing else. The mean is of targets, and a target's of its languages
(`xstilts.scores.aggregate`). A sweep file may bring an entry of its own.

A task may be there in more languages than a benchmark has. `languages: all` of a sweep file means
the usual ones, and with a benchmark of the package those that it names (`all_languages`). Usual of
XTREME's nine tasks are XTREME's, so that a file means what it meant before XTREME-R added some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xstilts.tasks.targets import ENTRIES
from xstilts.tasks.task import GROUPS, Task
from xstilts.tasks.xtreme_r import XTREME_R

CUSTOM = "custom"
"""What averages of anything else are called."""

TAKEN = frozenset({"best", "cost", "dev", "examples", "gain", "group", "train"})
"""What the names of other metrics begin with."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named average.

    `languages` are those of single targets; of one that it does not name, the usual ones.
    `split` is the one that its figures are of, `test` or `validation`; where it is empty, whatever
    the sweep scores. `groups` are its groups of targets, each with an average where all of them are
    there; unless it has some, targets are in the groups that their entries name.
    """

    name: str
    targets: tuple[str, ...]
    languages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split: str = ""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def languages_of(self, task: Task) -> tuple[str, ...]:
        """The languages of a target's average."""
        return self.languages.get(task.name) or usual_languages(task)

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
            wanted = self.languages_of(task)
            if holes := [x for x in wanted if x not in scored[task.name]]:
                return f"{self.name}/avg needs {task.name} in {', '.join(holes)}"
            if extra := [x for x in scored[task.name] if x not in wanted]:
                return f"{self.name}/avg does not hold {task.name} in {', '.join(extra)}"
        return ""


def usual_languages(task: Task) -> tuple[str, ...]:
    """The languages that a task has without a word: of one of XTREME's those of XTREME."""
    return BENCHMARKS["xtreme"].languages.get(task.name, task.languages)


def all_languages(benchmark: Benchmark | None, task: Task) -> tuple[str, ...]:
    """What `languages: all` means: the usual languages of a task, and those that a benchmark of
    the package names beyond them; in the order of the task's."""
    named = benchmark.languages.get(task.name, ()) if benchmark else ()
    wanted = {*usual_languages(task), *named}
    return tuple(language for language in task.languages if language in wanted)


def groups_of(targets: Sequence[Task], benchmark: Benchmark | None = None) -> dict[str, list[Task]]:
    """Targets by group, in the order of the groups: by those of the benchmark, if it has any, of
    which every target must be there; else by XTREME's, without empty ones."""
    if benchmark is not None and benchmark.groups:
        by_name = {task.name: task for task in targets}
        return {
            group: [by_name[name] for name in names]
            for group, names in benchmark.groups.items()
            if by_name.keys() >= set(names)
        }
    members = {group: [task for task in targets if task.group == group] for group in GROUPS}
    return {group: tasks for group, tasks in members.items() if tasks}


_XTREME_R = {task.name: task.languages for task in ENTRIES if task.name in XTREME_R}
_XTREME = {
    name: tuple(language for language in languages if language not in XTREME_R[name])
    for name, languages in _XTREME_R.items()
}

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("mini", ("mini_xnli", "mini_udpos", "mini_xquad", "mini_tatoeba")),
        # Hu et al. 2020, arXiv 2003.11080.
        Benchmark(
            "xtreme",
            (
                *("xnli", "pawsx", "udpos", "panx", "xquad"),
                *("mlqa", "tydiqa", "bucc2018", "tatoeba"),
            ),
            _XTREME,
            split="test",
        ),
        # Ruder et al. 2021, arXiv 2104.07412; languages and groups are those of `evaluate.py` of
        # google-research/xtreme under `--xtreme_version xtreme-r`.
        Benchmark(
            "xtreme-r",
            (
                *("xnli", "xcopa", "udpos", "panx", "xquad", "mlqa", "tydiqa"),
                *("tatoeba", "lareqa", "mewslix"),
            ),
            {
                **_XTREME_R,
                "xcopa": ("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"),
                "lareqa": _XTREME["xquad"],
                "mewslix": ("ar", "de", "en", "es", "fa", "ja", "pl", "ro", "ta", "tr", "uk"),
            },
            split="test",
            groups={
                "classification": ("xnli", "xcopa"),
                "tagging": ("udpos", "panx"),
                "qa": ("xquad", "mlqa", "tydiqa"),
                "retrieval": ("tatoeba", "mewslix"),
                "multi_choice": ("xcopa",),
            },
        ),
    )
}
"""The benchmarks that the package brings, by name."""

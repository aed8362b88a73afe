"""The first sweep file of a user: from five answers to text that validates and says why it is so.

In go the answers, out comes YAML with comments. `xstilts init` asks and writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml

from xstilts.tasks.benchmarks import BENCHMARKS

MINI = "builtin:mini"

RATES = {"mini": (5.0e-4, 8.0e-4, 2), "standard": (3.0e-6, 3.0e-5, 3)}
"""By recipe the lowest and the highest learning rate that are tried, and how many between them."""

SEEDS = 3


@dataclass(frozen=True, slots=True)
class Answers:
    """What a starter file is written from. `data` is a mirror, `builtin:mini`, or None for the Hub;
    `own` are entries of `tasks`; `gpus` those of a trial, and `cpus` its threads."""

    name: str
    targets: tuple[str, ...]
    intermediates: tuple[str, ...]
    model: str
    data: str | None
    gpus: int
    cpus: int
    own: Mapping[str, Mapping[str, Any]]


def starter(answers: Answers) -> str:
    """The text of a sweep file. Names that are wrong are not noticed here but by `load_sweep`."""
    recipe = "mini" if answers.model == MINI else "standard"
    low, high, levels = RATES[recipe]
    space = f"{{float: [{low:.1e}, {high:.1e}], log: true, levels: {levels}}}"
    model = "mini" if answers.model == MINI else PurePath(answers.model).name
    trials = f"trials: {1 + levels * len(answers.intermediates)}"
    lines = [
        "# A first sweep. `xstilts validate` checks this file, `plan` says what it costs, `sweep`",
        "# runs it.",
        f"name: {_flow(answers.name)}",
        f"benchmark: {_benchmark(answers)}",
        f"recipe: {recipe}",
        f"models: {{{_flow(_key(model))}: {{path: {_flow(answers.model)}}}}}",
        f"data: {{root: {_flow(answers.data)}}}" + "  # the Hub" * (answers.data is None),
        *_tasks(answers.own),
        "intermediates:                   # candidates; `none`, the baseline, is always there",
        *(f"  {_flow(name)}: {{tasks: [{_flow(name)}]}}" for name in answers.intermediates),
        f"targets: [{', '.join(map(_flow, answers.targets))}]",
        "languages: all",
        f"seeds: {list(range(SEEDS))}",
        "search:",
        "  strategy: race                 # runs where an answer is open; `all` runs everything",
        "  encoder:",
        f"    {trials:<28} # none, and every intermediate at {levels} learning rates",
        "    sampler: {name: grid}",
        f"    space: {{intermediate.learning_rate: {space}}}",
        "  target:                        # for each encoder, chosen on the target's English dev",
        "    trials: 2",
        f"    space: {{learning_rate: {space}}}",
        "confirm: {top: 2, seeds: 5}      # the best of each target, and none, with fresh seeds",
        f"resources: {{gpus_per_trial: {answers.gpus}, cpus_per_trial: {answers.cpus}}}",
        "storage: ./runs",
    ]
    return "\n".join(lines) + "\n"


def _benchmark(answers: Answers) -> str:
    """The one that has all targets, so that its average can be told; `custom` has none."""
    targets = {*answers.targets}
    fitting = (name for name, one in BENCHMARKS.items() if targets <= {*one.targets})
    return next(fitting, "custom")


def _tasks(own: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not own:
        return []
    entries = {name: dict(entry) for name, entry in own.items()}
    text = yaml.safe_dump({"tasks": entries}, sort_keys=False, allow_unicode=True, width=10**6)
    return text.rstrip("\n").split("\n")


def _flow(value: str | None) -> str:
    """A value as YAML on one line, quoted where it must be."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()


def _key(name: str) -> str:
    """A name for a model, of the letters that names of a sweep file have."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)

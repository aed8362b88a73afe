"""Checks of what a sweep file reads in translation; see `check.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from xstilts.config.own_tasks import all_tasks
from xstilts.config.schema import Sweep, TranslatedSpec
from xstilts.errors import Problem
from xstilts.tasks import Task, suggest
from xstilts.tasks.benchmarks import CUSTOM


def check_translations(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with targets that are trained, or scored, on translations."""
    known = {task.name: task for task in all_tasks(sweep) if task.is_target}
    for name, said in sweep.train.items():
        is_head = name in known and known[name].head == name  # `check_chains` says so of others
        if isinstance(said, TranslatedSpec) and is_head and name in sweep.targets:
            yield from _check_training(f"train.{name}", known[name], said, known)
    if not sweep.evaluation.translated:
        return
    where, split = "evaluation.translated", sweep.evaluation.split
    for name in sweep.targets:
        if name in known and split not in known[name].translated:
            rule = f"no {split} set of {name} was translated to English"
            yield Problem(where, rule, "true", _having(split, known.values()))
    if sweep.benchmark.name != CUSTOM:
        rule = "scores of translations are no figures of a benchmark"
        yield Problem(where, rule, f"benchmark: {sweep.benchmark.name}", "write benchmark: custom")


def _check_training(
    where: str, target: Task, said: TranslatedSpec, known: Mapping[str, Task]
) -> Iterator[Problem]:
    if "train" not in target.translated:
        rule = f"the training set of {target.name} is not there in translation"
        yield Problem(where, rule, repair=_having("train", known.values()))
        return
    if not said.translated:
        rule = f"{target.name} has training rows in other languages in translation alone"
        yield Problem(f"{where}.translated", rule, "false", "write true")
    if len(said.languages) != 1:
        rule = "a target is trained in one language, whose dev set selects"
        yield Problem(f"{where}.languages", rule, f"{list(said.languages)}", "a sweep for each")
    for i, language in enumerate(said.languages):
        if language not in target.translated_languages:
            rule = f"the training set of {target.name} was not translated to it"
            near = suggest(language, target.translated_languages)
            yield Problem(f"{where}.languages[{i}]", rule, f'"{language}"', near)
    if said.normalise and not target.kind_spec.is_translatable:
        rule = f"answers of {target.name} are at places in the text, which must stay as it is"
        yield Problem(f"{where}.normalise", rule, f'"{said.normalise}"', "leave it out")


def _having(use: str, tasks: Iterable[Task]) -> str:
    names = [task.name for task in tasks if use in task.translated]
    return f"targets that have one: {', '.join(names)}"

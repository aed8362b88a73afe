"""Checks of `selection` in a sweep file; see `check.py`.

A pivot language must have dev labels for every target whose stages it selects, and none of the rows
that are scored: what selects is never what judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xstilts.config.derive import pivots_of, task_of
from xstilts.config.own_tasks import all_tasks
from xstilts.config.recipe_checks import override_sections
from xstilts.config.schema import Sweep
from xstilts.errors import Problem
from xstilts.tasks import Task


def check_selection(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with the protocol and with the pivot languages."""
    for where, values in override_sections(sweep):
        if sweep.selection.checkpoint and "keep" in values and "intermediate" not in where:
            yield Problem(
                "selection.checkpoint",
                f"{where}.keep says too which checkpoint of a target's stage is kept",
                f'"{sweep.selection.checkpoint}" and "{values["keep"]}"',
                "keep one of them",
            )
    pivots = sweep.selection.pivot or ()
    if len(set(pivots)) < len(pivots):
        yield Problem("selection.pivot", "a language stands once", f"{list(pivots)}")
    known = {task.name for task in all_tasks(sweep)}
    targets = [task_of(sweep, name) for name in sweep.targets if name in known]
    heads = {task.name: task_of(sweep, task.head) for task in targets if task.head in known}
    if pivots and heads and not any(pivots_of(sweep, head) for head in heads.values()):
        rule = "no target has a training stage that dev labels could select"
        yield Problem("selection.pivot", rule, f"{list(sweep.targets)}", "leave it out")
    for target in targets:
        if target.name in heads:
            yield from _check_pivots(sweep, target, heads[target.name], targets)


def _check_pivots(
    sweep: Sweep, target: Task, head: Task, targets: Sequence[Task]
) -> Iterator[Problem]:
    """Pivots of one of the targets, whose training stage is that of `head`."""
    pivots, split = pivots_of(sweep, head), sweep.evaluation.split
    if not pivots:
        return
    where, has = "selection.pivot", "validation" in head.splits
    labelled = [x for x in head.languages_of("validation") if has and x != head.train_language]
    for language in pivots:
        if language == head.train_language:
            rule = f"{target.name} is selected on it anyway"
            yield Problem(where, rule, f'"{language}"', "leave it out")
        elif language not in labelled:
            near = f"it has them in {', '.join(labelled)}" if labelled else "leave pivot out"
            yield Problem(where, f"{target.name} has no dev labels in it", f'"{language}"', near)
    scored = frozenset[tuple[str, str]]().union(*(one.origins_of(split) for one in targets))
    if has and head.origins_of("validation") & scored:
        yield Problem(
            where,
            f"the dev labels of {target.name} are rows that are scored, and may not select",
            f'evaluation.split "{split}"',
            "score the test split, or leave pivot or the target out",
        )

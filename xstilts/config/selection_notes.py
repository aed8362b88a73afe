"""What a reader of scores must know of how they were selected, a line each."""

from __future__ import annotations

from collections.abc import Iterator

from xstilts.config.derive import links_of, retrained, task_of
from xstilts.config.own_tasks import find_task, pools_named
from xstilts.config.schema import Sweep


def selection_notes(sweep: Sweep) -> Iterator[str]:
    """What targets' dev sets share with the rows that are scored, a line each; before them which
    languages' labels have selected."""
    if sweep.selection.pivot:
        names = ", ".join(sweep.selection.pivot)
        yield f"selected with dev labels of {names}: scores in {names} are not zero-shot"
    again = [task.name for task in retrained(sweep)]
    if sweep.evaluation.translated:
        yield "scored on rows that were translated to English by machine"
    for name, spec in pools_named(sweep).items():
        yield f"{name}: {spec.of} in a pool of the sweep's own, no official figure of {spec.of}"
    for head in sweep.train:
        if "train" in (task := find_task(sweep, head)).in_translation:
            language = task.train_language
            yield f"{head}: trained on translations to {language}, selected on dev rows in it"
    for name in sweep.targets:
        if shared := scored_as_selected(sweep, name):
            yield f"{name}: selected on the rows that are scored ({shared})"
        elif links_of(sweep, find_task(sweep, name).head)[-1].name in again:
            yield f"{name}: trained once more after selection, with the rows of its dev set"
        elif note := task_of(sweep, name).dev_note:
            yield f"{name}: its dev set has {note}"


def scored_as_selected(sweep: Sweep, target: str) -> str:
    """Which languages of a target are scored on rows that also select: `English` or `all`, where
    they are translations of each other; empty where none is."""
    task, head = task_of(sweep, target), task_of(sweep, find_task(sweep, target).head)
    split = sweep.evaluation.split
    if "dev" not in head.splits or not head.origins_of("dev") & task.origins_of(split):
        return ""
    return "all languages, by translation" if task.is_parallel else "English"

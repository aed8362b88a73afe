"""Checks of the chains that targets are trained in; see `check.py`.

Along a chain the head is carried from link to link, so every link is a trained task of the target's
kind whose head has as many outputs, for the same labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xstilts.config.own_tasks import all_tasks
from xstilts.config.schema import Sweep
from xstilts.errors import Problem
from xstilts.tasks import Task, suggest


def check_chains(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with the chains of a sweep file: of its targets, and of its own tasks."""
    known = {task.name: task for task in all_tasks(sweep)}
    for name, spec in sweep.tasks.items():
        if spec.train is not None:
            yield from _check_links(f"tasks.{name}.train", known[name], spec.train, known)
    for name, links in sweep.train.items():
        where = f"train.{name}"
        if name not in sweep.targets or name not in known:
            yield Problem(
                where, "is a target of this sweep", f'"{name}"', suggest(name, sweep.targets)
            )
        elif (head := known[name].head) != name:
            rule = f"{name} reads the stage of {head}, and has no chain of its own"
            yield Problem(where, rule, repair=f"write it under train.{head}, for both")
        elif isinstance(links, tuple):
            yield from _check_links(where, known[name], links, known)


def _check_links(
    where: str, target: Task, links: tuple[str, ...], known: Mapping[str, Task]
) -> Iterator[Problem]:
    if not links:
        rule = "a chain names the tasks that are trained on, one after the other"
        yield Problem(where, rule, "[]", "name one at least, or leave it out")
    for i, name in enumerate(links):
        here = f"{where}[{i}]"
        if name == target.name:
            rule = f"{name} would be trained in itself"
            repair = "name the task whose rows it is to be trained on"
            yield Problem(here, rule, f'"{name}"', repair)
        elif name not in known:
            yield Problem(here, "unknown task", f'"{name}"', suggest(name, _fitting(target, known)))
        elif name in links[:i]:
            yield Problem(here, "a link stands once", f'"{name}"')
        else:
            yield from _check_link(here, target, known[name], known)


def _check_link(
    where: str, target: Task, link: Task, known: Mapping[str, Task]
) -> Iterator[Problem]:
    got = f'"{link.name}"'
    if link.chain:
        rule = f"{link.name} is trained in a chain itself"
        yield Problem(where, rule, got, f"name its links: {', '.join(link.chain)}")
    elif link.trained_as:
        rule = f"{link.name} reads the stage of {link.trained_as}"
        yield Problem(where, rule, got, f"name {link.trained_as}")
    elif link.kind != target.kind:
        rule = f"the head is carried, and a link is of the kind of {target.name}, {target.kind}"
        near = ", ".join(_fitting(target, known)) or "no task; leave the chain out"
        yield Problem(where, rule, f"{got}, of kind {link.kind}", f"known: {near}")
    elif not link.is_trained:
        yield Problem(where, "a link has rows to train on", f"{got}, which has none", "drop it")
    elif not _fits(target, link):
        rule = f"the head is carried, and a link has the labels of {target.name}"
        both = (", ".join(one.labels) or "those of its rows" for one in (link, target))
        yield Problem(where, rule, " instead of ".join(both), "give both the same, in this order")


def _fits(target: Task, link: Task) -> bool:
    """Whether the heads of two tasks of one kind have the same outputs: of multiple choice and span
    QA all have, of others those of the same labels."""
    if not target.kind_spec.declares_labels:
        return True
    return target.labels == link.labels and not (target.open_labels or link.open_labels)


def _fitting(target: Task, known: Mapping[str, Task]) -> list[str]:
    """The tasks that may be links of a target's chain."""
    return [
        task.name
        for task in known.values()
        if task.kind == target.kind and task.is_trained and not (task.chain or task.trained_as)
        if task.name != target.name and _fits(target, task)
    ]

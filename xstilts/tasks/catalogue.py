"""The catalogue: every task by its name, with suggestions for names that are nearly right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from xstilts.tasks import further, intermediate, ranked, targets
from xstilts.tasks.task import Task

_MODULES = (intermediate, targets, ranked, further)
_TASKS: dict[str, Task] = {task.name: task for module in _MODULES for task in module.ENTRIES}


def known_tasks() -> tuple[Task, ...]:
    """Every task: the benchmarks', intermediates first, then further ones, as their entries are."""
    return tuple(_TASKS.values())


def lookup(name: str) -> Task:
    """The task of that name.

    Raises:
        KeyError: no task has that name; checks of user input happen before, in `config`.
    """
    return _TASKS[name]


def place_of(name: str) -> str:
    """The module of the package that has a task's entry."""
    modules = (x for x in _MODULES if any(task.name == name for task in x.ENTRIES))
    return next(modules).__name__


def suggest(name: str, known: Iterable[object]) -> str:
    """The repair for an unknown name: the nearest known one, and all that are known."""
    names = sorted(str(x) for x in known)  # what a file lists may be no text
    near = difflib.get_close_matches(name, names, n=1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    return f"{hint}known: {', '.join(names)}"

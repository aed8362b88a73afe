"""Checks of the `recipe` of a sweep file; see `check.py`.

Each value must be one that its field takes, stand where a stage of the sweep reads it, and be said
of the task whose stage that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xstilts.config.derive import recipe_of, task_of
from xstilts.config.own_tasks import all_tasks
from xstilts.config.recipe import FIELDS, PHASES, check_value
from xstilts.config.recipes import RECIPES
from xstilts.config.schema import Sweep
from xstilts.errors import Problem
from xstilts.tasks import Task, suggest

OF_A_PART = frozenset({"batch_size", "max_length"})
"""What a task has of its own in a mixture; the rest is the phase's."""


def check_recipe(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with the recipe's name and with what is said instead of its values."""
    said = sweep.recipe
    if said.name not in RECIPES:
        where = "recipe.name" if said.overrides else "recipe"
        yield Problem(where, "unknown recipe", f'"{said.name}"', suggest(said.name, RECIPES))
    for where, values in override_sections(sweep):
        others = (*PHASES, "tasks", "targets", "adapt") if where == "recipe" else ()
        for name, value in values.items():
            if name == "adapt":
                repair = "write it under recipe.adapt.intermediate or recipe.adapt.target"
                yield Problem(f"{where}.adapt", "arms are of a phase", repair=repair)
                continue
            if name not in FIELDS:
                near = suggest(name, (*FIELDS, *others))
                yield Problem(f"{where}.{name}", "unknown field of a recipe", repair=near)
                continue
            try:
                check_value(name, value)
            except ValueError as error:
                yield Problem(f"{where}.{name}", str(error), repr(value))
    yield from _check_tasks(sweep)
    yield from _check_targets(sweep)
    if said.name in RECIPES:
        yield from _check_negatives(sweep)


def override_sections(sweep: Sweep) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every place under `recipe` that holds values, with them."""
    said = sweep.recipe
    yield "recipe", said.everywhere
    yield "recipe.intermediate", said.intermediate
    yield "recipe.target", said.target
    for key, tasks in (("tasks", said.tasks), ("targets", said.targets)):
        for name, values in tasks.items():
            yield f"recipe.{key}.{name}", values


def _check_tasks(sweep: Sweep) -> Iterator[Problem]:
    """A task of an intermediate, and the values that its stages read."""
    known = {name for spec in sweep.intermediates.values() for name in spec.tasks}
    for task, values in sweep.recipe.tasks.items():
        where = f"recipe.tasks.{task}"
        if task not in known:
            repair = suggest(task, known) if known else "there are no intermediates"
            if task in sweep.targets:
                repair = f"write it under recipe.targets.{task}"
            yield Problem(where, "is a task of an intermediate of this sweep", f'"{task}"', repair)
            continue
        specs = [spec for spec in sweep.intermediates.values() if task in spec.tasks]
        if any(spec.match is None and len(spec.tasks) == 1 for spec in specs):
            continue
        is_part = any(spec.match is None for spec in specs)
        for name in values.keys() & set(FIELDS) - (OF_A_PART if is_part else {"max_length"}):
            rule = f"{task} is matched to another intermediate, and has that one's {name}"
            repair = "leave it out"
            if is_part:
                rule = f"{task} is trained in mixtures alone, which have the phase's {name}"
                repair = f"write it under recipe.intermediate.{name}"
            yield Problem(f"{where}.{name}", rule, repair=repair)


def _check_targets(sweep: Sweep) -> Iterator[Problem]:
    """A target whose own stage it is, and the values that the stage reads."""
    known = {task.name for task in all_tasks(sweep)}
    tasks = {name: task_of(sweep, name) for name in sweep.targets if name in known}
    own = {task.head for task in tasks.values()}
    heads = own.union(*(task_of(sweep, name).chain for name in own))
    for name, values in sweep.recipe.targets.items():
        where = f"recipe.targets.{name}"
        if name in tasks and tasks[name].head != name:
            head = tasks[name].head
            rule = f"{name} reads the stage of {head}, and has no values of its own"
            yield Problem(where, rule, repair=f"write it under recipe.targets.{head}, for both")
        elif name not in heads:
            repair = suggest(name, heads) if heads else "name it under `targets`"
            if any(name in spec.tasks for spec in sweep.intermediates.values()):
                repair = f"write it under recipe.tasks.{name}"
            yield Problem(where, "is a target of this sweep", f'"{name}"', repair)
        elif name in own and not _is_trained(tasks, name):
            for field in values.keys() & set(FIELDS) - {"max_length"}:
                rule = f"{name} is not trained, and reads max_length alone"
                yield Problem(f"{where}.{field}", rule, repair="leave it out")


def _check_negatives(sweep: Sweep) -> Iterator[Problem]:
    """A dual encoder tells a row's candidate from those of other rows of a batch."""
    known = {task.name: task for task in all_tasks(sweep)}
    heads = [known[name].head for name in sweep.targets if name in known]
    stages = [("target", "targets", name) for name in dict.fromkeys(heads)]
    tasks = (name for spec in sweep.intermediates.values() for name in spec.tasks)
    stages += [("intermediate", "tasks", name) for name in dict.fromkeys(tasks)]
    for phase, key, name in stages:
        if name not in known or "negatives" not in known[name].kind_spec.recipe_fields:
            continue
        space = sweep.search.encoder.space.get(f"{phase}.batch_size")
        spaces = [space, sweep.search.target.space.get("batch_size") if key == "targets" else None]
        searched = [x for spec in spaces if spec is not None for x in spec.values()]
        try:
            own = recipe_of(sweep).for_task(phase, name, {}).batch_size
        except (ValueError, TypeError):  # a value that is said to be wrong
            continue
        if min(searched or [own]) < 2:
            rule = f"{name} compares the rows of a batch, which has two at least"
            where = f"recipe.{key}.{name}.batch_size"
            yield Problem(where, rule, f"{min(searched or [own])}", "write a larger one")


def _is_trained(tasks: Mapping[str, Task], head: str) -> bool:
    """Whether targets of that stage train it."""
    return any(task.is_trained for task in tasks.values() if task.head == head)

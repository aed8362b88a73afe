"""Checks of the arms that a sweep takes, said in its file or drawn from its spaces; see `check.py`.

Every value must be one that its name takes, no two may exclude each other at any point that can be
drawn, and what is trained in the phase must be of kinds that can take the arm. What an encoder can
take needs its config.json (`xstilts.run.arms`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from xstilts.config.adapt import FULL, SEARCHED, Adapt, adaptations_of, flat, made
from xstilts.config.derive import encoder_space, links_of, phase_of, recipe_of, target_space
from xstilts.config.own_tasks import all_tasks
from xstilts.config.recipe import PHASES
from xstilts.config.recipes import RECIPES
from xstilts.config.schema import Sweep
from xstilts.config.search_spec import ParameterSpec
from xstilts.config.space import Choice, Float, Parameter, Space
from xstilts.errors import Problem
from xstilts.tasks import Task, suggest
from xstilts.tasks.kinds import KINDS

WHERE = "recipe.adapt"
MOST_POINTS = 10_000
"""So many points of the arms' part of a space are looked at."""


def check_adapt(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with the arms of a sweep: first with what is said, then with what it makes."""
    found = [*_check_said(sweep), *_check_spaces(sweep)]
    yield from found
    if found or sweep.recipe.name not in RECIPES:
        return
    try:
        encoder_space(sweep)
    except ValueError:  # a circle of conditions, which has its own line
        return
    for phase in PHASES:
        problems: dict[str, Problem] = {}
        for problem in _check_phase(sweep, phase):
            problems.setdefault(problem.rule, problem)
        yield from problems.values()


def arms_of(sweep: Sweep, phase: str) -> Iterator[tuple[str, Adapt]]:
    """Every arm that a phase may have, and where that is said; of what is drawn from an interval
    its ends.

    Raises:
        ValueError: values of a point exclude each other; its text says which.
    """
    said = adaptations_of(sweep.recipe.adapt)
    spaces = [("search.encoder.space", encoder_space(sweep), f"adapt.{phase}")]
    if phase == "target":
        spaces.append(("search.target.space", target_space(sweep), "adapt"))
    parameters: list[Parameter] = []
    where = f"{WHERE}.{phase}"
    for here, space, prefix in spaces:
        for one in space.parameters:
            if one.name == prefix or one.name.startswith(f"{prefix}."):
                name = f"adapt{one.name.removeprefix(prefix)}"
                when = {
                    f"adapt{parent.removeprefix(prefix)}": values
                    for parent, values in one.when.items()
                    if parent == prefix or parent.startswith(f"{prefix}.")
                }
                parameters.append(Parameter(name, _ends(one.dimension), when))
                where = here
    points = islice(Space(tuple(parameters)).grid(), MOST_POINTS)
    for adapt in {str(own): own for own in (said.of(phase, point) for point in points)}.values():
        yield where, adapt


def check_arm_value(where: str, spec: ParameterSpec, name: str, sweep: Sweep) -> Iterator[Problem]:
    """Every bound or choice of a parameter must be a value that the arm takes; `name` is `adapt`
    for the name of an arm, else `adapt.VALUE`."""
    values = (*(spec.choice or ()), *(spec.float_ or ()), *(spec.int_ or ()))
    if name == "adapt":
        known = (FULL, *adaptations_of(sweep.recipe.adapt).arms)
        if spec.choice is None:
            yield Problem(where, "is a choice", repair=f"write {{choice: [{', '.join(known)}]}}")
        for value in spec.choice or ():
            if value not in known:
                yield Problem(where, "unknown arm", f'"{value}"', suggest(str(value), known))
        return
    if spec.simplex:
        yield Problem(where, "a simplex is for intermediate.rates only")
    for value in values:
        yield from _check_value(where, name.removeprefix("adapt."), value)


def _ends(dimension: Any) -> Any:
    return Choice((dimension.low, dimension.high)) if isinstance(dimension, Float) else dimension


def _check_said(sweep: Sweep) -> Iterator[Problem]:
    said = sweep.recipe.adapt
    arms = said.get("arms", {})
    if not isinstance(arms, Mapping):
        yield Problem(f"{WHERE}.arms", "has arms by their names", repr(arms))
        return
    for name, own in arms.items():
        if name in (FULL, *PHASES):
            yield Problem(f"{WHERE}.arms.{name}", "is a name of its own", repair="take another")
        yield from _check_arm(f"{WHERE}.arms.{name}", own)
    for phase, own in said.items():
        where = f"{WHERE}.{phase}"
        if phase == "arms":
            continue
        if phase not in PHASES:
            known = (*PHASES, "arms")
            yield Problem(where, "is a phase, or arms", f'"{phase}"', suggest(phase, known))
        elif isinstance(own, str):
            if own not in (FULL, *arms):
                yield Problem(where, "unknown arm", f'"{own}"', suggest(own, (FULL, *arms)))
        else:
            yield from _check_arm(where, own)


def _check_arm(where: str, said: Any) -> Iterator[Problem]:
    if not isinstance(said, Mapping):
        rule = "is `full`, or values by their names"
        yield Problem(where, rule, repr(said), f"the names are {', '.join(SEARCHED)}")
        return
    for name, value in flat(said).items():
        yield from _check_value(f"{where}.{name}", name, value)


def _check_value(where: str, name: str, value: Any) -> Iterator[Problem]:
    if name not in SEARCHED:
        near = suggest(name, (*SEARCHED, "lora"))
        yield Problem(where, "unknown value of an arm", f'"{name}"', near)
        return
    try:
        made(name, value)
    except ValueError as error:
        yield Problem(where, str(error), repr(value))


def _check_spaces(sweep: Sweep) -> Iterator[Problem]:
    search = sweep.search
    for name, spec in search.encoder.space.items():
        first, _, rest = name.partition(".")
        own = rest.partition(".")[2]
        if first == "adapt" and phase_of(name) in PHASES:
            inner = f"adapt.{own}" if own else "adapt"
            yield from check_arm_value(f"search.encoder.space.{name}", spec, inner, sweep)
    for name, spec in search.target.space.items():
        if name.partition(".")[0] == "adapt":
            yield from check_arm_value(f"search.target.space.{name}", spec, name, sweep)


def _check_phase(sweep: Sweep, phase: str) -> Iterator[Problem]:
    try:
        arms = list(arms_of(sweep, phase))
    except ValueError as error:
        yield Problem(f"{WHERE}.{phase}", str(error), repair="leave one of them out")
        return
    for where, adapt in arms:
        if adapt.label_smoothing:
            yield from _check_smoothing(sweep, phase, where)
        if adapt.average:
            yield from _check_average(sweep, phase, where, adapt)


def trained_tasks(sweep: Sweep, phase: str) -> dict[str, Task]:
    """The tasks that a phase's stages train, by name."""
    known = {task.name: task for task in all_tasks(sweep)}
    if phase == "intermediate":
        names = [name for spec in sweep.intermediates.values() for name in spec.tasks]
        return {name: known[name] for name in names if name in known}
    heads = dict.fromkeys(known[name].head for name in sweep.targets if name in known)
    links = (link for head in heads if head in known for link in links_of(sweep, head))
    return {link.name: link for link in links if link.is_trained}


def _check_smoothing(sweep: Sweep, phase: str, where: str) -> Iterator[Problem]:
    can = ", ".join(name for name, spec in KINDS.items() if spec.is_smoothed)
    for name, task in trained_tasks(sweep, phase).items():
        if not task.kind_spec.is_smoothed:
            rule = f"label_smoothing is for the kinds {can}; {name} is of the kind {task.kind}"
            yield Problem(where, rule, repair="leave one of them out")


def _check_average(sweep: Sweep, phase: str, where: str, adapt: Adapt) -> Iterator[Problem]:
    """The mean of the last checks is what a stage keeps, and there must be as many."""
    said = sweep.recipe
    keeps = [said.everywhere, said.intermediate if phase == "intermediate" else said.target]
    keeps += (said.tasks if phase == "intermediate" else said.targets).values()
    kept = {values["keep"] for values in keeps if "keep" in values}
    if phase == "target" and sweep.selection.checkpoint:
        kept.add(sweep.selection.checkpoint)
    if kept - {"average"}:
        rule = f"average says which checks a stage keeps, and so does {min(kept - {'average'})}"
        yield Problem(where, rule, f"last {adapt.average}", "keep one of them")
    recipe = recipe_of(sweep)
    bare = replace(recipe, override=replace(recipe.override, adapt=adaptations_of({})))
    for name in trained_tasks(sweep, phase):
        own = bare.for_task(phase, name, {})
        if not own.check_every and own.checks < adapt.average:
            rule = f"average: last {adapt.average} needs as many checks; {name} has {own.checks}"
            yield Problem(where, rule, repair="average fewer, or set recipe.checks")
            return

"""What the arms of a study are: their members, their runs, and what they are made of.

Whatever plans, checks or computes a study reads it here, so that none of them can differ in what an
arm is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from xstilts.config.adapt import FULL
from xstilts.config.derive import NONE, phase_of, recipe_of, train_languages
from xstilts.config.own_tasks import all_tasks, find_trained
from xstilts.config.recipe import FIELDS
from xstilts.config.schema import IntermediateSpec, Sweep
from xstilts.config.search_spec import ParameterSpec
from xstilts.config.study import ArmSpec, Aspect

COSTS: tuple[Aspect, ...] = ("examples", "budget", "rates")
"""Aspects in which an intermediate that is matched to another is like that one."""

OWN = ("batch_size", "max_length", "epochs")
"""Values of a recipe that parts of a mixture have each; epochs are of how long a stage is."""

UNSELECTED = ("intermediate", "model", "intermediate.rates")
"""Searched parameters that an arm has keys of its own for, or that are no factor."""


def members(sweep: Sweep, arm: ArmSpec) -> tuple[str, ...]:
    """The intermediates of an arm, `none` among them, in the order of the sweep."""
    every = (NONE, *sweep.intermediates)
    return tuple(x for x in every if any(fnmatchcase(x, said) for said in arm.intermediates))


def models_of(sweep: Sweep, arm: ArmSpec) -> tuple[str, ...]:
    """The models of an arm, those of all parts of the study."""
    return arm.models or tuple(sweep.models)


def selects(sweep: Sweep, arm: ArmSpec, point: Mapping[str, Any]) -> bool:
    """Whether a trial at this point of the outer search space is a run of the arm. A parameter that
    is not active at a point is what the file says without a search, and of the baseline those of an
    intermediate stage say nothing."""
    if point["intermediate"] not in members(sweep, arm):
        return False
    if point["model"] not in models_of(sweep, arm):
        return False
    for name, values in arm.parameters.items():
        if point["intermediate"] == NONE and phase_of(name) == "intermediate":
            continue
        if name not in point and default_of(sweep, point["intermediate"], name) not in values:
            return False
        if name in point and point[name] not in values:
            return False
    return True


def default_of(sweep: Sweep, intermediate: str, name: str) -> Any:
    """What a parameter is where it is not searched; None where that hangs on the target."""
    phase = phase_of(name)
    if name.startswith("adapt."):
        said = sweep.recipe.adapt.get(phase, FULL)
        return said if isinstance(said, str) and name == f"adapt.{phase}" else None
    if phase != "intermediate" or intermediate not in sweep.intermediates:
        return None
    tasks = sweep.intermediates[intermediate].tasks
    recipe = recipe_of(sweep).for_task(phase, tasks[0] if len(tasks) == 1 else "", {})
    return getattr(recipe, name.partition(".")[2], None)


def languages_of_arm(sweep: Sweep, arm: ArmSpec) -> frozenset[str]:
    """The languages that an arm's intermediates train in."""
    return frozenset().union(*(languages_trained(sweep, name) for name in members(sweep, arm)))


def languages_trained(sweep: Sweep, intermediate: str) -> frozenset[str]:
    """The languages that an intermediate trains in, those of MLM's text left out: they are beside
    the task, or all that there are; `none` has none."""
    if intermediate == NONE:
        return frozenset()
    spec = sweep.intermediates[intermediate]
    tasks = (find_trained(sweep, name) for name in spec.tasks)
    supervised = [task for task in tasks if not task.kind_spec.is_self_supervised]
    return frozenset(code for task in supervised for code in train_languages(spec, task))


def values_of(sweep: Sweep, arm: ArmSpec, aspect: Aspect) -> frozenset[str]:
    """What an arm is in one aspect, as texts: its models, its members' values, or what they are
    trained by."""
    if aspect == "models":
        return frozenset(models_of(sweep, arm))
    if aspect == "recipe":
        return frozenset((*_recipes(sweep, arm), *_parameters(sweep, arm)))
    return frozenset(
        "nothing" if name == NONE else f"{_value(sweep, sweep.intermediates[name], aspect)}"
        for name in members(sweep, arm)
    )


def target_recipe_of(sweep: Sweep, arm: ArmSpec) -> frozenset[str]:
    """What of an arm's recipe is not of an intermediate stage: all that is left to compare where
    one of two arms has none."""
    return frozenset(
        text for text in _parameters(sweep, arm) if phase_of(text.split()[0]) != "intermediate"
    )


def _value(sweep: Sweep, spec: IntermediateSpec, aspect: Aspect) -> Any:
    """An aspect of an intermediate, of one that is matched to another that one's costs."""
    if aspect == "intermediate":
        return " and ".join(spec.tasks)
    if aspect in COSTS:
        spec = _matched(sweep, spec)
    return spec.model_dump(mode="json", by_alias=True)[aspect]


def _matched(sweep: Sweep, spec: IntermediateSpec) -> IntermediateSpec:
    """The intermediate that another is matched to; itself where it is matched to none."""
    match = spec.match
    return sweep.intermediates.get(match.to, spec) if match else spec


def _recipes(sweep: Sweep, arm: ArmSpec) -> Iterator[str]:
    """What the file has the intermediate stages of an arm trained by, a text a value."""
    known = {task.name: task for task in all_tasks(sweep)}
    recipe = recipe_of(sweep)
    for name in members(sweep, arm):
        if name == NONE:
            continue
        spec = _matched(sweep, sweep.intermediates[name])
        alone = spec.tasks[0] if len(spec.tasks) == 1 else ""
        common = recipe.for_task("intermediate", alone, {})
        yield from (f"{x} {getattr(common, x)}" for x in FIELDS if x not in OWN)
        yield f"adapt {common.adapt}"
        # MLM beside other tasks has batches of its own, which are what `mlm` is.
        parts = [x for x in spec.tasks if x in known and not known[x].kind_spec.is_self_supervised]
        for task in parts or spec.tasks:
            own = recipe.for_task("intermediate", task, {})
            yield f"batch_size {own.batch_size}"


def _parameters(sweep: Sweep, arm: ArmSpec) -> Iterator[str]:
    """The values of searched parameters that an arm's runs have, a text a value."""
    trained = [name for name in members(sweep, arm) if name != NONE]
    for name, spec in sweep.search.encoder.space.items():
        if name in UNSELECTED or (phase_of(name) == "intermediate" and not trained):
            continue
        active = [x for x in trained if is_active(spec, x)]
        if active or phase_of(name) != "intermediate":
            said = arm.parameters.get(name)
            yield from (f"{name} {value}" for value in said or searched_values(spec))
        inactive = [x for x in trained if x not in active]
        yield from (f"{name} {default_of(sweep, own, name)}" for own in inactive)


def is_active(spec: ParameterSpec, intermediate: str) -> bool:
    """Whether the file gives a parameter to trials of an intermediate."""
    allowed = spec.when.get("intermediate", intermediate)
    return intermediate in (allowed if isinstance(allowed, list) else [allowed])


def searched_values(spec: ParameterSpec) -> tuple[Any, ...]:
    """The values that a search may draw, one word where they are without number."""
    if spec.simplex:
        return ("any",)
    return tuple(spec.dimension().grid() or ("any",))

"""What a valid sweep implies: its search spaces, its candidates, the languages of its targets."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from xstilts.config.schema import IntermediateSpec, ParameterSpec, Sweep
from xstilts.config.space import (
    Choice,
    Dimension,
    Parameter,
    Point,
    Simplex,
    Space,
    in_dependency_order,
)
from xstilts.tasks import Task, lookup

NONE = "none"
"""The empty mixture: the baseline."""


def candidates(sweep: Sweep) -> tuple[str, ...]:
    """The values of `intermediate` that the search may draw."""
    spec = sweep.search.encoder.space.get("intermediate")
    return spec.choice if spec and spec.choice else (NONE, *sweep.intermediates)


def encoder_space(sweep: Sweep) -> Space:
    """The outer search space, with what a file may leave out: `intermediate` and `model`.

    Raises:
        ValueError: the conditions form a circle; `check` reports it before.
    """
    declared = sweep.search.encoder.space
    parameters = []
    if "intermediate" not in declared:
        parameters.append(Parameter("intermediate", Choice(candidates(sweep))))
    if "model" not in declared:
        parameters.append(Parameter("model", Choice(tuple(sweep.models))))
    trained = tuple(value for value in candidates(sweep) if value != NONE)
    for name, spec in declared.items():
        if spec.simplex:
            parameters += [
                _parameter(
                    name,
                    spec,
                    Simplex(mixture.tasks, spec.simplex_step),
                    also={"intermediate": (intermediate,)},
                    label=f"rate/{intermediate}",
                )
                for intermediate, mixture in sweep.intermediates.items()
                if mixture.rates == "search" and intermediate in trained
            ]
        else:
            # The baseline has no intermediate stage, hence none of its parameters.
            also = {"intermediate": trained} if name.startswith("intermediate.") else {}
            parameters.append(_parameter(name, spec, spec.dimension(), also))
    return Space(in_dependency_order(parameters))


def split_space(space: Space) -> tuple[list[Point], Space | None]:
    """A sweep's outer space in two: the points of intermediates that leave nothing to search but
    the model, as the baseline does, and what there is to search, None if nothing.

    A sampler that finds the baseline good would propose its one configuration again and again, for
    nothing that is tried teaches it otherwise.
    """
    roots = tuple(p for p in space.parameters if p.name in ("intermediate", "model"))
    names = space.values_of("intermediate")
    opened = {
        name
        for name in names
        for parameter in space.parameters
        if parameter not in roots and name in parameter.when.get("intermediate", names)
    }
    closed = [point for point in Space(roots).grid() if point["intermediate"] not in opened]
    return closed, space.where("intermediate", opened) if opened else None


def num_configurations(sweep: Sweep) -> int:
    """How many configurations a sweep tries: as many as asked for, or all that its space has."""
    space, wanted = encoder_space(sweep), sweep.search.encoder.trials
    return sum(1 for _ in islice(space.grid(), wanted)) if space.is_finite else wanted


def target_space(sweep: Sweep) -> Space:
    """The inner search space."""
    declared = sweep.search.target.space
    return Space(
        tuple(_parameter(name, spec, spec.dimension(), {}) for name, spec in declared.items())
    )


def part_task(spec: IntermediateSpec, name: str) -> Task:
    """A task of an intermediate, with the training rows that it reads there."""
    task = lookup(name)
    return task if task.kind == "mlm" else task.variant(spec.translated, spec.where)


def train_languages(spec: IntermediateSpec, task: Task) -> tuple[str, ...]:
    """The languages of a task's training rows in an intermediate."""
    if task.kind == "mlm":
        chosen = spec.mlm.languages if spec.mlm else "all"
        return task.languages if chosen == "all" else tuple(chosen)
    return spec.languages or task.languages_of("train")


def overlaps(sweep: Sweep, intermediate: str, target: str) -> bool:
    """Whether an intermediate trains on the data that a target is fine-tuned on (MNLI and XNLI)."""
    spec, family = sweep.intermediates.get(intermediate), lookup(target).family
    if spec is None or family is None:
        return False
    return any(lookup(name).family == family for name in spec.tasks)


def shared_families(sweep: Sweep, intermediate: str) -> list[list[str]]:
    """Tasks of a mixture that hold the same training data, such as MNLI and ANLI+."""
    by_family: dict[str, list[str]] = {}
    for task in map(lookup, sweep.intermediates[intermediate].tasks):
        by_family.setdefault(task.family or "", []).append(task.name)
    return [names for family, names in by_family.items() if family and len(names) > 1]


def reads(sweep: Sweep) -> list[tuple[Task, str, str]]:
    """All that a sweep reads: tasks with a use and a language."""
    found: list[tuple[Task, str, str]] = []
    for spec in sweep.intermediates.values():
        for name in spec.tasks:
            task = part_task(spec, name)
            found += [(task, "train", language) for language in train_languages(spec, task)]
            if "dev" in task.splits:
                found.append((task, "dev", task.train_language))
    split = sweep.evaluation.split
    for target in map(lookup, sweep.targets):
        head = lookup(target.head)
        found += [
            (head, use, head.train_language) for use in ("train", "dev") if use in head.splits
        ]
        scored = dict.fromkeys((split, target.fitted_on or split))
        found += [(target, use, x) for use in scored for x in languages_of(sweep, target)]
    # Tasks hold mappings, so they cannot be keys themselves.
    distinct = {
        (task.name, str(task.splits.get(use)), use, x): (task, use, x) for task, use, x in found
    }
    return list(distinct.values())


def selected_targets(sweep: Sweep) -> tuple[Task, ...]:
    """The targets that have a dev set, in the order of the file."""
    tasks = (lookup(name) for name in sweep.targets)
    return tuple(task for task in tasks if "dev" in task.splits)


def languages_of(sweep: Sweep, target: Task) -> tuple[str, ...]:
    """The languages in which a sweep evaluates a target."""
    languages = target.languages_of(sweep.evaluation.split)
    wanted = sweep.languages
    if isinstance(wanted, dict):  # targets that it does not name have all
        wanted = wanted.get(target.name, "all")
    return tuple(language for language in languages if wanted == "all" or language in wanted)


def _parameter(
    name: str,
    spec: ParameterSpec,
    dimension: Dimension,
    also: Mapping[str, tuple[Any, ...]],
    label: str = "",
) -> Parameter:
    """A parameter under the file's conditions and those that follow from its name."""
    when: dict[str, tuple[Any, ...]] = dict(also)
    for parent, wanted in spec.when.items():
        allowed = tuple(wanted) if isinstance(wanted, list) else (wanted,)
        when[parent] = tuple(v for v in when.get(parent, allowed) if v in allowed)
    return Parameter(name, dimension, when, label or name)

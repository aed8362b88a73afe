"""Checks of the `study` of a sweep file: what it names, and whether its sweep can answer it.

Which languages a contrast is on, and which intermediates an arm has, is worked out here, so that
what checks and what computes cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import islice

from xstilts.config.derive import NONE, encoder_space, languages_of
from xstilts.config.own_tasks import all_tasks
from xstilts.config.schema import Sweep
from xstilts.config.study import OPERATORS, ArmSpec, Aspect, ContrastSpec, StudySpec, condition
from xstilts.config.study_arms import (
    COSTS,
    UNSELECTED,
    default_of,
    is_active,
    languages_of_arm,
    members,
    searched_values,
    selects,
    target_recipe_of,
    values_of,
)
from xstilts.errors import Problem
from xstilts.tasks import suggest
from xstilts.tasks.languages import COLUMNS, language

__all__ = ["cells", "check_study", "confounds", "members", "selects"]

_ASPECTS: tuple[Aspect, ...] = (
    *("tasks", "languages", "translated", "normalise", "items", "filter", "mlm", "match"),
    *(*COSTS, "models", "recipe"),
)
"""What a file says of arms; what only a plan knows of them is in `report.forecast_study`."""


_MOST = 100_000
"""Configurations of a grid that are looked through for those of arms."""


def check_study(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with a study, in the order of the file."""
    study = sweep.study
    if study is None:
        return
    if sweep.search.is_race:
        rule = "an arm is never eliminated, so that a study runs every configuration"
        yield Problem("search.strategy", rule, '"race"', "write strategy: all")
    if len(sweep.seeds) < study.seeds:
        rule = f"the study says that a claim needs {study.seeds}"
        repair = "add seeds, or give study.seeds, three or more"
        yield Problem("seeds", rule, f"{list(sweep.seeds)}", repair)
    yield from _check_parts(sweep, study)
    wrong: dict[str, list[Problem]] = {}
    for name, arm in study.arms.items():
        where = f"study.arms.{name}"
        wrong[name] = [*_check_arm(sweep, where, arm), *_check_parameters(sweep, where, arm)]
        yield from wrong[name]
    if not any(wrong.values()):
        yield from _check_runs(sweep, study)
    for name, contrast in study.contrasts.items():
        where = f"study.contrasts.{name}"
        problems = [*_check_names(sweep, study, where, contrast)]
        yield from problems
        if not problems and not any(wrong[arm] for arm in contrast.arms):
            yield from _check_comparison(sweep, study, where, contrast)
    for i, name in enumerate(study.primary):
        if name not in study.contrasts:
            rule, repair = "is no contrast of the study", suggest(name, study.contrasts)
            yield Problem(f"study.primary[{i}]", rule, f'"{name}"', repair)


def cells(sweep: Sweep, study: StudySpec, contrast: ContrastSpec) -> dict[str, tuple[str, ...]]:
    """The languages of a contrast by target, in the target's order; targets without any have no
    entry."""
    known = {task.name: task for task in all_tasks(sweep) if task.is_target}
    matched = languages_of_arm(sweep, study.arms[contrast.arms[0]])
    found = {}
    for name in contrast.targets or sweep.targets:
        chosen = [
            code
            for code in languages_of(sweep, known[name])
            if (contrast.languages is None or code in contrast.languages)
            and all(_holds(code, column, said) for column, said in contrast.where.items())
            and (
                contrast.match is None
                or (code in matched) == (contrast.match == "intermediate language")
            )
        ]
        if chosen:
            found[name] = tuple(chosen)
    return found


def confounds(sweep: Sweep, study: StudySpec, contrast: ContrastSpec) -> tuple[Aspect, ...]:
    """What the arms of a contrast differ in besides what it says that they are meant to: an arm of
    `none` alone in `intermediate`, which is all that an intermediate is."""
    one, other = (study.arms[name] for name in contrast.arms)
    return tuple(
        aspect
        for aspect in _compared(sweep, one, other, contrast)
        if aspect not in contrast.differ_in and any(_differences(sweep, one, other, aspect))
    )


def _compared(
    sweep: Sweep, one: ArmSpec, other: ArmSpec, contrast: ContrastSpec
) -> tuple[Aspect, ...]:
    """The aspects in which two arms can be compared at all."""
    if "intermediate" in contrast.differ_in:
        return ("models", "recipe")
    if _is_baseline(sweep, one) != _is_baseline(sweep, other):
        return ("intermediate", "models", "recipe")
    return _ASPECTS


def _is_baseline(sweep: Sweep, arm: ArmSpec) -> bool:
    return members(sweep, arm) == (NONE,)


def _differences(
    sweep: Sweep, one: ArmSpec, other: ArmSpec, aspect: Aspect
) -> tuple[list[str], list[str]]:
    """What each of two arms has in an aspect that the other has not; all of both where a value is
    whole, as of all but a recipe."""
    values_by_arm = [values_of(sweep, arm, aspect) for arm in (one, other)]
    if aspect == "recipe" and NONE in (*members(sweep, one), *members(sweep, other)):
        values_by_arm = [target_recipe_of(sweep, arm) for arm in (one, other)]
    first, second = values_by_arm
    if first == second:
        return [], []
    if aspect == "recipe":
        return sorted(first - second), sorted(second - first)
    return sorted(first), sorted(second)


def _check_arm(sweep: Sweep, where: str, arm: ArmSpec) -> Iterator[Problem]:
    every = (NONE, *sweep.intermediates)
    for i, said in enumerate(arm.intermediates):
        if not any(fnmatchcase(name, said) for name in every):
            rule = "names no intermediate, so that the arm has no member by it"
            yield Problem(f"{where}.intermediates[{i}]", rule, f'"{said}"', suggest(said, every))
    for i, name in enumerate(arm.models or ()):
        if name not in sweep.models:
            repair = suggest(name, sweep.models)
            yield Problem(f"{where}.models[{i}]", "unknown model", f'"{name}"', repair)


def _check_parts(sweep: Sweep, study: StudySpec) -> Iterator[Problem]:
    """Whether the parts of a study are of its models."""
    for part, models in study.models.items():
        for i, name in enumerate(models):
            if name not in sweep.models:
                repair = suggest(name, sweep.models)
                where = f"study.models.{part}[{i}]"
                yield Problem(where, "unknown model", f'"{name}"', repair)


def _check_parameters(sweep: Sweep, where: str, arm: ArmSpec) -> Iterator[Problem]:
    """Whether the values that choose an arm's runs are some that the search draws for them."""
    space = sweep.search.encoder.space
    known = [name for name in space if name not in UNSELECTED]
    for name, values in arm.parameters.items():
        here = f"{where}.parameters.{name}"
        if name not in known:
            rule = "is no parameter of search.encoder.space that arms are chosen by"
            repair = suggest(name, known) if known else "declare it there"
            yield Problem(here, rule, f'"{name}"', repair)
            continue
        drawn = searched_values(space[name])
        for i, value in enumerate(values):
            if value not in drawn:
                repair = suggest(str(value), [*map(str, drawn)])
                yield Problem(f"{here}[{i}]", "is never drawn", f'"{value}"', repair)
        lacking = [x for x in members(sweep, arm) if x != NONE and not is_active(space[name], x)]
        for own in lacking:
            if (default := default_of(sweep, own, name)) not in values:
                rule = f"{own} is not searched so, and none of its runs is the arm's"
                yield Problem(here, rule, f"{default}", f"add {own} to its `when`, or leave it out")


def _check_runs(sweep: Sweep, study: StudySpec) -> Iterator[Problem]:
    """Whether a grid of as many configurations as the search runs has each member of the arms."""
    search = sweep.search.encoder
    if search.sampler.name != "grid":
        return
    with suppress(ValueError):  # conditions in a circle, which has its own line
        space = encoder_space(sweep)
        every = [*islice(space.grid(), _MOST)] if space.is_finite else []
        if not every or len(every) == _MOST:
            return
        lacking = []
        for name, arm in study.arms.items():
            if study.models and "model" in search.space:  # which other parts' are not in
                arm = arm.model_copy(update={"models": None})
            for own in members(sweep, arm):
                of_it = [
                    point["intermediate"] == own and selects(sweep, arm, point) for point in every
                ]
                if not any(of_it):
                    rule = f"no configuration of {own} has these values and models together"
                    got = f"{dict(arm.parameters)}"
                    yield Problem(f"study.arms.{name}", rule, got, "see its conditions, `when`")
                elif not any(of_it[: search.trials]):
                    lacking.append(f"{own} of the arm {name}")
        if lacking:
            more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
            rule = f"{lacking[0]}{more} would have no run among so many configurations"
            yield Problem(
                "search.encoder.trials", rule, f"{search.trials}", f"write {len(every)}, for all"
            )


def _check_names(
    sweep: Sweep, study: StudySpec, where: str, contrast: ContrastSpec
) -> Iterator[Problem]:
    """Whether all that a contrast names is there."""
    for i, name in enumerate(contrast.arms):
        if name not in study.arms:
            repair = suggest(name, study.arms)
            yield Problem(f"{where}.arms[{i}]", "unknown arm", f'"{name}"', repair)
    if len(set(contrast.arms)) < 2:
        yield Problem(f"{where}.arms", "are two", f"{list(contrast.arms)}", "name another")
    for i, name in enumerate(contrast.targets or ()):
        if name not in sweep.targets:
            rule, repair = "is no target of this sweep", suggest(name, sweep.targets)
            yield Problem(f"{where}.targets[{i}]", rule, f'"{name}"', repair)
    ordered = [name for name, column in COLUMNS.items() if column.is_ordered]
    if contrast.covariate is not None and contrast.covariate not in ordered:
        rule, repair = (
            "is no column of numbers of the languages",
            suggest(contrast.covariate, ordered),
        )
        yield Problem(f"{where}.covariate", rule, f'"{contrast.covariate}"', repair)
    if contrast.strata is not None and contrast.strata not in ("tercile", *COLUMNS):
        repair = suggest(contrast.strata, ("tercile", *COLUMNS))
        rule = "is neither `tercile` nor a column of the languages"
        yield Problem(f"{where}.strata", rule, f'"{contrast.strata}"', repair)
    for column, said in contrast.where.items():
        here = f"{where}.where.{column}"
        if column not in COLUMNS:
            rule = "is no column of the languages"
            yield Problem(here, rule, f'"{column}"', suggest(column, COLUMNS))
            continue
        sign, value = condition(said)
        if sign not in ("==", "!=") and (column not in ordered or isinstance(value, str)):
            rule = "an order is one of numbers"
            yield Problem(here, rule, f'"{said}"', f"compare by == or !=, or one of {ordered}")


def _check_comparison(
    sweep: Sweep, study: StudySpec, where: str, contrast: ContrastSpec
) -> Iterator[Problem]:
    """Whether the sweep has what a contrast compares, and the arms differ as it says."""
    known = {task.name: task for task in all_tasks(sweep) if task.is_target}
    targets = [known[name] for name in contrast.targets or sweep.targets if name in known]
    if len(targets) < len(contrast.targets or sweep.targets):
        return  # which the checks of targets say
    is_lacking = False
    for i, code in enumerate(contrast.languages or ()):
        having = [task.name for task in targets if code in languages_of(sweep, task)]
        lacking = [task for task in targets if task.name not in having]
        if lacking:
            is_lacking = True
            rule = f"{lacking[0].name} has no such language in this sweep"
            repair = suggest(code, languages_of(sweep, lacking[0]))
            if having:
                repair = f"write targets: [{', '.join(having)}], which have it"
            yield Problem(f"{where}.languages[{i}]", rule, f'"{code}"', repair)
    if not is_lacking and not cells(sweep, study, contrast):
        rule = "no language of its targets fulfils languages, where and match together"
        got = f"where: {dict(contrast.where)}, match: {contrast.match}"
        yield Problem(where, rule, got, "ask for less")
    for aspect in confounds(sweep, study, contrast):
        if aspect not in contrast.confounds:
            one, other = (study.arms[name] for name in contrast.arms)
            both = _differences(sweep, one, other, aspect)
            got = " and ".join(sorted(" or ".join(own) or "none of these" for own in both))
            rule = f"its arms differ in {aspect} besides {', '.join(contrast.differ_in)}"
            yield Problem(where, rule, got, f"make them alike, or list confounds: [{aspect}]")


def _holds(code: str, column: str, said: str | int | float) -> bool:
    """Whether a condition holds for a language; not where the table does not know."""
    sign, wanted = condition(said)
    value = language(code).values[column]
    if value is None:
        return False
    if isinstance(wanted, float) and isinstance(value, str):
        wanted = f"{wanted:g}"
    elif isinstance(wanted, str):
        value = str(value)
    return OPERATORS[sign](value, wanted)

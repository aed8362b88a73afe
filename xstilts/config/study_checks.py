"""Checks of the `study` of a sweep file: what it names, and whether its sweep can answer it.

Which languages a contrast is on, and which intermediates an arm has, is worked out here, so that
what checks and what computes cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from xstilts.config.derive import NONE, languages_of
from xstilts.config.own_tasks import all_tasks
from xstilts.config.schema import IntermediateSpec, Sweep
from xstilts.config.study import OPERATORS, ArmSpec, Aspect, ContrastSpec, StudySpec, condition
from xstilts.errors import Problem
from xstilts.tasks import suggest
from xstilts.tasks.languages import COLUMNS, language

_COSTS: tuple[Aspect, ...] = ("examples", "budget", "rates")
"""Aspects in which an intermediate that is matched to another is like that one."""
_ASPECTS: tuple[Aspect, ...] = (
    *("tasks", "languages", "translated", "normalise", "filter", "mlm", "match"),
    *(*_COSTS, "models"),
)


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
    for name, arm in study.arms.items():
        yield from _check_arm(sweep, f"study.arms.{name}", arm)
    for name, contrast in study.contrasts.items():
        where = f"study.contrasts.{name}"
        problems = [*_check_names(sweep, study, where, contrast)]
        yield from problems or _check_comparison(sweep, study, where, contrast)
    for i, name in enumerate(study.primary):
        if name not in study.contrasts:
            rule, repair = "is no contrast of the study", suggest(name, study.contrasts)
            yield Problem(f"study.primary[{i}]", rule, f'"{name}"', repair)


def members(sweep: Sweep, arm: ArmSpec) -> tuple[str, ...]:
    """The intermediates of an arm, `none` among them, in the order of the sweep."""
    every = (NONE, *sweep.intermediates)
    return tuple(x for x in every if any(fnmatchcase(x, said) for said in arm.intermediates))


def cells(sweep: Sweep, study: StudySpec, contrast: ContrastSpec) -> dict[str, tuple[str, ...]]:
    """The languages of a contrast by target, in the target's order; targets without any have no
    entry."""
    known = {task.name: task for task in all_tasks(sweep) if task.is_target}
    matched = _languages(sweep, study.arms[contrast.arms[0]])
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
    aspects = _ASPECTS
    if "intermediate" in contrast.differ_in:
        aspects = ("models",)
    elif (members(sweep, one) == (NONE,)) != (members(sweep, other) == (NONE,)):
        aspects = ("intermediate", "models")
    return tuple(
        aspect
        for aspect in aspects
        if aspect not in contrast.differ_in
        and _values(sweep, one, aspect) != _values(sweep, other, aspect)
    )


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
    for i, code in enumerate(contrast.languages or ()):
        lacking = [task.name for task in targets if code not in languages_of(sweep, task)]
        if lacking:
            has = {x for task in targets for x in languages_of(sweep, task)}
            rule = f"{lacking[0]} has no such language in this sweep"
            yield Problem(f"{where}.languages[{i}]", rule, f'"{code}"', suggest(code, has))
    if not cells(sweep, study, contrast):
        rule = "no language of its targets fulfils languages, where and match together"
        got = f"where: {dict(contrast.where)}, match: {contrast.match}"
        yield Problem(where, rule, got, "ask for less")
    for aspect in confounds(sweep, study, contrast):
        if aspect not in contrast.confounds:
            one, other = (study.arms[name] for name in contrast.arms)
            got = " and ".join(sorted({_values(sweep, one, aspect), _values(sweep, other, aspect)}))
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


def _languages(sweep: Sweep, arm: ArmSpec) -> set[str]:
    """The languages that an arm's intermediates are in; English where nothing is said."""
    specs = [sweep.intermediates[name] for name in members(sweep, arm) if name != NONE]
    return {code for spec in specs for code in spec.languages or ("en",)}


def _values(sweep: Sweep, arm: ArmSpec, aspect: Aspect) -> str:
    """What an arm is in one aspect, as text: its models, or its members' values."""
    if aspect == "models":
        return " or ".join(sorted(set(arm.models or sweep.models)))
    found = {
        "nothing" if name == NONE else f"{_value(sweep, sweep.intermediates[name], aspect)}"
        for name in members(sweep, arm)
    }
    return " or ".join(sorted(found))


def _value(sweep: Sweep, spec: IntermediateSpec, aspect: Aspect) -> Any:
    """An aspect of an intermediate, of one that is matched to another that one's costs."""
    if aspect == "intermediate":
        return " and ".join(spec.tasks)
    if spec.match and aspect in _COSTS and spec.match.to in sweep.intermediates:
        spec = sweep.intermediates[spec.match.to]
    return spec.model_dump(mode="json", by_alias=True)[aspect]

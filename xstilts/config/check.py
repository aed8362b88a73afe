"""Checks of a sweep that need more than one key: names, rates, spaces, conditions.

Pure functions of the schema and the catalogue. What needs the machine - folders, GPUs, storage -
belongs to the preflight (`xstilts.search.preflight`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice

from xstilts.config.adapt import SEARCHED, is_of_an_arm
from xstilts.config.adapt_checks import check_adapt
from xstilts.config.benchmark_checks import check_benchmark, check_languages
from xstilts.config.chain_checks import check_chains
from xstilts.config.derive import (
    NONE,
    candidates,
    confirm_seeds,
    encoder_space,
    languages_of,
    phase_of,
    retrained,
)
from xstilts.config.intermediates import check_intermediates
from xstilts.config.own_tasks import all_tasks
from xstilts.config.probe_checks import check_parallel, check_probes
from xstilts.config.recipe import INTEGER_FIELDS, PHASES, SEARCHABLE, WORDS, check_value
from xstilts.config.recipe_checks import check_recipe
from xstilts.config.schema import WEIGHTED, Sweep
from xstilts.config.search_spec import ParameterSpec
from xstilts.config.selection_checks import check_selection
from xstilts.config.study_checks import check_study
from xstilts.config.task_checks import check_tasks
from xstilts.config.translation_checks import check_translations
from xstilts.errors import Problem
from xstilts.tasks import suggest
from xstilts.tasks.benchmarks import CUSTOM

ARMS = ("", *(f".{name}" for name in SEARCHED))
"""What follows `adapt.PHASE` in the names of parameters: nothing for an arm by its name, or one of
its values."""

LEAST_SEEDS = 3
"""Fresh seeds that a confirmation has at least: with two, one run that collapses leaves one, and no
interval of the gain."""


LEAST_SEEDS_OF_A_RACE = 2


def check(sweep: Sweep, where: str) -> list[Problem]:
    """Every problem of a sweep that its structure alone does not show."""
    problems = []
    for found in (
        _check_names(sweep),
        check_tasks(sweep),
        check_benchmark(sweep),
        check_chains(sweep),
        check_translations(sweep),
        check_recipe(sweep),
        check_adapt(sweep),
        check_selection(sweep),
        check_intermediates(sweep),
        _check_targets(sweep),
        _check_objective(sweep),
        _check_encoder_space(sweep),
        _check_target_space(sweep),
        _check_confirm(sweep),
        _check_race(sweep),
        _check_budget(sweep),
        check_probes(sweep),
        check_study(sweep),
    ):
        problems += [
            Problem(f"{where}: {problem.where}", problem.rule, problem.got, problem.repair)
            for problem in found
        ]
    return problems


def _check_budget(sweep: Sweep) -> Iterator[Problem]:
    if sweep.budget and sweep.budget.gpu_hours and not sweep.resources.gpus_per_trial:
        yield Problem(
            "budget.gpu_hours",
            "counts the hours of the GPUs that trials are allocated",
            "resources.gpus_per_trial 0",
            "give tokens instead",
        )


def _check_names(sweep: Sweep) -> Iterator[Problem]:
    if NONE in sweep.intermediates:
        yield Problem(
            "intermediates.none",
            "`none` is the baseline and always there",
            repair="give this candidate another name",
        )
    if len(set(sweep.seeds)) < len(sweep.seeds):
        yield Problem("seeds", "a seed stands once", f"{list(sweep.seeds)}")


def _check_targets(sweep: Sweep) -> Iterator[Problem]:
    known = {task.name: task for task in all_tasks(sweep) if task.is_target}
    if sweep.final.full_data and known.keys() >= set(sweep.targets) and not retrained(sweep):
        rule = "no target's dev set was cut from its training set"
        yield Problem("final.full_data", rule, f"{list(sweep.targets)}", "leave it out")
    for i, name in enumerate(sweep.targets):
        where = f"targets[{i}]"
        if name not in known:
            if name not in sweep.pools:  # what of one is wrong, `check_tasks` says
                yield Problem(where, "unknown target", f'"{name}"', suggest(name, known))
            continue
        if sweep.targets.index(name) != i:
            yield Problem(where, "a target stands once", f'"{name}"')
        if sweep.evaluation.split not in known[name].splits:
            yield Problem(
                "evaluation.split", f"{name} has no such split", f'"{sweep.evaluation.split}"'
            )
        is_scored = not sweep.evaluation.translated or known[name].to_english
        if is_scored and not languages_of(sweep, known[name]):
            given = sweep.languages
            where = "languages"
            if isinstance(given, dict):
                given, where = given[name], f"languages.{name}"
            yield Problem(
                where,
                f"{name} has none of them",
                f"{list(given)}",
                f"it has {', '.join(known[name].languages)}",
            )
    if sweep.evaluation.examples and sweep.benchmark.name != CUSTOM:
        yield Problem(
            "evaluation.examples",
            "scores of capped sets are no figures of a benchmark",
            f"benchmark: {sweep.benchmark.name}",
            "write benchmark: custom",
        )
    yield from check_languages("languages", sweep.languages, sweep.targets, known)


def _check_objective(sweep: Sweep) -> Iterator[Problem]:
    if any(check_chains(sweep)):
        return  # whose last links have the dev sets
    targets = {task.name: task for task in all_tasks(sweep) if task.is_target}
    selected = [name for name in sweep.targets if name in targets and "dev" in targets[name].splits]
    known = [f"dev/{name}" for name in selected]
    if selected:
        known += ["dev/avg", WEIGHTED]
    if sweep.objective.metric not in known:
        yield Problem(
            "objective.metric",
            "no target of this sweep yields it",
            f'"{sweep.objective.metric}"',
            suggest(sweep.objective.metric, known) if known else "add a target with a dev set",
        )


def _check_encoder_space(sweep: Sweep) -> Iterator[Problem]:
    where = "search.encoder.space"
    declared = sweep.search.encoder.space
    fields = {f"{phase}.{field}" for phase in PHASES for field in SEARCHABLE}
    arms = {f"adapt.{phase}{name}" for phase in PHASES for name in ARMS}
    known = {"intermediate", "model", "intermediate.rates", *fields, *arms}
    own = [name for name in declared if is_of_an_arm(name) and phase_of(name) in PHASES]
    for name, spec in declared.items():
        here = f"{where}.{name}"
        if name not in known and name not in own:
            yield Problem(here, "unknown parameter", f'"{name}"', suggest(name, known))
        elif name in ("intermediate", "model"):
            values = (NONE, *sweep.intermediates) if name == "intermediate" else sweep.models
            yield from _check_choice(here, spec, tuple(values))
        elif name == "intermediate.rates":
            if not spec.simplex:
                yield Problem(here, "rates are a simplex", repair="write {simplex: true}")
            if not any(mixture.rates == "search" for mixture in sweep.intermediates.values()):
                yield Problem(
                    here,
                    "no intermediate has searched rates",
                    repair="write rates: search in a mixture",
                )
        elif name not in own:  # arms have checks of their own
            yield from _check_values(here, spec, name.partition(".")[2])
        yield from _check_when(here, name, spec, declared, sweep)
        inner = name.replace("adapt.target", "adapt").removeprefix("target.")
        if phase_of(name) == "target" and inner in sweep.search.target.space:
            yield Problem(
                here,
                "searched by the inner search too",
                f"search.target.space.{inner}",
                "keep one of them",
            )
    for name, mixture in sweep.intermediates.items():
        if (
            mixture.rates == "search"
            and "intermediate.rates" not in declared
            and name in candidates(sweep)
        ):
            yield Problem(
                f"intermediates.{name}.rates",
                "`search` needs the parameter intermediate.rates",
                repair=f"add intermediate.rates: {{simplex: true}} under {where}",
            )
    if NONE not in candidates(sweep):
        yield Problem(
            f"{where}.intermediate",
            "`none` is always a candidate: without it no gain has a baseline",
            f"{list(candidates(sweep))}",
            "add none",
        )
    yield from _check_order_and_grid(sweep, where)


def _check_order_and_grid(sweep: Sweep, where: str) -> Iterator[Problem]:
    if any(name in spec.when for name, spec in sweep.search.encoder.space.items()):
        return  # a circle of one, which `_check_when` names
    try:
        space = encoder_space(sweep)
    except ValueError as error:
        yield Problem(where, "conditions form a circle", str(error), "drop one `when`")
        return
    if sweep.search.encoder.sampler.name == "grid" and not space.is_finite:
        endless = [
            name
            for name, spec in sweep.search.encoder.space.items()
            if spec.float_ is not None and spec.levels is None
        ]
        for name in endless:
            yield Problem(f"{where}.{name}", "a grid needs levels", repair="add levels: N")


def _check_target_space(sweep: Sweep) -> Iterator[Problem]:
    where = "search.target.space"
    for name, spec in sweep.search.target.space.items():
        if is_of_an_arm(name):
            pass  # arms have checks of their own
        elif name not in SEARCHABLE:
            near = suggest(name, {*SEARCHABLE, *(f"adapt{arm}" for arm in ARMS)})
            yield Problem(f"{where}.{name}", "unknown parameter", f'"{name}"', near)
        else:
            yield from _check_values(f"{where}.{name}", spec, name)
        if spec.when:
            yield Problem(
                f"{where}.{name}.when", "conditions belong to the encoder space", repair="drop it"
            )
    if sweep.search.target.trials > 1 and not sweep.search.target.space:
        yield Problem(
            "search.target.trials",
            "more than one needs a space to draw from",
            f"{sweep.search.target.trials}",
            f"add {where}.learning_rate",
        )


def _check_confirm(sweep: Sweep) -> Iterator[Problem]:
    if sweep.confirm is None:
        return
    seeds = confirm_seeds(sweep)
    if used := [seed for seed in seeds if seed in sweep.seeds]:
        yield Problem(
            "confirm.seeds",
            "only seeds that search has not used confirm what it chose",
            f"{used}",
            "name others, or say how many",
        )
    if len(set(seeds)) < len(seeds):
        yield Problem("confirm.seeds", "a seed stands once", f"{list(seeds)}")
    elif len(seeds) < LEAST_SEEDS:
        yield Problem(
            "confirm.seeds",
            f"the interval of a gain needs the spread over at least {LEAST_SEEDS} seeds",
            f"{len(seeds)}",
            f"{LEAST_SEEDS}, better 5",
        )
    if not set(candidates(sweep)) - {NONE}:
        rule = "there is no intermediate that could be confirmed"
        yield Problem("confirm", rule, f"{list(candidates(sweep))}", "leave it out")


def _check_race(sweep: Sweep) -> Iterator[Problem]:
    if not sweep.search.is_race:
        return
    if sweep.search.parallel is not None:
        yield from check_parallel(sweep, "search.parallel", sweep.search.parallel)
    where = "search.strategy"
    if len(sweep.seeds) < LEAST_SEEDS_OF_A_RACE:
        rule = "a race gives further seeds to those that may be the best, and needs two or more"
        yield Problem(where, rule, f"seeds: {list(sweep.seeds)}", "add seeds, or write all")
    if sweep.search.encoder.sampler.name != "grid":
        return  # then the baseline comes before all others
    with suppress(ValueError):  # a circle of conditions, which has its own line
        points = islice(encoder_space(sweep).grid(), sweep.search.encoder.trials)
        if NONE in candidates(sweep) and all(point["intermediate"] != NONE for point in points):
            rule = "a race has the baseline among its configurations"
            got = f"a grid of which the first {sweep.search.encoder.trials} have another"
            yield Problem(where, rule, got, "name none first in the choice of intermediate")


def _check_choice(where: str, spec: ParameterSpec, values: tuple[str, ...]) -> Iterator[Problem]:
    if spec.choice is None:
        yield Problem(where, "is a choice", repair=f"write {{choice: [{', '.join(values)}]}}")
        return
    for i, value in enumerate(spec.choice):
        if value not in values:
            yield Problem(
                f"{where}.choice[{i}]", "unknown value", f'"{value}"', suggest(str(value), values)
            )


def _check_values(where: str, spec: ParameterSpec, field: str) -> Iterator[Problem]:
    """Every bound or choice must be a value that the recipe's field takes."""
    if spec.simplex:
        yield Problem(where, "a simplex is for intermediate.rates only")
        return
    if field in WORDS:
        yield from _check_choice(where, spec, WORDS[field])
        return
    if field in INTEGER_FIELDS and spec.float_ is not None:
        yield Problem(where, f"{field} is a whole number", repair="write int: [low, high]")
        return
    for value in (*(spec.choice or ()), *(spec.float_ or ()), *(spec.int_ or ())):
        try:
            check_value(field, value)
        except ValueError as error:
            yield Problem(where, str(error), repr(value))


def _check_when(
    where: str,
    name: str,
    spec: ParameterSpec,
    declared: Mapping[str, ParameterSpec],
    sweep: Sweep,
) -> Iterator[Problem]:
    values = {"intermediate": candidates(sweep), "model": tuple(sweep.models)}
    if spec.when and name in values:
        yield Problem(f"{where}.when", f"every trial has {name}", repair="drop it")
        return
    if spec.when and name == "intermediate.rates":
        searched = [x for x, mixture in sweep.intermediates.items() if mixture.rates == "search"]
        allowed = spec.when.get("intermediate", searched)
        allowed = allowed if isinstance(allowed, list) else [allowed]
        if set(spec.when) - {"intermediate"} or not set(searched) <= set(map(str, allowed)):
            yield Problem(
                f"{where}.when",
                "every intermediate with searched rates has them",
                f"{spec.when}",
                "drop it",
            )
            return
    for parent, wanted in spec.when.items():
        here = f"{where}.when.{parent}"
        if parent not in declared and parent not in values:
            yield Problem(
                here, "unknown parameter", f'"{parent}"', suggest(parent, {*declared, *values})
            )
        elif parent == name:
            yield Problem(here, "a parameter cannot depend on itself")
        elif parent in values:
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if value not in values[parent]:
                    yield Problem(
                        here, "never holds", f'"{value}"', suggest(str(value), values[parent])
                    )

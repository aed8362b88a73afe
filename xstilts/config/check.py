"""Checks of a sweep that need more than one key: names, rates, spaces, conditions.

Pure functions of the schema and the catalogue. What needs the machine - folders, GPUs, storage -
belongs to the preflight (`xstilts.search.preflight`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from xstilts.config.derive import NONE, candidates, encoder_space, languages_of
from xstilts.config.recipe import INTEGER_FIELDS, SEARCHABLE, WORDS
from xstilts.config.recipes import RECIPES
from xstilts.config.schema import IntermediateSpec, ParameterSpec, Sweep
from xstilts.errors import Problem
from xstilts.tasks import known_tasks, lookup, suggest


def check(sweep: Sweep, where: str) -> list[Problem]:
    """Every problem of a sweep that its structure alone does not show."""
    problems = []
    for found in (
        _check_names(sweep),
        _check_intermediates(sweep),
        _check_targets(sweep),
        _check_objective(sweep),
        _check_encoder_space(sweep),
        _check_target_space(sweep),
    ):
        problems += [
            Problem(f"{where}: {problem.where}", problem.rule, problem.got, problem.repair)
            for problem in found
        ]
    return problems


def _check_names(sweep: Sweep) -> Iterator[Problem]:
    if sweep.recipe not in RECIPES:
        yield Problem(
            "recipe", "unknown recipe", f'"{sweep.recipe}"', suggest(sweep.recipe, RECIPES)
        )
    if NONE in sweep.intermediates:
        yield Problem(
            "intermediates.none",
            "`none` is the baseline and always there",
            repair="give this candidate another name",
        )
    if len(set(sweep.seeds)) < len(sweep.seeds):
        yield Problem("seeds", "a seed stands once", f"{list(sweep.seeds)}")


def _check_intermediates(sweep: Sweep) -> Iterator[Problem]:
    trainable = [task.name for task in known_tasks() if task.is_trained]
    for name, spec in sweep.intermediates.items():
        where = f"intermediates.{name}"
        for i, task in enumerate(spec.tasks):
            if task not in trainable:
                yield Problem(
                    f"{where}.tasks[{i}]", "unknown task", f'"{task}"', suggest(task, trainable)
                )
        if len(set(spec.tasks)) < len(spec.tasks):
            yield Problem(f"{where}.tasks", "a task stands once", f"{list(spec.tasks)}")
        yield from _check_rates(where, spec)
        yield from _check_variant(where, spec)
        has_mlm = any(task in trainable and lookup(task).kind == "mlm" for task in spec.tasks)
        if spec.mlm is not None and not has_mlm:
            yield Problem(
                f"{where}.mlm", "needs an MLM task in `tasks`", f"{list(spec.tasks)}", "add one"
            )
        if spec.mlm is not None and isinstance(spec.mlm.languages, tuple) and has_mlm:
            known = {
                language
                for task in spec.tasks
                if task in trainable and lookup(task).kind == "mlm"
                for language in lookup(task).languages
            }
            for i, language in enumerate(spec.mlm.languages):
                if language not in known:
                    yield Problem(
                        f"{where}.mlm.languages[{i}]",
                        "the MLM text has no such language",
                        f'"{language}"',
                        suggest(language, known),
                    )


def _check_variant(where: str, spec: IntermediateSpec) -> Iterator[Problem]:
    """Other training rows must be rows that the tasks have."""
    known = {task.name: task for task in known_tasks() if task.is_trained and task.kind != "mlm"}
    for task in (known[name] for name in spec.tasks if name in known):
        if spec.translated and task.translations is None:
            names = [name for name, other in known.items() if other.translations]
            repair = f"tasks with translations: {', '.join(names)}"
            yield Problem(f"{where}.translated", f"{task.name} has none", "true", repair)
            continue
        if (spec.translated or spec.filter) and len(task.slices_of("train")) > 1:
            key = "translated" if spec.translated else "filter"
            rule = f"{task.name} is joined from several data sets"
            yield Problem(f"{where}.{key}", rule, repair="name one of them as the task")
        languages = task.translated_languages if spec.translated else task.languages
        for i, language in enumerate(spec.languages or ()):
            if language not in languages:
                kind = "translation" if spec.translated else "training rows"
                rule = f"{task.name} has no {kind} in this language"
                repair = suggest(language, languages)
                if not spec.translated and language in task.translated_languages:
                    repair = "write translated: true"
                yield Problem(f"{where}.languages[{i}]", rule, f'"{language}"', repair)
    if spec.translated and spec.languages is None:
        rule = "translated rows are in languages that the file names"
        yield Problem(f"{where}.translated", rule, repair="write languages: [...]")


def _check_rates(where: str, spec: IntermediateSpec) -> Iterator[Problem]:
    if isinstance(spec.rates, Mapping):
        for task, rate in spec.rates.items():
            if task not in spec.tasks:
                yield Problem(
                    f"{where}.rates.{task}",
                    "a rate belongs to one of the tasks",
                    f'"{task}"',
                    suggest(task, spec.tasks),
                )
            if not 0 <= rate < float("inf"):
                yield Problem(
                    f"{where}.rates.{task}", "a rate is 0 or more", f"{rate:g}", "write a share"
                )
        if not any(rate > 0 for rate in spec.rates.values()):
            yield Problem(
                f"{where}.rates", "at least one rate is above 0", repair="write shares of examples"
            )
        missing = [task for task in spec.tasks if task not in spec.rates]
        if missing:
            yield Problem(
                f"{where}.rates",
                "every task has a rate",
                f"none for {', '.join(missing)}",
                "write 0 for a task that takes no part",
            )
    if spec.unit == "steps" and len(spec.tasks) < 2:
        rule = "says what the rates of a mixture are shares of"
        yield Problem(f"{where}.unit", rule, '"steps"', "name two tasks, or leave it out")
    rates_fix_sizes = spec.rates == "search" or isinstance(spec.rates, Mapping)
    if spec.rates == "search" and len(spec.tasks) < 2:
        yield Problem(f"{where}.rates", "`search` needs at least two tasks", f"{list(spec.tasks)}")
    if rates_fix_sizes and (spec.budget is None or spec.budget.examples is None):
        yield Problem(
            f"{where}.budget",
            "rates that do not follow the sizes need a budget in examples",
            repair="write budget: {examples: N}",
        )
    if spec.rates != "proportional" and (spec.cap is not None or spec.temperature != 1):
        yield Problem(
            f"{where}.rates",
            "`cap` and `temperature` shape proportional rates only",
            f"rates: {spec.rates}",
            "drop them or write rates: proportional",
        )


def _check_targets(sweep: Sweep) -> Iterator[Problem]:
    known = {task.name: task for task in known_tasks() if task.is_target}
    for i, name in enumerate(sweep.targets):
        where = f"targets[{i}]"
        if name not in known:
            yield Problem(where, "unknown target", f'"{name}"', suggest(name, known))
            continue
        if sweep.targets.index(name) != i:
            yield Problem(where, "a target stands once", f'"{name}"')
        if sweep.evaluation.split not in known[name].splits:
            yield Problem(
                "evaluation.split", f"{name} has no such split", f'"{sweep.evaluation.split}"'
            )
        if not languages_of(sweep, known[name]):
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
    if sweep.evaluation.examples and sweep.benchmark != "custom":
        yield Problem(
            "evaluation.examples",
            "scores of capped sets are no figures of a benchmark",
            f"benchmark: {sweep.benchmark}",
            "write benchmark: custom",
        )
    if isinstance(sweep.languages, dict):
        for name, languages in sweep.languages.items():
            if name not in sweep.targets:
                rule = "names no target of this sweep"
                repair = suggest(name, sweep.targets)
                yield Problem(f"languages.{name}", rule, f'"{name}"', repair)
            elif name in known:
                for i, language in enumerate(languages):
                    if language not in known[name].languages:
                        where = f"languages.{name}[{i}]"
                        repair = suggest(language, known[name].languages)
                        yield Problem(
                            where, f"{name} has no such language", f'"{language}"', repair
                        )
    elif sweep.languages != "all":
        declared = {
            language
            for name in sweep.targets
            if name in known
            for language in known[name].languages
        }
        for i, language in enumerate(sweep.languages):
            if declared and language not in declared:
                yield Problem(
                    f"languages[{i}]",
                    "no target has this language",
                    f'"{language}"',
                    suggest(language, declared),
                )


def _check_objective(sweep: Sweep) -> Iterator[Problem]:
    names = {task.name for task in known_tasks() if task.is_target}
    selected = [name for name in sweep.targets if name in names and "dev" in lookup(name).splits]
    known = [f"dev/{name}" for name in selected]
    if selected:
        known.append("dev/avg")
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
    fields = {f"{phase}.{field}" for phase in ("intermediate", "target") for field in SEARCHABLE}
    known = {"intermediate", "model", "intermediate.rates", *fields}
    for name, spec in declared.items():
        here = f"{where}.{name}"
        if name not in known:
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
        else:
            yield from _check_values(here, spec, name.partition(".")[2])
        yield from _check_when(here, name, spec, declared, sweep)
        if name.startswith("target.") and name.partition(".")[2] in sweep.search.target.space:
            yield Problem(
                here,
                "searched by the inner search too",
                f"search.target.space.{name.partition('.')[2]}",
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
        if name not in SEARCHABLE:
            yield Problem(
                f"{where}.{name}", "unknown parameter", f'"{name}"', suggest(name, SEARCHABLE)
            )
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
    recipe = next(iter(RECIPES.values())).target
    for value in (*(spec.choice or ()), *(spec.float_ or ()), *(spec.int_ or ())):
        wanted = int if field in INTEGER_FIELDS else (int, float)
        try:
            if isinstance(value, bool) or not isinstance(value, wanted):
                raise ValueError(f"{field} is a number")
            changes: dict[str, Any] = {field: value}
            replace(recipe, **changes)
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

"""Checks of the `intermediates` of a sweep file; see `check.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from xstilts.config.own_tasks import all_tasks
from xstilts.config.schema import IntermediateSpec, MatchSpec, Sweep
from xstilts.errors import Problem
from xstilts.tasks import Task, suggest


def check_intermediates(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with the candidates of a sweep: tasks, rates, matches, rows."""
    known = {task.name: task for task in all_tasks(sweep)}
    trainable = [name for name, task in known.items() if task.is_trained and not task.chain]
    for name, spec in sweep.intermediates.items():
        where = f"intermediates.{name}"
        for i, task in enumerate(spec.tasks):
            if task in known and (chain := known[task].chain):
                rule = f"{task} is trained in a chain, and has no rows of its own"
                yield Problem(f"{where}.tasks[{i}]", rule, repair=f"name {' or '.join(chain)}")
            elif task not in trainable:
                yield Problem(
                    f"{where}.tasks[{i}]", "unknown task", f'"{task}"', suggest(task, trainable)
                )
        if len(set(spec.tasks)) < len(spec.tasks):
            yield Problem(f"{where}.tasks", "a task stands once", f"{list(spec.tasks)}")
        if spec.match is None:
            yield from _check_rates(where, spec)
        else:
            yield from _check_match(sweep, where, spec, spec.match)
        tasks = [known[task] for task in spec.tasks if task in trainable]
        texts = [task for task in tasks if task.kind_spec.is_self_supervised]
        yield from _check_variant(where, spec, tasks, known)
        has_mlm = bool(texts)
        if spec.mlm is not None and not has_mlm:
            yield Problem(
                f"{where}.mlm", "needs an MLM task in `tasks`", f"{list(spec.tasks)}", "add one"
            )
        if spec.mlm is not None and isinstance(spec.mlm.languages, tuple) and has_mlm:
            languages = {language for task in texts for language in task.languages}
            for i, language in enumerate(spec.mlm.languages):
                if language not in languages:
                    yield Problem(
                        f"{where}.mlm.languages[{i}]",
                        "the MLM text has no such language",
                        f'"{language}"',
                        suggest(language, languages),
                    )


def _check_match(
    sweep: Sweep, where: str, spec: IntermediateSpec, match: MatchSpec
) -> Iterator[Problem]:
    """The other one must be known whole, and the task be one that the comparison means."""
    other = sweep.intermediates.get(match.to)
    where = f"{where}.match"
    if other is None:
        repair = suggest(match.to, sweep.intermediates)
        yield Problem(f"{where}.to", "names another intermediate", f'"{match.to}"', repair)
    elif other.match is not None or other.rates == "search":
        rule = "names an intermediate of rates and budget of its own"
        got = "itself a match" if other.match is not None else "rates: search"
        yield Problem(f"{where}.to", rule, f'"{match.to}", {got}')
    own = {"budget": None, "rates": "proportional", "cap": None, "temperature": 1.0}
    for key, default in own.items():
        if getattr(spec, key) != default:
            rule = f"{key} is that of the intermediate that is matched"
            yield Problem(where, rule, repair=f"leave {key} out")
    known = {task.name: task for task in all_tasks(sweep)}
    tasks = [known[name] for name in spec.tasks if name in known]
    if match.with_ == "mlm" and [task.kind_spec.is_self_supervised for task in tasks] != [True]:
        yield Problem(f"{where}.with", "mlm is one MLM task", f"tasks: {list(spec.tasks)}")
    if match.with_ == "target" and [task.name in sweep.targets for task in tasks] != [True]:
        rule = "target is one target of this sweep, whose training data is trained on"
        yield Problem(f"{where}.with", rule, f"tasks: {list(spec.tasks)}")


def _check_variant(
    where: str, spec: IntermediateSpec, tasks: Sequence[Task], known: Mapping[str, Task]
) -> Iterator[Problem]:
    """Other training rows must be rows that the tasks have."""
    for task in (task for task in tasks if not task.kind_spec.is_self_supervised):
        if spec.translated and task.translations is None:
            names = [name for name, other in known.items() if other.translations]
            repair = f"tasks with translations: {', '.join(names)}"
            yield Problem(f"{where}.translated", f"{task.name} has none", "true", repair)
            continue
        if spec.items and len(task.slices_of("train")) > 1:
            rule = f"{task.name} is joined from several data sets"
            yield Problem(f"{where}.items", rule, repair="name one of them as the task")
        if spec.normalise and spec.translated and not task.kind_spec.is_translatable:
            rule = f"answers of {task.name} are at places in the text, which must stay as it is"
            yield Problem(f"{where}.normalise", rule, f'"{spec.normalise}"', "leave it out")
        if (spec.translated or spec.filter) and len(task.slices_of("train")) > 1:
            key = "translated" if spec.translated else "filter"
            rule = f"{task.name} is joined from several data sets"
            yield Problem(f"{where}.{key}", rule, repair="name one of them as the task")
        absent = task.lacks.get("train", ())
        trained = tuple(language for language in task.languages if language not in absent)
        languages = task.translated_languages if spec.translated else trained
        for i, language in enumerate(spec.languages or ()):
            if language not in languages:
                kind = "translation" if spec.translated else "training rows"
                rule = f"{task.name} has no {kind} in this language"
                repair = suggest(language, languages)
                if not spec.translated and language in task.translated_languages:
                    repair = "write translated: true"
                yield Problem(f"{where}.languages[{i}]", rule, f'"{language}"', repair)
    if spec.items and len(spec.languages or ()) < 2:
        rule = "items are shared, or not, by several languages"
        got = f"languages: {list(spec.languages or ())}"
        yield Problem(f"{where}.items", rule, got, "write languages: [...]")
    if spec.normalise and not spec.translated:
        rule = "only translated rows come in tokens"
        got = f'"{spec.normalise}"'
        yield Problem(f"{where}.normalise", rule, got, "write translated: true, or drop it")
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

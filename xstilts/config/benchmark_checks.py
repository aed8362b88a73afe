"""Checks of the `benchmark` of a sweep file, and of lists of languages; see `check.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from xstilts.config.own_tasks import all_tasks
from xstilts.config.schema import Sweep
from xstilts.errors import Problem
from xstilts.tasks import Task, suggest
from xstilts.tasks.benchmarks import BENCHMARKS, CUSTOM, TAKEN


def check_benchmark(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with a benchmark's name, and with the declaration of an own one."""
    said = sweep.benchmark
    if not said.is_declared:
        known = (*BENCHMARKS, CUSTOM)
        if said.name not in known:
            repair = f"{suggest(said.name, known)}; or declare it: {{name: ..., targets: [...]}}"
            yield Problem("benchmark", "unknown benchmark", f'"{said.name}"', repair)
        return
    if said.name in BENCHMARKS:
        rule = "is a benchmark of the package (xstilts/tasks/benchmarks.py) and stands once"
        repair = f"write benchmark: {said.name}, or give this one another name"
        yield Problem("benchmark.name", rule, f'"{said.name}"', repair)
    if said.name == CUSTOM:
        rule = "is the name of averages that are no benchmark's"
        yield Problem("benchmark.name", rule, f'"{said.name}"', "give it a name of its own")
    if said.name in TAKEN or said.name in {task.name for task in all_tasks(sweep)}:
        rule = "is the name of other metrics, and `NAME/avg` would be one of them"
        yield Problem("benchmark.name", rule, f'"{said.name}"', "give it another name")
    if said.targets is None:
        yield Problem("benchmark.targets", "is required", repair="add it")
        return
    known_targets = {task.name: task for task in all_tasks(sweep) if task.is_target}
    for i, name in enumerate(said.targets):
        where = f"benchmark.targets[{i}]"
        if name not in known_targets:
            yield Problem(where, "unknown target", f'"{name}"', suggest(name, known_targets))
            continue
        if said.targets.index(name) != i:
            yield Problem(where, "a target stands once", f'"{name}"')
        if said.split not in known_targets[name].splits:
            yield Problem("benchmark.split", f"{name} has no such split", f'"{said.split}"')
        has = known_targets[name].languages
        if isinstance(said.languages, tuple) and not set(has) & set(said.languages):
            rule, repair = f"{name} has none of them", f"it has {', '.join(has)}"
            yield Problem("benchmark.languages", rule, f"{list(said.languages)}", repair)
    yield from check_languages("benchmark.languages", said.languages, said.targets, known_targets)


def check_languages(
    where: str,
    given: str | Sequence[str] | Mapping[str, Sequence[str]],
    targets: Sequence[str],
    known: Mapping[str, Task],
) -> Iterator[Problem]:
    """What is wrong with the languages of targets: `all`, a list, or lists by target; `known` are
    the tasks that may be one."""
    if isinstance(given, Mapping):
        for name, languages in given.items():
            if name not in targets:
                whose = "this sweep" if where == "languages" else "this benchmark"
                rule, repair = f"names no target of {whose}", suggest(name, targets)
                yield Problem(f"{where}.{name}", rule, f'"{name}"', repair)
            elif name in known:
                for i, language in enumerate(languages):
                    if language not in known[name].languages:
                        rule = f"{name} has no such language"
                        repair = suggest(language, known[name].languages)
                        yield Problem(f"{where}.{name}[{i}]", rule, f'"{language}"', repair)
    elif given != "all":
        declared = {x for name in targets if name in known for x in known[name].languages}
        for i, language in enumerate(given):
            if declared and language not in declared:
                rule, repair = "no target has this language", suggest(language, declared)
                yield Problem(f"{where}[{i}]", rule, f'"{language}"', repair)

"""Checks of `probes` in a sweep file; see `check.py`."""

from __future__ import annotations

from collections.abc import Iterator

from xstilts.config.derive import parallel_use, probed_languages, scored_languages
from xstilts.config.own_tasks import all_tasks
from xstilts.config.probes import ENGLISH
from xstilts.config.schema import Sweep
from xstilts.errors import Problem
from xstilts.tasks import suggest


def check_probes(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with the probes and with the text that they read."""
    spec = sweep.probes
    if spec is None:
        return
    if len(set(spec.read)) < len(spec.read):
        yield Problem("probes.read", "a probe stands once", f"{list(spec.read)}")
    if not spec.of_text:
        if spec.parallel is not None or spec.languages is not None:
            rule = "fertility alone reads no parallel text"
            given = "parallel" if spec.parallel is not None else "languages"
            yield Problem(f"probes.{given}", rule, repair="leave it out")
        return
    if spec.parallel is None:
        yield Problem(
            "probes",
            f"{', '.join(spec.of_text)} need the name of a task with parallel text",
            repair="write parallel: TASK",
        )
        return
    yield from check_parallel(sweep, "probes.parallel", spec.parallel)
    yield from _check_languages(sweep)


def unprobed_languages(sweep: Sweep) -> list[str]:
    """The languages that targets are scored in and that the parallel text of probes lacks."""
    if sweep.probes is None or sweep.probes.parallel is None or sweep.probes.languages:
        return []
    known = (ENGLISH, *probed_languages(sweep))
    return sorted(x for x in scored_languages(sweep) if x not in known)


def check_parallel(sweep: Sweep, where: str, name: str) -> Iterator[Problem]:
    """Whether a name is that of parallel text."""
    known = [task.name for task in all_tasks(sweep) if task.kind == "retrieval"]
    if name not in known:
        rule = "is a task of the kind retrieval, whose rows are sentences and their translations"
        yield Problem(where, rule, f'"{name}"', suggest(name, known))


def _check_languages(sweep: Sweep) -> Iterator[Problem]:
    """Whether the parallel text has what is to be probed."""
    spec = sweep.probes
    assert spec is not None
    targets = {task.name for task in all_tasks(sweep) if task.is_target}
    task = next((one for one in all_tasks(sweep) if one.name == spec.parallel), None)
    if task is None or task.kind != "retrieval" or not targets.issuperset(sweep.targets):
        return  # said elsewhere
    has = task.languages_of(parallel_use(task))
    for language in spec.languages or ():
        if language not in (*has, ENGLISH):
            rule = f"{task.name} has no sentences in it"
            yield Problem("probes.languages", rule, f'"{language}"', suggest(language, has))
    if not probed_languages(sweep):
        rule = f"{task.name} has none of the languages that are probed, beside English"
        told = f"it has {', '.join(has)}"
        yield Problem("probes.languages", rule, told, "name some of them, or other parallel text")

"""Whether the tasks and the pools that a sweep file declares can be had; see `check.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from xstilts.config.own_tasks import files_by_language, label_names, plugins_of, tasks_given
from xstilts.config.schema import Sweep
from xstilts.config.task_spec import FilesSpec, TaskSpec
from xstilts.errors import Problem
from xstilts.tasks import kind_spec, known_tasks, suggest
from xstilts.tasks.benchmarks import BENCHMARKS, CUSTOM, TAKEN
from xstilts.tasks.catalogue import place_of
from xstilts.tasks.task import POOL


def check_tasks(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with the tasks that a sweep file declares, before their files are read."""
    for name, spec in sweep.tasks.items():
        where = f"tasks.{name}"
        yield from _check_name(sweep, where, name)
        yield from _check_labels(where, spec)
        yield from _check_metrics(where, spec)
        yield from _check_columns(where, spec)
        yield from _check_hub(where, spec) if spec.hub else _check_files(where, spec)
    yield from _check_pools(sweep)


def _check_name(sweep: Sweep, where: str, name: str) -> Iterator[Problem]:
    """Whether a task or a pool has a name of its own."""
    places = {
        task.name: f"the catalogue has a task of this name, in {place_of(task.name)}"
        for task in known_tasks()
    }
    for plugin in plugins_of(sweep):
        rule = f"a plugin has a task of this name, in {plugin.place}"
        places |= dict.fromkeys(plugin.tasks, rule)
    if name in places:
        yield Problem(where, places[name], f'"{name}"', "give yours another name")
    if name in (*BENCHMARKS, *TAKEN, CUSTOM):
        rule = "is the name of other metrics, and `NAME/avg` would be one of them"
        yield Problem(where, rule, f'"{name}"', "give it another name")


def _check_pools(sweep: Sweep) -> Iterator[Problem]:
    ranking = [name for name, task in tasks_given(sweep).items() if POOL in task.splits]
    for name, spec in sweep.pools.items():
        where = f"pools.{name}"
        yield from _check_name(sweep, where, name)
        if name in sweep.tasks:
            yield Problem(where, "a task has this name", f'"{name}"', "give the pool another one")
        if spec.of not in ranking:
            rule = "names a target that ranks a pool of candidates"
            yield Problem(f"{where}.of", rule, f'"{spec.of}"', f"take {' or '.join(ranking)}")
        if not spec.files:
            yield Problem(f"{where}.files", "names a file at least")


def _check_labels(where: str, spec: TaskSpec) -> Iterator[Problem]:
    kind, names = kind_spec(spec.kind), label_names(spec)
    if not spec.labels:
        if kind.declares_labels and kind.prediction != "tags":
            repair = "write them, in their order; `xstilts data add FILES` finds them"
            rule = f"a task of kind {spec.kind} names its labels"
            yield Problem(f"{where}.labels", rule, repair=repair)
        return
    if not kind.label:
        rule = f"a task of kind {spec.kind} has no labels"
        yield Problem(f"{where}.labels", rule, repair="leave it out")
    elif len(names) < 2:
        yield Problem(f"{where}.labels", "there are two at least", f"{list(names)}")
    elif twice := _twice(spec.labels):
        yield Problem(f"{where}.labels", "a label stands once", f'"{twice}"')


def _check_metrics(where: str, spec: TaskSpec) -> Iterator[Problem]:
    known, num_labels = kind_spec(spec.kind).metrics, len(label_names(spec))
    for i, name in enumerate(spec.metrics):
        if name not in known:
            repair = suggest(name, known) if known else "leave it out"
            rule = f"a task of kind {spec.kind} has no such metric"
            yield Problem(f"{where}.metrics[{i}]", rule, f'"{name}"', repair)
        elif name == "f1" and kind_spec(spec.kind).prediction == "label" and num_labels != 2:
            rule, repair = "f1 is that of the second of two labels", "take f1_macro"
            yield Problem(f"{where}.metrics[{i}]", rule, f"{num_labels} labels", repair)
    if twice := _twice(spec.metrics):
        yield Problem(f"{where}.metrics", "a metric stands once", f'"{twice}"')


def _check_columns(where: str, spec: TaskSpec) -> Iterator[Problem]:
    known = kind_spec(spec.kind).columns
    for name, column in spec.columns.items():
        here = f"{where}.columns.{name}"
        if name not in (*known, "id"):
            rule = f"a task of kind {spec.kind} reads no such column"
            yield Problem(here, rule, f'"{name}"', suggest(name, known))
        elif not isinstance(column, str) and name != "choices":
            yield Problem(here, "is one column of the files", f"{list(column)}")
    columns = (x for x in spec.columns.values())
    if twice := _twice([x for one in columns for x in ((one,) if isinstance(one, str) else one)]):
        rule = "a column of the files is read as one thing"
        yield Problem(f"{where}.columns", rule, f'"{twice}" twice')


def _check_files(where: str, spec: TaskSpec) -> Iterator[Problem]:
    where, kind = f"{where}.files", kind_spec(spec.kind)
    files = {use: files_by_language(spec, use) for use in FilesSpec.model_fields}
    if spec.train is not None:
        for use in ("train", "dev"):
            if files[use]:
                rule = "the rows are those of the tasks that `train` names"
                yield Problem(f"{where}.{use}", rule, repair="leave one of the two out")
    elif kind.is_trained and not files["train"]:
        yield Problem(where, "names the files of train", repair="add train: FILE")
    wanted = {*FilesSpec.model_fields}
    if not kind.is_trained:
        wanted = {"test", "validation"}
        if not any(files[use] for use in wanted):
            yield Problem(where, "names the files of test", repair="add test: {LANGUAGE: FILE}")
    elif kind.is_self_supervised:
        wanted = {"train"}
    for use, by_language in files.items():
        if by_language and use not in wanted:
            rule = f"a task of kind {spec.kind} has no {use}"
            yield Problem(f"{where}.{use}", rule, repair="leave it out")
        if use == "train" and len(by_language) > 1 and not kind.is_self_supervised:
            rule = "training rows are in one language, `train_language`"
            yield Problem(f"{where}.{use}", rule, f"{', '.join(by_language)}", "write train: FILE")
        for language, paths in by_language.items():
            if not paths:
                yield Problem(f"{where}.{use}.{language}", "names a file at least")
    everywhere = [path for one in files.values() for paths in one.values() for path in paths]
    if twice := _twice(everywhere):
        yield Problem(where, "a file is of one split and one language", f'"{twice}" twice')


def _check_hub(where: str, spec: TaskSpec) -> Iterator[Problem]:
    kind = kind_spec(spec.kind)
    if kind.is_trained and not spec.splits.train and spec.train is None:
        repair = "add splits: {train: train}"
        yield Problem(f"{where}.splits", "names the split of train", repair=repair)
    if not kind.is_trained and not (spec.splits.test or spec.splits.validation):
        repair = "add splits: {test: test}"
        yield Problem(f"{where}.splits", "names the split of test", repair=repair)
    if spec.translations and "{language}" not in spec.config:
        rule = "has the place of the language, where there are translations"
        repair = 'write config: "{language}", or as the data set calls it'
        yield Problem(f"{where}.config", rule, f'"{spec.config}"', repair)
    if isinstance(spec.labels, dict):
        rule = "labels of a data set of the Hub keep their names"
        yield Problem(f"{where}.labels", rule, repair="write them as a list")
    if len(spec.languages or ()) > 1 and "{language}" not in spec.config:
        rule = "has the place of the language, where there are several"
        repair = 'write config: "{language}", or as the data set calls it'
        yield Problem(f"{where}.config", rule, f'"{spec.config}"', repair)


def _twice(values: Iterable[str]) -> str:
    """The first that stands twice; empty if none does."""
    return next((value for value, count in Counter(list(values)).items() if count > 1), "")

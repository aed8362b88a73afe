"""A sweep's own tasks: what its file declares under `tasks`, as tasks like those of the catalogue.

Their files become data sets in the layout of the Hub (`xstilts.data.own`), one of what is learnt
from and one of what is scored, so that a language more to score is no other training set.
"""

from __future__ import annotations

import glob
from dataclasses import replace
from pathlib import Path
from typing import Any

from xstilts.config.described import describe_plugin
from xstilts.config.schema import Sweep, TranslatedSpec
from xstilts.config.task_spec import FilesSpec, PoolSpec, TaskSpec
from xstilts.tasks import HeldOut, Slice, Source, Task, kind_spec, known_tasks, lookup
from xstilts.tasks.plugins import (
    Plugin,
    bringers_of,
    installed_plugins,
    load_plugin,
)
from xstilts.tasks.task import POOL

DEV_PERCENT = 10
"""Of the training rows, by the hash of their text, where a task has no dev set of its own."""

LEARNT, SCORED = ("train", "dev"), ("test", "validation")
"""The uses of a task that select or train, and those that `evaluation.split` names."""


def find_task(sweep: Sweep, name: str) -> Task:
    """The task of that name: the sweep's own, else a plugin's or the catalogue's. One that is
    trained in a chain has the rows of its last link, one that is read in translation those.

    Raises:
        KeyError: no task has that name.
    """
    return _in_translation(sweep, _chained(sweep, _entry(sweep, name)))


def find_trained(sweep: Sweep, name: str) -> Task:
    """The task as an intermediate trains it, whatever a target of its name is trained on.

    Raises:
        KeyError: no task has that name.
    """
    return _chained(sweep, _entry(sweep, name))


def all_tasks(sweep: Sweep) -> tuple[Task, ...]:
    """The tasks that a sweep may name: its own, those of plugins, the catalogue's, then those that
    rank a pool of its own."""
    found = tasks_given(sweep)
    ranked = {
        name: with_pool(name, found[spec.of])
        for name, spec in sweep.pools.items()
        if name not in found and spec.of in found
    }
    tasks = {**found, **ranked}.values()
    return tuple(_in_translation(sweep, _chained(sweep, task)) for task in tasks)


def tasks_given(sweep: Sweep) -> dict[str, Task]:
    """The tasks that a pool of a sweep's own may be of, by name, as they are declared."""
    own = {name: own_task(name, spec) for name, spec in sweep.tasks.items()}
    others = {task.name: task for task in known_tasks()}
    return {**own, **others, **brought_tasks(sweep), **own}


def _entry(sweep: Sweep, name: str) -> Task:
    pool = sweep.pools.get(name)
    return _task(sweep, name) if pool is None else with_pool(name, _task(sweep, pool.of))


def _task(sweep: Sweep, name: str) -> Task:
    """A task that is no pool of the sweep's own."""
    spec = sweep.tasks.get(name)
    if spec is not None:
        return own_task(name, spec)
    return brought_tasks(sweep).get(name) or lookup(name)


def _chained(sweep: Sweep, task: Task) -> Task:
    """A task with the chain that the sweep file says, else its entry's."""
    links, said = [], sweep.train.get(task.name, task.chain)
    for name in said if isinstance(said, tuple) else task.chain:
        try:
            links.append(_entry(sweep, name))
        except KeyError:  # `check_chains` says so
            return replace(task, chain=())
    return task.trained_on(tuple(links)) if links else task


def _in_translation(sweep: Sweep, task: Task) -> Task:
    """A task with the translated rows that the sweep file asks for; what there is not of them is
    told by `check_translations`."""
    if isinstance(said := sweep.train.get(task.head), TranslatedSpec) and said.languages:
        (language, *_) = said.languages
        if task.trained_as:  # whose rows are its head's
            task = replace(task, train_language=language)
        elif language in task.translated_languages:
            task = replace(task.read_in_translation(("train", "dev")), train_language=language)
    scored = (sweep.evaluation.split,) if sweep.evaluation.translated else ()
    return task.read_in_translation(scored)


def plugins_of(sweep: Sweep) -> tuple[Plugin, ...]:
    """The plugins that a sweep may read: those of its file, then installed ones; of a sweep that is
    read from its storage those that its launch described there.

    Raises:
        PluginError: see `load_plugin`; `parse_sweep` tells of it before.
    """
    if sweep.recalled is not None:
        return sweep.recalled
    return tuple(map(load_plugin, dict.fromkeys((*sweep.plugins, *installed_plugins()))))


def brought_tasks(sweep: Sweep) -> dict[str, Task]:
    """The tasks of plugins by name."""
    return {name: task for plugin in plugins_of(sweep) for name, task in plugin.tasks.items()}


def is_declared(sweep: Sweep, name: str) -> bool:
    """Whether a task is one that the package does not bring."""
    return name in sweep.tasks or name in sweep.pools or name in brought_tasks(sweep)


def tasks_named(sweep: Sweep) -> set[str]:
    """The tasks that a sweep reads: those of its intermediates, its targets with the links of their
    chains, those whose stages they read from their files' pools, its parallel text."""
    parallel = {sweep.search.parallel, sweep.probes and sweep.probes.parallel} - {None}
    own = (spec.tasks for spec in sweep.intermediates.values())
    heads = {spec.of for spec in pools_named(sweep).values()}
    named = {*sweep.targets, *map(str, parallel), *heads}
    return named.union(*own, *links_named(sweep).values())


def pools_named(sweep: Sweep) -> dict[str, PoolSpec]:
    """The pools of a sweep's own files that its targets rank, by those targets."""
    return {name: spec for name, spec in sweep.pools.items() if name in sweep.targets}


def links_named(sweep: Sweep) -> dict[str, tuple[str, ...]]:
    """The links of every chain that targets of a sweep are trained in, by the task whose chain it
    is."""
    heads = dict.fromkeys(find_task(sweep, name).head for name in sweep.targets)
    return {name: chain for name in heads if (chain := find_task(sweep, name).chain)}


def plugins_used(sweep: Sweep) -> dict[str, str]:
    """The plugins that a sweep's tasks and kinds are of, each with the digest of its source."""
    named = sorted(tasks_named(sweep))
    used = (bringers_of(find_task(sweep, name), plugins_of(sweep)) for name in named)
    return dict(pair for pairs in used for pair in pairs)


def plugins_described(sweep: Sweep) -> dict[str, dict[str, Any]]:
    """The plugins that a sweep names or uses, as `recall_plugin` reads them, by their modules."""
    named = {*sweep.plugins, *plugins_used(sweep)}
    return {one.module: describe_plugin(one) for one in plugins_of(sweep) if one.module in named}


def hub_id_of(name: str, use: str) -> str:
    """The name of the data set that files become; no data set of the Hub can have it."""
    if use == POOL:
        return f"own:{name}/{POOL}"
    return f"own:{name}" if use in LEARNT else f"own:{name}/scored"


def is_own(source: Source) -> bool:
    """Whether a data set comes from files that a sweep file names."""
    return source.hub_id.startswith("own:")


def tasks_of_files(sweep: Sweep) -> list[str]:
    """The tasks from files that a sweep's intermediates and targets name."""
    named = tasks_named(sweep)
    return [name for name, spec in sweep.tasks.items() if spec.files and name in named]


def files_by_language(spec: TaskSpec, use: str) -> dict[str, tuple[str, ...]]:
    """The files, or patterns, of one use by language; empty where there is none."""
    given = getattr(spec.files, use) if spec.files else None
    if given is None:
        return {}
    by_language = given if isinstance(given, dict) else {spec.train_language: given}
    return {
        language: (paths,) if isinstance(paths, str) else tuple(paths)
        for language, paths in by_language.items()
    }


def languages_by_use(spec: TaskSpec) -> dict[str, tuple[str, ...]]:
    """The uses that a task has rows for, and their languages."""
    found = {}
    for use in (*LEARNT, *SCORED):
        if spec.files is not None and (languages := tuple(files_by_language(spec, use))):
            found[use] = languages
        elif getattr(spec.splits, use) is not None:
            own = spec.languages or (spec.train_language,)
            found[use] = own if use in SCORED else (spec.train_language,)
    return found


def own_task(name: str, spec: TaskSpec) -> Task:
    """The task that a sweep file declares; what is wrong with it `check_tasks` says."""
    kind, by_use = kind_spec(spec.kind), languages_by_use(spec)
    splits: dict[str, str | Slice | tuple[Slice, ...]] = {
        use: Slice(_split(spec, use), _source(name, spec, use)) for use in by_use
    }
    if "train" in splits and "dev" not in splits and kind.together:
        column = spec.columns.get(kind.together, kind.together) if spec.hub else kind.together
        held_out = HeldOut(str(column), DEV_PERCENT)
        split, source = _split(spec, "train"), _source(name, spec, "train")
        splits["train"] = Slice(split, source, without=held_out)
        splits["dev"] = Slice(split, source, only=held_out)
    scored = [x for use in SCORED for x in by_use.get(use, ())]
    languages = tuple(dict.fromkeys(scored)) or by_use.get("train", (spec.train_language,))
    lacks = {
        use: tuple(x for x in languages if x not in by_use[use]) for use in SCORED if use in by_use
    }
    if not kind.is_self_supervised:
        lacks["train"] = tuple(x for x in languages if x != spec.train_language)
    is_scored_too = bool(scored) and spec.train_language in languages
    if "validation" not in splits and "dev" in splits and is_scored_too:
        splits["validation"] = splits["dev"]
        lacks["validation"] = lacks["train"]
    named = spec.metrics or kind.score
    num_scored = 1 if spec.metrics and spec.score == "first" else len(named)
    return Task(
        name=name,
        kind=spec.kind,
        source=_source(name, spec, "train"),
        languages=languages,
        splits=splits,
        metrics=named[:num_scored],
        beside=named[num_scored:],
        labels=label_names(spec),
        train_language=spec.train_language,
        group=kind.group or None if scored else None,
        lacks={use: absent for use, absent in lacks.items() if absent},
        open_labels=kind.declares_labels and not spec.labels,
        chain=spec.train or (),
        is_parallel=spec.parallel,
        translations=_source(name, spec, "train") if spec.translations else None,
        translated_languages=spec.translations or (),
    )


def with_pool(name: str, target: Task) -> Task:
    """A target that ranks the queries of another in a pool of a sweep's own: with the other's
    training stage, and a name of its own, for its scores are not the other's."""
    pool = Slice(POOL, Source(hub_id_of(name, POOL), config="candidates"))
    return replace(
        target,
        name=name,
        splits={**target.splits, POOL: pool},
        chain=(),
        trained_as=target.head,
        description=f"the queries of {target.name} in a pool of the sweep's own",
    )


def label_names(spec: TaskSpec) -> tuple[str, ...]:
    """The labels as they are renamed, in their order."""
    labels = spec.labels
    return tuple(dict.fromkeys(labels.values() if isinstance(labels, dict) else labels))


def _split(spec: TaskSpec, use: str) -> str:
    """The name of a use's split; files are written under the use's own."""
    return str(getattr(spec.splits, use) or use)


def _source(name: str, spec: TaskSpec, use: str) -> Source:
    if spec.hub is None:
        return Source(hub_id_of(name, use), config="{language}")
    return Source(spec.hub, spec.config, spec.revision, columns=spec.columns)


def located(sweep: Sweep, folder: Path) -> Sweep:
    """The sweep with the files of its tasks and pools named from the root; what is relative is to
    `folder`, that of the sweep file."""
    if not (sweep.tasks or sweep.pools):
        return sweep

    def absolute(path: str) -> str:
        own = Path(path).expanduser()
        if own.is_absolute():
            return str(own)
        return str(Path(glob.escape(str(folder)) if glob.has_magic(path) else folder) / own)

    def mapped(given: Any) -> Any:
        if isinstance(given, dict):
            return {language: mapped(paths) for language, paths in given.items()}
        if given is None or isinstance(given, str):
            return given and absolute(given)
        return tuple(map(absolute, given))

    tasks = {}
    for name, spec in sweep.tasks.items():
        if spec.files is not None:
            values = {use: mapped(getattr(spec.files, use)) for use in FilesSpec.model_fields}
            spec = spec.model_copy(update={"files": spec.files.model_copy(update=values)})
        tasks[name] = spec
    pools = {
        name: spec.model_copy(update={"files": mapped(spec.files)})
        for name, spec in sweep.pools.items()
    }
    return sweep.model_copy(update={"tasks": tasks, "pools": pools})

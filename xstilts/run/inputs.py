"""The inputs of a sweep: found, fetched or built, each with its identity and its size.

What goes in is the sweep file; what comes out is the inventory that plans and fingerprints read.
All that is missing or does not fit is said at once, before anything is trained.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from xstilts import mini
from xstilts.config.derive import (
    languages_of,
    links_of,
    part_task,
    reads,
    recipe_of,
    task_of,
    train_languages,
)
from xstilts.config.own_tasks import (
    find_task,
    is_own,
    plugins_used,
    pools_named,
    tasks_of_files,
)
from xstilts.config.recipe_checks import override_sections
from xstilts.config.schema import ModelSpec, Sweep
from xstilts.data.hub import Hub
from xstilts.data.inventory import Hashes, data_identity, model_facts
from xstilts.data.open_labels import labels_of
from xstilts.data.own import write_own
from xstilts.data.own_pools import write_pool
from xstilts.data.pools import pool_notes, pool_problems
from xstilts.data.shared_items import count_items
from xstilts.data.sources import (
    check_columns,
    check_texts_of_labels,
    count_rows,
    divided_otherwise,
)
from xstilts.errors import ConfigError, DataError, Problem
from xstilts.files import publish_folder, sha256_of, sync_tree
from xstilts.plan.inventory import Inventory, ModelFacts, check_rows, items_key, row_key
from xstilts.run.arms import check_arms
from xstilts.run.parallel_text import parallel_problems
from xstilts.run.places import Places, path_named
from xstilts.run.storage import CACHES
from xstilts.run.token_counts import mean_tokens
from xstilts.run.vocabulary import tokenizer_problems
from xstilts.scores.probes import PERPLEXITY
from xstilts.tasks import Source, Task
from xstilts.tasks.task import POOL

BUILTIN = "builtin:mini"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_NAME = re.compile(r"[\w.-]+")


def take_inventory(sweep: Sweep, places: Places, base: Path | None = None) -> Inventory:
    """Identity and size of every input; builds the miniature benchmark where a sweep names it,
    and fetches from the Hub what is not there yet.

    Raises:
        ConfigError: an input that the sweep names is missing or incomplete, or has no rows; a
            tokenizer belongs to other weights or other languages; or parallel text has sentences
            that a target is scored on.
    """
    inputs = _Inputs(sweep, places, base or Path.cwd())
    models = inputs.models()
    folders, data = inputs.data_sets()
    rows, labels, notes = inputs.sizes(folders)
    inputs.hashes.save()
    if inputs.problems:
        raise ConfigError(list(dict.fromkeys(inputs.problems)))
    names = {hub_id: str(folder) for hub_id, folder in folders.items()}
    # Other code than before makes other inputs, as other data does.
    data |= {f"plugin {module}": digest for module, digest in plugins_used(sweep).items()}
    inventory = Inventory(models, names, data, rows, labels, tuple(dict.fromkeys(notes)))
    check_rows(sweep, inventory)
    problems = list(tokenizer_problems(sweep, inventory, places.storage))
    problems += parallel_problems(sweep, inventory)
    problems += [
        problem for task in _with_pools(sweep) for problem in _pool(sweep, inventory, task)
    ]
    if problems:
        raise ConfigError(problems)
    for task in _with_pools(sweep):
        count = sum(inventory.rows_of(task, POOL, x) for x in task.languages_of(POOL))
        notes += pool_notes(count, task)
    inventory = replace(inventory, notes=tuple(dict.fromkeys(notes)))
    return replace(inventory, tokens=mean_tokens(sweep, inventory))


class _Inputs:
    """The inputs of a sweep, looked at one sort after the other; all problems are gathered, so that
    a user mends them at once."""

    def __init__(self, sweep: Sweep, places: Places, base: Path):
        self.problems: list[Problem] = []
        self.hashes = Hashes(places.storage / CACHES / "hashes.json")
        self._sweep = sweep
        self._places = places
        self._base = base
        self._hub = Hub(places.storage / "hub")

    def models(self) -> dict[str, ModelFacts]:
        """Identity and facts of each model that can be had, by its name in the sweep."""
        models = {}
        for name, spec in self._sweep.models.items():
            where = f"models.{name}.path"
            try:
                folder = _model_folder(spec, where, self._base, self._hub)
                models[name] = model_facts(folder, where, self.hashes)
            except ConfigError as error:
                self.problems += error.problems
            except DataError as error:
                self.problems.append(Problem(where, f"no such folder here; {error}"))
        self.problems += _without_lm_head(self._sweep, models)
        self.problems += _without_pooler(self._sweep, models)
        self.problems += _too_long(self._sweep, models)
        self.problems += check_arms(self._sweep, models)
        return models

    def data_sets(self) -> tuple[dict[str, Path], dict[str, str]]:
        """Folder and identity of each data set that can be had, by its id."""
        folders = self._own_data_sets()
        data = {hub_id: data_identity(folder, self.hashes) for hub_id, folder in folders.items()}
        for source, wanted in _wanted(self._sweep):
            if is_own(source):
                continue  # there, or its problems are said
            try:
                folders[source.hub_id], data[source.hub_id] = self._data_set(source, wanted)
            except DataError as error:
                self.problems.append(Problem("data.root", str(error), repair=source.instead))
        return folders, data

    def _own_data_sets(self) -> dict[str, Path]:
        """The data sets of the sweep's own files, written where they are not yet."""
        tasks, storage = self._sweep.tasks, self._places.storage
        writers = [partial(write_own, x, tasks[x]) for x in tasks_of_files(self._sweep)]
        writers += [partial(write_pool, *named) for named in pools_named(self._sweep).items()]
        own: dict[str, Path] = {}
        for write in writers:
            try:
                own |= write(storage, self.hashes)
            except ConfigError as error:
                self.problems += error.problems
        return own

    def _data_set(self, source: Source, wanted: list[tuple[str, str]]) -> tuple[Path, str]:
        declared = self._sweep.data
        folder = None
        if declared.root is not None:
            folder = _root(declared.root, self._places, self._base) / source.hub_id
        if folder is not None and not (declared.hub and not folder.exists()):
            return folder, data_identity(folder, self.hashes)
        if source.instead:
            raise DataError(f"{source.hub_id}: not read from the Hub")
        fetched = self._hub.dataset(source.hub_id, source.revision, wanted)
        return fetched.folder, sha256_of([source.hub_id, fetched.commit])

    def sizes(
        self, folders: Mapping[str, Path]
    ) -> tuple[dict[str, int], dict[str, list[str]], list[str]]:
        """Rows of everything that is read, labels of the tasks that do not declare theirs, and
        what is to be said of how sets are divided."""
        rows: dict[str, int] = {}
        labels: dict[str, list[str]] = {}
        notes: list[str] = []
        for task, use, language in reads(self._sweep):
            if any(source.hub_id not in folders for source in task.sources_of(use)):
                continue  # said above
            try:
                check_columns(folders, task, use, language)
                check_texts_of_labels(folders, task, use, language)
                rows[row_key(task, use, language)] = count_rows(folders, task, use, language)
                if note := divided_otherwise(folders, task, use):
                    notes.append(note)
                if task.open_labels and task.name not in labels:
                    labels[task.name] = labels_of(folders, task)
            except DataError as error:
                self.problems.append(Problem("data.root", str(error)))
        rows |= self._items(folders)
        return rows, labels, notes

    def _items(self, folders: Mapping[str, Path]) -> dict[str, int]:
        """Items that languages of an intermediate have in common, where it asks for these."""
        found: dict[str, int] = {}
        for name, spec in self._sweep.intermediates.items():
            tasks = [part_task(self._sweep, spec, own) for own in spec.tasks]
            for task in (x for x in tasks if spec.items and not x.kind_spec.is_self_supervised):
                languages = train_languages(spec, task)
                if any(source.hub_id not in folders for source in task.sources_of("train")):
                    continue  # said above
                where = f"intermediates.{name}"
                try:
                    count = count_items(folders, task, languages)
                except DataError as error:
                    repair = "leave `items` out: as many rows of each language"
                    self.problems.append(Problem(f"{where}.items", str(error), repair=repair))
                    continue
                found[items_key(task, languages)] = count
                each = count // len(languages)
                if spec.items == "disjoint" and (spec.examples or 1) > each:
                    rule = f"{task.name} has {count:,} items for {len(languages)} languages, "
                    rule += f"{each:,} for each where none is in two"
                    repair = f"write {each} or less"
                    where = f"{where}.examples"
                    self.problems.append(Problem(where, rule, f"{spec.examples}", repair))
        return found


def _without_lm_head(sweep: Sweep, models: Mapping[str, ModelFacts]) -> Iterator[Problem]:
    """MLM goes on from the pretrained head, and pseudo-perplexity is read with it; a fresh one
    would only hurt the encoder, and say nothing."""
    for name, spec in sweep.intermediates.items():
        for task in (find_task(sweep, own) for own in spec.tasks):
            for model, facts in models.items():
                if task.kind_spec.is_self_supervised and not facts.has_lm_head:
                    yield Problem(
                        f"intermediates.{name}.tasks",
                        f'"{task.name}" needs a model with its pretrained LM head',
                        f'models.{model}, whose weights have none ("{facts.path}")',
                        "take the checkpoint of the masked language model, or drop the task",
                    )
    if sweep.probes is not None and PERPLEXITY in sweep.probes.read:
        for model, facts in models.items():
            if not facts.has_lm_head:
                yield Problem(
                    "probes.read",
                    f'"{PERPLEXITY}" needs a model with its pretrained LM head',
                    f'models.{model}, whose weights have none ("{facts.path}")',
                    "take the checkpoint of the masked language model, or drop the probe",
                )


def _without_pooler(sweep: Sweep, models: Mapping[str, ModelFacts]) -> Iterator[Problem]:
    """Classifiers that go on from the pretrained pooler want one: the baseline's, and the first
    stage of every intermediate, have no other."""
    names = sorted(set(_with_pretrained_pooler(sweep)))
    for model, facts in models.items():
        if names and not facts.has_pooler:
            yield Problem(
                f"models.{model}",
                f"its weights have no pooler, from which {', '.join(names)} would go on",
                "pooler: pretrained",
                "take `carried`, `fresh` or `none`",
            )


def _with_pretrained_pooler(sweep: Sweep) -> Iterator[str]:
    """The tasks that the pretrained pooler may be trained on with."""
    recipe, searched = recipe_of(sweep), sweep.search
    stages: list[tuple[str, tuple[str, ...], str]] = []
    for spec in sweep.intermediates.values():
        # A mixture has the phase's values.
        alone = spec.tasks[0] if len(spec.tasks) == 1 else ""
        said = recipe.for_task("intermediate", alone, {}).pooler
        stages.append(("intermediate", spec.tasks, said))
    for head in (find_task(sweep, name).head for name in sweep.targets):
        # The links after the first of a chain go on from its pooler.
        first = links_of(sweep, head)[0].name
        stages.append(("target", (first,), recipe.for_link(head, first, {}).pooler))
    for phase, names, pooler in stages:
        spaces = [searched.encoder.space.get(f"{phase}.pooler")]
        spaces += [searched.target.space.get("pooler")] if phase == "target" else []
        values = [value for spec in spaces if spec is not None for value in spec.values()]
        for task in (find_task(sweep, name) for name in names):
            has_one = task.is_trained and "pooler" in task.kind_spec.recipe_fields
            if has_one and "pretrained" in (values or [pooler]):
                yield task.name


def _too_long(sweep: Sweep, models: Mapping[str, ModelFacts]) -> Iterator[Problem]:
    """Lengths that a file searches or says must be lengths that every model reads; those of the
    recipe itself are cut."""
    said = ((where, values.get("max_length", 0)) for where, values in override_sections(sweep))
    for where, length in said:
        for name, facts in models.items():
            if length > facts.max_length:
                rule = f"models.{name} reads {facts.max_length} tokens at most"
                yield Problem(f"{where}.max_length", rule, f"{length}", "write a shorter length")
    search = sweep.search
    for where, space in (("encoder", search.encoder.space), ("target", search.target.space)):
        for key, spec in space.items():
            for name, facts in models.items() if key.endswith("max_length") else ():
                if max(spec.values()) > facts.max_length:
                    yield Problem(
                        f"search.{where}.space.{key}",
                        f"models.{name} reads {facts.max_length} tokens at most",
                        f"{max(spec.values())}",
                        "search shorter lengths",
                    )


def _with_pools(sweep: Sweep) -> list[Task]:
    return [task for task in map(partial(task_of, sweep), sweep.targets) if POOL in task.splits]


def _pool(sweep: Sweep, inventory: Inventory, task: Task) -> Iterator[Problem]:
    """What is wrong with the pool of a target."""
    folders = {name: Path(folder) for name, folder in inventory.folders.items()}
    languages = languages_of(sweep, task)
    return pool_problems(folders, task, sweep.evaluation.split, languages)


def _model_folder(spec: ModelSpec, where: str, base: Path, hub: Hub) -> Path:
    """The folder of a model: the package's own, one that is there, or one fetched from the Hub."""
    if spec.path == BUILTIN:
        return mini.encoder_path()
    folder = path_named(spec.path, base)
    if not folder.exists() and _HUB_NAME.fullmatch(spec.path):
        rule = "no such folder here, and an id of the Hub has its owner too"
        repair = f"write OWNER/{spec.path}, as the Hub shows it, or the folder's path"
        raise ConfigError([Problem(where, rule, f'"{spec.path}"', repair)])
    if not folder.is_dir() and _HUB_ID.fullmatch(spec.path):
        return hub.model(spec.path, spec.revision).folder
    return folder


def _root(root: str, places: Places, base: Path) -> Path:
    return build_mini(places.storage) if root == BUILTIN else path_named(root, base)


def _wanted(sweep: Sweep) -> list[tuple[Source, list[tuple[str, str]]]]:
    """The configurations and splits that a sweep reads, by the data set that has them."""
    wanted: dict[str, tuple[Source, dict[tuple[str, str], None]]] = {}

    def need(source: Source, config: str, split: str) -> None:
        wanted.setdefault(source.hub_id, (source, {}))[1][config, split] = None

    for task, use, language in reads(sweep):
        for rows in task.slices_of(use):
            source = rows.origin
            for config in source.configs_of(language):
                need(source, config, rows.split)
            if rows.unlike:
                need(rows.unlike[0], rows.unlike[0].config, rows.unlike[1])
    return [(source, list(pairs)) for source, pairs in wanted.values()]


def build_mini(storage: Path) -> Path:
    """The miniature benchmark's data under the storage, which every node sees; copied once."""
    root = storage / f"mini-v{mini.VERSION}"
    if not root.exists():
        temporary = storage / f".mini-{uuid.uuid4().hex[:8]}"
        shutil.copytree(mini.data_path(), temporary)
        sync_tree(temporary)
        if not publish_folder(temporary, root):  # another process was first with the same
            shutil.rmtree(temporary)
    return root

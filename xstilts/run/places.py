"""Where a sweep's files are, and the inputs that the package itself brings.

<storage>/stages/            the store, shared by all sweeps
<storage>/sweeps/<name>/     sweep.json, inventory.json, study.journal, trials/, report/
<storage>/mlflow.db          runs of all sweeps, where no server is named
<storage>/hub/               what was fetched from the Hub, at resolved commits
<storage>/cache, encoded     rows as `datasets` and the tokenizers left them
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xstilts import mini
from xstilts.config.derive import reads
from xstilts.config.schema import ModelSpec, Sweep
from xstilts.data.hub import Hub
from xstilts.data.inventory import Hashes, data_identity, model_facts
from xstilts.data.sources import count_rows, labels_of
from xstilts.errors import ConfigError, DataError, Problem
from xstilts.files import sha256_of
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.plan.plan import check_rows
from xstilts.tasks import Source, lookup

BUILTIN = "builtin:mini"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
SWEEP, INVENTORY, TARGET_POINTS = "sweep.json", "inventory.json", "target_points.json"
"""What defines a launched sweep, in its folder."""

LAUNCHES = "launches.json"
"""When the sweep ran, and how many trials it had place for."""

PREPARED = "prepared.json"
"""The inventory that `prepare` read, until the sweep is launched."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one sweep."""

    storage: Path
    name: str

    @classmethod
    def of(cls, sweep: Sweep, base: Path | None = None) -> Places:
        """The folders of a sweep; a relative storage is relative to `base`, else to the cwd."""
        return cls(((base or Path.cwd()) / sweep.storage).resolve(), sweep.name)

    @property
    def sweep(self) -> Path:
        """The sweep's own folder."""
        return self.storage / "sweeps" / self.name

    @property
    def trials(self) -> Path:
        """One folder a trial."""
        return self.sweep / "trials"

    @property
    def report(self) -> Path:
        """Tables and pictures."""
        return self.sweep / "report"

    def tracking_uri(self, sweep: Sweep) -> str:
        """The declared server, else an SQLite file beside the storage."""
        return sweep.tracking.uri or f"sqlite:///{self.storage / 'mlflow.db'}"


def take_inventory(sweep: Sweep, places: Places, base: Path | None = None) -> Inventory:
    """Identity and size of every input; builds the miniature benchmark where a sweep names it,
    and fetches from the Hub what is not there yet.

    Raises:
        ConfigError: an input that the sweep names is missing or incomplete, or has no rows.
    """
    base = base or Path.cwd()
    hashes = Hashes(places.storage / "cache" / "hashes.json")
    hub = Hub(places.storage / "hub")
    models = {}
    problems: list[Problem] = []
    for name, spec in sweep.models.items():
        where = f"models.{name}.path"
        try:
            models[name] = model_facts(_model_folder(spec, base, hub), where, hashes)
        except ConfigError as error:
            problems += error.problems
        except DataError as error:
            problems.append(Problem(where, f"no such folder here; {error}"))
    problems += [*_without_lm_head(sweep, models), *_too_long(sweep, models)]
    folders: dict[str, Path] = {}
    data: dict[str, str] = {}
    for source, wanted in _wanted(sweep):
        try:
            folder = None
            if sweep.data.root is not None:
                folder = _root(sweep.data.root, places, base) / source.hub_id
            if folder is None or (sweep.data.hub and not folder.exists()):
                if source.instead:
                    raise DataError(f"{source.hub_id}: not read from the Hub")
                fetched = hub.dataset(source.hub_id, source.revision, wanted)
                folders[source.hub_id] = fetched.folder
                data[source.hub_id] = sha256_of([source.hub_id, fetched.commit])
            else:
                data[source.hub_id] = data_identity(folder, hashes)
                folders[source.hub_id] = folder
        except DataError as error:
            problems.append(Problem("data.root", str(error), repair=source.instead))
    rows: dict[str, int] = {}
    labels: dict[str, list[str]] = {}
    for task, use, language in reads(sweep):
        if any(source.hub_id not in folders for source in task.sources_of(use)):
            continue  # said above
        try:
            rows[row_key(task, use, language)] = count_rows(folders, task, use, language)
            if task.open_labels and task.name not in labels:
                labels[task.name] = labels_of(folders, task)
        except DataError as error:
            problems.append(Problem("data.root", str(error)))
    hashes.save()
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    names = {hub_id: str(folder) for hub_id, folder in folders.items()}
    inventory = Inventory(models, names, data, rows, labels)
    check_rows(sweep, inventory)
    return inventory


def _without_lm_head(sweep: Sweep, models: Mapping[str, ModelFacts]) -> Iterator[Problem]:
    """MLM goes on from the pretrained head; a fresh one would only hurt the encoder."""
    for name, spec in sweep.intermediates.items():
        for task in map(lookup, spec.tasks):
            for model, facts in models.items():
                if task.kind == "mlm" and not facts.has_lm_head:
                    yield Problem(
                        f"intermediates.{name}.tasks",
                        f'"{task.name}" needs a model with its pretrained LM head',
                        f'models.{model}, whose weights have none ("{facts.path}")',
                        "take the checkpoint of the masked language model, or drop the task",
                    )


def _too_long(sweep: Sweep, models: Mapping[str, ModelFacts]) -> Iterator[Problem]:
    """Lengths that are searched must be lengths that every model reads; a recipe's are cut."""
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


def _model_folder(spec: ModelSpec, base: Path, hub: Hub) -> Path:
    """The folder of a model: the package's own, one that is there, or one fetched from the Hub."""
    if spec.path == BUILTIN:
        return mini.encoder_path()
    folder = (base / spec.path).expanduser().resolve()
    if not folder.is_dir() and _HUB_ID.fullmatch(spec.path):
        return hub.model(spec.path, spec.revision).folder
    return folder


def _root(root: str, places: Places, base: Path) -> Path:
    return build_mini(places.storage) if root == BUILTIN else (base / root).expanduser().resolve()


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
    """The miniature benchmark's data under the storage, written once."""
    root = storage / f"mini-v{mini.VERSION}"
    if not root.exists():
        temporary = storage / f".mini-{uuid.uuid4().hex[:8]}"
        mini.write_benchmark(temporary)
        try:
            temporary.rename(root)
        except OSError:  # another process was first; both wrote the same
            shutil.rmtree(temporary)
    return root

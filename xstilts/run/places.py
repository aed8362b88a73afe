"""Where a sweep's files are, and the inputs that the package itself brings.

<storage>/storage.json       its format and identity
<storage>/store/             stages, shared by all sweeps
<storage>/sweeps/<name>/     launches/, trials/, report/
<storage>/mlflow.db          runs of all sweeps, where no server is named; mlartifacts/ beside it
<storage>/own/               files of sweeps' own tasks, as data sets
<storage>/hub/               what was fetched from the Hub, at resolved commits
<storage>/caches, encoded    rows as `datasets` and the tokenizers left them

A launch is numbered by its lease and writes into the folder of its number alone; readers take the
newest that has what they look for. So a driver that was stopped, and wakes up after another has
taken the sweep over, changes nothing that anybody reads.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from xstilts import mini
from xstilts.config.derive import reads
from xstilts.config.own_tasks import find_task, is_own, plugins_used, tasks_of_files
from xstilts.config.recipe_checks import override_sections
from xstilts.config.schema import ModelSpec, Sweep
from xstilts.data.hub import Hub
from xstilts.data.inventory import Hashes, data_identity, model_facts
from xstilts.data.own import write_own
from xstilts.data.sources import check_columns, count_rows, divided_otherwise, labels_of
from xstilts.errors import ConfigError, DataError, Problem
from xstilts.files import names_in, publish_folder, read_json_if_whole, sha256_of, sync_tree
from xstilts.plan.inventory import Inventory, ModelFacts, check_rows, row_key
from xstilts.run.storage import CACHES, SWEEPS
from xstilts.run.token_counts import mean_tokens
from xstilts.run.vocabulary import tokenizer_problems
from xstilts.tasks import Source

BUILTIN = "builtin:mini"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_NAME = re.compile(r"[\w.-]+")
SWEEP, INVENTORY, TARGET_POINTS = "sweep.json", "inventory.json", "target_points.json"
"""What defines a launched sweep, in the folder of each launch; the first is written last."""

T = TypeVar("T")

SWEEP_FILE = "sweep.yaml"
"""The resolved sweep for people, beside what defines it."""

LAUNCH = re.compile(r"\d{4,}")

USAGE = "usage.json"
"""In the folder of a launch: when it ran, and for how long how many trials had place."""

TUNE, REHEARSAL = "tune", "rehearsal"
"""Folders of a launch that nobody reads when it is over: Tune's, and the rehearsal's store."""

ARTIFACTS = "mlartifacts"
"""The folder of a storage for the artifacts of MLflow's runs, where no server is named."""

UNBEGUN = "unbegun"
"""In the folder of a launch, until the first of its trials begins: such a launch binds no later
one, for nothing has come of it."""

PREPARED = "prepared.json"
"""The inventory that `prepare` read, until the sweep is launched."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What defines a sweep, as a launch wrote it into its folder."""

    folder: Path
    sweep: dict[str, Any]
    inventory: dict[str, Any]
    target_points: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one sweep."""

    storage: Path
    name: str

    @classmethod
    def of(cls, sweep: Sweep, base: Path | None = None) -> Places:
        """The folders of a sweep; a relative storage is relative to `base`, else to the cwd."""
        return cls(_named(sweep.storage, base or Path.cwd()), sweep.name)

    @property
    def sweep(self) -> Path:
        """The sweep's own folder."""
        return self.storage / SWEEPS / self.name

    @property
    def launches(self) -> Path:
        """The driver's lease, and a folder for each launch."""
        return self.sweep / "launches"

    def launch(self, number: int) -> Path:
        """The folder of one launch."""
        return self.launches / f"{number:04d}"

    def launch_folders(self) -> list[Path]:
        """The folders of all launches that have written something, the newest first."""
        names = [name for name in names_in(self.launches) if LAUNCH.fullmatch(name)]
        return [self.launches / name for name in sorted(names, key=int, reverse=True)]

    def begin(self, number: int) -> None:
        """Note that a trial of a launch has begun: from now on the launch counts."""
        (self.launch(number) / UNBEGUN).unlink(missing_ok=True)

    def begun_folders(self) -> list[Path]:
        """The folders of the launches whose trials have begun, the newest first."""
        return [folder for folder in self.launch_folders() if not (folder / UNBEGUN).exists()]

    def latest(self, name: str, default: T) -> T:
        """A JSON file of the newest launch that has it; one that is torn counts as absent."""
        for folder in self.launch_folders():
            found = read_json_if_whole(folder / name, type(default))
            if found is not None:
                return found
        return default

    def definition(self) -> Definition | None:
        """What defines the sweep, of the newest launch that wrote all of it; None before one."""
        return self._definition(self.launch_folders())

    def settled(self) -> Definition | None:
        """What later launches are compared with: the definition of the newest launch whose trials
        have begun; None before one."""
        return self._definition(self.begun_folders())

    def _definition(self, folders: Sequence[Path]) -> Definition | None:
        for folder in folders:
            names = (SWEEP, INVENTORY, TARGET_POINTS)
            parts = [read_json_if_whole(folder / name, dict) for name in names]
            whole = [part for part in parts if part is not None]
            if len(whole) == len(names):
                return Definition(folder, *whole)
        return None

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


def sweep_names(storage: Path) -> list[str]:
    """The sweeps of a storage."""
    return sorted(path.name for path in (storage / SWEEPS).glob("*") if path.is_dir())


def take_inventory(sweep: Sweep, places: Places, base: Path | None = None) -> Inventory:
    """Identity and size of every input; builds the miniature benchmark where a sweep names it,
    and fetches from the Hub what is not there yet.

    Raises:
        ConfigError: an input that the sweep names is missing or incomplete, or has no rows; or a
            tokenizer belongs to other weights or other languages.
    """
    base = base or Path.cwd()
    hashes = Hashes(places.storage / CACHES / "hashes.json")
    hub = Hub(places.storage / "hub")
    models = {}
    problems: list[Problem] = []
    for name, spec in sweep.models.items():
        where = f"models.{name}.path"
        try:
            models[name] = model_facts(_model_folder(spec, where, base, hub), where, hashes)
        except ConfigError as error:
            problems += error.problems
        except DataError as error:
            problems.append(Problem(where, f"no such folder here; {error}"))
    problems += [*_without_lm_head(sweep, models), *_too_long(sweep, models)]
    folders: dict[str, Path] = {}
    data: dict[str, str] = {}
    own: dict[str, Path] = {}
    for name in tasks_of_files(sweep):
        try:
            own |= write_own(name, sweep.tasks[name], places.storage, hashes)
        except ConfigError as error:
            problems += error.problems
    for source, wanted in _wanted(sweep):
        try:
            if source.hub_id in own:
                folders[source.hub_id] = own[source.hub_id]
                data[source.hub_id] = data_identity(own[source.hub_id], hashes)
                continue
            if is_own(source):
                continue  # said above
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
    notes: list[str] = []
    for task, use, language in reads(sweep):
        if any(source.hub_id not in folders for source in task.sources_of(use)):
            continue  # said above
        try:
            check_columns(folders, task, use, language)
            rows[row_key(task, use, language)] = count_rows(folders, task, use, language)
            if note := divided_otherwise(folders, task, use):
                notes.append(note)
            if task.open_labels and task.name not in labels:
                labels[task.name] = labels_of(folders, task)
        except DataError as error:
            problems.append(Problem("data.root", str(error)))
    hashes.save()
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    names = {hub_id: str(folder) for hub_id, folder in folders.items()}
    # Other code than before makes other inputs, as other data does.
    data |= {f"plugin {module}": digest for module, digest in plugins_used(sweep).items()}
    inventory = Inventory(models, names, data, rows, labels, tuple(dict.fromkeys(notes)))
    check_rows(sweep, inventory)
    if problems := list(tokenizer_problems(sweep, inventory, places.storage)):
        raise ConfigError(problems)
    return replace(inventory, tokens=mean_tokens(sweep, inventory, places.storage))


def _without_lm_head(sweep: Sweep, models: Mapping[str, ModelFacts]) -> Iterator[Problem]:
    """MLM goes on from the pretrained head; a fresh one would only hurt the encoder."""
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


def _model_folder(spec: ModelSpec, where: str, base: Path, hub: Hub) -> Path:
    """The folder of a model: the package's own, one that is there, or one fetched from the Hub."""
    if spec.path == BUILTIN:
        return mini.encoder_path()
    folder = _named(spec.path, base)
    if not folder.exists() and _HUB_NAME.fullmatch(spec.path):
        rule = "no such folder here, and an id of the Hub has its owner too"
        repair = f"write OWNER/{spec.path}, as the Hub shows it, or the folder's path"
        raise ConfigError([Problem(where, rule, f'"{spec.path}"', repair)])
    if not folder.is_dir() and _HUB_ID.fullmatch(spec.path):
        return hub.model(spec.path, spec.revision).folder
    return folder


def _root(root: str, places: Places, base: Path) -> Path:
    return build_mini(places.storage) if root == BUILTIN else _named(root, base)


def _named(path: str, base: Path) -> Path:
    """The folder that a sweep file names: `~` is the user's home, what is relative is to `base`."""
    try:
        return (base / Path(path).expanduser()).resolve()
    except RuntimeError:  # `~somebody`, whom the machine does not know: a folder of that name
        return (base / path).resolve()


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

"""Where a sweep's files are, and the inputs that the package itself brings.

<storage>/stages/            the store, shared by all sweeps
<storage>/sweeps/<name>/     sweep.json, inventory.json, study.journal, trials/, report/
<storage>/mlflow.db          runs of all sweeps, where no server is named
<storage>/cache, encoded     rows as `datasets` and the tokenizers left them
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from xstilts import mini
from xstilts.config.schema import Sweep
from xstilts.data.inventory import Hashes, count_rows, data_identity, model_facts
from xstilts.errors import ConfigError, DataError, Problem
from xstilts.plan.inventory import Inventory, row_key
from xstilts.plan.plan import check_rows
from xstilts.tasks import Task, lookup

BUILTIN = "builtin:mini"
SWEEP, INVENTORY, TARGET_POINTS = "sweep.json", "inventory.json", "target_points.json"
"""What defines a launched sweep, in its folder."""


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
    """Identity and size of every input; builds the miniature benchmark where a sweep names it.

    Raises:
        ConfigError: a folder that the sweep names is missing or incomplete, or has no rows.
    """
    base = base or Path.cwd()
    hashes = Hashes(places.storage / "cache" / "hashes.json")
    models = {}
    problems: list[Problem] = []
    for name, spec in sweep.models.items():
        folder = mini.encoder_path() if spec.path == BUILTIN else (base / spec.path).resolve()
        try:
            models[name] = model_facts(folder, f"models.{name}.path", hashes)
        except ConfigError as error:
            problems += error.problems
    root = build_mini(places.storage) if sweep.data.root == BUILTIN else base / sweep.data.root
    root = root.resolve()
    data: dict[str, str] = {}
    rows: dict[str, int] = {}
    for task in _tasks(sweep):
        try:
            if task.source.hub_id not in data:
                data[task.source.hub_id] = data_identity(root, task.source.hub_id, hashes)
            for use in task.splits:
                for language in task.languages_of(use):
                    key = row_key(task, use, language)
                    rows[key] = count_rows(root, task, use, language)
        except DataError as error:
            problems.append(Problem("data.root", str(error)))
    hashes.save()
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    inventory = Inventory(models, str(root), data, rows)
    check_rows(sweep, inventory)
    return inventory


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


def _tasks(sweep: Sweep) -> list[Task]:
    names = [name for spec in sweep.intermediates.values() for name in spec.tasks]
    return [lookup(name) for name in dict.fromkeys((*names, *sweep.targets))]

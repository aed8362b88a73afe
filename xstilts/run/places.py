"""Where a sweep's files are.

<storage>/storage.json       its format and identity
<storage>/store/             stages, shared by all sweeps
<storage>/sweeps/<name>/     launches/, trials/, report/
<storage>/mlflow.db          runs of all sweeps, where no server is named; mlartifacts/ beside it
<storage>/own/               files of sweeps' own tasks, as data sets
<storage>/hub/               what was fetched from the Hub, at resolved commits
<storage>/encoded/           rows as tokenizers left them; caches/ holds what can be found again

A launch is numbered by its lease and writes into the folder of its number alone; readers take the
newest that has what they look for. So a driver that was stopped, and wakes up after another has
taken the sweep over, changes nothing that anybody reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from xstilts.config.load import parse_stored
from xstilts.config.schema import Sweep
from xstilts.files import names_in, read_json_if_whole
from xstilts.run.storage import SWEEPS

SWEEP, INVENTORY, TARGET_POINTS = "sweep.json", "inventory.json", "target_points.json"
"""What defines a launched sweep, in the folder of each launch; the first is written last."""

PLUGINS = "plugins"
"""In the inventory of a launch: what its plugins declare (`own_tasks.plugins_described`)."""

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

PREFLIGHT = "preflight"
"""In the folder of a launch on a cluster: what nodes left there when they were asked."""

UNBEGUN = "unbegun"
"""In the folder of a launch, until the first of its trials begins: such a launch binds no later
one, for nothing has come of it."""

PRIOR = "prior.json"
"""In the folder of a launch: what a race knew of other sweeps when it first asked."""

PREPARED = "prepared.json"
"""The inventory that `prepare` read, until the sweep is launched."""


MLFLOW = "XSTILTS_MLFLOW"
"""The environment variable that names the folder of MLflow's SQLite file, on a disk of this
machine's own where the storage is shared: SQLite is unsafe on NFS."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What defines a sweep, as a launch wrote it into its folder."""

    folder: Path
    sweep: dict[str, Any]
    inventory: dict[str, Any]
    target_points: dict[str, Any]

    def parsed(self, allowed: Container[str] = ()) -> Sweep:
        """The sweep, to read what came of it. Modules that it names are imported only where the
        launch has not described what they bring.

        Args:
            allowed: see `parse_stored`.

        Raises:
            ConfigError: it cannot be read, or not without a module that is not allowed.
        """
        described = self.inventory.get(PLUGINS)
        return parse_stored(self.sweep, str(self.folder / SWEEP), described, allowed)


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one sweep."""

    storage: Path
    name: str

    @classmethod
    def of(cls, sweep: Sweep, base: Path | None = None) -> Places:
        """The folders of a sweep; a relative storage is relative to `base`, else to the cwd."""
        return cls(path_named(sweep.storage, base or Path.cwd()), sweep.name)

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
        """The declared server, else an SQLite file beside the storage, or in the folder that the
        environment names."""
        folder = Path(os.environ.get(MLFLOW) or self.storage).expanduser().absolute()
        return sweep.tracking.uri or f"sqlite:///{folder / 'mlflow.db'}"


def sweep_names(storage: Path) -> list[str]:
    """The sweeps of a storage."""
    return sorted(path.name for path in (storage / SWEEPS).glob("*") if path.is_dir())


def path_named(path: str, base: Path) -> Path:
    """The folder that a sweep file names: `~` is the user's home, what is relative is to `base`."""
    try:
        return (base / Path(path).expanduser()).resolve()
    except RuntimeError:  # `~somebody`, whom the machine does not know: a folder of that name
        return (base / path).resolve()

"""What may be deleted from a storage: what no sweep of it needs, and why.

Stages of a sweep stay, weights that can be trained again go first. Nothing is deleted that a trial
which has not finished may read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xstilts.data.own import FOLDER
from xstilts.errors import ConfigError, Problem
from xstilts.files import TEMPORARY, names_in, read_json_if_whole
from xstilts.lease import Lease, describe, living
from xstilts.run import attempts
from xstilts.run.kept_weights import kept_by_all
from xstilts.run.places import INVENTORY, PREPARED, REHEARSAL, TUNE, Places, sweep_names
from xstilts.run.records import STAGES, is_finished, read_record, read_stages
from xstilts.run.stage_results import TORN, TRASH, WEIGHTS, drop_weights, is_done, throw_away
from xstilts.run.storage import CLEANING
from xstilts.run.store import CHECKPOINTS, WORK, Store

ENDED = ("finished", "failed")
"""How an attempt at a trial ended that nobody takes up."""

OLD_S = 3600.0
"""What is still being written, or about to be launched, is not that old; clocks are not an hour
apart."""

UNREFERENCED = "stages that no sweep references"
INTERRUPTED = "what killed processes left"
DAMAGED = "torn files that were put aside"
CHECKPOINT = "checkpoints of stages that are done or gone"
FALLEN = "weights of targets that no sweep keeps"
FORGOTTEN = "weights that only {name} needs"
SCRATCH = "scratch files of launches"
UNREAD = "data sets of own files that no sweep reads"


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file or folder that may be deleted, or the weights in that of a stage; the reason, and the
    size."""

    path: Path
    reason: str
    num_bytes: int
    is_weights: bool = False
    is_folder: bool = False

    @classmethod
    def at(cls, path: Path, reason: str, is_weights: bool) -> Garbage:
        """What lies there now."""
        return cls(path, reason, _size(path, is_weights), is_weights, path.is_dir())

    def delete(self) -> None:
        """Delete it; that somebody else has done so is no error."""
        if self.is_weights:
            drop_weights(self.path)
        elif self.is_folder:
            throw_away(self.path)
        else:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Needs:
    """What the sweeps of a storage need: stages at all, stages with weights for trials to come.

    `is_known` is false where a trial's list of its stages is torn: they may be any.
    """

    stages: frozenset[str]
    weights: frozenset[str]
    kept: frozenset[str]
    is_known: bool


def find_garbage(storage: Path, forgotten: str | None = None) -> list[Garbage]:
    """What may be deleted.

    Args:
        forgotten: a sweep whose weights are wanted no more; its scores, predictions and report
            stay, and what it would still have to do is done from the beginning.

    Raises:
        ConfigError: a sweep of the storage is running, or the forgotten one is not there.
    """
    names = sweep_names(storage)
    if forgotten is not None and forgotten not in names:
        known = ", ".join(names) or "none"
        raise ConfigError([Problem("NAME", "no such sweep", f'"{forgotten}"', f"known: {known}")])
    for lease in living([Lease(Places(storage, name).launches) for name in names]):
        holder = lease.holder()
        rule = f'the sweep "{lease.folder.parent.name}" is running'
        got = describe(holder) if holder else ""
        raise ConfigError([Problem(str(storage), rule, got, "wait for it, or stop it")])
    everything = _needs(storage, names)
    others = _needs(storage, [name for name in names if name != forgotten])
    return [
        Garbage.at(path, reason.format(name=forgotten), is_weights)
        for path, reason, is_weights in (
            *_stages(Store(storage), everything, others, forgotten),
            *((path, INTERRUPTED, False) for path in storage.glob(".mini-*")),
            *((path, INTERRUPTED, False) for path in _temporaries(storage)),
            *((path, reason, False) for path, reason in _own_data(storage, names)),
            *((path, DAMAGED, False) for path in storage.glob(f"encoded/{TORN}*")),
            *((path, SCRATCH, False) for name in names for path in _scratch(Places(storage, name))),
        )
    ]


def delete_all(garbage: Iterable[Garbage], lease: Lease) -> None:
    """Delete what was found, while the lease of `cleaning` is held.

    Raises:
        LeaseLost: this process was stopped for so long that others may have begun since; what
            was garbage before may be theirs now.
    """
    for one in garbage:
        lease.check()
        one.delete()


@contextmanager
def cleaning(storage: Path) -> Iterator[Lease]:
    """While the block deletes, no launch begins.

    Raises:
        ConfigError: another `gc` deletes.
    """
    folder = storage / CLEANING
    folder.mkdir(exist_ok=True)
    lease = Lease(folder)
    if living([lease]) or not lease.acquire():
        rule = "another `xstilts gc` deletes there"
        raise ConfigError([Problem(str(storage), rule, repair="wait for it")])
    with lease.held():
        yield lease


def _needs(storage: Path, names: list[str]) -> _Needs:
    store = Store(storage)
    stages: set[str] = set()
    weights: set[str] = set()
    is_known = True
    for name in names:
        for folder in Places(storage, name).trials.glob("*"):
            record, named = read_record(folder), read_stages(folder)
            used = {stage.name for stage in record.stages} if record else set()
            # A race may have begun it again, for more targets.
            last = attempts.read(folder)[-1:]
            is_over = is_finished(record, store) and all(one.how in ENDED for one in last)
            if named is None and not is_over and (folder / STAGES).exists():
                is_known = False
            used |= set(named or ())
            stages |= used
            # Encoders are what trials to come share; targets belong to one trial.
            weights |= {x for x in used if x.startswith("intermediate-") or not is_over}
    kept = kept_by_all(storage, names)
    return _Needs(frozenset(stages), frozenset(weights), frozenset(kept), is_known)


def _stages(
    store: Store, everything: _Needs, others: _Needs, forgotten: str | None
) -> Iterator[tuple[Path, str, bool]]:
    folders = sorted(path for path in store.folder.glob("*") if path.is_dir())
    # A trial that runs by itself, without a driver, says by its lease what it works on.
    in_work = {lease.folder for lease in living([Lease(path) for path in folders])}
    for path in folders:
        if path in in_work:
            continue
        if path.name not in everything.stages:
            if everything.is_known:
                yield path, UNREFERENCED, False
            continue
        for rest in sorted(path.iterdir()):
            if WORK.fullmatch(rest.name) or rest.name.startswith((".", TRASH)):
                yield rest, INTERRUPTED, False
            elif rest.name.startswith(TORN):
                yield rest, DAMAGED, False
        if is_done(path):
            yield from ((file, CHECKPOINT, False) for file in sorted(path.glob(CHECKPOINTS)))
            reason = _reason_to_drop(path.name, everything, others, forgotten)
            if reason and any(path.rglob(WEIGHTS)):
                yield path, reason, True


def _reason_to_drop(name: str, everything: _Needs, others: _Needs, forgotten: str | None) -> str:
    """Why the weights of a stage may go; empty if they may not."""
    if name not in everything.weights | everything.kept:
        return FALLEN
    if forgotten is not None and name not in others.weights | others.kept:
        return FORGOTTEN
    return ""


def _temporaries(storage: Path) -> Iterator[Path]:
    """Files that were to replace others, of writers that were killed some time ago."""
    for pattern in ("*", "sweeps/*/*", "sweeps/*/*/*", "store/*", "store/*/result-*"):
        for path in sorted(storage.glob(f"{pattern}/.*")):
            is_ours = TEMPORARY.fullmatch(path.name) and path.is_file()
            if is_ours and time.time() - path.stat().st_mtime > OLD_S:
                yield path


def _own_data(storage: Path, names: list[str]) -> Iterator[tuple[Path, str]]:
    """Data sets of sweeps' own files that no definition names; those that a command has used of
    late may belong to a sweep that is not launched yet."""
    read = [_data_sets_of(Places(storage, name)) for name in names]
    for path in sorted((storage / FOLDER).glob("*")):
        if time.time() - path.stat().st_mtime <= OLD_S:
            continue
        if path.name.startswith("."):
            yield path, INTERRUPTED
        elif all(folders is not None and path.name not in folders for folders in read):
            yield path, UNREAD


def _data_sets_of(places: Places) -> set[str] | None:
    """The names of the folders of data that a sweep reads; None where they may be any: what tells
    of them is torn, or was never written, for its trials were run by themselves."""
    files = [folder / INVENTORY for folder in places.launch_folders()]
    files = [path for path in (*files, places.sweep / PREPARED) if path.exists()]
    inventories = [read_json_if_whole(path, dict) or {} for path in files]
    if not all("folders" in one for one in inventories) or (not files and names_in(places.trials)):
        return None
    return {Path(folder).name for one in inventories for folder in one["folders"].values()}


def _scratch(places: Places) -> Iterator[Path]:
    for folder in places.launch_folders():
        yield from (folder / name for name in (TUNE, REHEARSAL) if (folder / name).exists())


def _size(path: Path, is_weights: bool) -> int:
    files = path.rglob(WEIGHTS if is_weights else "*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

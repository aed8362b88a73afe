"""What may be deleted from a storage: what no sweep of it needs, and why.

Stages of a sweep stay, weights that can be trained again go first. Nothing is deleted that a trial
which has not finished may read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xstilts.errors import ConfigError, Problem
from xstilts.files import Lease, read_json
from xstilts.run.kept import KEPT
from xstilts.run.places import Places
from xstilts.run.records import STAGES, is_finished, read_record
from xstilts.run.stages import CHECKPOINTS
from xstilts.run.store import DONE, WEIGHTS, Store

UNREFERENCED = "stages that no sweep references"
INTERRUPTED = "what killed processes left"
CHECKPOINT = "checkpoints of stages that are done or gone"
FALLEN = "weights of targets that no sweep keeps"
FORGOTTEN = "weights that only {name} needs"
SCRATCH = "scratch files of launches"


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file or folder that may be deleted, the reason, and its size."""

    path: Path
    reason: str
    num_bytes: int

    def delete(self) -> None:
        """Delete it; that somebody else has done so is no error."""
        if self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Needs:
    """What the sweeps of a storage need: stages at all, stages with weights for trials to come."""

    stages: frozenset[str]
    weights: frozenset[str]
    kept: frozenset[str]


def find_garbage(storage: Path, forgotten: str | None = None) -> list[Garbage]:
    """What may be deleted.

    Args:
        forgotten: a sweep whose weights are wanted no more; its scores, predictions and report
            stay, and what it would still have to do is done from the beginning.

    Raises:
        ConfigError: a sweep of the storage is running, or the forgotten one is not there.
    """
    names = sorted(path.name for path in (storage / "sweeps").glob("*") if path.is_dir())
    if forgotten is not None and forgotten not in names:
        known = ", ".join(names) or "none"
        raise ConfigError([Problem("NAME", "no such sweep", f'"{forgotten}"', f"known: {known}")])
    for name in names:
        lease = Lease(storage / "sweeps" / name / "driver.lease")
        if lease.holder() is not None and not lease.is_stale():
            rule = f'the sweep "{name}" is running'
            raise ConfigError([Problem(str(storage), rule, repair="wait for it, or stop it")])
    everything = _needs(storage, names)
    others = _needs(storage, [name for name in names if name != forgotten])
    found = [
        *_stages(Store(storage), everything, others, forgotten),
        *_checkpoints(storage, everything),
        *_scratch(storage, names),
    ]
    return [Garbage(path, reason.format(name=forgotten), _size(path)) for path, reason in found]


def _needs(storage: Path, names: list[str]) -> _Needs:
    store = Store(storage)
    stages: set[str] = set()
    weights: set[str] = set()
    kept: set[str] = set()
    for name in names:
        places = Places(storage, name)
        if (places.sweep / KEPT).exists():
            kept |= set(read_json(places.sweep / KEPT))
        for folder in places.trials.glob("*"):
            record = read_record(folder)
            used = set(read_json(folder / STAGES)) if (folder / STAGES).exists() else set()
            used |= {stage["name"] for stage in record["stages"]} if record else set()
            stages |= used
            # Encoders are what trials to come share; targets belong to one trial.
            is_over = is_finished(record, store)
            weights |= {x for x in used if x.startswith("intermediate-") or not is_over}
    return _Needs(frozenset(stages), frozenset(weights), frozenset(kept))


def _stages(
    store: Store, everything: _Needs, others: _Needs, forgotten: str | None
) -> Iterator[tuple[Path, str]]:
    # A trial that runs by itself, without a driver, says by its lease what it works on.
    in_work = {path.stem for path in store.folder.glob("*.lease") if not Lease(path).is_stale()}
    for path in sorted(store.folder.glob("*")):
        if path.name.lstrip(".").partition(".")[0] in in_work:
            continue
        if path.suffix in (".lease", ".takeover") or path.name.startswith("."):
            yield path, INTERRUPTED
        elif path.name not in everything.stages:
            yield path, UNREFERENCED
        elif not (path / DONE).exists():
            yield path, INTERRUPTED
        else:
            reason = _reason_to_drop(path.name, everything, others, forgotten)
            yield from ((file, reason) for file in path.rglob(WEIGHTS) if reason)


def _reason_to_drop(name: str, everything: _Needs, others: _Needs, forgotten: str | None) -> str:
    """Why the weights of a stage may go; empty if they may not."""
    if name not in everything.weights | everything.kept:
        return FALLEN
    if forgotten is not None and name not in others.weights | others.kept:
        return FORGOTTEN
    return ""


def _checkpoints(storage: Path, needs: _Needs) -> Iterator[tuple[Path, str]]:
    for path in sorted((storage / CHECKPOINTS).glob("*")):
        name = path.name.lstrip(".").partition(".")[0]
        lease = Lease(storage / "stages" / f"{name}.lease")
        if lease.holder() is not None and not lease.is_stale():
            continue
        if path.name.startswith("."):
            yield path, INTERRUPTED
        elif name not in needs.stages or (storage / "stages" / name / DONE).exists():
            yield path, CHECKPOINT


def _scratch(storage: Path, names: list[str]) -> Iterator[tuple[Path, str]]:
    for name in names:
        for folder in ("tune", "rehearsal"):
            path = storage / "sweeps" / name / folder
            if path.exists():
                yield path, SCRATCH


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

"""The storage: its identity, its format, and how a storage of an older format is taken up.

`storage.json` is written by the first launch. Workers look for the identity in it before they write
anything, so that a share whose mount has vanished is not made anew on the empty mount point.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xstilts.errors import ConfigError, Problem, StorageGone
from xstilts.files import FILE_MODE, read_json, read_json_if_whole, sync, write_json
from xstilts.lease import Lease, describe, living

logger = logging.getLogger(__name__)

STORAGE = "storage.json"
FORMAT = 2
"""Format 1 had no `storage.json`; its stages lay in `stages/`, its leases beside them."""

STORE, SWEEPS, CACHES = "store", "sweeps", "caches"
FOLDERS = (STORE, SWEEPS, CACHES, "encoded", "hub", "limits")

BARRED = {"stages": STORE, "cache": CACHES}
"""Folders of format 1, now files: a build that knows only that format ends before it could take a
lease that nobody else sees."""

CLEANING = "cleaning"
"""The folder of the lease that `gc` holds while it deletes."""

TAKING_UP = "taking-up"
"""The folder of the lease that a process holds while it takes up a storage of format 1."""

SILENCE_S = 30.0
"""How long nobody has touched a lease of format 1 that is nobody's any more."""

ANSWER_S = 5.0
"""How long the first launch may take between creating `storage.json` and writing it."""


class TornIdentity(StorageGone):
    """`storage.json` is there, and holds nothing that can be read."""


def open_storage(root: Path, tell: Callable[[str], Any] = logger.warning) -> str:
    """Make a storage, or take up the one that is there; its identity.

    Args:
        tell: called with a line where a storage of format 1 is taken up.

    Raises:
        ConfigError: it is of a later format, or of format 1 with a lease that is live.
        OSError: it cannot be read or written.
    """
    if (root / STORAGE).exists():
        try:
            return identity_of(root)
        except TornIdentity as error:
            logger.warning("%s; it is written anew", error)
            (root / STORAGE).rename(root / f"torn-{STORAGE}")
            _write_identity(root)
    else:
        root.mkdir(parents=True, exist_ok=True)
        if _is_of_format_1(root):
            with _alone(root):
                if not (root / STORAGE).exists():
                    _take_up(root, tell)
        else:
            _make(root)
    return identity_of(root)


def identity_of(root: Path) -> str:
    """The identity of the storage at `root`.

    Raises:
        ConfigError: it is of a later format.
        StorageGone: there is none.
    """
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            facts = read_json(root / STORAGE)
            break
        except OSError as error:
            raise StorageGone(f"{root}: the storage is not there: {error}") from error
        except ValueError as error:
            if time.monotonic() > deadline:  # nobody is writing it
                raise TornIdentity(f"{root / STORAGE}: cannot be read: {error}") from error
        time.sleep(0.05)
    if facts["format"] > FORMAT:
        raise ConfigError(
            [
                Problem(
                    str(root),
                    f"this xstilts reads storages up to format {FORMAT}",
                    f"format {facts['format']}",
                    "install the xstilts that wrote it, or a later one",
                )
            ]
        )
    return str(facts["identity"])


def check_identity(root: Path, identity: str) -> None:
    """See that the storage is the one that the sweep was launched on.

    Raises:
        StorageGone: it is not there, or another one is.
    """
    if (found := identity_of(root)) != identity:
        raise StorageGone(f"{root}: is another storage than that of the launch ({found})")


def _is_of_format_1(root: Path) -> bool:
    """Whether it is, taken up in part perhaps. One that another process is just making is not: that
    one makes the store before the sweeps, and files where format 1 has folders."""
    if (root / TAKING_UP).exists() or any((root / name).is_dir() for name in BARRED):
        return True
    return (root / SWEEPS).exists() and not (root / STORE).exists()


def _make(root: Path) -> None:
    """The folders of an empty storage; the identity last, once and for all processes."""
    for name in FOLDERS:
        (root / name).mkdir(exist_ok=True)
    for name, now in BARRED.items():
        _bar(root / name, now)
    _write_identity(root)


def _write_identity(root: Path) -> None:
    try:
        descriptor = os.open(root / STORAGE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
    except FileExistsError:
        return  # another process was first, and its identity counts
    try:
        text = json.dumps({"format": FORMAT, "identity": uuid.uuid4().hex}) + "\n"
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    except OSError:
        (root / STORAGE).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync(root)


def _bar(path: Path, now: str) -> None:
    # Several processes may be making the storage: the first one's file is everyone's.
    with suppress(FileExistsError), path.open("x") as stream:
        stream.write(f"This storage is of format {FORMAT}: see {now}/ beside this file.\n")


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """The block is run by one process at a time; others wait for it."""
    folder = root / TAKING_UP
    folder.mkdir(exist_ok=True)
    lease = Lease(folder)
    while not lease.acquire():
        time.sleep(0.2)
    with lease.held():
        yield


def _take_up(root: Path, tell: Callable[[str], Any]) -> None:
    """From format 1 to format 2, by renames alone; what was cut off in the middle goes on."""
    if held := [*root.glob("stages/*.lease"), *root.glob("sweeps/*/driver.lease")]:
        tell(f"{root}: an older xstilts may use it; watching for half a minute")
        if watched := _watch(held):
            rule = "is of an older format, and in use by an older xstilts"
            repair = "wait for it, or stop it"
            raise ConfigError([Problem(str(root), rule, str(watched[0].name), repair)])
    for old, new in BARRED.items():
        if (root / old).is_dir():
            (root / old).rename(root / new)
        _bar(root / old, new)
    for name in FOLDERS:
        (root / name).mkdir(exist_ok=True)
    count = sum(_take_up_stage(path) for path in sorted((root / STORE).iterdir()))
    # Their form was another: a stage that was cut off in the middle begins anew.
    if (root / "checkpoints").exists():
        shutil.rmtree(root / "checkpoints")
    for sweep in sorted((root / SWEEPS).iterdir()):
        if sweep.is_dir():
            _take_up_sweep(sweep)
    _write_identity(root)
    tell(
        f"{root}: taken up from an older format, {count} stages; each gets its digests when it is "
        "read first, and none is computed again"
    )


def _watch(leases: list[Path]) -> list[Path]:
    """Those that somebody touches: format 1 told its life by the time of the file."""
    seen = {path: _time_of(path) for path in leases}
    deadline = time.monotonic() + SILENCE_S
    while time.monotonic() < deadline:
        touched = [path for path, then in seen.items() if _time_of(path) not in (0, then)]
        if touched or not any(path.exists() for path in seen):
            return touched
        time.sleep(0.5)
    return []


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


MOVING = ".moving-"


def _take_up_stage(path: Path) -> bool:
    """`<name>/` becomes `<name>/result-1/`."""
    name = path.name.removeprefix(MOVING)
    if path.name.startswith(MOVING):
        (path.parent / name).mkdir(exist_ok=True)
    elif not path.is_dir() or name.startswith("."):  # a lease, or what a killed process left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return False
    elif not (path / "manifest.json").exists():
        return False  # taken up already, or never finished
    else:
        moving = path.with_name(f"{MOVING}{name}")
        path.rename(moving)
        path.mkdir()
        path = moving
    path.rename(path.with_name(name) / "result-1")
    return True


OF_A_LAUNCH = (
    *("sweep.json", "inventory.json", "target_points.json", "environment.json", "kept.json"),
    *("study.journal", "rehearsed.json", "sweep.yaml"),
)


def _take_up_sweep(sweep: Path) -> None:
    """What earlier launches wrote is that of launch 0; each attempt at a trial gets its file."""
    folder = sweep / "launches" / "0000"
    folder.mkdir(parents=True, exist_ok=True)
    for name in OF_A_LAUNCH:
        if (sweep / name).exists():
            (sweep / name).rename(folder / name)
    if launches := read_json_if_whole(sweep / "launches.json", list):
        slot_s = sum(launch["slot_s"] for launch in launches)
        write_json(folder / "usage.json", {**launches[-1], "slot_s": slot_s})
    for name in ("launches.json", "driver.lease", "stop", "study.journal.lock"):
        (sweep / name).unlink(missing_ok=True)
    for name in ("tune", "rehearsal"):
        shutil.rmtree(sweep / name, ignore_errors=True)
    for attempts in sorted(sweep.glob("trials/*/attempts.json")):
        known = read_json_if_whole(attempts, list)
        for number, attempt in enumerate(known or [], start=1):
            write_json(attempts.with_name(f"{number:04d}.json"), attempt)
        attempts.unlink()


def check_not_cleaning(root: Path) -> None:
    """Refuse to begin while `gc` deletes what nothing refers to yet. One that is silent has lost
    its right from here on, lest it wakes up and goes on.

    Raises:
        ConfigError: it does.
    """
    lease = Lease(root / CLEANING)
    is_running = bool(living([lease]))
    if not is_running and lease.holder() is not None:
        is_running = not lease.acquire()
        lease.release()
    if is_running:
        holder = lease.holder()
        raise ConfigError(
            [
                Problem(
                    str(root),
                    "nothing begins while `xstilts gc` deletes",
                    describe(holder) if holder else "",
                    "wait for it",
                )
            ]
        )

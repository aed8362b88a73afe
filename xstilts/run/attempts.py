"""The attempts at a trial: when each began, where, and how it ended, if anybody lived to say.

An attempt is numbered by the trial's lease and writes its own file, `0001.json`, so that two of
them never write over each other. One that nobody ended was lost: its process, its node or its
driver died. That is no failure of the trial, so it is counted apart; but a trial whose process dies
again and again at the same place has a reason of its own, and must not eat the sweep.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from xstilts.errors import StageError
from xstilts.files import names_in, write_json
from xstilts.records import Attempt, read_if_whole

LOST = "lost"

ATTEMPT = re.compile(r"\d{4,}\.json")

MAX_LOSSES = 5
"""So many attempts in a row that were lost without any progress make a trial fail."""


def begin(folder: Path, number: int, progress: str, last_sign_s: float | None) -> None:
    """Note that an attempt begins in this process, and that the one before it was lost if nobody
    ended it.

    Args:
        folder: the trial's.
        number: of the trial's lease, which this process holds.
        progress: stands for how far the trial is; equal when nothing was gained.
        last_sign_s: when the attempt before was last seen alive, seconds since the epoch.
    """
    for path in paths(folder)[-1:]:
        before = read_if_whole(path, Attempt)
        if before and before.how is None:
            _write(path, replace(before, ended=max(before.started, last_sign_s or 0.0), how=LOST))
    own = Attempt(time.time(), socket.gethostname(), os.getpid(), progress)
    _write(_path(folder, number), own)


def end(folder: Path, number: int, how: str) -> None:
    """Note how this process's attempt ended: `finished`, `failed` or `stopped`."""
    own = read_if_whole(_path(folder, number), Attempt)
    if own:
        _write(_path(folder, number), replace(own, ended=time.time(), how=how))


def read(folder: Path) -> list[Attempt]:
    """All attempts at a trial whose files are whole, oldest first."""
    found = (read_if_whole(path, Attempt) for path in paths(folder))
    return [attempt for attempt in found if attempt is not None]


def paths(folder: Path) -> list[Path]:
    """The files of a trial's attempts, oldest first."""
    names = [name for name in names_in(folder) if ATTEMPT.fullmatch(name)]
    return [folder / name for name in sorted(names, key=lambda name: int(Path(name).stem))]


def num_lost(attempts: Sequence[Attempt]) -> int:
    """How many attempts ended by the death of a process."""
    return sum(attempt.how == LOST for attempt in attempts)


def check_progress(attempts: Sequence[Attempt]) -> None:
    """Refuse a further attempt where the last ones all died at one place.

    Raises:
        StageError: `MAX_LOSSES` attempts before this one were lost and gained nothing.
    """
    own, before = attempts[-1], attempts[:-1][-MAX_LOSSES:]
    if len(before) == MAX_LOSSES and all(
        attempt.how == LOST and attempt.progress == own.progress for attempt in before
    ):
        hosts = ", ".join(sorted({attempt.host for attempt in before}))
        raise StageError(
            f"its process died {MAX_LOSSES} times in a row at the same place, on {hosts}; often "
            "the machine's memory ended: run fewer trials a node, or see its kernel log"
        )


def _write(path: Path, attempt: Attempt) -> None:
    write_json(path, asdict(attempt))


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.json"

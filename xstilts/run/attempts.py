"""The attempts at a trial: when each began, where, and how it ended, if anybody lived to say.

An attempt that nobody ended was lost: its process, its node or its driver died. That is no failure
of the trial, so it is counted apart; but a trial whose process dies again and again at the same
place has a reason of its own, and must not eat the sweep.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xstilts.errors import StageError
from xstilts.files import read_json, write_json

ATTEMPTS = "attempts.json"
LOST = "lost"

MAX_LOSSES = 5
"""So many attempts in a row that were lost without any progress make a trial fail."""


def begin(folder: Path, progress: str, last_sign_s: float | None) -> list[dict[str, Any]]:
    """Note that an attempt begins in this process; all attempts, this one last.

    Args:
        folder: the trial's.
        progress: stands for how far the trial is; equal when nothing was gained.
        last_sign_s: when the attempt before was last seen alive, seconds since the epoch.
    """
    attempts = read(folder)
    if attempts and attempts[-1]["how"] is None:
        before = attempts[-1]
        ended = before["started"] if last_sign_s is None else max(before["started"], last_sign_s)
        attempts[-1] = {**before, "ended": ended, "how": LOST}
    own = {
        "started": time.time(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "progress": progress,
        "ended": None,
        "how": None,
    }
    attempts.append(own)
    write_json(folder / ATTEMPTS, attempts)
    return attempts


def end(folder: Path, how: str) -> None:
    """Note how this process's attempt ended: `finished`, `failed` or `stopped`."""
    attempts = read(folder)
    attempts[-1] = {**attempts[-1], "ended": time.time(), "how": how}
    write_json(folder / ATTEMPTS, attempts)


def read(folder: Path) -> list[dict[str, Any]]:
    """All attempts at a trial, oldest first."""
    path = folder / ATTEMPTS
    return list(read_json(path)) if path.exists() else []


def num_lost(attempts: Sequence[dict[str, Any]]) -> int:
    """How many attempts ended by the death of a process."""
    return sum(attempt["how"] == LOST for attempt in attempts)


def check_progress(attempts: Sequence[dict[str, Any]]) -> None:
    """Refuse a further attempt where the last ones all died at one place.

    Raises:
        StageError: `MAX_LOSSES` attempts before this one were lost and gained nothing.
    """
    own, before = attempts[-1], attempts[:-1][-MAX_LOSSES:]
    if len(before) == MAX_LOSSES and all(
        attempt["how"] == LOST and attempt["progress"] == own["progress"] for attempt in before
    ):
        hosts = ", ".join(sorted({attempt["host"] for attempt in before}))
        raise StageError(
            f"its process died {MAX_LOSSES} times in a row at the same place, on {hosts}; often "
            "the machine's memory ended: run fewer trials a node, or see its kernel log"
        )

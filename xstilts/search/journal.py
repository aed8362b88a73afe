"""The study's journal: Optuna's log of operations, one file for each launch.

A launch copies what the one before it had written, and writes to its own file alone; what a driver
that was stopped still writes to an older one is read by nobody. A journal is whole lines: half a
line at its end is cut off when it is taken up, and an append that fails is undone.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from xstilts.files import CARE, write_atomically
from xstilts.run.places import Places

logger = logging.getLogger(__name__)

JOURNAL = "study.journal"
TORN = "study.journal.torn"
"""What was cut off the journal before, beside the new one."""


class Journal(BaseJournalBackend):
    """The journal at `path`, which this process alone writes.

    `check` is called before every write, and raises where the sweep is another driver's.
    """

    def __init__(self, path: Path, check: Callable[[], None] = lambda: None):
        self._path = path
        self._check = check
        path.touch()
        content = path.read_bytes()
        self._logs, self._size = _whole_lines(content)
        if torn := content[self._size :]:
            _keep_aside(path, torn)
            os.truncate(path, self._size)

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """The operations from a number on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations; all of them or, with the error of the disk, none."""
        self._check()
        data = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with self._path.open("r+b", buffering=0) as stream:
            try:
                stream.seek(self._size)
                written = stream.write(data)
                if written != len(data):
                    rule = f"only {written} of {len(data)} bytes were written"
                    raise OSError(errno.ENOSPC, rule, str(self._path))
                with CARE.taken():
                    os.fsync(stream.fileno())
            except OSError:
                with suppress(OSError):  # the next append begins at the same place
                    stream.truncate(self._size)
                raise
        self._size += len(data)
        self._logs += logs


def take_up_journal(places: Places, launch: int, check: Callable[[], None]) -> Journal:
    """The journal of a launch, begun with what the newest one before it holds whose trials have
    begun."""
    path = places.launch(launch) / JOURNAL
    for folder in places.begun_folders():
        if int(folder.name) < launch and (folder / JOURNAL).exists():
            content = (folder / JOURNAL).read_bytes()
            _, size = _whole_lines(content)
            if torn := content[size:]:
                _keep_aside(path, torn)
            write_atomically(path, content[:size])
            break
    return Journal(path, check)


def _whole_lines(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """The operations up to the first line that is none, and how many bytes they take."""
    logs, size = [], 0
    for line in io.BytesIO(content):
        try:
            log = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(log, dict):
            break
        logs.append(log)
        size += len(line)
    return logs, size


def _keep_aside(path: Path, torn: bytes) -> None:
    write_atomically(path.with_name(TORN), torn)
    logger.warning(
        "%s: its end was torn; %d bytes are kept aside in %s, and what they said is done again",
        path,
        len(torn),
        TORN,
    )

"""What a trial leaves in its folder, and how it is read; nothing here needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xstilts.files import read_json
from xstilts.run.store import DONE, Store

RECORD = "record.json"
"""Scores, stages and costs of a trial that ended."""

STATUS = "status.json"
"""Where a trial is, for whoever watches."""

STAGES = "stages.json"
"""Names of the stages that a trial reads or computes, from its beginning on: nobody else may
delete them."""


def read_record(folder: Path) -> dict[str, Any] | None:
    """A trial's record, None before it ended."""
    path = folder / RECORD
    if not path.exists():
        return None
    record: dict[str, Any] = read_json(path)
    return record


def read_status(folder: Path) -> dict[str, Any] | None:
    """What a trial said last of where it is; None before it began."""
    try:
        status: dict[str, Any] = read_json(folder / STATUS)
    except (OSError, ValueError):
        return None
    return status


def is_finished(record: dict[str, Any] | None, store: Store) -> bool:
    """Whether a trial's record is final and every stage behind it is still in the store."""
    if record is None or record["state"] != "finished":
        return False
    return all((store.folder / stage["name"] / DONE).exists() for stage in record["stages"])

"""The store: stages on disk, by fingerprint, each computed once.

A stage's folder appears complete or not at all: it is written elsewhere, `DONE` last, and renamed
into place. Who computes holds the stage's lease; a folder without `DONE` does not exist.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts.errors import StorageFull, StoreError
from xstilts.files import HEARTBEAT_S, Lease, is_disk_full, read_json, write_atomically, write_json
from xstilts.plan.stage import Stage, fingerprint, stage_name

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
DONE = "DONE"
WEIGHTS = "*.safetensors"
"""What a training stage leaves besides its manifest; it may be dropped."""


@dataclass(frozen=True, slots=True)
class Found:
    """A stage's folder and manifest; whether it was there before; seconds waited for another."""

    folder: Path
    manifest: dict[str, Any]
    is_reused: bool
    wait_s: float


class Store:
    """The stages under `<storage>/stages`."""

    def __init__(self, storage: Path, heartbeat_s: float = HEARTBEAT_S):
        self.folder = storage / "stages"
        self._heartbeat_s = heartbeat_s

    def path(self, stage: Stage) -> Path:
        """Where a stage is, or would be."""
        return self.folder / stage_name(stage)

    def has(self, stage: Stage) -> bool:
        """Whether a stage is complete."""
        return (self.path(stage) / DONE).exists()

    def has_weights(self, stage: Stage) -> bool:
        """Whether a training stage is complete and its weights have not been dropped."""
        return self.has(stage) and any(self.path(stage).glob(f"encoder/{WEIGHTS}"))

    def drop_weights(self, name: str) -> None:
        """Delete the weights of the stage in the folder `name`; what it found out stays.

        Who needs them again trains it again, to the same bytes.
        """
        for path in (self.folder / name).rglob(WEIGHTS):
            path.unlink(missing_ok=True)

    def read(self, stage: Stage) -> dict[str, Any]:
        """A complete stage's manifest.

        Raises:
            StoreError: the folder holds another stage, or its manifest is damaged.
        """
        folder = self.path(stage)
        try:
            manifest: dict[str, Any] = read_json(folder / MANIFEST)
        except (OSError, ValueError) as error:
            raise StoreError(f"{folder}: {MANIFEST} cannot be read; delete the folder") from error
        if manifest.get("fingerprint") != fingerprint(stage):
            raise StoreError(f"{folder}: holds another stage; delete the folder")
        return manifest

    def is_in_work(self, stage: Stage) -> bool:
        """Whether a living process computes the stage now."""
        lease = self._lease(stage)
        return lease.holder() is not None and not lease.is_stale()

    def get(
        self,
        stage: Stage,
        compute: Callable[[Path], dict[str, Any]],
        while_waiting: Callable[[], None] = lambda: None,
        with_weights: bool = False,
    ) -> Found:
        """The stage, computed if nobody has; waits while another process computes it.

        `compute` writes the stage's files into the folder it is given and returns the manifest.
        `while_waiting` is called now and then; what it raises ends the wait. A stage whose weights
        were dropped is computed again where they are asked for.

        Raises:
            StorageFull: the disk is full.
            StoreError: the folder cannot be written.
        """
        started = time.monotonic()
        lease = self._lease(stage)
        is_there = self.has_weights if with_weights else self.has
        while True:
            if is_there(stage):
                waited = time.monotonic() - started
                return Found(self.path(stage), self.read(stage), True, waited)
            if lease.acquire():
                break
            while_waiting()
            time.sleep(min(1.0, self._heartbeat_s / 4))
        waited = time.monotonic() - started
        with lease.held():
            if is_there(stage):  # finished between our look and our lease
                return Found(self.path(stage), self.read(stage), True, waited)
            return Found(self.path(stage), self._compute(stage, compute), False, waited)

    def _lease(self, stage: Stage) -> Lease:
        return Lease(self.folder / f"{stage_name(stage)}.lease", self._heartbeat_s)

    def _compute(self, stage: Stage, compute: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        final = self.path(stage)
        # What a killed process left behind; we hold the lease, so nobody else writes there.
        for rest in self.folder.glob(f".{final.name}.*"):
            shutil.rmtree(rest, ignore_errors=True)
        temporary = self.folder / f".{final.name}.{uuid.uuid4().hex[:8]}"
        temporary.mkdir(parents=True)
        try:
            manifest = {"fingerprint": fingerprint(stage), "name": final.name, **compute(temporary)}
            write_json(temporary / MANIFEST, manifest)
            for path in temporary.rglob("*"):
                if path.is_file():
                    _flush(path)
            write_atomically(temporary / DONE, "")
            if final.exists():  # without DONE, or without its weights
                shutil.rmtree(final)
            temporary.rename(final)
        except Exception as error:
            if is_disk_full(error):
                raise StorageFull(f"{self.folder}: the disk is full") from error
            if isinstance(error, OSError):
                raise StoreError(f"{final}: cannot be written: {error}") from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return manifest


def _flush(path: Path) -> None:
    """Make a file durable before the rename that makes it visible."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

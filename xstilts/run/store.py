"""The store: stages on disk, by fingerprint, each computed once.

`<storage>/store/<stage>/` holds the claims of its lease (`0001.lease`), its results (`result-1`),
what running processes write (`work-0001-4fa7c1e0`, `checkpoint-0001.safetensors`), and what was
torn. A result appears complete or not at all, and no other is ever put in its place: weights that
are made again after they were dropped go beside it under the next number.
"""

from __future__ import annotations

import errno
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xstilts.errors import LeaseLost, StorageFull, StoreError
from xstilts.files import is_disk_full, publish_folder
from xstilts.lease import HEARTBEAT_S, Lease, Sight
from xstilts.plan.stage import Pretrained, Stage, Train, fingerprint, stage_name
from xstilts.run import stage_results
from xstilts.run.stage_results import TRASH, StageResult
from xstilts.run.storage import STORE, check_identity

logger = logging.getLogger(__name__)

WORK = re.compile(r"work-(\d+)-\w+")
UNFINISHED = "UNFINISHED"
"""In the folder that a stage's files are written to, from before the first to after the last."""

CHECKPOINT = "checkpoint-{:04d}.safetensors"
CHECKPOINTS = "checkpoint-*.safetensors"


@dataclass(frozen=True, slots=True)
class Found:
    """A stage's folder and manifest; whether it was there before; seconds waited for another."""

    folder: Path
    manifest: dict[str, Any]
    is_reused: bool
    wait_s: float


@dataclass(slots=True)
class Claim:
    """A stage that this process computes: the folder for its files, and whether it still is its."""

    folder: Path
    lease: Lease
    _looked: float = field(default_factory=time.monotonic)
    _is_lost: bool = False

    @property
    def checkpoint(self) -> Path:
        """Where the holder of the lease writes its checkpoint."""
        return self.lease.folder / CHECKPOINT.format(self.lease.number)

    def is_lost(self) -> bool:
        """Whether another process has taken over; looks once a second, for it is often asked."""
        now = time.monotonic()
        if not self._is_lost and now - self._looked >= 1.0:
            self._looked, self._is_lost = now, self.lease.is_lost
        return self._is_lost


Compute = Callable[[Claim], dict[str, Any]]


class Store:
    """The stages under `<storage>/store`.

    `identity` is the storage's own, where the process that uses the store did not open it.
    """

    def __init__(self, storage: Path, heartbeat_s: float = HEARTBEAT_S, identity: str = ""):
        self.folder = storage / STORE
        self._storage = storage
        self._identity = identity
        self._heartbeat_s = heartbeat_s
        self._watched: dict[str, Lease] = {}

    def path(self, stage: Stage) -> Path:
        """The folder of a stage, there or not."""
        return self.folder / stage_name(stage)

    def has(self, stage: Stage) -> bool:
        """Whether a stage is complete."""
        return stage_results.is_done(self.path(stage))

    def has_weights(self, stage: Stage) -> bool:
        """Whether a training stage is complete and its weights have not been dropped."""
        return _weighty(stage_results.results_of(self.path(stage))) is not None

    def weights(self, stage: Stage) -> Path:
        """The folder of a training stage's result that has its weights.

        Raises:
            StoreError: there is none.
        """
        found = _weighty(stage_results.results_of(self.path(stage)))
        if found is None:
            raise StoreError(f"{self.path(stage)}: its weights are not there any more")
        return found.folder

    def result(self, name: str) -> Path | None:
        """The folder of the result of the stage in the folder `name`, its files checked."""
        found = stage_results.results_of(self.folder / name)
        return found[0].folder if found else None

    def drop_weights(self, name: str) -> None:
        """Delete the weights of the stage in the folder `name`; what it found out stays.

        Who needs them again trains it again, to the same bytes.
        """
        stage_results.drop_weights(self.folder / name)

    def read(self, stage: Stage) -> dict[str, Any]:
        """A complete stage's manifest.

        Raises:
            StoreError: there is none, or the folder holds another stage.
        """
        there = self._there(stage, with_weights=False)
        if there is None:
            raise StoreError(f"{self.path(stage)}: is not complete")
        return there[1]

    def is_in_work(self, stage: Stage) -> bool:
        """Whether another process computes the stage now, as far as can be known by now."""
        name = stage_name(stage)
        lease = self._watched.setdefault(name, Lease(self.folder / name, self._heartbeat_s))
        return lease.look() is not Sight.FREE

    def get(
        self,
        stage: Stage,
        compute: Compute,
        while_waiting: Callable[[], None] = lambda: None,
        with_weights: bool = False,
    ) -> Found:
        """The stage, computed if nobody has; waits while another process computes it.

        `compute` writes the stage's files into its claim's folder and returns the manifest.
        `while_waiting` is called now and then; what it raises ends the wait. A stage whose weights
        were dropped is computed again where they are asked for.

        Raises:
            StorageFull: the disk is full.
            StorageGone: the storage is not there any more.
            StoreError: the folder cannot be written.
        """
        started = time.monotonic()
        folder = self.path(stage)
        lease = Lease(folder, self._heartbeat_s)
        while True:
            try:
                if (there := self._there(stage, with_weights)) is not None:
                    return Found(*there, True, time.monotonic() - started)
                is_ours = self._claim(lease)
            except OSError as error:
                raise _told(error, folder) from error
            if is_ours:
                waited = time.monotonic() - started
                try:
                    with lease.held():
                        # It may have been finished between our look and our lease.
                        there = self._there(stage, with_weights)
                        is_reused = there is not None
                        found = there or self._compute(stage, compute, lease, with_weights)
                        return Found(*found, is_reused, waited)
                except LeaseLost as error:
                    logger.warning("%s: %s; waiting for the other one", folder.name, error)
            while_waiting()
            time.sleep(min(1.0, self._heartbeat_s / 4))

    def _there(self, stage: Stage, with_weights: bool) -> tuple[Path, dict[str, Any]] | None:
        """Folder and manifest of a stage that is complete; of one whose weights were made again,
        the manifest of its first result."""
        found = stage_results.results_of(self.path(stage))
        if not found:
            return None
        manifest = found[0].manifest
        if manifest.get("fingerprint") != fingerprint(stage):
            raise StoreError(f"{found[0].folder}: holds another stage; delete the folder")
        used = _weighty(found) if with_weights else found[0]
        return None if used is None else (used.folder, manifest)

    def _claim(self, lease: Lease) -> bool:
        if self._identity:
            check_identity(self._storage, self._identity)
        lease.folder.mkdir(exist_ok=True)
        try:
            return lease.acquire()
        except FileNotFoundError:  # `gc` has just deleted the folder
            return False

    def _compute(
        self, stage: Stage, compute: Compute, lease: Lease, with_weights: bool
    ) -> tuple[Path, dict[str, Any]]:
        # Numbers begin anew where `gc` has deleted the folder: the token makes the name ours alone.
        work = f"work-{lease.number:04d}-{lease.owner.token[:8]}"
        claim = Claim(lease.folder / work, lease)
        is_marked = False
        try:
            _sweep_up(lease)
            claim.folder.mkdir()
            (claim.folder / UNFINISHED).touch()
            is_marked = True
            manifest = {
                "fingerprint": fingerprint(stage),
                "name": stage_name(stage),
                "lease": lease.number,
                **compute(claim),
            }
            stage_results.seal(claim.folder, manifest, passing=[UNFINISHED])
            # Gone where another process has cleared the folder away and ours made a new one; a file
            # server knows that even where a client's cache hides who has taken the lease.
            (claim.folder / UNFINISHED).unlink()
            is_marked = False
            lease.renew()
            return self._publish(stage, claim, with_weights)
        except LeaseLost:
            raise
        except Exception as error:
            # Whoever took over has cleared our files away, as `UNFINISHED` shows too.
            if lease.is_lost or (is_marked and _is_cleared(claim)):
                raise LeaseLost(f"{lease.folder}: lost: {error}") from error
            if isinstance(error, OSError) or is_disk_full(error):
                raise _told(error, lease.folder) from error
            raise
        finally:
            with suppress(OSError):  # the next holder clears it away
                stage_results.throw_away(claim.folder)

    def _publish(
        self, stage: Stage, claim: Claim, with_weights: bool
    ) -> tuple[Path, dict[str, Any]]:
        """Give the finished folder its name. Where another process was first, its result stays and
        ours is dropped: a stage has one result for good."""
        while (there := self._there(stage, with_weights)) is None:
            final = stage_results.next_folder(claim.lease.folder)
            try:
                if publish_folder(claim.folder, final):
                    stage_results.mark_verified(final)
            except FileNotFoundError as error:
                if self._there(stage, with_weights) is None:
                    raise LeaseLost(f"{claim.folder}: was cleared away") from error
        return there


def encoder_files(store: Store, stage: Pretrained | Train) -> tuple[Path, tuple[Path, ...]]:
    """Of what an encoder is made: the folder of whole weights, and those of the adapters that are
    merged into them, one after the other.

    Raises:
        StoreError: some of its weights are not there any more.
    """
    if isinstance(stage, Pretrained):
        return Path(stage.path), ()
    own = store.weights(stage) / "encoder"
    if stage.lora is None:
        return own, ()
    folder, adapters = encoder_files(store, stage.parent)
    return folder, (*adapters, own)


def _sweep_up(lease: Lease) -> None:
    """Clear away what earlier holders left, and they alone: a process that was stopped before this
    must not clear away what a later one does. One that is only stopped finds its folder gone, and
    can publish nothing of it."""
    for path in lease.folder.iterdir():
        match = WORK.fullmatch(path.name)
        if path.name.startswith(TRASH) or (match and int(match[1]) < lease.number):
            stage_results.throw_away(path)


def _is_cleared(claim: Claim) -> bool:
    """Whether another process has cleared the claim's folder away; asked by deleting the mark in
    it, for a client's cache may show what is not there any more."""
    try:
        (claim.folder / UNFINISHED).unlink()
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ESTALE)
    return False


def _weighty(found: Sequence[StageResult]) -> StageResult | None:
    """The newest result that has its weights."""
    return next((result for result in reversed(found) if result.has_weights), None)


def _told(error: BaseException, folder: Path) -> StoreError:
    """An error of the file system in the words of the store."""
    if is_disk_full(error):
        return StorageFull(f"{folder.parent}: the disk is full")
    return StoreError(f"{folder}: cannot be read or written: {error}")

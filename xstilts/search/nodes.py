"""Watches over a running sweep what Tune does not: that a node is left, that a stop is a stop,
how much was allocated to it, and that trials that have ended take little memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from rich.text import Text

from xstilts.errors import StageError
from xstilts.files import write_json
from xstilts.search.connection import alive_nodes

LOOK_EVERY_S, CHECK_EVERY_S = 1.0, 5.0
WRITE_EVERY_S = 30.0


class AllStopped(Exception):
    """Nothing of the sweep runs any more: it is done, or was told to stop."""


class SweepWatch(tune.Callback):  # type: ignore[misc]
    """Ends a sweep whose nodes are all dead, for Tune would wait for one for ever, and one that
    was told to stop as soon as no trial runs, for Tune would still start those that wait for a
    place. The same command resumes either. One that is done it ends before Tune does, which would
    write down every trial and read it back.

    Args:
        is_stopping: whether the sweep was told to stop.
        is_done: whether all its trials have ended, and no more will come.
        check: raises where the sweep is another driver's, or its storage gone.
        num_slots: how many trials fit on nodes with these resources.
        file: where the launch notes the time that was allocated to it, in slot-seconds.
        tell: called with a line for every trial whose process was lost.
    """

    def __init__(
        self,
        is_stopping: Callable[[], bool],
        is_done: Callable[[], bool],
        check: Callable[[], None],
        num_slots: Callable[[list[dict[str, float]]], int],
        file: Path,
        tell: Callable[[Text], Any],
    ) -> None:
        self._tell = tell
        self._is_stopping, self._is_done = is_stopping, is_done
        self._check = check
        self._num_slots = num_slots
        self._file = file
        self._own = {"started": time.time(), "seen": time.time(), "slot_s": 0.0}
        self._checked = time.monotonic()
        self._written = 0.0
        self._looked = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks, and nobody reads that."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """See the class.

        Raises:
            StageError: no node is alive.
            LeaseLost, StorageGone: see `check`.
            AllStopped: the sweep is stopping and no trial runs.
        """
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            self._check()
        if self._is_stopping() and not any(trial.status == Trial.RUNNING for trial in trials):
            raise AllStopped
        if time.monotonic() - self._checked >= CHECK_EVERY_S:
            self.look()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """See the class.

        Raises:
            AllStopped: the sweep is done.
        """
        if self._is_done():
            raise AllStopped

    def on_trial_complete(
        self, iteration: int, trials: list[Any], trial: Trial, **info: Any
    ) -> None:
        """Let go of what Tune has counted of a trial: its record says it, and for thousands of
        trials it would be most of what the driver holds."""
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()
        result = trial.last_result
        result.clear()
        result["done"] = True  # of a trial without a result Tune asks its actor

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Trial, **info: Any) -> None:
        """Say why, in Ray's words: that the memory was full, say, or the node is gone."""
        reason = str(trial.get_pickled_error() or trial.get_error() or "").strip().split("\n")[0]
        self._tell(Text(f"A trial's process was lost; the trial will go on. Ray says: {reason}"))

    def look(self) -> None:
        """Count the nodes, and the time since the last look.

        Raises:
            StageError: no node is alive.
        """
        now = time.monotonic()
        alive = alive_nodes()
        self._own["slot_s"] += (now - self._checked) * self._num_slots(alive)
        self._own["seen"] = time.time()
        self._checked = now
        if now - self._written >= WRITE_EVERY_S:
            self.write()
        if not alive:
            raise StageError("Ray has lost its last node; the same command goes on from here")

    def write(self) -> None:
        """Note what was counted; a full disk is no reason to end."""
        self._written = time.monotonic()
        with suppress(OSError):
            write_json(self._file, self._own)

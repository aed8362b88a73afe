"""Watches that there is a node left to run on: Tune itself would wait for one for ever."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray import tune

from xstilts.errors import StageError

CHECK_EVERY_S = 5.0


class NodeWatch(tune.Callback):  # type: ignore[misc]
    """Ends a sweep whose nodes are all dead; the same command resumes it."""

    def __init__(self) -> None:
        self._checked = time.monotonic()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """See the class.

        Raises:
            StageError: no node is alive.
        """
        if time.monotonic() - self._checked < CHECK_EVERY_S:
            return
        self._checked = time.monotonic()
        if not any(node["Alive"] for node in ray.nodes()):
            raise StageError("Ray has lost its last node; the same command goes on from here")

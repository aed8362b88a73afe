"""The time of a turn's steps, those at either end left out."""

from __future__ import annotations

import time

import torch

BEFORE, AFTER = 2, 1
"""Steps of a turn before those that are timed, in which devices and libraries set themselves up,
and after them: the last one brings a stage's end with it."""


class Stopwatch:
    """Times the middle steps of a turn of `num_steps`, and what a device has not done by then."""

    def __init__(self, device: str, num_steps: int):
        self._device = device
        self._ends = (BEFORE, num_steps - AFTER)
        self._times: list[float] = []

    def after(self, step: int) -> None:
        """A step is done, counted from 1."""
        if step in self._ends:
            self._times.append(now(self._device))

    @property
    def seconds(self) -> float:
        """Of the timed steps together."""
        begun, ended = self._times
        return ended - begun


def now(device: str) -> float:
    """The time when a device has done what it was asked to."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()

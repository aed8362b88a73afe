"""Timing in turns: each round runs everything once, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def interleaved(
    runs: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of every run by round, and what each returned last. The first of each is not timed:
    it loads what is loaded once.
    """
    results = {name: run() for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.perf_counter()
            results[name] = run()
            times[name].append(time.perf_counter() - begun)
    return times, results


def spread(slower: Sequence[float], faster: Sequence[float]) -> str:
    """Median, lowest and highest of the ratios of the rounds."""
    ratios = np.array(slower) / np.array(faster)
    return f"{np.median(ratios):.2f} (from {ratios.min():.2f} to {ratios.max():.2f})"

"""Mixtures: rates of examples, or of steps, and how many examples each task gives.

The rules are those of Raffel et al. 2020 (T5, arXiv 1910.10683, section 3.5.2): proportional to
size, sizes capped first, then raised to 1/temperature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the training core uses `allocate` on machines without pydantic
    from xstilts.config.schema import IntermediateSpec


def shares_of(
    spec: IntermediateSpec, sizes: Mapping[str, int], searched: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Each task's share, of examples or of steps as the intermediate's `unit` says; shares sum to
    1, tasks without a share are left out.

    Args:
        spec: the intermediate of the sweep file.
        sizes: training rows by task.
        searched: the rates that the search drew, where the file says `rates: search`.
    """
    if spec.rates == "uniform":
        weights = dict.fromkeys(spec.tasks, 1.0)
    elif spec.rates == "proportional":
        cap = spec.cap or math.inf
        weights = {t: min(sizes[t], cap) ** (1 / spec.temperature) for t in spec.tasks}
    elif spec.rates == "search":
        assert searched is not None, "the searched rates come with the trial"
        weights = {task: float(searched[task]) for task in spec.tasks}
    else:
        weights = {task: float(spec.rates[task]) for task in spec.tasks}
    total = sum(weights.values())
    return {task: weight / total for task, weight in weights.items() if weight > 0}


def shares_of_examples(
    spec: IntermediateSpec, shares: Mapping[str, float], batch_sizes: Mapping[str, int]
) -> dict[str, float]:
    """The shares as those of examples: of steps, each weighs as many examples as its batch has."""
    if spec.unit == "examples":
        return dict(shares)
    weights = {task: share * batch_sizes[task] for task, share in shares.items()}
    total = sum(weights.values())
    return {task: weight / total for task, weight in weights.items()}


def num_examples(spec: IntermediateSpec, sizes: Mapping[str, int], epochs: float) -> int:
    """Examples of the whole stage: the declared budget, else `epochs` passes over the data."""
    if spec.budget is not None and spec.budget.examples is not None:
        return spec.budget.examples
    if spec.budget is not None and spec.budget.epochs is not None:
        epochs = spec.budget.epochs
    cap = spec.cap or math.inf
    return max(1, round(epochs * sum(min(sizes[task], cap) for task in spec.tasks)))


def allocate(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `total`, proportional to `shares` (largest remainders)."""
    whole = sum(shares)
    exact = [total * share / whole for share in shares]
    counts = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts

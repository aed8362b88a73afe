"""Signals of configurations as arrays: what orders a race, and what its order was worth.

A signal is told of a configuration's encoder, a probe of one set of targets alone. In a race they
order candidates and do nothing else; their rank correlation with zero-shot scores says how well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from xstilts.config.derive import links_of, task_of
from xstilts.config.schema import Sweep
from xstilts.scores.aggregate import AVERAGE
from xstilts.scores.seen import columns_of

VALUE = "value"
"""The number of a signal that orders; the others say more of it."""

Told = Mapping[str, Mapping[str, float]]
"""The signals of one configuration, as a record has them; empty where there are none."""


def signal_values(sweep: Sweep, told: Sequence[Told]) -> dict[str, np.ndarray]:
    """The values of each signal that a sweep asks for, (configurations, columns), NaN unknown.

    Retrieval is the same for all columns. Targets without a dev set have the mean over all others'
    standardised probes, as they have that of their dev scores.
    """
    columns = columns_of(sweep)
    found: dict[str, np.ndarray] = {}
    for signal in sweep.search.signals:
        values = np.full((len(told), len(columns)), np.nan)
        for place, column in enumerate(columns):
            is_retrieval = signal == "retrieval"
            probed = links_of(sweep, task_of(sweep, column.targets[0]).head)[-1].name
            name = f"{signal}/{sweep.search.parallel if is_retrieval else probed}"
            for row, one in enumerate(told):
                values[row, place] = one.get(name, {}).get(VALUE, np.nan)
            if column.score == AVERAGE and not is_retrieval:
                values[:, place] = known_mean(standardised(values[:, :place]).T)
        found[signal] = values
    return found


def standardised(values: np.ndarray) -> np.ndarray:
    """Values of candidates (candidates, ...) less their mean, in standard deviations, for each
    column over those known; 0 where all known are equal, NaN where unknown."""
    known = np.isfinite(values)
    counts = np.maximum(known.sum(0), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum(0) / counts, 0.0)
    spread = np.sqrt((centred**2).sum(0) / counts)
    return np.where(known, centred / np.where(spread > 1e-12, spread, 1.0), np.nan)


def known_mean(parts: Iterable[np.ndarray]) -> np.ndarray:
    """The mean over arrays of one shape of what is known at each place, NaN where nothing is."""
    stacked = np.stack(list(parts)) if not isinstance(parts, np.ndarray) else parts
    known = np.isfinite(stacked)
    counts = known.sum(0)
    total = np.where(known, stacked, 0.0).sum(0)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)

"""How far one order of candidates is that of another: Spearman's rank correlation, with its number.

What orders the candidates of a race is judged by it: signals, what other sweeps say, lower rungs.
"""

from __future__ import annotations

import numpy as np

LEAST_TOLD, LEAST_PAIRS = 4, 3
"""Candidates below which no rank correlation is told, and those that one is estimated from."""


def rank_correlation(
    values: np.ndarray, scores: np.ndarray, least: int = LEAST_TOLD
) -> tuple[float | None, int]:
    """Spearman's rank correlation of values with scores, both (candidates,), over those that have
    both, and their number; None where they are fewer than `least`, or all equal."""
    from scipy.stats import spearmanr  # late: it takes a second

    both = np.isfinite(values) & np.isfinite(scores)
    count = int(both.sum())
    if count < least or not np.ptp(values[both]) or not np.ptp(scores[both]):
        return None, count
    return float(spearmanr(values[both], scores[both])[0]), count

"""Whether a score is above what knows nothing, beyond the noise of the rows that it was taken on.

Every metric that selects is twice the overlap of prediction and gold by the sum of their sizes:
F1 as it stands, accuracy and means over questions with sizes of 1. So a score over any rows comes
from sums of three counts, and a bootstrap from weighted sums.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

Counts = np.ndarray
"""(rows, metrics, 3), float64: what agrees, what was predicted, what is gold, for every metric of
the task."""

LEVEL = 0.01
"""How often a score that is chance alone may pass for more; one-sided."""

RESAMPLES = 1000
_AT_ONCE = 50


def rate(sums: np.ndarray) -> np.ndarray:
    """Scores, 0-100, the mean over metrics: (..., metrics, 3) to (...); 0 where nothing agrees."""
    sizes = sums[..., 1] + sums[..., 2]
    shares = np.divide(2 * sums[..., 0], sizes, out=np.zeros_like(sizes), where=sizes > 0)
    means: np.ndarray = 100 * shares.mean(-1)
    return means


def is_above(counts: Counts, constant: Counts, generator: np.random.Generator) -> bool:
    """Whether predictions are better than constant ones on the same rows, beyond their noise.

    Where every row is right or wrong by one metric: the exact binomial test against the share that
    the constant has right. Elsewhere: the 1 % quantile of the difference over paired bootstrap
    samples of the rows (Efron and Tibshirani 1993, chapter 13: the percentile interval).
    """
    if counts.shape[1] == 1 and (counts[:, 0, 1:] == 1).all():
        from scipy.stats import binom

        right, rows = float(counts[:, 0, 0].sum()), len(counts)
        return bool(binom.sf(right - 1, rows, float(constant[:, 0, 0].mean())) < LEVEL)
    differences = []
    for _ in range(0, RESAMPLES, _AT_ONCE):
        weights = generator.multinomial(
            len(counts), np.full(len(counts), 1 / len(counts)), _AT_ONCE
        ).astype(np.float64)
        own, other = (
            rate((weights @ table.reshape(len(table), -1)).reshape(-1, *table.shape[1:]))
            for table in (counts, constant)
        )
        differences.append(own - other)
    return bool(np.quantile(np.concatenate(differences), LEVEL) > 0)


def entropy(labels: Sequence[Hashable]) -> float:
    """The entropy of the labels' frequencies, in nats: the cross-entropy of the best constant; 0
    of no labels."""
    shares = [count / len(labels) for count in Counter(labels).values()]
    return -math.fsum(share * math.log(share) for share in shares)

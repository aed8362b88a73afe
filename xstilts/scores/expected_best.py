"""What the best of fewer configurations would have been: comparisons at equal search effort.

The best of sixty beats the best of six though nothing else differs; the expected best of six of
the sixty is what the six are compared with (Dodge et al. 2019).
"""

from __future__ import annotations

import numpy as np

from xstilts.scores.items import refuse


def expected_best(dev: np.ndarray, m: int, scores: np.ndarray | None = None) -> float:
    """The expected score of the best, by dev score, of `m` of n configurations.

    `dev` (n,) chooses; `scores` (n,), by default the same, is what the chosen one gets. Dodge et
    al. 2019, "Show Your Work", draw with replacement; here the m are drawn without, which leaves
    no bias (Tang et al. 2020): the i-th lowest is the best of C(i - 1, m - 1) of C(n, m) choices.
    Equal dev scores share what is theirs.

    Raises: ConfigError unless 1 <= m <= n.
    """
    dev = np.asarray(dev, dtype=np.float64)
    scores = dev if scores is None else np.asarray(scores, dtype=np.float64)
    n = len(dev)
    if not 1 <= m <= n:
        raise refuse("expected best", "m is between 1 and all configurations", f"{m} of {n}", "")
    _, of = np.unique(dev, return_inverse=True)
    below = np.concatenate([[0], np.cumsum(np.bincount(of))])
    # P(the best lies at this level or lower) = C(below, m) / C(n, m).
    reached = np.where(
        below >= m, np.exp(_log_choose(np.maximum(below, m), m) - _log_choose(n, m)), 0
    )
    means = np.bincount(of, weights=scores) / np.bincount(of)
    return float(np.diff(reached) @ means)


def _log_choose(n: np.ndarray | int, m: int) -> np.ndarray:
    from scipy.special import gammaln  # readers of scores alone would wait for it

    return np.asarray(gammaln(np.add(n, 1)) - gammaln(m + 1) - gammaln(np.add(n, 1 - m)))

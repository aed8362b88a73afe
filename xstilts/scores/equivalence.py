"""Whether two arms are as good as equal, or one no worse, within a margin; and what that takes.

A difference that is not significant is not an absent one. Equality within a margin that was stated
beforehand is shown by two one-sided tests (TOST, Schuirmann 1987), and takes more seeds than most
studies have: the power is computed before anything runs.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtri, ndtr, stdtr, stdtrit

from xstilts.scores.settling import MOST_SEEDS, POWER, check_margin
from xstilts.scores.variance import Gain, Parts, check_share, satterthwaite

ALPHA = 0.05

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(1000)


def non_inferiority(gain: Gain, margin: float) -> float:
    """The one-sided p of a candidate that is worse by `margin` points or more: small where it is
    shown to be no worse than that.

    Raises: ConfigError where the margin is none.
    """
    check_margin(margin)
    return _above(gain, -margin)


def equivalence(gain: Gain, margin: float) -> float:
    """The p of two one-sided tests that a difference is `margin` points or more, either way: small
    where the arms are shown to be equal within it. Below alpha exactly where the interval of
    confidence 1 - 2 alpha lies within the margin.

    Raises: ConfigError where the margin is none.
    """
    check_margin(margin)
    return max(_above(gain, -margin), 1 - _above(gain, margin))


def power_of_equivalence(
    seeds: np.ndarray | int,
    spread: float,
    margin: float,
    *,
    effect: float = 0.0,
    item_variance: float = 0.0,
    one_sided: bool = False,
    is_paired: bool = False,
    alpha: float = ALPHA,
) -> np.ndarray:
    """The probability (seeds) that `seeds` of each arm show equality within `margin` points, or
    where `one_sided` no more than non-inferiority, where the true difference is `effect`.

    `spread` is the standard deviation of one run, in points, equal in both arms, and nothing is
    in common to runs of a pair; `is_paired` where the test judges their differences, with half the
    degrees of freedom. `item_variance` is what seeds do not lower, taken as known. Exact
    where it is 0: the normal distribution of the difference is integrated over the chi-squared one
    of its variance (Owen's Q in other words); else with Satterthwaite's degrees of freedom.

    Raises: ConfigError where the margin or alpha is out of range.
    """
    check_margin(margin)
    check_share("alpha", alpha)
    counts = np.atleast_1d(np.asarray(seeds, dtype=np.float64))[:, None]
    seed_variance, dof = 2 * spread**2 / counts, (1 if is_paired else 2) * (counts - 1)
    # Nodes at equal probability of the variance that is estimated.
    estimated = seed_variance * chdtri(dof, (1 - _NODES) / 2) / dof
    items = np.full(estimated.shape, item_variance)
    parts = Parts(
        np.stack([estimated, items], -1),
        np.stack([np.broadcast_to(dof, items.shape), np.full(items.shape, np.inf)], -1),
        np.zeros((*items.shape, 2), bool),
    )
    half = -stdtrit(np.minimum(satterthwaite(parts), 1e9), alpha) * np.sqrt(estimated + items)
    error = np.sqrt(np.maximum(seed_variance + item_variance, 1e-18))
    shown = ndtr((effect + margin - half) / error)
    if not one_sided:
        shown = np.where(half < margin, shown - ndtr((effect - margin + half) / error), 0.0)
    return np.asarray(shown @ _WEIGHTS / 2)


def seeds_for_equivalence(
    spread: float,
    margin: float,
    *,
    effect: float = 0.0,
    item_variance: float = 0.0,
    one_sided: bool = False,
    is_paired: bool = False,
    alpha: float = ALPHA,
    power: float = POWER,
) -> int | None:
    """The fewest seeds of each arm with which equality, or non-inferiority, is shown with
    probability `power`; None where a thousand are too few, as where the items are.

    Raises: ConfigError where the margin or a share is out of range.
    """
    check_share("power", power)
    begin = 2
    while begin <= MOST_SEEDS:  # in growing blocks: most answers are small, and a count is dear
        counts = np.arange(begin, min(2 * begin, MOST_SEEDS + 1))
        reached = power_of_equivalence(
            counts,
            spread,
            margin,
            effect=effect,
            item_variance=item_variance,
            one_sided=one_sided,
            is_paired=is_paired,
            alpha=alpha,
        )
        enough = np.flatnonzero(reached >= power)
        if len(enough):
            return int(counts[enough[0]])
        begin = int(counts[-1]) + 1
    return None


def _above(gain: Gain, bound: float) -> float:
    """The one-sided p of a difference of `bound` or less."""
    error = gain.variance**0.5
    if not error:
        return float(gain.gain <= bound)
    return float(stdtr(min(gain.dof, 1e9), (bound - gain.gain) / error))

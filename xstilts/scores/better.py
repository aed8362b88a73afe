"""Whether a candidate is better than the baseline, with one error over a whole sweep.

Within a target the confirmed candidates share a baseline: max-t. Over targets: Holm. Which
candidate speaks for a target is fixed before its confirmation runs are seen: search's first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xstilts.scores.arms import Arms
from xstilts.scores.items import refuse
from xstilts.scores.max_t import adjusted, critical
from xstilts.scores.variance import CONFIDENCE, Gain, check_share

FIRST = 0.8
"""The share of a target's level that search's first has; the rest is for any of the confirmed."""

_MOST_ARRANGEMENTS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The confirmed candidates of a target against its baseline.

    `p` is the target's own, for Holm. `p_first` is that of search's first by itself, `p_each`
    (confirmed,) are those of all at once; `gains` and `gain_first` have intervals likewise.
    """

    p: float
    p_first: float
    p_each: np.ndarray
    gain_first: Gain
    gains: tuple[Gain, ...]


def compare(
    arms: Arms, baseline: int, confirmed: Sequence[int], confidence: float = CONFIDENCE
) -> Comparison:
    """Compares the `confirmed` arms, search's first ahead, with the baseline's.

    Moderated t statistics of differences, whose noise is that of the runs about their arms'
    means. A target is better than none where `p`, the smaller of p_first / 0.8 and the smallest
    of p_each / 0.2, is below the level that Holm gives it: so no error is spent twice, and a
    target whose first fails is not lost. With one confirmed candidate `p` is its own.

    Raises: ConfigError where an arm has no run or no known variance.
    """
    check_share("confidence", confidence)
    own = [arms.gain(arm, baseline, confidence) for arm in confirmed]
    t, dof, loadings = (values[list(confirmed)] for values in arms.t_over(baseline))
    each = adjusted(t, dof, loadings)
    widths = critical(dof, loadings, confidence)
    gains = []
    for gain, p, width in zip(own, each, widths, strict=True):
        half = float(width) * gain.variance**0.5
        gains.append(replace(gain, low=gain.gain - half, high=gain.gain + half, p=float(p)))
    p = own[0].p
    if len(own) > 1:
        p = min(p / FIRST, float(each.min()) / (1 - FIRST), 1.0)
    return Comparison(p, own[0].p, each, own[0], tuple(gains))


def holm(p: Sequence[float] | np.ndarray, alpha: float) -> np.ndarray:
    """Which hypotheses fall, with error alpha over all of them whatever they have in common
    (Holm 1979): (hypotheses,), in the order given.

    Raises: ConfigError where alpha is no share.
    """
    check_share("alpha", alpha)
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    passes = p[order] <= alpha / np.arange(len(p), 0, -1)
    fallen = np.zeros(len(p), dtype=bool)
    fallen[order] = np.logical_and.accumulate(passes)
    return fallen


def holm_adjusted(p: Sequence[float] | np.ndarray) -> list[float]:
    """The least alpha at which `holm` lets each hypothesis fall, in the order given."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return [float(value) for value in np.minimum(adjusted, 1.0)]


def exact_p(
    candidate: np.ndarray, baseline: np.ndarray, *, level: float, paired: bool = False
) -> float:
    """The one-sided p of a gain by rearranging seeds: signs of paired differences flipped, or runs
    dealt to the arms anew, all ways where there are at most 100,000.

    It assumes no variance at all, but with n pairs can give no p below 1 / 2^n.
    Raises: ConfigError "too few seeds" where that is not below `level`.
    """
    check_share("level", level)
    candidate, baseline = np.asarray(candidate, float), np.asarray(baseline, float)
    if paired and len(candidate) != len(baseline):
        raise refuse(
            "exact test",
            "paired seeds are as many in both arms",
            f"{len(candidate)} and {len(baseline)}",
            "leave out seeds that one arm lacks",
        )
    ways = (
        2 ** len(candidate) if paired else math.comb(len(candidate) + len(baseline), len(candidate))
    )
    if 1 / ways >= level:
        need = next(
            seeds
            for seeds in range(1, 200)
            if (2**seeds if paired else math.comb(2 * seeds, seeds)) * level > 1
        )
        raise refuse(
            "exact test",
            f"too few seeds: p below {level:.4g} needs {need} in each arm",
            f"{len(candidate)} and {len(baseline)}, which give {1 / ways:.4g} at the least",
            "train more seeds, or use the t interval",
        )
    from scipy.stats import permutation_test  # what it imports takes as long as a sweep's tables

    samples = (candidate - baseline,) if paired else (candidate, baseline)
    result = permutation_test(
        samples,
        (lambda x, axis: x.mean(axis))
        if paired
        else (lambda x, y, axis: x.mean(axis) - y.mean(axis)),
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=_MOST_ARRANGEMENTS,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)

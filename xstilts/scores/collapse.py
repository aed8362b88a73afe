"""Runs that collapsed: how often, with exact bounds, and what a gain is worth beside them.

A gain is stated for runs that learnt, since one run at chance moves a mean of five by more than
any candidate does. How often runs collapse stands beside it, and "better over all runs" is said
only where it holds however unlucky the count was.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import betaincinv

from xstilts.scores.items import refuse
from xstilts.scores.variance import CONFIDENCE, Gain, check_share


@dataclass(frozen=True, slots=True)
class CollapseRate:
    """`collapsed` of `runs`, and the exact interval of the rate, shares of 1."""

    collapsed: int
    runs: int
    low: float
    high: float


def collapse_rate(collapsed: int, runs: int, confidence: float = CONFIDENCE) -> CollapseRate:
    """The rate of collapse, with its interval after Clopper and Pearson 1934.

    Raises: ConfigError where the counts are none of runs.
    """
    check_share("confidence", confidence)
    if not 0 <= collapsed <= runs or runs < 1:
        raise refuse(
            "collapsed runs",
            "they are between 0 and all of one run or more",
            f"{collapsed} of {runs}",
            "",
        )
    tail, learnt = (1 - confidence) / 2, runs - collapsed
    low = betaincinv(collapsed, learnt + 1, tail) if collapsed else 0.0
    high = betaincinv(collapsed + 1, learnt, 1 - tail) if learnt else 1.0
    return CollapseRate(collapsed, runs, float(low), float(high))


def lowest_over_all_runs(
    gain: Gain,
    baseline_score: float,
    candidate: CollapseRate,
    baseline: CollapseRate,
    collapsed_score: float,
) -> float:
    """The least gain over all runs that the counts allow, in points.

    At the lower end of the learnt runs' gain, the upper bound of the candidate's rate and the
    lower bound of the baseline's; `baseline_score` is that of its learnt runs, and a collapsed
    run of either counts at `collapsed_score`, the mean of those that did.
    """
    above = baseline_score - collapsed_score
    return (1 - candidate.high) * (above + gain.low) - (1 - baseline.low) * above

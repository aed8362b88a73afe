"""Every candidate of a target beside the baseline: what a heat map of gains is drawn from.

A verdict is about one candidate; this says of all others what their runs allow to say, by the same
arms and intervals. Runs that collapsed are left out of the means, as in verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xstilts.config.derive import NONE
from xstilts.scores.arms import Arms
from xstilts.scores.variance import CONFIDENCE
from xstilts.scores.verdict import TargetRuns, Verdict, arms_in


@dataclass(frozen=True, slots=True)
class ArmGain:
    """A candidate's `score`, 0-100, its standard deviation `sd` over so many `runs` that learnt,
    and its `gain` in points with a 95 % interval; None where not known. `is_fresh` says whether the
    runs are those that confirm; `collapsed` of the runs did not learn."""

    score: float
    sd: float | None
    runs: int
    collapsed: int
    is_fresh: bool
    gain: float | None = None
    low: float | None = None
    high: float | None = None


def arm_gains(
    runs: TargetRuns, said: Verdict, confidence: float = CONFIDENCE
) -> Mapping[str, ArmGain]:
    """What is known of every candidate that has a run, and of `none`, by name.

    Candidates that are confirmed are compared with the baseline by fresh seeds, others by search's
    runs with search's baseline. Each interval holds by itself, but that of a confirmed best, which
    is the verdict's; one of search's runs does not count the luck of having been chosen.
    """
    is_confirmed = said.verdict != "not confirmed"
    phases = {
        is_fresh: arms_in(runs, runs.learnt & (runs.confirms == is_fresh))
        for is_fresh in (True, False)
    }
    baseline = runs.names.index(NONE)
    found = {}
    for arm, name in enumerate(runs.names):
        is_fresh = is_confirmed and bool(phases[True].runs[arm])
        arms = phases[is_fresh]
        own = (runs.arms == arm) & (runs.confirms == is_fresh)
        learnt = runs.scores[own & runs.learnt]
        if not len(learnt):
            continue
        told: dict[str, Any] = {}
        if is_confirmed and name == said.best and name != NONE:
            told = {key: getattr(said, key) for key in ("gain", "low", "high")}
        elif name != NONE:
            told = _gain(arms, arm, baseline, confidence)
        found[name] = ArmGain(
            score=float(learnt.mean()),
            sd=float(learnt.std(ddof=1)) if len(learnt) > 1 else None,
            runs=len(learnt),
            collapsed=int((own & ~runs.learnt).sum()),
            is_fresh=is_fresh,
            **told,
        )
    return found


def _gain(arms: Arms, arm: int, baseline: int, confidence: float) -> dict[str, float]:
    """The gain, with an interval where the variances of both sides are known."""
    if arms.known[[arm, baseline]].all():
        gain = arms.gain(arm, baseline, confidence)
        return {"gain": gain.gain, "low": gain.low, "high": gain.high}
    if np.isfinite(arms.means[[arm, baseline]]).all():
        return {"gain": float(arms.means[arm] - arms.means[baseline])}
    return {}

"""What every candidate of a target gains over the baseline, each with its own interval.

For looking over many candidates and sweeps at once: no gain here is corrected for how many were
looked at. What may be said of a sweep's choice is a verdict (`verdict.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from xstilts.config.derive import NONE
from xstilts.scores.arms import arms_of
from xstilts.scores.variance import CONFIDENCE, Gain
from xstilts.scores.verdict import TargetRuns


@dataclass(frozen=True, slots=True)
class CandidateGain:
    """What one candidate gains: `points` between the means of runs that learnt, and `gain` with its
    interval, None where neither it nor its neighbours have the runs for one. `runs` and `none_runs`
    learnt, `collapsed` of the candidate's did not."""

    name: str
    is_confirmed: bool
    points: float
    gain: Gain | None
    runs: int
    none_runs: int
    collapsed: int


def candidate_gains(runs: TargetRuns, confidence: float = CONFIDENCE) -> list[CandidateGain]:
    """The gains of a target's candidates, of runs with fresh seeds where these and the baseline
    have any, else of search's, which flatter what was chosen by them. A candidate without runs that
    learnt is left out, and so are all where the baseline has none."""
    found: dict[str, CandidateGain] = {}
    baseline = runs.names.index(NONE)
    for is_confirmed in (False, True):
        own = runs.confirms == is_confirmed
        used = own & runs.learnt
        covariance = None if runs.covariance is None else runs.covariance[used][:, used]
        arms = arms_of(
            runs.scores[used],
            runs.arms[used],
            len(runs.names),
            baseline=baseline,
            covariance=covariance,
            num_items=runs.num_items,
        )
        for arm, name in enumerate(runs.names):
            if arm == baseline or not arms.runs[arm] or not arms.runs[baseline]:
                continue
            is_known = arms.known[arm] and arms.known[baseline]
            found[name] = CandidateGain(
                name,
                is_confirmed,
                float(arms.means[arm] - arms.means[baseline]),
                arms.gain(arm, baseline, confidence) if is_known else None,
                int(arms.runs[arm]),
                int(arms.runs[baseline]),
                int((own & ~runs.learnt & (runs.arms == arm)).sum()),
            )
    return list(found.values())

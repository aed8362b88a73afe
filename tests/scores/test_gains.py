"""Every candidate's own gain: of fresh seeds where there are any, never with collapsed runs."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.scores.gains import candidate_gains
from xstilts.scores.variance import gain
from xstilts.scores.verdict import TargetRuns

ROWS = [
    # arm, seed, score, learnt, confirms
    ("none", 0, 50.0, True, False),
    ("none", 1, 52.0, True, False),
    ("a", 0, 60.0, True, False),
    ("a", 1, 62.0, True, False),
    ("b", 0, 55.0, True, False),
    ("b", 1, 10.0, False, False),
    ("c", 0, 5.0, False, False),
    ("none", 7, 51.0, True, True),
    ("none", 8, 53.0, True, True),
    ("a", 7, 53.0, True, True),
    ("a", 8, 56.0, True, True),
]
NAMES = ("none", "a", "b", "c")


def runs_of(rows: list[tuple[str, int, float, bool, bool]]) -> TargetRuns:
    arms, seeds, scores, learnt, confirms = zip(*rows, strict=True)
    return TargetRuns(
        names=NAMES,
        arms=np.array([NAMES.index(arm) for arm in arms]),
        seeds=np.array(seeds),
        scores=np.array(scores),
        learnt=np.array(learnt),
        confirms=np.array(confirms),
        leaders=("a",),
    )


def test_fresh_seeds_are_taken_where_there_are_any() -> None:
    found = {one.name: one for one in candidate_gains(runs_of(ROWS))}
    assert list(found) == ["a", "b"], "nothing learnt in c"
    assert found["a"].is_confirmed and not found["b"].is_confirmed
    assert found["a"].points == pytest.approx(54.5 - 52)
    assert found["b"].points == pytest.approx(55 - 51), "the collapsed run is no part of the mean"
    assert (found["a"].runs, found["b"].runs, found["b"].collapsed) == (2, 1, 1)


def test_the_interval_of_a_single_candidate_is_that_of_two_samples() -> None:
    own = [row for row in ROWS if row[0] in ("none", "a") and not row[4]]
    (found,) = candidate_gains(runs_of(own))
    expected = gain(np.array([60.0, 62.0]), np.array([50.0, 52.0]), item_variance=0.0)
    assert found.gain is not None
    assert (found.gain.gain, found.gain.low) == pytest.approx((expected.gain, expected.low))


def test_without_a_baseline_that_learnt_nothing_is_said() -> None:
    assert candidate_gains(runs_of([row for row in ROWS if row[0] != "none"])) == []


def test_one_run_each_has_points_and_no_interval() -> None:
    (found,) = candidate_gains(runs_of([ROWS[0], ROWS[2]]))
    assert found.points == 10 and found.gain is None

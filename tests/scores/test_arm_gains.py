"""Every candidate beside the baseline: whose runs are compared, and what is left unknown."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.scores.arm_gains import arm_gains
from xstilts.scores.verdict import TargetRuns, verdict

NAMES = ("none", "nli", "qa", "mix", "unrun")


def runs_of(
    rows: list[tuple[str, int, float, bool, bool]], leaders: tuple[str, ...] = ("nli",)
) -> TargetRuns:
    """Of (arm, seed, score, learnt, confirms)."""
    names, seeds, scores, learnt, confirms = zip(*rows, strict=True)
    return TargetRuns(
        names=NAMES,
        arms=np.array([NAMES.index(name) for name in names]),
        seeds=np.array(seeds),
        scores=np.array(scores, dtype=float),
        learnt=np.array(learnt),
        confirms=np.array(confirms),
        leaders=leaders,
    )


SEARCH = [
    (name, seed, score + seed, True, False)
    for name, score in (("none", 70.0), ("nli", 78.0), ("qa", 66.0))
    for seed in (0, 1)
]
ALONE = [("mix", 0, 60.0, True, False)]
FRESH = [
    (name, seed, score + noise, True, True)
    for name, score in (("none", 70.0), ("nli", 74.0))
    for seed, noise in zip((10, 11, 12), (-0.4, 0.1, 0.3), strict=True)
]
LOST = [("nli", 13, 33.0, False, True)]


def test_the_best_has_the_verdicts_figures_and_others_those_of_search() -> None:
    runs = runs_of(SEARCH + ALONE + FRESH + LOST)
    said = verdict(runs)
    found = arm_gains(runs, said)
    best = found["nli"]
    assert (best.gain, best.low, best.high) == (said.gain, said.low, said.high)
    assert best.score == pytest.approx(said.score)
    assert (best.runs, best.collapsed, best.is_fresh) == (3, 1, True)
    assert best.sd == pytest.approx(np.std([-0.4, 0.1, 0.3], ddof=1))
    assert found["none"].is_fresh and found["none"].gain is None
    other = found["qa"]
    assert not other.is_fresh and other.gain == pytest.approx(-4), "over none of search, 70.5"
    assert other.low is not None and other.low < -4 < (other.high or -99)
    assert found["mix"].sd is None and found["mix"].gain == pytest.approx(60 - 70.5)
    assert "unrun" not in found, "what has no run has no number"


def test_an_interval_that_holds_for_all_leaders_is_the_verdicts() -> None:
    fresh = [("qa", seed, 80.0 + seed % 3 / 4, True, True) for seed in (10, 11, 12)]
    runs = runs_of(SEARCH + FRESH + fresh, ("nli", "qa"))
    said = verdict(runs)
    found = arm_gains(runs, said)
    assert said.best == "qa", "not the first, so that its interval is wider than its own"
    assert (found["qa"].low, found["qa"].high) == (said.low, said.high)
    assert found["nli"].is_fresh and found["nli"].gain == pytest.approx(4)


def test_search_alone_compares_search() -> None:
    runs = runs_of(SEARCH)
    found = arm_gains(runs, verdict(runs))
    assert not any(one.is_fresh for one in found.values())
    assert found["nli"].gain == pytest.approx(8)


def test_without_a_baseline_that_learnt_there_is_no_gain() -> None:
    runs = runs_of([row for row in SEARCH if row[0] != "none"])
    assert {one.gain for one in arm_gains(runs, verdict(runs)).values()} == {None}

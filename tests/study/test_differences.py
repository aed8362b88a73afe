"""Differences of two arms: pairs of seeds, items, what could be found, seeds that it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import nct, t, ttest_rel

from xstilts.scores.contrasts import Outcomes
from xstilts.scores.variance import gain
from xstilts.study.analysis import answered
from xstilts.study.arm_runs import ArmRuns, Member
from xstilts.study.differences import Difference, detectable, seeds_needed

from .stored import launched_places, planted, put_all, study_sweep


def arm(name: str, scores: np.ndarray) -> ArmRuns:
    """An arm of one member, `scores` (seeds, cells)."""
    cells = tuple(("xnli", f"l{i}") for i in range(scores.shape[1]))
    learnt = np.ones((1, *scores.shape), bool)
    seeds = tuple(range(len(scores)))
    return ArmRuns(name, (Member(name, "m"),), seeds, cells, scores[None], learnt, ())


def test_runs_are_paired_by_seed() -> None:
    generator = np.random.default_rng(0)
    shared = generator.normal(60, 3, (6, 1))
    one = shared + 0.5 + generator.normal(0, 0.2, (6, 4))
    other = shared + generator.normal(0, 0.2, (6, 4))
    found = Difference(arm("a", one), arm("b", other), None, 0.95).whole
    assert found.p == pytest.approx(ttest_rel(one.mean(1), other.mean(1)).pvalue)
    assert found.p < 0.01


def test_what_could_have_been_found_is_the_noncentral_t() -> None:
    generator = np.random.default_rng(1)
    for seeds in (3, 5, 20):
        found = gain(generator.normal(0, 1, seeds), generator.normal(0, 1, seeds), paired=True)
        effect = detectable(found, 0.05)
        critical = t.ppf(0.975, found.dof)
        error = found.variance**0.5
        assert 1 - nct.cdf(critical, found.dof, effect / error) == pytest.approx(0.8, abs=1e-6)


def test_items_alone_speak_of_the_checkpoints() -> None:
    generator = np.random.default_rng(2)
    cells, items = np.repeat([0, 1], 300), np.tile(np.arange(300), 2)
    hits = generator.random((2, 600)) < 0.6

    def p_of(own: np.ndarray, other: np.ndarray) -> float:
        values = 100.0 * np.stack([own, own, other, other])
        scores = values.reshape(4, 2, 300).mean(2)
        arms = (arm("a", scores[:2]), arm("b", scores[2:]))
        found = Difference(*arms, Outcomes(values, cells, items), 0.95).items_p()
        assert found is not None
        return found

    better = hits[0] | (generator.random(600) < 0.3)
    assert p_of(better, hits[0]) < 0.001
    p = [
        p_of(*(np.random.default_rng([i, j]).random(600) < 0.6 for j in (0, 1))) for i in range(60)
    ]
    assert 0.3 < np.mean(p) < 0.7 and np.mean(np.array(p) < 0.1) < 0.25
    assert p_of(hits[0], hits[0]) == 1
    # The same items in both languages are one: two that agree are not twice the evidence.
    once = generator.random((2, 300)) < [[0.6], [0.66]]
    both = p_of(np.tile(once[0], 2), np.tile(once[1], 2))
    values = 100.0 * once.repeat(2, 0).repeat(1, 1)
    alone = Difference(
        arm("a", values[:2].mean(1, keepdims=True)),
        arm("b", values[2:].mean(1, keepdims=True)),
        Outcomes(values, np.zeros(300, int), np.arange(300)),
        0.95,
    ).items_p()
    assert alone is not None and both == pytest.approx(alone, abs=0.03)


def test_the_seeds_that_equality_takes_are_those_of_the_spread() -> None:
    """Of docs/study_statistics.md: 19 pairs at a spread of 1 point and a margin of 1."""
    pairs = np.array([1.0, -1.0, 1.0, -1.0])
    pairs *= 2**0.5 / pairs.std(ddof=1)  # a difference of two runs, each of which spreads by 1
    found = gain(pairs, np.zeros(4), paired=True)
    assert seeds_needed(found, 4, 1.0, 0.05, one_sided=False) == 19
    assert seeds_needed(found, 4, 1.0, 0.05, one_sided=True) == 14


@pytest.mark.parametrize("test", ["equivalence", "non_inferiority"])
def test_equality_is_shown_where_it_is_and_seeds_are_counted_where_it_is_not(
    tmp_path: Path, test: str
) -> None:
    for spread, holds in ((0.1, True), (1.5, False)):
        sweep = study_sweep({}, {"test": test})
        places = launched_places(tmp_path / f"{spread}", sweep)
        found = answered(put_all(places, sweep, planted({}, spread))).contrasts[0]
        assert found.holds == holds and found.p is not None and found.effect == found.difference
        assert found.detectable is None and found.seeds_needed is not None
        equal = "as good as equal" if test == "equivalence" else "no worse than"
        assert ("not shown" in found.says) != holds and (equal in found.says or not holds)
        assert ("seeds of each arm" in found.says) != holds and "within 1 point" in found.says

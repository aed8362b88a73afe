"""The set of ties: whom it keeps, whom not, and what looks may spend."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.coverage import sizes_on_grids, ties_hold_best
from tests.benchmarks.worlds import WORLDS
from xstilts.errors import ConfigError
from xstilts.scores.arms import arms_of
from xstilts.scores.ties import out_at, spend, ties


def test_the_clear_loser_is_out_and_the_twins_are_in() -> None:
    scores = np.array([80.0, 80.5, 81, 80.2, 80.4, 80.9, 70, 70.4, 70.9])
    found = ties(arms_of(scores, np.repeat(np.arange(3), 3), 3))
    assert found.inside.tolist() == [True, True, False]
    assert found.level == 0.05


@pytest.mark.parametrize(("ahead", "is_inside"), [(1.5, True), (2.0, False)])
def test_who_leaves_has_p_at_the_level_or_below(ahead: float, is_inside: bool) -> None:
    scores = np.array([79.0, 80, 81, 79 + ahead, 80 + ahead, 81 + ahead])
    found = ties(arms_of(scores, np.repeat(np.arange(2), 3), 2))
    assert (0.05 < found.p[0] < 0.09) == is_inside and found.p[0] > 0.02
    assert found.inside.tolist() == [is_inside, True]


def test_what_was_hardly_tried_stays_until_it_is_excluded() -> None:
    scores = np.array([80.0, 80.5, 81, 79, 78.5, 78.7, 79.5, 60])
    arms = arms_of(scores, np.array([0, 0, 0, 1, 1, 1, 2, 3]), 5)
    found = ties(arms)
    assert found.inside[2] and found.inside[4]  # near by one run; never run
    assert not found.inside[3]


def test_who_is_out_at_a_level_is_who_has_a_p_as_small_however_it_is_found() -> None:
    generator = np.random.default_rng(0)
    bounds = 0
    for arms in (2, 5, 40):
        scores = generator.uniform(50, 70, arms)[:, None] + generator.normal(0, 2, (arms, 3))
        runs = generator.integers(0, 4, arms)
        drawn = np.arange(3) < runs[:, None]
        found = arms_of(scores[drawn], np.nonzero(drawn)[0], arms)
        p = ties(found).p
        # Levels just above and just below each p, where no bound of the integral tells.
        for levels in (np.full(arms, 0.05), np.minimum(p * 1.001, 0.99), p * 0.999):
            out = out_at(found, levels)
            assert out.tolist() == (p <= levels).tolist()
            bounds += int(out.sum())
    assert bounds > 20


@pytest.mark.parametrize("name", WORLDS)
def test_it_holds_the_best(name: str) -> None:
    held, size = ties_hold_best(150, name, 3, seed=7)
    assert held >= 91  # 95 expected; three standard errors below are 89.7
    if name == "one winner by 4 sd":
        assert size <= 2.5


def test_it_does_not_hold_all_when_nobody_is_equal() -> None:
    assert ties_hold_best(60, "spaced by 1 sd", 5, seed=3)[1] < 3.5


def test_noise_leaves_the_set_as_seldom_as_alpha_says_and_not_much_more_seldom() -> None:
    held, _ = ties_hold_best(400, "all equal but for 0.05 sd", 8, seed=5)
    assert 93 <= held <= 99


def test_it_is_smaller_than_by_bonferroni_with_own_variances() -> None:
    bonferroni, size = sizes_on_grids(60, seed=1)
    assert size <= 0.75 * bonferroni


def test_looks_spend_alpha_together_and_most_at_the_end() -> None:
    levels = [spend(0.05, look, 3) for look in (1, 2, 3)]
    assert sum(levels) == pytest.approx(0.05)
    assert levels == sorted(levels)
    assert sum(spend(0.05, look, None) for look in range(1, 100_000)) == pytest.approx(
        0.05, rel=1e-4
    )


def test_looks_that_were_not_planned_are_refused() -> None:
    with pytest.raises(ConfigError, match="look 3 of 2"):
        spend(0.05, 3, 2)
    with pytest.raises(ConfigError, match=r"alpha: it lies between 0 and 1; got 5"):
        spend(5, 1)

"""Better than none: within a target, over targets, and by rearranging seeds."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from tests.benchmarks.coverage import better_by_noise
from xstilts.errors import ConfigError
from xstilts.scores.arms import arms_of
from xstilts.scores.better import compare, exact_p, holm
from xstilts.scores.max_t import critical

RUNS = np.random.default_rng(0).normal([[70], [72.5], [70.5], [70]], 1, (4, 5))


def test_search_first_has_an_interval_of_its_own_and_others_share_theirs() -> None:
    arms = arms_of(RUNS.ravel(), np.repeat(np.arange(4), 5), 4, baseline=0)
    found = compare(arms, 0, [1, 2, 3])
    assert found.gain_first == arms.gain(1, 0)
    together = found.gains[0]
    assert together.gain == found.gain_first.gain
    assert together.low < found.gain_first.low < found.gain_first.high < together.high
    assert found.p_first < found.p_each[0] < 3 * found.p_first
    assert found.p == pytest.approx(min(found.p_first / 0.8, found.p_each.min() / 0.2))


def test_those_of_fewer_runs_have_wider_intervals() -> None:
    few = np.concatenate([RUNS[0], RUNS[1], RUNS[2, :2]])
    arms = arms_of(few, np.repeat(np.arange(3), [5, 5, 2]), 3, baseline=0)
    _, dof, loadings = (values[1:] for values in arms.t_over(0))
    widths = critical(dof, loadings, 0.95)
    assert widths[1] > 1.02 * widths[0]
    for gain, width in zip(compare(arms, 0, [1, 2]).gains, widths, strict=True):
        assert gain.high - gain.gain == pytest.approx(width * gain.variance**0.5)
        assert gain.gain - gain.low == pytest.approx(width * gain.variance**0.5)


def test_one_confirmed_candidate_needs_no_correction() -> None:
    arms = arms_of(RUNS[:2].ravel(), np.repeat(np.arange(2), 5), 2, baseline=0)
    found = compare(arms, 0, [1])
    assert found.p == found.p_first
    assert found.p_each[0] == pytest.approx(found.p_first, rel=1e-4)
    assert found.gains[0].low == pytest.approx(found.gain_first.low)


def test_noise_is_called_better_as_seldom_as_alpha_says() -> None:
    assert better_by_noise(60, 3, seed=11) <= 13  # 5 expected; three standard errors above


def test_holm_goes_on_until_the_first_that_stands() -> None:
    assert holm([0.01, 0.04, 0.03, 0.012], 0.05).tolist() == [True, False, False, True]
    assert holm([0.012, 0.02, 0.04], 0.05).tolist() == [True, True, True]
    assert holm([], 0.05).tolist() == []


def test_flipped_signs_and_dealt_runs_are_counted_one_by_one() -> None:
    own, other = RUNS[1, :5], RUNS[0, :5]
    difference = own - other
    flips = [np.mean(difference * signs) for signs in product([1, -1], repeat=5)]
    expected = np.mean([flipped >= difference.mean() - 1e-12 for flipped in flips])
    assert exact_p(own, other, level=0.05, paired=True) == pytest.approx(expected)
    both = np.concatenate([own, other])
    dealt = [both[list(chosen)].sum() for chosen in combinations(range(10), 5)]
    expected = np.mean([total >= own.sum() - 1e-9 for total in dealt])
    assert exact_p(own, other, level=0.05) == pytest.approx(expected)


def test_too_few_seeds_are_told_which_and_how_many() -> None:
    with pytest.raises(ConfigError, match=r"too few seeds: p below 0.05 needs 5 in each arm"):
        exact_p(RUNS[1, :4], RUNS[0, :4], level=0.05, paired=True)
    with pytest.raises(ConfigError, match=r"needs 4 in each arm; got 3 and 3"):
        exact_p(RUNS[1, :3], RUNS[0, :3], level=0.05)

"""Equality within a margin: its tests, their power, the seeds that they take."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_ind, ttest_rel

from xstilts.errors import ConfigError
from xstilts.scores.equivalence import (
    equivalence,
    non_inferiority,
    power_of_equivalence,
    seeds_for_equivalence,
    smallest_difference,
)
from xstilts.scores.variance import gain


def test_two_one_sided_tests_are_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    own, other = generator.normal(60, 0.5, 6), generator.normal(60.2, 0.5, 6)
    found = gain(own, other, paired=True)
    at = {"lower": -1.0, "upper": 1.0}
    expected = {
        "lower": ttest_1samp(own - other, at["lower"], alternative="greater").pvalue,
        "upper": ttest_1samp(own - other, at["upper"], alternative="less").pvalue,
    }
    assert found.dof == pytest.approx(5)
    assert non_inferiority(found, 1.0) == pytest.approx(expected["lower"], rel=1e-9)
    assert equivalence(found, 1.0) == pytest.approx(max(expected.values()), rel=1e-9)


def test_equality_is_shown_where_the_ninety_per_cent_interval_is_within() -> None:
    for shift in (-0.6, 0.0, 0.3, 0.9):
        own = np.array([60.1, 60.5, 59.8, 60.2]) + shift
        narrow = gain(own, np.array([60.0, 60.4, 59.9, 60.3]), confidence=0.9)
        is_within = narrow.low > -1 and narrow.high < 1
        assert (equivalence(narrow, 1.0) < 0.05) == is_within


def test_five_seeds_with_a_point_of_spread_hardly_show_equality_within_a_point() -> None:
    assert power_of_equivalence(5, 1.0, 1.0, is_paired=True)[0] == pytest.approx(0.09, abs=0.005)
    assert power_of_equivalence(5, 1.0, 1.0)[0] == pytest.approx(0.07, abs=0.005)


@pytest.mark.parametrize("effect", [0.0, 0.5])
@pytest.mark.parametrize("one_sided", [False, True])
def test_power_is_how_often_the_tests_say_so(effect: float, one_sided: bool) -> None:
    generator = np.random.default_rng(1)
    draws, seeds, margin = 40_000, 9, 1.2
    own = generator.normal(effect, 1, (draws, seeds))
    other = generator.normal(0, 1, (draws, seeds))
    difference = own.mean(1) - other.mean(1)
    error = np.sqrt((own.var(1, ddof=1) + other.var(1, ddof=1)) / seeds)
    half = student.ppf(0.95, 2 * (seeds - 1)) * error
    shown = difference - half > -margin
    if not one_sided:
        shown &= difference + half < margin
    power = power_of_equivalence(seeds, 1.0, margin, effect=effect, one_sided=one_sided)[0]
    assert power == pytest.approx(shown.mean(), abs=0.01)


def test_the_seeds_it_takes_reach_the_power_and_one_fewer_does_not() -> None:
    for one_sided in (False, True):
        seeds = seeds_for_equivalence(1.0, 1.0, one_sided=one_sided)
        assert seeds is not None
        few, enough = power_of_equivalence(
            np.array([seeds - 1, seeds]), 1.0, 1.0, one_sided=one_sided
        )
        assert few < 0.8 <= enough
    paired = seeds_for_equivalence(1.0, 1.0, is_paired=True)
    assert paired is not None
    assert paired >= (seeds_for_equivalence(1.0, 1.0) or 0)


def test_items_that_are_too_few_no_seeds_make_up_for() -> None:
    assert seeds_for_equivalence(1.0, 1.0, item_variance=0.5) is None
    assert seeds_for_equivalence(1.0, 1.0, effect=1.5) is None


@pytest.mark.parametrize("margin", [0.0, -1.0, 101.0, float("nan")])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ConfigError, match="margin"):
        seeds_for_equivalence(1.0, margin)


def test_the_smallest_difference_is_shown_as_often_as_it_says() -> None:
    for is_paired in (False, True):
        least = smallest_difference(5, 2.0, is_paired=is_paired, alpha=0.01)
        rng = np.random.default_rng(0)
        first = rng.normal(least, 2.0, (20_000, 5))
        second = rng.normal(0, 2.0, (20_000, 5))
        test = ttest_rel if is_paired else ttest_ind
        p = test(first, second, axis=1).pvalue
        assert np.mean((p < 0.01) & (first.mean(1) > second.mean(1))) == pytest.approx(
            0.8, abs=0.01
        )

"""Variance components, the interval of a gain, and the estimand over languages."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind, ttest_rel

from tests.benchmarks.coverage import gain_coverage, moderated_coverage
from xstilts.errors import ConfigError
from xstilts.scores.items import item_covariance
from xstilts.scores.moderation import Prior
from xstilts.scores.variance import (
    Parts,
    components,
    gain,
    gain_over_languages,
    item_part,
    satterthwaite,
)


def crossed(generator: np.random.Generator, seeds: int, items: int) -> np.ndarray:
    """Outcomes (seeds, items): seeds with sd 2, items with 10, where they meet 5."""
    return np.asarray(
        generator.normal(0, 2, (seeds, 1))
        + generator.normal(0, 10, items)
        + generator.normal(0, 5, (seeds, items))
    )


def test_components_are_those_of_the_mean_squares() -> None:
    seeds, items = 6, 300
    values = crossed(np.random.default_rng(0), seeds, items)
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    ms_rest = (rest**2).sum() / ((seeds - 1) * (items - 1))
    ms_seeds = items * values.mean(1).var(ddof=1)
    ms_items = seeds * values.mean(0).var(ddof=1)
    found = components(values.mean(1), item_covariance(values))
    assert found.interaction == pytest.approx(ms_rest / items)
    assert found.seed == pytest.approx((ms_seeds - ms_rest) / items)
    assert found.item == pytest.approx((ms_items - ms_rest) / seeds / items)


def test_the_interaction_counts_once() -> None:
    generator = np.random.default_rng(1)
    variances, means = [], []
    for _ in range(1500):
        both = [crossed(generator, 4, 120) for _ in range(2)]
        outcomes = np.concatenate(both)
        part = item_part(item_covariance(outcomes), np.arange(4), np.arange(4, 8))
        found = gain(both[0].mean(1), both[1].mean(1), item_variance=part, num_items=120)
        variances.append(found.variance)
        means.append(found.gain)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.1)
    # Seeds' 4 / 4 and items' 100 / 120, twice; what meets, 25 / 480, twice, and no more.
    assert np.mean(variances) == pytest.approx(2 * (1 + 100 / 120 + 25 / 480), rel=0.05)


def test_one_run_keeps_its_interaction_in_the_item_part() -> None:
    values = crossed(np.random.default_rng(2), 2, 400)
    part = item_part(item_covariance(values), np.array([0]), np.array([1]))
    assert part == pytest.approx(np.var(values[0] - values[1], ddof=1) / 400)


def test_without_items_it_is_the_t_test_of_the_textbook() -> None:
    own, other = np.array([71.0, 73.5, 72.2, 70.9]), np.array([69.0, 71.0, 70.1, 70.4])
    paired = gain(own, other, paired=True)
    expected = ttest_rel(own, other).confidence_interval(0.95)
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high))
    assert paired.p == pytest.approx(ttest_rel(own, other, alternative="greater").pvalue)
    welch = ttest_ind(own, other, equal_var=False)
    found = gain(own, other)
    assert found.variance == pytest.approx(own.var(ddof=1) / 4 + other.var(ddof=1) / 4)
    # The mend for few seeds: fewer degrees of freedom than Welch's, never below the least arm's.
    assert 3 <= found.dof < welch.df


def test_degrees_of_freedom_follow_the_part_that_is_least_known() -> None:
    def dof(variances: list[float], own: bool = True) -> float:
        known = np.array([2.0, 2.0, 400.0])
        return float(satterthwaite(Parts(np.array(variances), known, np.full(3, own))))

    assert dof([1, 0, 0]) == pytest.approx(2)
    assert dof([0, 0, 1]) == pytest.approx(400, rel=0.01)
    assert dof([1, 1, 0], own=False) == pytest.approx(4)
    assert dof([1, 1, 0]) == pytest.approx(3.5**2 / (2.5**2 / 2 + 1 / 2))
    assert dof([0, 0, 0]) == np.inf


def test_few_items_know_little_of_their_variance() -> None:
    own, other = np.array([70.0, 70.001, 70.002]), np.array([69.0, 69.001, 69.002])
    few = gain(own, other, item_variance=4.0, num_items=12)
    assert few.dof == pytest.approx(11, rel=1e-3)
    assert few.high - few.gain == pytest.approx(2 * student.ppf(0.975, 11), rel=1e-3)
    many = gain(own, other, item_variance=4.0)
    assert many.high - many.gain == pytest.approx(2 * student.ppf(0.975, 1e9), rel=1e-3)


def test_a_prior_moderates_the_candidate_and_not_the_baseline() -> None:
    prior = Prior(variance=2.0, dof=4.0, limit=20.0)
    own, other = np.array([70.0, 70.1, 70.2]), np.array([69.0, 69.1, 69.2])
    found = gain(own, other, prior=prior)
    assert found.seed_part == pytest.approx((4 * 2 + 2 * 0.01) / 6 / 3 + 0.01 / 3)
    alone = gain(own[:1], other, prior=prior)
    assert alone.seed_part == pytest.approx(2 + 0.01 / 3)


def test_intervals_of_few_seeds_hold_what_they_claim_and_resampled_seeds_do_not() -> None:
    found = gain_coverage(120, 3, (0.15, 0.15))
    assert found["unpaired"] >= 89.5 and found["paired"] >= 89.5  # three standard errors below
    assert found["seeds"] <= found["unpaired"] - 3
    few = moderated_coverage(300, 3, np.array([1.0, 2.0, 3.0, 5.0]))
    assert 92 <= few.mean() <= 98


def test_languages_drawn_at_random_are_another_and_wider_question() -> None:
    generator = np.random.default_rng(3)
    seeds, languages = 3, 5
    table = crossed(generator, seeds, languages)
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    squares = (
        languages * table.mean(1).var(ddof=1)
        + seeds * table.mean(0).var(ddof=1)
        - (rest**2).sum() / ((seeds - 1) * (languages - 1))
    )
    found = gain_over_languages(table, 0 * table, common_item_variance=0.25)
    assert found.variance == pytest.approx(squares / seeds / languages + 0.25)
    hits, fixed = 0, 0
    for _ in range(1200):
        candidate = generator.normal(1, 2, 12) + generator.normal(0, 0.5, (4, 1))
        candidate = candidate + generator.normal(0, 0.5, (4, 12))
        found = gain_over_languages(candidate, np.zeros((4, 12)))
        hits += found.low <= 1 <= found.high
        narrow = gain(candidate.mean(1), np.zeros(4), paired=True)
        fixed += narrow.low <= 1 <= narrow.high
    assert 93 <= hits / 12 <= 97.5
    assert fixed / 12 < 90


def test_what_cannot_be_said_is_refused_in_one_line() -> None:
    runs = np.array([1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="2 runs or more without neighbours; got 1"):
        gain(runs[:1], runs)
    with pytest.raises(ConfigError, match=r"as many in both arms; got 3 and 2"):
        gain(runs, runs[:2], paired=True)
    with pytest.raises(ConfigError, match=r"between 0 and 1; got 95"):
        gain(runs, runs, confidence=95)
    with pytest.raises(ConfigError, match="three languages or more; got 3 and 2"):
        gain_over_languages(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ConfigError, match="two runs or more; got 1"):
        components(runs[:1], np.ones((1, 1)))

"""Contrasts of a study, and what of them it may claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from xstilts.errors import ConfigError
from xstilts.scores.better import holm, holm_adjusted
from xstilts.scores.contrasts import Outcomes, claims, contrast


def test_without_items_it_is_the_t_test_of_the_runs_means() -> None:
    generator = np.random.default_rng(0)
    own = generator.normal(60, 1, (40, 3))
    other = own[::-1] - 0.4
    found = contrast(own, other)
    assert found.difference.gain == pytest.approx(0.4)
    assert found.p == pytest.approx(ttest_ind(own.mean(1), other.mean(1)).pvalue, abs=0.01)
    assert found.runs == (40, 40)
    assert found.cells == 3


def simulated(
    generator: np.random.Generator, *, seeds: int, items: int, languages: int
) -> tuple[np.ndarray, np.ndarray, Outcomes]:
    """Arms without a difference whose items differ between arms and are shared by languages."""
    ease = generator.normal(0, 20, (2, 1, items, 1)) + generator.normal(
        0, 5, (2, 1, items, languages)
    )
    runs = generator.normal(0, 0.7, (2, seeds, 1, 1))
    values = 50 + ease + runs + generator.normal(0, 20, (2, seeds, items, languages))
    item_of = np.repeat(np.arange(items), languages)
    cells = np.tile(np.arange(languages), items)
    return (
        values[0].mean(1),
        values[1].mean(1),
        Outcomes(values.reshape(2 * seeds, -1), cells, item_of),
    )


def test_intervals_of_parallel_items_hold_the_truth_and_of_items_by_row_do_not() -> None:
    generator = np.random.default_rng(1)
    joint = alone = 0
    draws = 200
    for _ in range(draws):
        own, other, outcomes = simulated(generator, seeds=5, items=150, languages=10)
        found = contrast(own, other, outcomes).difference
        by_row = Outcomes(outcomes.values, outcomes.cells, np.arange(len(outcomes.cells)))
        narrow = contrast(own, other, by_row).difference
        joint += found.low <= 0 <= found.high
        alone += narrow.low <= 0 <= narrow.high
    assert 0.91 < joint / draws < 0.99
    assert alone / draws < 0.85


def test_a_hole_is_never_averaged_over() -> None:
    own = np.ones((3, 2))
    own[1, 1] = np.nan
    with pytest.raises(ConfigError, match="1 holes in 2 cells"):
        contrast(own, np.zeros((3, 2)))


def test_holm_falls_where_its_adjusted_p_is_below_alpha() -> None:
    generator = np.random.default_rng(2)
    for _ in range(50):
        p = generator.random(6) ** 3
        assert (np.array(holm_adjusted(p)) <= 0.05).tolist() == holm(p, 0.05).tolist()
    assert holm_adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_primary_contrasts_share_an_error_and_others_a_rate() -> None:
    p = {"a": 0.02, "b": 0.03, "x": 0.02, "y": 0.03, "z": 0.04, "gone": math.nan}
    found = claims(p, ["a", "b"])
    assert [found[name].p for name in "ab"] == pytest.approx([0.04, 0.04])
    assert [found[name].p for name in "xyz"] == pytest.approx([0.04, 0.04, 0.04])
    assert found["a"].family == "primary"
    assert found["x"].family == "exploratory"
    assert found["x"].holds
    assert not found["gone"].holds
    assert not claims(p | {"c": 0.5}, ["a", "b", "c"])["a"].holds


def test_a_primary_contrast_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="'c', which is none of a, b"):
        claims({"a": 0.1, "b": 0.2}, ["c"])

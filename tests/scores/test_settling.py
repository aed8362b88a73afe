"""Seeds until a gain is settled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from xstilts.errors import ConfigError
from xstilts.scores.settling import seeds_to_settle


@pytest.mark.parametrize("gain", [2.0, 5.6])
def test_so_many_seeds_show_the_gain_four_times_in_five(gain: float) -> None:
    found = seeds_to_settle(gain, seed_variance=4.0, item_variance=0.0)
    assert found is not None
    generator = np.random.default_rng(0)

    def power(seeds: int) -> float:
        own = generator.normal(gain, 2**0.5, (4000, seeds))
        other = generator.normal(0, 2**0.5, (4000, seeds))
        return float((ttest_ind(own, other, axis=1).pvalue < 0.05).mean())

    assert power(found) >= 0.78
    assert power(found - 1) < 0.82
    # As many show that a candidate harms.
    assert seeds_to_settle(-gain, seed_variance=4.0, item_variance=0.0) == found


def test_no_gain_is_settled_by_being_equal_within_the_margin() -> None:
    wide = seeds_to_settle(0.0, seed_variance=1.0, item_variance=0.0)
    narrow = seeds_to_settle(0.0, seed_variance=1.0, item_variance=0.0, margin=0.25)
    assert wide is not None and narrow is not None
    # Two one-sided tests: 0.5 points are 1.96 standard errors and 1.28 beyond.
    assert wide == pytest.approx((3.24 / 0.5) ** 2, rel=0.1)
    # Equality within half the margin takes four times the seeds.
    assert narrow / wide == pytest.approx(4, rel=0.1)


def test_too_few_items_are_mended_by_no_number_of_seeds() -> None:
    assert seeds_to_settle(0.2, seed_variance=1.0, item_variance=1.0) is None


def test_a_smaller_level_takes_more_seeds() -> None:
    def seeds(level: float | None) -> int | None:
        return seeds_to_settle(2.0, seed_variance=4.0, item_variance=0.0, level=level)

    assert (seeds(0.001) or 0) > (seeds(None) or 0) > 0


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="margin: it is in points, above 0; got 0"):
        seeds_to_settle(0, seed_variance=1, item_variance=0, margin=0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("gain", "seed_variance", "item_variance"),
    [
        (23.6, 0.0128, 7.42),
        (12.0, 2.28, 0.62),
        (8.1, 1.78, 0.0),
        (34.8, 9.57, 0.0),
        (1.42, 0.025, 0),
    ],
)
def test_what_is_clear_is_settled_by_two_seeds(
    gain: float, seed_variance: float, item_variance: float, sign: int
) -> None:
    """Here the far tail of the noncentral t is NaN, as scipy computes it."""
    seeds = seeds_to_settle(
        sign * gain, seed_variance=seed_variance, item_variance=item_variance, margin=0.1
    )
    assert seeds == 2

"""Seeds and hours until a gain is settled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from xstilts.errors import ConfigError
from xstilts.scores.settling import settle


@pytest.mark.parametrize("gain", [2.0, 5.6])
def test_so_many_seeds_show_the_gain_four_times_in_five(gain: float) -> None:
    found = settle(gain, seed_variance=4.0, item_variance=0.0, seeds=2, hours_per_seed=1.5)
    assert found.seeds is not None
    assert found.hours == (found.seeds - 2) * 1.5
    generator = np.random.default_rng(0)

    def power(seeds: int) -> float:
        own = generator.normal(gain, 2**0.5, (4000, seeds))
        other = generator.normal(0, 2**0.5, (4000, seeds))
        return float((ttest_ind(own, other, axis=1).pvalue < 0.05).mean())

    assert power(found.seeds) >= 0.78
    assert power(found.seeds - 1) < 0.82
    # As many show that a candidate harms.
    assert settle(-gain, seed_variance=4.0, item_variance=0.0, seeds=2, hours_per_seed=1.5) == found


def test_no_gain_is_settled_by_being_equal_within_the_margin() -> None:
    wide = settle(0.0, seed_variance=1.0, item_variance=0.0, seeds=3, hours_per_seed=1.0)
    narrow = settle(
        0.0, seed_variance=1.0, item_variance=0.0, seeds=3, hours_per_seed=1.0, margin=0.25
    )
    assert wide.seeds is not None and narrow.seeds is not None
    # Two one-sided tests: 0.5 points are 1.96 standard errors and 1.28 beyond.
    assert wide.seeds == pytest.approx((3.24 / 0.5) ** 2, rel=0.1)
    # Equality within half the margin takes four times the seeds.
    assert narrow.seeds / wide.seeds == pytest.approx(4, rel=0.1)


def test_too_few_items_are_mended_by_no_number_of_seeds() -> None:
    found = settle(0.2, seed_variance=1.0, item_variance=1.0, seeds=3, hours_per_seed=1.0)
    assert (found.seeds, found.hours) == (None, None)


def test_a_smaller_level_takes_more_seeds_and_what_is_settled_none() -> None:
    def seeds(level: float | None) -> int | None:
        return settle(
            2.0, seed_variance=4.0, item_variance=0.0, seeds=3, hours_per_seed=1.0, level=level
        ).seeds

    assert (seeds(0.001) or 0) > (seeds(None) or 0) > 0
    done = settle(9.0, seed_variance=1.0, item_variance=0.0, seeds=50, hours_per_seed=1.0)
    assert done.hours == 0


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="margin: it is in points, above 0; got 0"):
        settle(0, seed_variance=1, item_variance=0, seeds=3, hours_per_seed=1, margin=0)

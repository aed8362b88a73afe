"""Items drawn together over languages, seeds and arms."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.item_bootstraps import blocks, study
from xstilts.errors import ConfigError
from xstilts.scores.item_bootstrap import BLOCKS, ItemSet, item_bootstrap
from xstilts.scores.items import item_covariance


def test_parallel_items_are_one_draw_in_all_languages() -> None:
    own = study(1, 5, 400, 2)[0]
    assert own.is_parallel
    runs, languages, items = own.outcomes.shape
    codes = np.tile(np.arange(items), languages), np.repeat(np.arange(languages), items)
    joint = item_covariance(own.outcomes.reshape(runs, -1), *codes)
    apart = item_covariance(own.outcomes.reshape(runs, -1), None, codes[1])
    assert joint[0, 0] > 2 * apart[0, 0]
    for item_set, covariance in ((own, joint), (ItemSet(own.outcomes, False), apart)):
        drawn = item_bootstrap([item_set], draws=4000)[0]
        error = drawn[:, 0].mean(1).std(ddof=1)
        assert error == pytest.approx(covariance[0, 0] ** 0.5, rel=0.04)


def test_a_score_is_a_mean_over_the_items_that_the_language_has() -> None:
    own = study(1, 3, 300, 2)[0]
    outcomes = own.outcomes.copy()
    outcomes[:, 1, :150] = np.nan
    for is_parallel in (True, False):
        drawn = item_bootstrap([ItemSet(outcomes, is_parallel)], draws=4000)[0]
        means = np.nanmean(outcomes, -1)
        assert drawn.mean(0) == pytest.approx(means, abs=0.3)
        half = np.nanstd(outcomes[0, 1]) / 150**0.5
        assert drawn[:, 0, 1].std() == pytest.approx(half, rel=0.05)


def test_blocks_give_the_standard_error_of_items() -> None:
    assert BLOCKS >= 200
    found = blocks(2500, draws=4000, sets=6)
    assert found["mean ratio"] == pytest.approx(1, abs=0.015)
    assert found["furthest"] < 0.045  # 1.1 % is the noise of 4,000 draws


def test_the_same_seed_gives_the_same_draws() -> None:
    sets = study(2, 2, 150, 2)
    first, again = (item_bootstrap(sets, draws=50, seed=3) for _ in range(2))
    other = item_bootstrap(sets, draws=50, seed=4)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first[0] == other[0]).all()
    assert not (first[0] == first[1]).all()


def test_what_cannot_be_drawn_is_refused() -> None:
    outcomes = study(1, 2, 120, 2)[0].outcomes.copy()
    with pytest.raises(ConfigError, match="100 items"):
        item_bootstrap([ItemSet(outcomes[:, :, :99], True)])
    outcomes[0, 0, 0] = np.nan
    with pytest.raises(ConfigError, match="same items"):
        item_bootstrap([ItemSet(outcomes, True)])

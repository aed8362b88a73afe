"""Items drawn together over languages, seeds and arms."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.item_bootstraps import blocks, study
from xstilts.errors import ConfigError
from xstilts.scores.contrasts import Outcomes
from xstilts.scores.item_bootstrap import BLOCKS, item_bootstrap
from xstilts.scores.items import item_covariance


def test_parallel_items_are_one_draw_in_all_languages() -> None:
    own = study(1, 5, 400, 2)
    alone = Outcomes(own.values, own.cells, np.arange(len(own.items)))
    joint, apart = (item_covariance(x.values, x.items, x.cells) for x in (own, alone))
    assert joint[0, 0] > 2 * apart[0, 0]
    for outcomes, covariance in ((own, joint), (alone, apart)):
        drawn = item_bootstrap(outcomes, draws=4000)
        error = drawn[:, 0].mean(1).std(ddof=1)
        assert error == pytest.approx(covariance[0, 0] ** 0.5, rel=0.04)


def test_a_score_is_a_mean_over_the_items_that_the_language_has() -> None:
    own = study(1, 3, 300, 2)
    for outcomes in (own, Outcomes(own.values, own.cells, np.arange(len(own.items)))):
        some = outcomes.of((own.cells != 1) | (np.arange(len(own.cells)) % 300 >= 150))
        drawn = item_bootstrap(some, draws=4000)
        means = np.stack([some.values[:, some.cells == cell].mean(1) for cell in range(3)], 1)
        assert drawn.mean(0) == pytest.approx(means, abs=0.3)
        half = some.values[0, some.cells == 1].std() / 150**0.5
        assert drawn[:, 0, 1].std() == pytest.approx(half, rel=0.05)


def test_rows_of_one_item_in_one_language_are_one_draw() -> None:
    """Equal questions about two texts."""
    own = study(1, 1, 400, 2)
    twice = Outcomes(np.tile(own.values, 2), np.tile(own.cells, 2), np.tile(own.items, 2))
    for outcomes in (own, twice):
        drawn = item_bootstrap(outcomes, draws=4000)[:, 0, 0]
        assert drawn.std() == pytest.approx(own.values[0].std() / 20, rel=0.05)


def test_items_of_tasks_are_drawn_apart_and_those_of_a_task_together() -> None:
    own = study(3, 2, 400, 1)  # the first two are parallel
    assert len(np.unique(own.items)) == 400 + 400 + 800
    drawn = item_bootstrap(own, draws=2000)[:, 0]
    found = np.corrcoef(drawn.T)
    assert found[0, 1] > 0.2 and found[2, 3] > 0.2
    assert np.abs([found[0, 2], found[1, 3], found[0, 4], found[4, 5]]).max() < 0.1


def test_blocks_give_the_standard_error_of_items() -> None:
    assert BLOCKS >= 200
    found = blocks(2500, draws=4000, sets=6)
    assert found["mean ratio"] == pytest.approx(1, abs=0.015)
    assert found["furthest"] < 0.045  # 1.1 % is the noise of 4,000 draws


def test_the_same_seed_gives_the_same_draws() -> None:
    own = study(2, 2, 150, 2)
    first, again = (item_bootstrap(own, draws=50, seed=3) for _ in range(2))
    other = item_bootstrap(own, draws=50, seed=4)
    assert (first == again).all() and not (first == other).all()
    assert not (first[..., :2] == first[..., 2:]).all()


def test_what_cannot_be_drawn_is_refused() -> None:
    own = study(1, 2, 120, 2)
    with pytest.raises(ConfigError, match=r"100 items.*99 in cell 1"):
        item_bootstrap(own.of(np.arange(len(own.cells)) < 219))

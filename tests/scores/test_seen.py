"""What a race has seen: columns of dev scores, and cells that are whole."""

from __future__ import annotations

import numpy as np

from xstilts.config.schema import Sweep
from xstilts.scores.best import TrialScores
from xstilts.scores.seen import Column, columns_of, seen_scores

from ..conftest import make_sweep


def make(*targets: str) -> Sweep:
    return make_sweep(targets=list(targets), seeds=[4, 2])


def test_targets_that_share_their_training_share_a_column() -> None:
    assert columns_of(make("mini_xnli", "mini_udpos")) == (
        Column("mini_xnli", ("mini_xnli",), ("mini_xnli",)),
        Column("mini_udpos", ("mini_udpos",), ("mini_udpos",)),
    )
    both = ("xquad", "mlqa")
    assert columns_of(make(*both)) == (Column("xquad", both, both),)


def test_targets_without_a_dev_set_have_the_column_of_the_mean() -> None:
    targets = ("mini_tatoeba", "mini_xnli")
    assert columns_of(make(*targets)) == (
        Column("mini_xnli", ("mini_xnli",), ("mini_xnli",)),
        Column("avg", ("mini_tatoeba",), targets),
    )


def trial(config: str, seed: int, dev: dict[str, float], *scored: str) -> TrialScores:
    return TrialScores(
        f"{config}-s{seed}", config, "nli", "m", seed, dev, dict.fromkeys(scored, 1.0)
    )


def test_a_cell_is_seen_where_its_targets_are_scored_and_in_the_order_of_seeds() -> None:
    trials = [
        trial("a", 2, {"mini_xnli": 10.0, "avg": 10.0}, "mini_xnli"),
        trial("a", 4, {"mini_xnli": 20.0, "avg": 20.0}, "mini_xnli", "mini_tatoeba"),
        trial("b", 4, {"mini_xnli": 30.0}),
        trial("c", 4, {"mini_xnli": 40.0}, "mini_xnli"),
        trial("a", 9, {"mini_xnli": 50.0}, "mini_xnli"),
    ]
    found = seen_scores(make("mini_xnli", "mini_tatoeba"), ["b", "a"], trials)
    nan = np.nan
    expected = [[[nan, nan], [nan, nan]], [[20.0, 10.0], [20.0, nan]]]
    np.testing.assert_equal(found, expected)

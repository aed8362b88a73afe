"""What is read off lower rungs, and how far they order candidates."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.scores.rungs import LowerRungs, correlation_of
from xstilts.scores.seen import columns_of

from ..conftest import make_sweep
from ..trial_records import make_record


def test_a_column_needs_what_is_trained_and_a_mean_all_that_have_dev() -> None:
    targets = ["mini_xnli", "mini_udpos", "mini_tatoeba"]
    search = {"strategy": "race", "rungs": [0.1, 0.3, 1]}
    sweep = make_sweep(targets=targets, seeds=[0, 1], search=search)
    rows = [
        {"target": target, "split": "dev", "language": "en", "metric": metric, "value": value,
         "n": 10, "is_chosen": True}
        for target, metric, value in (
            ("mini_xnli", "accuracy", 40.0), ("mini_udpos", "f1", 60.0),
        )
    ]  # fmt: skip
    whole = make_record("a-s0-r0.3", config="a", rung=0.3, phase="rung", scores=rows)
    part = make_record("b-s0-r0.1", config="b", rung=0.1, phase="rung", scores=rows[:1])
    found = LowerRungs.of(sweep, [whole, part])
    needed = [found.needed(column) for column in columns_of(sweep)]
    assert needed == [{"mini_xnli"}, {"mini_udpos"}, {"mini_xnli", "mini_udpos"}]
    scores = found.scores(["a", "b"])
    nan = np.nan
    np.testing.assert_array_equal(scores[0], [[nan, 40], [nan, 60], [nan, 50]])
    np.testing.assert_array_equal(scores[1], [[40, nan], [nan, nan], [nan, nan]])


def test_a_rank_correlation_is_of_those_that_have_both() -> None:
    nan = np.nan
    hints = np.array([3.0, 2.0, 1.0, 9.0, nan])
    runs = np.array([[1.0, nan], [2.0, 4.0], [5.0, nan], [nan, nan], [7.0, 7.0]])
    assert correlation_of(hints, runs) == (pytest.approx(-1.0), 3)
    assert correlation_of(hints[1:], runs[1:]) == (None, 2)
    assert correlation_of(np.ones(5), runs) == (None, 4), "equal values have no order"

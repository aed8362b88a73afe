"""Signals as arrays: what is known is compared, and what is not stays a hole."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.scores.ranks import rank_correlation
from xstilts.scores.signals import known_mean, signal_values, standardised

from ..conftest import make_sweep

TARGETS = ["mini_xnli", "mini_xquad", "mini_tatoeba"]


def told(retrieval: float, probe: float) -> dict[str, dict[str, float]]:
    return {
        "retrieval/mini_parallel": {"value": retrieval, "by_layer/00": 1.0},
        "probe/mini_xnli": {"value": probe},
    }


def test_values_stand_in_the_columns_of_their_targets() -> None:
    search = {"strategy": "race", "signals": ["probe", "retrieval"], "parallel": "mini_parallel"}
    sweep = make_sweep(targets=TARGETS, seeds=[0, 1], search=search)
    found = signal_values(sweep, [told(50, 0.2), {}, told(60, 0.4)])
    assert [*found] == ["probe", "retrieval"]
    retrieval, probe = found["retrieval"], found["probe"]
    assert retrieval[[0, 2]].tolist() == [[50] * 3, [60] * 3] and np.isnan(retrieval[1]).all()
    assert probe[[0, 2], 0].tolist() == [0.2, 0.4]
    assert np.isnan(probe[:, 1]).all(), "span QA has no classes"
    # A target without a dev set has the mean over the others that are known, standardised.
    assert probe[[0, 2], 2].tolist() == pytest.approx([-1, 1]) and np.isnan(probe[1]).all()


def test_standardised_over_those_known() -> None:
    values = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0], [5.0, np.nan]])
    found = standardised(values)
    assert found[[0, 1, 3], 0] == pytest.approx(np.array([-1, 0, 1]) * 1.5**0.5)
    assert np.isnan(found[2, 0]) and np.isnan(found[3, 1])
    assert found[:3, 1].tolist() == [0, 0, 0], "equal values tell nothing"


def test_a_mean_of_what_is_known_at_each_place() -> None:
    parts = [np.array([1.0, np.nan, np.nan]), np.array([3.0, 2.0, np.nan])]
    found = known_mean(parts)
    assert found[:2].tolist() == [2, 2] and np.isnan(found[2])


def test_a_rank_correlation_has_four_candidates_or_is_none() -> None:
    scores = np.array([1.0, 2, 3, 4, np.nan])
    assert rank_correlation(np.array([10.0, 20, 40, 30, 0]), scores) == (pytest.approx(0.8), 4)
    assert rank_correlation(np.array([1.0, 2, np.nan, 3, 4]), scores) == (None, 3)
    assert rank_correlation(np.ones(5), scores) == (None, 4), "equal values have no ranks"

"""Runs that collapsed: exact bounds, and the least gain over all runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from xstilts.errors import ConfigError
from xstilts.scores.collapse import collapse_rate, lowest_over_all_runs
from xstilts.scores.variance import gain


@pytest.mark.parametrize(("collapsed", "runs"), [(0, 5), (1, 5), (3, 8), (5, 5)])
def test_the_bounds_are_where_the_count_is_just_credible(collapsed: int, runs: int) -> None:
    rate = collapse_rate(collapsed, runs)
    if collapsed:
        assert binom.sf(collapsed - 1, runs, rate.low) == pytest.approx(0.025)
    else:
        assert rate.low == 0
    if collapsed < runs:
        assert binom.cdf(collapsed, runs, rate.high) == pytest.approx(0.025)
    else:
        assert rate.high == 1


def test_over_all_runs_the_candidate_is_as_unlucky_as_it_may_be() -> None:
    found = gain(np.array([80.0, 81, 82]), np.array([70.0, 71, 69]))
    own, other = collapse_rate(0, 5), collapse_rate(2, 5)
    least = lowest_over_all_runs(found, 70.0, own, other, 33.0)
    candidate = (1 - own.high) * (70 + found.low) + own.high * 33
    baseline = (1 - other.low) * 70 + other.low * 33
    assert least == pytest.approx(candidate - baseline)
    assert least < found.low


def test_counts_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="got 6 of 5"):
        collapse_rate(6, 5)

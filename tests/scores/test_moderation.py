"""Moderated variances: the prior that neighbours give, and how far it counts."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.scores.moderation import Prior, estimate_prior


def drawn(spreads: np.ndarray, runs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sample variances of so many runs, and their degrees of freedom."""
    scores = np.random.default_rng(seed).normal(0, spreads[:, None], (len(spreads), runs))
    return scores.var(1, ddof=1), np.full(len(spreads), runs - 1.0)


def test_the_prior_is_found_again() -> None:
    generator = np.random.default_rng(0)
    # Inverse chi-squared variances: 6 degrees of freedom about 4.
    spreads = np.sqrt(4 * 6 / generator.chisquare(6, 20_000))
    prior = estimate_prior(*drawn(spreads, 5))
    assert prior is not None
    assert prior.dof == pytest.approx(6, rel=0.1)


def test_equal_variances_are_shared_but_never_pooled_alone() -> None:
    variances, dof = drawn(np.ones(12), 3)
    prior = estimate_prior(variances, dof)
    assert prior is not None and 2 < prior.dof < 20
    few = estimate_prior(*drawn(np.ones(3), 3))
    many = estimate_prior(*drawn(np.ones(500), 3))
    assert few is not None and many is not None
    assert few.dof < prior.dof < many.dof
    assert many.variance == pytest.approx(1, rel=0.2)


def test_a_moderated_variance_lies_between_its_own_and_the_priors() -> None:
    prior = Prior(variance=4.0, dof=6.0, limit=30.0)
    variances, dof = prior.moderated(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    assert variances[0] == pytest.approx((6 * 4 + 2 * 1) / 8)
    assert dof[0] == 8
    assert variances[1] == pytest.approx(4)


def test_one_run_is_judged_by_the_prior_alone() -> None:
    prior = Prior(4.0, 6.0, 30.0)
    variances, dof = prior.moderated(np.array([np.nan, 999.0]), np.array([0.0, 0.0]))
    assert variances.tolist() == [4, 4]
    assert dof.tolist() == [6, 6]


def test_the_prior_does_not_calm_the_arm_that_is_unlike_it() -> None:
    prior = Prior(1.0, 20.0, 100.0)
    variances, dof = prior.moderated(np.array([25.0]), np.array([4.0]))
    assert variances[0] > 24.5
    assert dof[0] == pytest.approx(4, abs=0.1)


def test_no_variance_has_more_degrees_of_freedom_than_all_runs() -> None:
    assert Prior(1.0, 500.0, 12.0).moderated(np.array([1.0]), np.array([2.0]))[1] == 12


def test_one_arm_has_no_neighbours_and_equal_scores_no_logarithm() -> None:
    assert estimate_prior(np.array([2.0, np.nan]), np.array([2.0, 0.0])) is None
    level = estimate_prior(np.zeros(3), np.full(3, 2.0))
    assert level is not None and level.variance == 0
    one = estimate_prior(np.array([0.0, 1.0, 1.2]), np.full(3, 2.0))
    assert one is not None and 0 < one.variance < 1

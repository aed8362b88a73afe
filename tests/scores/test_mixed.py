"""A linear mixed model with crossed random terms, beside lme4 and by definition."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scores.mixed_tables import crossed
from xstilts.errors import ConfigError
from xstilts.scores.mixed import MixedFit, Term, fit, moments_at


def criterion_by_definition(
    response: np.ndarray, fixed: np.ndarray, terms: list[Term], found: MixedFit
) -> float:
    """Minus twice the restricted log likelihood, from the covariance matrix itself."""
    covariance = found.residual * np.eye(len(response))
    for term, variance in zip(terms, found.variances, strict=True):
        covariance += variance * term.columns() @ term.columns().T
    inverse = np.linalg.inv(covariance)
    information = fixed.T @ inverse @ fixed
    estimates = np.linalg.solve(information, fixed.T @ inverse @ response)
    assert found.estimates == pytest.approx(estimates, rel=1e-6, abs=1e-9)
    assert found.covariance == pytest.approx(np.linalg.inv(information), rel=1e-6)
    rest = response - fixed @ estimates
    return float(
        np.linalg.slogdet(covariance)[1]
        + np.linalg.slogdet(information)[1]
        + rest @ inverse @ rest
        + (len(response) - fixed.shape[1]) * np.log(2 * np.pi)
    )


def test_it_is_the_restricted_likelihood_of_the_whole_covariance_matrix() -> None:
    response, fixed, terms = crossed(0)
    found = fit(response, fixed, terms)
    assert found.criterion == pytest.approx(
        criterion_by_definition(response, fixed, terms, found), abs=1e-6
    )


def test_a_balanced_one_way_table_is_its_analysis_of_variance() -> None:
    generator = np.random.default_rng(0)
    groups, size = 8, 5
    table = 2 * generator.normal(size=(groups, 1)) + generator.normal(size=(groups, size))
    levels = np.repeat(np.arange(groups), size)
    found = fit(table.ravel(), np.ones((groups * size, 1)), [Term("group", levels)])
    within = table.var(1, ddof=1).mean()
    between = table.mean(1).var(ddof=1)
    assert found.residual == pytest.approx(within, rel=1e-6)
    assert found.variances[0] == pytest.approx(between - within / size, rel=1e-5)
    assert found.covariance[0, 0] == pytest.approx(between / groups, rel=1e-6)


def test_a_variance_that_would_be_negative_is_zero() -> None:
    # Groups whose means agree more than their rows allow.
    table = np.tile([-1.0, 1.0, 0.5, -0.5], (6, 1)) + np.arange(6)[:, None] * 1e-3
    found = fit(table.ravel(), np.ones((24, 1)), [Term("group", np.repeat(np.arange(6), 4))])
    assert found.variances[0] == 0
    assert found.is_singular
    assert found.residual == pytest.approx(table.var(ddof=1), rel=1e-6)


def test_no_start_hides_a_higher_likelihood() -> None:
    """At the maximum a change of any variance by a tenth lowers it."""
    for seed in range(6):
        found = fit(*crossed(seed))
        at = np.append(found.variances, found.residual)
        for place in range(len(at)):
            for factor in (0.9, 1.1):
                moved = at.copy()
                moved[place] = moved[place] * factor if moved[place] else 1e-3
                assert moments_at(found.products, moved).criterion > found.criterion


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda y, x, terms: (np.where(np.arange(len(y)) == 3, np.nan, y), x, terms), "holes"),
        (lambda y, x, terms: (y, np.column_stack([x, x[:, 1] * 2]), terms), "told apart"),
        (lambda y, x, terms: (y, x, []), "random term"),
        (lambda y, x, terms: (x @ np.ones(x.shape[1]), x, terms), "differ"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        fit(*change(*crossed(1)))

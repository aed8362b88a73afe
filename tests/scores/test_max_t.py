"""The largest of several t statistics that share an arm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import dunnett, norm
from scipy.stats import t as student

from xstilts.scores.max_t import adjusted, any_above, critical


def test_one_comparison_is_an_ordinary_t_test() -> None:
    p = adjusted(np.array([2.1]), np.array([7.0]), np.array([0.7]))
    assert p[0] == pytest.approx(student.sf(2.1, 7), rel=1e-6)
    width = critical(np.array([7.0]), np.array([0.7]), 0.95)
    assert width[0] == pytest.approx(student.ppf(0.975, 7), rel=1e-5)


def test_independent_comparisons_multiply_and_equal_ones_count_once() -> None:
    z = 1.7
    free = any_above(np.array([z]), np.zeros(4))[0]
    assert free == pytest.approx(1 - norm.cdf(z) ** 4, rel=1e-9)
    same = any_above(np.array([z]), np.ones(4))[0]
    assert norm.sf(z) <= same < 1.35 * norm.sf(z) < 0.5 * free


def test_it_is_dunnetts_test_where_variances_are_known_and_equal() -> None:
    generator = np.random.default_rng(0)
    control, *others = generator.normal(0, 1, (4, 400))
    others = [sample + shift for sample, shift in zip(others, (0.05, 0.12, 0.2), strict=True)]
    expected = dunnett(*others, control=control, alternative="greater").pvalue
    samples = [control, *others]
    pooled = np.mean([sample.var(ddof=1) for sample in samples])
    t = np.array([other.mean() - control.mean() for other in others]) / np.sqrt(2 * pooled / 400)
    found = adjusted(t, np.full(3, 1596.0), np.full(3, 0.5**0.5))
    assert found == pytest.approx(expected, abs=0.003)


def test_simultaneous_intervals_miss_as_often_as_they_say() -> None:
    loadings = np.array([0.3, 0.7, 0.9])
    widths = critical(np.full(3, 1e9), loadings, 0.9)
    generator = np.random.default_rng(1)
    noise = loadings * generator.normal(size=(200_000, 1)) + np.sqrt(
        1 - loadings**2
    ) * generator.normal(size=(200_000, 3))
    assert (np.abs(noise) < widths).all(1).mean() == pytest.approx(0.9, abs=0.003)


def test_tiny_probabilities_stay_between_their_bounds() -> None:
    p = any_above(np.array([9.0]), np.full(5, 0.5))[0]
    assert norm.sf(9) <= p <= 5 * norm.sf(9)

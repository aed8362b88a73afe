"""The weighted objective: targets weigh what they tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.errors import ConfigError
from xstilts.scores.weighted import weights_of


def test_a_target_weighs_its_reliability() -> None:
    dev = np.array([[0.0, 10.0], [2.0, 14.0], [4.0, 12.0]])
    found = weights_of(dev, np.array([1.0, 3.0]))
    # Variances 4 and 4: between is 3 of 4, and 1 of 4.
    assert found.weights == pytest.approx([0.75, 0.25])
    standard = (dev - dev.mean(0)) / 2
    assert found.scores(dev) == pytest.approx(standard @ [0.75, 0.25])


def test_noise_weighs_nothing_and_scale_does_not_count() -> None:
    dev = np.random.default_rng(0).normal(0, 1, (12, 3))
    dev[:, 2] = 100 * dev[:, 0]
    found = weights_of(dev, np.array([0.1, 50.0, 0.1 * 100**2]))
    assert found.weights[1] == 0
    assert found.weights[0] == pytest.approx(found.weights[2])


def test_sampling_variances_may_differ_by_candidate_and_weights_are_fixed() -> None:
    dev = np.random.default_rng(1).normal(0, 3, (5, 2))
    by_target = weights_of(dev, np.array([1.0, 2.0]))
    by_cell = weights_of(dev, np.array([1.0, 2.0]) + np.array([[-0.5], [0.5], [0], [0.2], [-0.2]]))
    assert by_cell.weights == pytest.approx(by_target.weights)
    late = by_target.scores(np.vstack([dev, [90.0, 90.0]]))
    assert late[:5] == pytest.approx(by_target.scores(dev))


def test_where_all_is_noise_all_weigh_alike() -> None:
    assert weights_of(np.ones((4, 2)), np.ones(2)).weights == pytest.approx([0.5, 0.5])


def test_two_candidates_are_too_few() -> None:
    with pytest.raises(ConfigError, match="three candidates or more"):
        weights_of(np.ones((2, 2)), np.ones(2))

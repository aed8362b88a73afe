"""The H-score and the linear probe, against other formulations of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from xstilts.scores.transferability import FOLDS, PENALTY, h_score, linear_probe


def drawn(seed: int, rows: int = 60, gap: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of three classes, whose means are so far apart, and their labels."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, rows, p=[0.5, 0.3, 0.2])
    means = gap * generator.normal(0, 1, (3, 8))
    return means[labels] + generator.normal(0, 1, (rows, 8)) * np.linspace(0.5, 2, 8), labels


@pytest.mark.parametrize("rows", [12, 60, 400])
def test_the_h_score_is_a_sum_over_rows_of_distances_between_class_means(rows: int) -> None:
    """In eigenvectors of the shrunk covariance: what each row's class mean is from the mean of all,
    in that direction's standard deviations."""
    vectors, labels = drawn(0, rows)
    fitted = LedoitWolf().fit(vectors)
    values, directions = np.linalg.eigh(fitted.covariance_)
    expected = 0.0
    for label in labels:
        away = vectors[labels == label].mean(0) - vectors.mean(0)
        expected += float((((away @ directions) ** 2) / values).sum()) / rows
    found = h_score(vectors, labels)
    assert found == pytest.approx((1 - fitted.shrinkage_) * expected, rel=1e-9)


def test_the_h_score_is_of_classes_and_no_more_than_their_number_less_one() -> None:
    near, far = (h_score(*drawn(1, 2000, gap)) for gap in (0.1, 50.0))
    assert 0 < near < 0.2 and 1.9 < far <= 2
    vectors, labels = drawn(1, 2000, 1.0)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert h_score(vectors, shuffled) < 0.05 < 0.5 < h_score(vectors, labels)


def test_the_h_score_hangs_on_no_base_and_on_no_name_of_a_class() -> None:
    vectors, labels = drawn(2)
    turned, _ = np.linalg.qr(np.random.default_rng(3).normal(0, 1, (8, 8)))
    expected = h_score(vectors, labels)
    assert h_score(vectors @ turned + 5, labels) == pytest.approx(expected, rel=1e-9)
    assert h_score(vectors, np.array([7, 3, 5])[labels]) == pytest.approx(expected, rel=1e-12)


def test_vectors_that_are_one_vector_tell_nothing() -> None:
    assert h_score(np.ones((20, 4)), np.arange(20) % 2) == 0.0


def test_the_linear_probe_is_ridge_on_rows_that_it_has_not_seen() -> None:
    vectors, labels = drawn(4, 100)
    order = np.arange(100)
    np.random.RandomState(0).shuffle(order)
    right = 0
    for fold in np.split(order, FOLDS):
        rest = np.setdiff1d(np.arange(100), fold)
        mean, spread = vectors[rest].mean(0), vectors[rest].std(0)
        x, y = (vectors[rest] - mean) / spread, 2.0 * np.eye(3)[labels[rest]] - 1
        weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(8), x.T @ (y - y.mean(0)))
        scores = (vectors[fold] - mean) / spread @ weights + y.mean(0)
        right += int((scores.argmax(1) == labels[fold]).sum())
    assert linear_probe(vectors, labels) == pytest.approx(right)


def test_one_class_is_refused() -> None:
    for measure in (h_score, linear_probe):
        with pytest.raises(ValueError, match="two classes"):
            measure(np.ones((10, 2)), np.zeros(10))

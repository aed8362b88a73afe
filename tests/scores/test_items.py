"""What items add to the variance of runs' scores: means over rows, and corpus metrics."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.errors import ConfigError
from xstilts.scores.items import bootstrap_covariance, item_covariance


def f1(sums: np.ndarray) -> np.ndarray:
    """Of true positives, predicted and gold."""
    return np.asarray(200 * sums[..., 0] / (sums[..., 1] + sums[..., 2]))


def test_one_language_gives_the_variance_of_a_mean() -> None:
    outcomes = np.random.default_rng(0).normal(50, 10, (3, 200))
    assert item_covariance(outcomes) == pytest.approx(np.cov(outcomes) / 200)


def test_translations_are_one_item() -> None:
    generator = np.random.default_rng(1)
    item = generator.normal(0, 10, (2, 300))
    outcomes, items = np.repeat(item, 4, axis=1), np.repeat(np.arange(300), 4)
    languages = np.tile(np.arange(4), 300)
    joined = item_covariance(outcomes, items, languages)
    assert joined == pytest.approx(np.cov(item) / 300)
    # Rows of their own would be four times as many as there are.
    assert item_covariance(outcomes, None, languages) == pytest.approx(joined / 4)


def test_neither_hard_languages_nor_a_seed_that_suits_one_are_noise_of_items() -> None:
    outcomes = np.random.default_rng(2).normal(0, 1, (2, 600))
    languages = np.repeat(np.arange(3), [100, 200, 300])
    before = item_covariance(outcomes, languages=languages)
    shifts = np.array([[0.0, 40.0, 10.0], [5.0, 0.0, 90.0]])[:, languages]
    assert item_covariance(outcomes + shifts, languages=languages) == pytest.approx(before)
    by_hand = sum(
        np.cov(outcomes[:, languages == one]) / n for one, n in enumerate((100, 200, 300))
    )
    assert before == pytest.approx(by_hand / 9)


def test_the_bootstrap_agrees_where_the_metric_is_a_mean() -> None:
    generator = np.random.default_rng(3)
    right = (generator.random((2, 400)) < 0.7).astype(float)
    right[1] = np.where(generator.random(400) < 0.8, right[0], 1 - right[1])
    counts = np.stack([right, np.ones_like(right)], axis=-1)
    found = bootstrap_covariance(
        counts, lambda sums: 100 * sums[..., 0] / sums[..., 1], resamples=8000
    )
    assert found == pytest.approx(item_covariance(100 * right), rel=0.06)


def test_the_bootstrap_of_f1_is_the_spread_of_f1_over_corpora() -> None:
    generator = np.random.default_rng(4)

    def corpus() -> np.ndarray:
        gold = generator.poisson(3, 250) + 1.0
        found = generator.binomial(gold.astype(int), 0.7)
        return np.stack([found, found + generator.poisson(0.5, 250), gold], -1)[None]

    truth = np.var([f1(corpus()[0].sum(0)) for _ in range(2000)], ddof=1)
    found = np.mean([bootstrap_covariance(corpus(), f1, resamples=200) for _ in range(40)])
    assert found == pytest.approx(truth, rel=0.12)


def test_the_bootstrap_draws_items_not_rows_and_is_the_same_each_time() -> None:
    generator = np.random.default_rng(5)
    counts = np.repeat(generator.integers(1, 5, (1, 150, 3)).astype(float), 2, axis=1)
    items, languages = np.repeat(np.arange(150), 2), np.tile([0, 1], 150)
    joined = bootstrap_covariance(counts, f1, items, languages)
    assert joined == bootstrap_covariance(counts, f1, items, languages)
    alone = bootstrap_covariance(counts, f1, None, languages)
    assert joined / alone == pytest.approx(2, rel=0.25)


def test_what_cannot_be_said_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"needs 100 items or more; got 99"):
        bootstrap_covariance(np.ones((2, 99, 3)), f1)
    with pytest.raises(ConfigError, match=r"needs 100 items or more; got 99"):
        bootstrap_covariance(np.ones((2, 198, 3)), f1, np.repeat(np.arange(99), 2))
    with pytest.raises(ConfigError, match=r"two rows or more; got 1 of de"):
        item_covariance(np.ones((2, 4)), languages=np.array(["en", "en", "de", "en"]))
    with pytest.raises(ConfigError, match="1 holes"):
        item_covariance(np.array([[1.0, np.nan]]))

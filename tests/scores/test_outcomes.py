"""What items gave sums up to the scores; resampled rows too."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from xstilts.scores.chance import Counts
from xstilts.scores.outcomes import Outcomes, is_mean, score_of

RANDOM = np.random.default_rng(0)


def by_label(gold: np.ndarray, predicted: np.ndarray, labels: int) -> Counts:
    columns = [((gold == i) & (predicted == i), predicted == i, gold == i) for i in range(labels)]
    return Outcomes.of({"any": columns}).counts["any"]


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_scores_of_labels_are_scikit_learns(labels: int) -> None:
    gold = RANDOM.integers(0, labels - 1, 200)  # of the last label there is no gold
    predicted = np.where(RANDOM.random(200) < 0.6, gold, RANDOM.integers(0, labels, 200))
    counts = by_label(gold, predicted, labels + 1)  # nor any of another
    assert score_of("mcc", counts.sum(0)) == pytest.approx(100 * matthews_corrcoef(gold, predicted))
    macro = 100 * f1_score(gold, predicted, average="macro", zero_division=0)
    assert score_of("f1_macro", counts.sum(0)) == pytest.approx(macro)
    # Weighted sums give the scores of resampled rows, all at once.
    draws = RANDOM.integers(0, 200, (4, 200))
    weights = np.stack([np.bincount(draw, minlength=200) for draw in draws])
    sums = np.einsum("dr,rcp->dcp", weights, counts)
    expected = [100 * matthews_corrcoef(gold[draw], predicted[draw]) for draw in draws]
    assert score_of("mcc", sums) == pytest.approx(expected)


def test_one_label_everywhere_has_no_correlation() -> None:
    gold = np.array([0, 1, 1, 0])
    assert score_of("mcc", by_label(gold, np.zeros(4, int), 2).sum(0)) == 0


def test_a_mean_is_told_from_a_corpus() -> None:
    ones = np.ones(3)
    outcomes = Outcomes.of(
        {"f1": [([0.5, 0, 1], ones, ones)], "corpus": [([1, 0], [2, 1], [1, 1])]}
    )
    assert is_mean(outcomes.counts["f1"]) and not is_mean(outcomes.counts["corpus"])
    assert outcomes.scores == pytest.approx({"f1": 50, "corpus": 40})

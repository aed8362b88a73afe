"""What items gave sums up to the scores; resampled rows too."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from xstilts.scores.chance import Counts
from xstilts.scores.outcomes import Outcomes, is_mean, points_of, score_of

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


def test_points_of_a_mean_are_what_its_items_gave() -> None:
    hits = np.array([1.0, 0.0, 0.5])
    counts = Outcomes.of({"accuracy": [(hits, np.ones(3), np.ones(3))]}).counts["accuracy"]
    assert points_of(counts).tolist() == [100, 0, 50]


def test_points_of_an_f1_have_its_mean_and_its_error() -> None:
    generator = np.random.default_rng(0)
    columns = []
    for share in (0.7, 0.4):  # and a label that never occurs
        gold = generator.poisson(3, 800).astype(float)
        agree = generator.binomial(gold.astype(int), share).astype(float)
        columns.append((agree, agree + generator.poisson(1, 800), gold))
    columns.append((np.zeros(800),) * 3)
    counts = Outcomes.of({"f1_macro": columns}).counts["f1_macro"]
    points = points_of(counts)
    assert points.mean() == pytest.approx(float(score_of("f1_macro", counts.sum(0))))
    drawn = generator.integers(0, 800, (2000, 800))
    scores = score_of("f1_macro", np.stack([counts[own].sum(0) for own in drawn]))
    assert points.std(ddof=1) / 800**0.5 == pytest.approx(float(scores.std()), rel=0.05)

"""Above chance or not: the binomial test, the bootstrap, and scores from counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xstilts.scores.chance import LEVEL, entropy, is_above, rate


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def choices(right: int, rows: int) -> np.ndarray:
    """Counts of a task whose rows are right or wrong."""
    counts = np.ones((rows, 1, 3))
    counts[right:, 0, 0] = 0
    return counts


def binomial_tail(right: int, rows: int, share: float) -> float:
    """How often so many are right by chance, summed term by term."""
    return math.fsum(
        math.comb(rows, k) * share**k * (1 - share) ** (rows - k) for k in range(right, rows + 1)
    )


def test_58_percent_of_two_choices_decides_with_500_rows_not_with_100() -> None:
    assert not is_above(choices(58, 100), choices(50, 100), random())
    assert is_above(choices(290, 500), choices(250, 500), random())


@pytest.mark.parametrize(("rows", "floor"), [(60, 20), (100, 50), (277, 145)])
def test_the_least_score_that_counts_is_the_exact_tests(rows: int, floor: int) -> None:
    least = next(k for k in range(rows + 1) if binomial_tail(k, rows, floor / rows) < LEVEL)
    assert is_above(choices(least, rows), choices(floor, rows), random())
    assert not is_above(choices(least - 1, rows), choices(floor, rows), random())


def test_a_score_is_twice_the_overlap_by_the_sizes() -> None:
    sums = np.array([[[3.0, 4.0, 8.0], [5.0, 10.0, 10.0]], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])
    assert rate(sums) == pytest.approx([(50 + 50) / 2, (0 + 100) / 2])


def f1_counts(agree: np.ndarray, predicted: int, gold: int) -> np.ndarray:
    table = np.zeros((len(agree), 1, 3))
    table[:, 0] = np.stack(
        [agree, np.full(len(agree), predicted), np.full(len(agree), gold)], axis=-1
    )
    return table


def test_the_bootstrap_asks_for_more_than_noise() -> None:
    draws = np.random.default_rng(1)
    constant = f1_counts(draws.integers(0, 2, 200), 3, 3)
    shuffled = constant[draws.permutation(200)]
    assert not is_above(shuffled, constant, random())
    assert is_above(f1_counts(draws.integers(1, 3, 200), 3, 3), constant, random())
    # Two rows that were lucky are no result.
    assert not is_above(f1_counts(np.array([1, 0]), 3, 3), f1_counts(np.zeros(2), 3, 3), random())


def test_noise_passes_about_as_often_as_the_level_says() -> None:
    draws = np.random.default_rng(2)
    passed = 0
    for _ in range(300):
        both = f1_counts(draws.integers(0, 3, 60), 3, 3), f1_counts(draws.integers(0, 3, 60), 3, 3)
        passed += is_above(*both, draws)
    assert 0 <= passed <= 12  # 3 expected


def test_the_same_generator_gives_the_same_verdict() -> None:
    draws = np.random.default_rng(3)
    both = f1_counts(draws.integers(0, 3, 40), 3, 3), f1_counts(draws.integers(0, 2, 40), 3, 3)
    assert len({is_above(*both, np.random.default_rng(7)) for _ in range(3)}) == 1


def test_entropy_is_that_of_the_frequencies() -> None:
    assert entropy([0, 1, 2, 0, 1, 2]) == pytest.approx(math.log(3))
    assert entropy([0, 0, 0]) == 0 == entropy([])
    assert entropy([0, 0, 0, 1]) == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))

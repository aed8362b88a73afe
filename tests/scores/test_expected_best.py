"""The expected best of fewer configurations, against all ways to choose them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from xstilts.errors import ConfigError
from xstilts.scores.expected_best import expected_best

DEV = np.array([3.0, 9.0, 4.0, 4.0, 7.0, 1.0])
SCORES = np.array([30.0, 70.0, 80.0, 20.0, 60.0, 50.0])


@pytest.mark.parametrize("m", [1, 2, 3, 5, 6])
def test_it_is_the_mean_over_all_choices(m: int) -> None:
    chosen = [list(choice) for choice in combinations(range(6), m)]
    assert expected_best(DEV, m) == pytest.approx(np.mean([DEV[one].max() for one in chosen]))
    scores = []
    for one in chosen:
        best = [place for place in one if DEV[place] == DEV[one].max()]
        # The two with dev 4 stand for one another.
        tied = [2, 3] if DEV[best[0]] == 4 else best
        scores.append(SCORES[tied].mean())
    assert expected_best(DEV, m, SCORES) == pytest.approx(np.mean(scores))


def test_no_more_can_be_drawn_than_there_are() -> None:
    with pytest.raises(ConfigError, match="got 7 of 6"):
        expected_best(DEV, 7)

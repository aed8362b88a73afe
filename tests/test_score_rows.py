"""A trial's rows of the score table, by column."""

from __future__ import annotations

import pytest

from xstilts.score_rows import ScoreRows


def test_rows_have_what_is_theirs_and_what_is_the_same_in_all() -> None:
    rows = ScoreRows({"trial": "t"}, {"language": ["de", "th"], "value": [50.0, 1.5]})
    assert list(rows) == [
        {"trial": "t", "language": "de", "value": 50.0},
        {"trial": "t", "language": "th", "value": 1.5},
    ]
    assert list(ScoreRows()) == []


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError):
        ScoreRows({}, {"language": ["de"], "value": [1.0, 2.0]})

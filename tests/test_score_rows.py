"""A trial's rows of the score table as JSON: what the standard library writes, byte for byte."""

from __future__ import annotations

import json

import pytest

from xstilts.score_rows import ScoreRows


@pytest.mark.parametrize(
    ("once", "columns"),
    [
        ({"trial": "t", "seed": 0}, {"language": ["de", "th"], "value": [50.0, 1.5e-7]}),
        ({}, {"language": ["de"], "is_chosen": [True]}),
        (
            {"trial": 'ä%s"', "seed": None},
            {
                "a%": ["x, y", "é\n"],
                "b": [2, 1e16],
                "c": [True, None],
                "d": ["x", 3],
                "e": [[1, 2], {"k": "%s"}],
            },
        ),
    ],
)
def test_json_is_that_of_the_rows(
    once: dict[str, object], columns: dict[str, list[object]]
) -> None:
    rows = ScoreRows(once, columns)
    assert f"[{rows.json()}]" == json.dumps(list(rows), ensure_ascii=False)
    assert not ScoreRows().json()


@pytest.mark.parametrize("column", [[1.0, float("nan")], ["x", float("inf")]])
def test_what_is_no_number_of_json_is_refused(column: list[object]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ScoreRows({}, {"value": column}).json()

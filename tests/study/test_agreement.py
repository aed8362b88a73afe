"""Where two values differ first."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts.study.agreement import count_numbers, first_difference

ANSWER: dict[str, Any] = {"says": "so", "contrasts": [{"low": None}, {"effect": {"low": 1.2}}]}


def test_the_path_of_the_first_difference_is_named() -> None:
    other = {"says": "so", "contrasts": [{"low": None}, {"effect": {"low": 1.3}}]}
    found = first_difference(ANSWER, other, 1e-6)
    assert found == "contrasts[1].effect.low: 1.2 recorded, 1.3 recomputed"
    assert first_difference(ANSWER, ANSWER, 0) is None


@pytest.mark.parametrize(
    ("recorded", "recomputed", "told"),
    [
        ({"a": 1}, {}, "a: 1 recorded, nothing recomputed"),
        ({}, {"a": None}, "a: nothing recorded, null recomputed"),
        ([1], [1, 2], "[1]: nothing recorded, 2 recomputed"),
        ({"a": "1"}, {"a": 1}, 'a: "1" recorded, 1 recomputed'),
        ({"a": True}, {"a": 1}, "a: true recorded, 1 recomputed"),
        ({"a": []}, {"a": {}}, "a: [] recorded, {} recomputed"),
        ({"a": float("nan")}, {"a": 1.0}, "a: NaN recorded, 1.0 recomputed"),
        ({"a": 100.1}, {"a": 100.2}, "a: 100.1 recorded, 100.2 recomputed"),
        ({"a": "x" * 99}, {"a": "y"}, f'a: "{"x" * 56}... recorded, "y" recomputed'),
    ],
)
def test_each_sort_of_difference_is_told(recorded: Any, recomputed: Any, told: str) -> None:
    assert first_difference(recorded, recomputed, 1e-6) == told


def test_numbers_may_be_apart_by_no_more_than_is_said() -> None:
    assert first_difference({"a": 5e6}, {"a": 5e6 + 4}, 1e-6) is None
    assert first_difference({"a": 0.1}, {"a": 0.1 + 2e-6}, 1e-6)
    assert first_difference({"a": 1}, {"a": 1.0}, 0) is None
    assert first_difference({"a": float("inf")}, {"a": float("inf")}, 0) is None
    assert first_difference({"a": float("nan")}, {"a": float("nan")}, 0) is None


def test_numbers_are_counted() -> None:
    assert count_numbers({"a": [1, 2.5, None, True, "3"], "b": {"c": 4}}) == 3

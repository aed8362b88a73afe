"""What items gave, as JSON and back, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xstilts.run.outcomes import Items, read_outcomes, write_outcomes
from xstilts.scores.outcomes import Outcomes
from xstilts.study.bundled_items import About, Counts, items_of, pack_items

DRAWN = np.random.default_rng(0)


def corpus(count: int) -> Items:
    """A mean of shares, and what agrees, was predicted and is gold of two labels."""
    ones = np.ones(count)
    columns = {
        "f1": [(DRAWN.random(count), ones, ones)],
        "f1_macro": [tuple(DRAWN.integers(0, 3, (3, count))) for _ in range(2)],
    }
    keys = [None, *(f"schlüssel {i}" for i in range(count - 1))]
    return Items(Outcomes.of(columns, np.arange(count) * 2), keys)


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    written = {"en": corpus(5), "sw": corpus(3)}
    write_outcomes(tmp_path, "t", written)
    packed = pack_items(tmp_path, "t")
    assert packed is not None
    counts, about = packed
    assert [len(parts) for parts in counts.metrics["f1"]] == [1]
    assert [len(parts) for parts in counts.metrics["f1_macro"]] == [3, 3]
    from pydantic import TypeAdapter

    read = items_of(TypeAdapter(About).validate_json(about), counts)
    (tmp_path / "again").mkdir()
    write_outcomes(tmp_path / "again", "t", read)
    again = read_outcomes(tmp_path / "again", "t")
    assert again is not None and list(again) == ["en", "sw"]
    for code, own in written.items():
        assert again[code].keys == own.keys
        assert (again[code].outcomes.rows == own.outcomes.rows).all()
        for metric, table in own.outcomes.counts.items():
            assert (again[code].outcomes.counts[metric] == table).all()
    assert pack_items(tmp_path / "again", "t") == packed


def test_an_evaluation_that_kept_nothing_has_none(tmp_path: Path) -> None:
    assert pack_items(tmp_path, "t") is None


ABOUT = About({"en": 2}, [0, 1], ["a", None])


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"accuracy": []},
        {"accuracy": [[[1, 0], [1, 1]]]},
        {"accuracy": [[[1, 0, 1]]]},
        {"accuracy": [[[1, float("nan")]]]},
    ],
)
def test_counts_go_with_their_items(metrics: dict[str, list[list[list[int | float]]]]) -> None:
    with pytest.raises(ValueError):
        items_of(ABOUT, Counts("x", metrics))
    with pytest.raises(ValueError):
        About({"en": 3}, [0, 1], ["a", None])

"""What every item gave, as JSON in a bundle, and read again.

A part has the counts of one target's evaluation; the items themselves - languages, rows, keys - are
the same for all evaluations of a target, and stand in a part of their own once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from xstilts.run.outcomes import Items, read_outcomes
from xstilts.scores.outcomes import Outcomes
from xstilts.study.bundle import json_bytes

ABOUT = "about"
"""In the folder of items: the parts that say which items there are, named by their own sha256."""

DIGITS = 16
"""How much of that is in their names."""


@dataclass(frozen=True, slots=True)
class About:
    """Which items a target has: how many in each language, then, language by language, their rows
    and keys, None where an item has no other language."""

    languages: Mapping[str, int]
    rows: list[int]
    keys: list[str | None]

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.keys) == sum(self.languages.values()):
            raise ValueError("as many rows as keys, and as languages have items")


@dataclass(frozen=True, slots=True)
class Counts:
    """What the items of an evaluation gave, None where it kept nothing of them: by metric, a list
    for each column of its counts, of the three parts (`xstilts.run.outcomes.PARTS`), or of the
    first alone where the others are 1."""

    about: str
    metrics: Mapping[str, list[list[list[int | float]]]]


def pack_items(result: Path, target: str) -> tuple[Counts, bytes] | None:
    """A target's items in a result, and the part that says which they are; None where the result
    is of a version that kept none.

    Raises:
        StoreError: they cannot be read.
    """
    found = read_outcomes(result, target)
    if found is None:
        return None
    languages = list(found.values())
    rows = np.concatenate([own.outcomes.rows for own in languages]).tolist()
    keys = [key for own in languages for key in own.keys]
    about = json_bytes(About({name: len(own.keys) for name, own in found.items()}, rows, keys))
    counts = {}
    for metric in languages[0].outcomes.counts:
        table = np.concatenate([own.outcomes.counts[metric] for own in languages])
        parts = 1 if (table[..., 1:] == 1).all() else table.shape[2]
        counts[metric] = [
            [_numbers(table[:, column, part]) for part in range(parts)]
            for column in range(table.shape[1])
        ]
    return Counts(sha256(about).hexdigest()[:DIGITS], counts), about


def items_of(about: About, counts: Counts) -> dict[str, Items]:
    """The items of an evaluation by language.

    Raises:
        ValueError: the two do not go together.
    """
    if not counts.metrics:
        raise ValueError("counts of a metric at least")
    tables = {
        metric: _table(columns, len(about.rows)) for metric, columns in counts.metrics.items()
    }
    rows, bounds = np.array(about.rows, np.int64), accumulate(about.languages.values(), initial=0)
    return {
        language: Items(
            Outcomes(rows[first:last], {name: own[first:last] for name, own in tables.items()}),
            about.keys[first:last],
        )
        for language, (first, last) in zip(about.languages, pairwise(bounds), strict=True)
    }


def _table(columns: list[list[list[int | float]]], count: int) -> np.ndarray:
    """(items, columns, 3) from the lists of a part."""
    if not columns or any(len(parts) not in (1, 3) for parts in columns):
        raise ValueError("one or three lists of counts in every column")
    table = np.ones((count, len(columns), 3))
    for column, i, values in _lists(columns):
        if len(values) != count:
            raise ValueError(f"{count} counts in every list, one an item")
        table[:, column, i] = values
    if not np.isfinite(table).all():
        raise ValueError("counts that are numbers")
    return table


def _lists(columns: list[list[list[int | float]]]) -> Iterator[tuple[int, int, list[int | float]]]:
    for column, parts in enumerate(columns):
        for i, values in enumerate(parts):
            yield column, i, values


def _numbers(values: np.ndarray) -> list[int | float]:
    """Whole numbers as such: `1`, not `1.0`."""
    whole = values.astype(np.int64)
    found: list[int | float] = (whole if (whole == values).all() else values).tolist()
    return found

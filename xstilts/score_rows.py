"""A trial's rows of the score table, as its record keeps them: by column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

OF_A_TRIAL = ("trial", "config", "intermediate", "model", "seed")


@dataclass(frozen=True, slots=True)
class ScoreRows:
    """A trial's rows of the score table, kept as columns: a thousand trials have a million rows.

    `once` has what is the same in all rows, `columns` what each has its own of. Iterating gives the
    rows as dicts.

    Raises:
        ValueError: columns of different lengths.
    """

    once: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len({len(values) for values in self.columns.values()}) > 1:
            raise ValueError("its columns of scores are of different lengths")

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> ScoreRows:
        """Rows of one trial.

        Raises:
            ValueError: they are none, or do not have the same names.
        """
        if not rows:
            return cls()
        try:
            once = {name: rows[0][name] for name in OF_A_TRIAL if name in rows[0]}
            own = [name for name in rows[0] if name not in once]
            return cls(once, {name: [row[name] for row in rows] for name in own})
        except (TypeError, LookupError) as error:
            raise ValueError(f"it holds no rows of scores: {error}") from error

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def of_metrics(self, chosen: Set[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """The rows of these metrics, each with its target."""
        if self.columns:
            named = zip(self.columns["target"], self.columns["metric"], strict=True)
            rows = zip(*self.columns.values(), strict=True)
            yield from map(self._row, compress(rows, map(chosen.__contains__, named)))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._row, zip(*self.columns.values(), strict=True))

    def _row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return {**self.once, **dict(zip(self.columns, values, strict=True))}

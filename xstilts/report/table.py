"""A table in its forms: for a terminal, in Markdown, as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.text import Text

from xstilts.report.columns import Blocks


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a header and rows of ready texts; all columns but the first are numbers or short.
    `gap` is the number of blanks between columns on a terminal. `numbers` are further columns, a
    value a row, for programs: CSV has them after the others, whole, and empty where not known."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    gap: int = 3
    numbers: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    def rich(self) -> Group:
        """The table for a terminal."""
        table = Blocks(self.title, self.header, self.rows, self.gap)
        return Group(table, Text(self.note, style="dim")) if self.note else Group(table)

    def markdown(self) -> str:
        """The table as GitHub renders it."""
        lines = [f"**{self.title}**", "", _pipe(self.header), _pipe(["---"] * len(self.header))]
        lines += [_pipe(row) for row in self.rows]
        return "\n".join([*lines, "", self.note] if self.note else lines) + "\n"

    def csv(self) -> str:
        """The table as comma-separated values."""
        return csv_text([*self.header, *self.numbers], self._whole())

    def records(self) -> list[dict[str, Any]]:
        """A dict a row, with the numbers."""
        names = [*self.header, *self.numbers]
        return [dict(zip(names, row, strict=True)) for row in self._whole()]

    def _whole(self) -> Iterator[list[Any]]:
        more = zip(*self.numbers.values(), strict=True) if self.numbers else [()] * len(self.rows)
        yield from ([*row, *own] for row, own in zip(self.rows, more, strict=True))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Comma-separated values; None is empty."""
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *rows])
    return stream.getvalue()


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"

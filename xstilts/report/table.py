"""A table as text for the terminal, Markdown and CSV - one content, three forms."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from xstilts.report.columns import Blocks


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a header and rows of ready texts; all columns but the first are numbers or short.
    `gap` is the number of blanks between columns on a terminal."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    gap: int = 3

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
        stream = io.StringIO()
        csv.writer(stream).writerows([self.header, *self.rows])
        return stream.getvalue()


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"

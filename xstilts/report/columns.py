"""Tables for a terminal in which nothing is cut off: names stay whole, other columns wrap.

Rich shortens what does not fit to an ellipsis; a name that is cut cannot be typed again. It breaks
titles and captions where the table ends, narrow as that may be; here they are as wide as the
terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

LEAST = 6
"""What a column that wraps needs, to be read at all."""


class WholeNames:
    """A table as wide as the terminal, whose columns of names wrap only where they would not fit
    beside narrow ones of all others.

    Args:
        names: the numbers of the columns that hold names.
    """

    def __init__(self, table: Table, names: Sequence[int] = (0,)):
        self._table = table
        self._names = names

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = self._table.columns
        names = [columns[i] for i in self._names]
        others = [column for i, column in enumerate(columns) if i not in self._names]
        # Two blanks stand between columns, and one at each end.
        needed = 3 * len(columns) + sum(map(_width, names))
        needed += sum(min(LEAST, _width(column)) for column in others)
        for column in columns:
            column.overflow = "fold"
        for column in names:
            column.no_wrap = needed <= options.max_width
        title, caption = self._table.title, self._table.caption
        self._table.title = self._table.caption = None
        if title:
            yield Text(str(title), style="table.title")
        if self._table.rows:  # a bare header says nothing
            yield self._table
        if caption:
            yield Text(str(caption), style="table.caption")
        self._table.title, self._table.caption = title, caption


def _width(column: Column) -> int:
    """The longest line of a column's cells and of its header."""
    cells = [column.header, *column.cells]
    return max(_length(str(cell)) for cell in cells)


def _length(text: str) -> int:
    """The longest line of a text."""
    return max(map(cell_len, text.splitlines()), default=0)


class Blocks:
    """A table that is wider than the terminal as several, one below the other: the first column is
    repeated, no name and no number is broken. `gap` is the number of blanks between columns, 2 or
    3."""

    def __init__(
        self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]], gap: int = 3
    ):
        self._title = title
        self._header = header
        self._rows = rows
        self._gap = gap

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = self._title
        for chosen in self._blocks(options.max_width):
            table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
            table.padding = (0, 1, 0, self._gap - 2)
            for i in chosen:
                table.add_column(self._header[i], justify="right" if i else "left")
            for row in self._rows:
                table.add_row(*(row[i] for i in chosen))
            yield WholeNames(table, range(len(chosen)))
            title = ""

    def _blocks(self, width: int) -> Iterator[list[int]]:
        """The numbers of the columns that stand side by side."""
        widths = [
            max(map(_length, (row[i] for row in (self._header, *self._rows)))) + self._gap
            for i in range(len(self._header))
        ]
        block = [0]
        for i in range(1, len(widths)):
            if len(block) > 1 and sum(widths[j] for j in block) + widths[i] > width:
                yield block
                block = [0]
            block.append(i)
        yield block

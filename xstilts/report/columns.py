"""Tables for a terminal in which nothing is cut off: names stay whole, other columns wrap.

Rich shortens what does not fit to an ellipsis; a name that is cut cannot be typed again.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table

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
        yield self._table


def _width(column: Column) -> int:
    """The longest line of a column's cells and of its header."""
    cells = [column.header, *column.cells]
    return max(cell_len(line) for cell in cells for line in str(cell).splitlines() or [""])

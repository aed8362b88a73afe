"""Heat maps: targets by intermediates, targets by languages.

They are drawn without pyplot, so that nothing of a notebook's own pictures changes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xstilts.config.derive import NONE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Grid = Mapping[str, Mapping[str, float]]

MOST_COLUMNS = 16
"""With more, what would be columns become rows: a picture that is read from top to bottom keeps its
letters at the width of a page."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, which a notebook shows; `figure` is matplotlib's."""

    figure: Figure

    def save(self, path: Path) -> None:
        """Write it as PNG; equal pictures give equal bytes."""
        path.write_bytes(self._repr_png_())

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.figure.savefig(stream, format="png", metadata={"Software": None})
        return stream.getvalue()


def heat_map(grid: Grid, columns: Sequence[str], title: str) -> Picture:
    """Draw rows x columns of scores, each cell with its number; a missing cell stays grey."""
    values = _matrix(grid, columns)
    rows: Sequence[str] = list(grid)
    if len(columns) > max(MOST_COLUMNS, len(rows)):
        values, rows, columns = values.T, columns, rows
    return _draw(values, [[_text(v) for v in row] for row in values], rows, columns, title)


def gain_map(grid: Grid, columns: Sequence[str], title: str) -> Picture:
    """Draw scores coloured by their gain over the baseline column, red below and blue above."""
    values = _matrix(grid, columns)
    base = _matrix(grid, [NONE])
    texts = [
        [_text(v) if np.isnan(v - b[0]) or v == b[0] else f"{v:.1f}\n{v - b[0]:+.1f}" for v in row]
        for row, b in zip(values, base, strict=True)
    ]
    return _draw(values - base, texts, list(grid), columns, title, is_gain=True)


def _matrix(grid: Grid, columns: Sequence[str]) -> np.ndarray:
    return np.array([[row.get(name, np.nan) for name in columns] for row in grid.values()])


def _text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1f}"


def _draw(
    values: np.ndarray,
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    is_gain: bool = False,
) -> Picture:
    import matplotlib
    from matplotlib.figure import Figure

    # Gains take two lines a cell; of scores alone more rows go on a page.
    height = 0.55 if is_gain or len(rows) <= MOST_COLUMNS else 0.3
    size = (2.2 + 0.85 * len(columns), 1.6 + height * len(rows))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.subplots()
    if is_gain:
        bound = max(1.0, float(np.nanmax(np.abs(values)))) if values.size else 1.0
        colours, low, high = "RdBu", -bound, bound
    else:
        colours, low, high = "viridis", 0.0, 100.0
    shades = matplotlib.colormaps[colours].with_extremes(bad="0.85")
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=shades, vmin=low, vmax=high, aspect="auto"
    )
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title(title, loc="left", fontsize=10)
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            # Dark cells take light text: relative luminance of the cell's colour.
            red, green, blue, _ = image.cmap(image.norm(values[i, j]))
            is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            colour = "white" if is_dark and not np.isnan(values[i, j]) else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
    label = "points over none" if is_gain else "score"
    figure.colorbar(image, ax=axes, label=label, shrink=0.9)
    return Picture(figure)

"""A bootstrap of items over all languages, tasks, seeds and arms of a study.

Outcomes by item go in; draws of every run's score in every cell come out, of which any contrast is
a weighted sum. Items that are translations of one another are drawn together, in all languages and
all runs. It speaks of the checkpoints that were trained, for other items like these: a claim about
the method needs seeds, which are never drawn here (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import pdtr

from xstilts.scores.contrasts import Outcomes
from xstilts.scores.items import MIN_BLOCKS, refuse

MOST_ITEMS = 2000
"""Sets with more items are drawn in blocks of items."""

BLOCKS = 500
_AT_ONCE = 100
"""Draws that are made at once. Items are dealt to blocks anew for each, so that the chance of one
deal, which is 3 % of a standard error with 500 blocks, is averaged over all of them."""

_STEPS = 2**16
_WEIGHTS = np.searchsorted(pdtr(np.arange(12), 1.0), (np.arange(_STEPS) + 0.5) / _STEPS).astype(
    np.float64
)
"""The weight of an item by a number of 16 bits: Poisson of mean 1. With 64 bits sums do not hang on
their order by more than a bundle's numbers may differ."""


def item_bootstrap(outcomes: Outcomes, *, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """Draws of scores (draws, runs, cells), in the unit of the outcomes.

    A score is the mean over the rows of a cell whose items are drawn. Weights of items are Poisson
    (Hanley & MacGibbon 2006; Chamandy et al. 2012), so how many items a draw has varies too, which
    a mean of 100 items or more does not feel; all scores of cells that share items are one matrix
    product with them. The same seed gives the same draws. Sets above 2,000 items are drawn in 500
    blocks of items, put together at random.

    Raises: ConfigError where a cell has fewer than 100 items.
    """
    generator = np.random.default_rng(seed)
    runs, cells = len(outcomes.values), int(outcomes.cells.max()) + 1
    scores = np.empty((draws, runs, cells))
    for group, table in _tables(outcomes, cells):
        for begin in range(0, draws, _AT_ONCE):
            count = min(_AT_ONCE, draws - begin)
            sums = _sums(table, count, generator).reshape(count, runs + 1, len(group))
            scores[begin : begin + count, :, group] = sums[:, :-1] / sums[:, -1:]
    return scores


def _tables(outcomes: Outcomes, cells: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The cells that have items in common, and their sums of outcomes by item, (items, runs + 1 by
    cells), the last run being how many rows the item has there."""
    items = np.unique(outcomes.items, return_inverse=True)[1]
    fewest = np.bincount(np.unique(np.stack([outcomes.cells, items]), axis=1)[0], minlength=cells)
    if fewest.min() < MIN_BLOCKS:
        raise refuse(
            "bootstrap of items",
            f"a cell needs {MIN_BLOCKS} items or more",
            f"{fewest.min()} in cell {int(fewest.argmin())}",
            "leave it out",
        )
    size = cells + int(items.max()) + 1
    edges = coo_array((np.ones(len(items)), (outcomes.cells, cells + items)), shape=(size, size))
    joined = connected_components(edges, directed=False)[1][outcomes.cells]
    order = np.argsort(joined, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(joined[order])) + 1):
        group, cell = np.unique(outcomes.cells[rows], return_inverse=True)
        item = np.unique(items[rows], return_inverse=True)[1]
        place, shape = item * len(group) + cell, (int(item.max()) + 1, len(group))
        values = (*outcomes.values[:, rows], np.ones(len(rows)))
        sums = [np.bincount(place, own, shape[0] * shape[1]).reshape(shape) for own in values]
        yield group, np.concatenate(sums, axis=1)


def _sums(table: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Sums of the table's columns (draws, columns) over items, or blocks, with weights drawn."""
    if len(table) > MOST_ITEMS:
        starts = np.linspace(0, len(table), BLOCKS, endpoint=False).astype(int)
        table = np.add.reduceat(table[generator.permutation(len(table))], starts)
    drawn = generator.integers(0, _STEPS, (draws, len(table)), dtype=np.uint16)
    return np.asarray(np.take(_WEIGHTS, drawn, mode="clip") @ table)

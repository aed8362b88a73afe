"""What the items of a target's evaluation add to the noise of its runs, from stored outcomes.

Means over rows, as accuracy, have it in closed form; what is computed over a corpus, as F1, by a
bootstrap of items. An evaluation that kept no outcomes, or is gone, varies as the others do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xstilts.errors import ConfigError, StoreError
from xstilts.run.outcomes import Cells, read_cells
from xstilts.run.store import Store
from xstilts.scores.items import bootstrap_covariance, item_covariance
from xstilts.scores.outcomes import is_mean, score_of

MOST_BLOCKS = 1000
"""Items beyond are dealt into so many blocks for the bootstrap: as many say what a million do."""

RESAMPLES = 500
"""Of the bootstrap: the variance that it gives is right within a sixteenth then."""


def item_noise(
    store: Store, target: str, metrics: Sequence[str], evaluations: Sequence[str], arms: np.ndarray
) -> tuple[np.ndarray, int] | None:
    """The covariance (runs, runs) of runs' scores over samples of items, 0-100 squared, and the
    number of items; None where no two runs of different arms kept outcomes of the same items, or
    the items are too few to be resampled.

    Args:
        metrics: of the target's score.
        evaluations: the stage that scored the target in each run, empty where none did.
        arms: (runs,), which runs are replicates.
    """
    found = [_cells(store, name, target) for name in evaluations]
    first = next((cells for cells in found if cells is not None), None)
    if first is None:
        return None
    has = np.array([cells is not None and cells.has_same_items(first) for cells in found])
    own = [cells for cells, one in zip(found, has, strict=True) if cells is not None and one]
    if len(set(arms[has])) < 2:
        return None
    items, languages = first.item_numbers, first.language_numbers
    tables = {name: [cells.counts[name] for cells in own] for name in metrics}
    try:
        if all(is_mean(table[0]) for table in tables.values()):
            values = [np.stack([one[:, 0, 0] for one in table]) for table in tables.values()]
            known = item_covariance(100 * np.mean(values, axis=0), items, languages)
        else:
            known, items = _resampled(tables, items, languages)
    except ConfigError:
        return None
    return _filled(known, has, arms), int(items.max()) + 1


def _cells(store: Store, evaluation: str, target: str) -> Cells | None:
    result = store.result(evaluation) if evaluation else None
    try:
        return None if result is None else read_cells(result, target)
    except StoreError:  # it cannot be read: the scores are what they are
        return None


def _resampled(
    tables: Mapping[str, Sequence[np.ndarray]], items: np.ndarray, languages: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The covariance of scores over a corpus, and the block of each row."""
    if items.max() >= MOST_BLOCKS:
        items = items % MOST_BLOCKS
    cells = languages * (int(items.max()) + 1) + items
    kept, number = np.unique(cells, return_inverse=True)
    order = np.argsort(number, kind="stable")
    begins = np.flatnonzero(np.diff(number[order], prepend=-1))
    widths = {name: table[0].shape[1] for name, table in tables.items()}
    counts = np.stack(
        [
            np.concatenate(
                [
                    np.add.reduceat(one.reshape(len(one), -1)[order], begins, axis=0)
                    for one in of_run
                ],
                axis=1,
            )
            for of_run in zip(*tables.values(), strict=True)
        ]
    )

    def metric(sums: np.ndarray) -> np.ndarray:
        bounds = np.cumsum([3 * width for width in widths.values()])[:-1]
        parts = np.split(sums, bounds, axis=-1)
        scores = [
            score_of(name, part.reshape(*part.shape[:-1], width, 3))
            for (name, width), part in zip(widths.items(), parts, strict=True)
        ]
        return np.asarray(np.mean(scores, axis=0))

    blocks = int(items.max()) + 1
    found = bootstrap_covariance(counts, metric, kept % blocks, kept // blocks, resamples=RESAMPLES)
    return found, items


def _filled(known: np.ndarray, has: np.ndarray, arms: np.ndarray) -> np.ndarray:
    """All runs: those without outcomes vary as the mean of the others does, and with them as runs
    of different arms do."""
    if has.all():
        return known
    apart = arms[has][:, None] != arms[has]
    between = float(known[apart].mean())
    found = np.full((len(has), len(has)), between)
    np.fill_diagonal(found, float(np.diag(known).mean()))
    found[np.ix_(has, has)] = known
    return found

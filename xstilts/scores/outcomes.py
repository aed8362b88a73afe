"""What every item of a language gave: counts from whose sums the language's scores come.

An accuracy has 0 or 1 an item, exact match and F1 of an answer a value between them; the F1 of a
corpus has what agrees, what was predicted and what is gold in each sentence. So scores of any rows,
resampled ones too, come from (weighted) sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xstilts.scores.chance import Counts

Column = tuple[Sequence[float] | np.ndarray, ...]
"""What agrees, what was predicted and what is gold, of every item."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One language's items.

    `rows` are their numbers within the language, (items,): of rows or, where items are many and
    few of them count, of blocks. `counts` has (items, columns, 3), float64, for every metric of the
    task's score; a metric over labels has a column for each of them.
    """

    rows: np.ndarray
    counts: Mapping[str, Counts]

    @classmethod
    def of(
        cls, columns: Mapping[str, Sequence[Column]], rows: np.ndarray | None = None
    ) -> Outcomes:
        """From the columns of every metric; `rows` are all, in their order, if not given."""
        counts = {name: _table(own) for name, own in columns.items()}
        if rows is None:
            rows = np.arange(len(next(iter(counts.values()))))
        return cls(rows, counts)

    @property
    def scores(self) -> dict[str, float]:
        """The language's score by every metric, 0-100 (MCC from -100)."""
        return {name: float(score_of(name, own.sum(0))) for name, own in self.counts.items()}

    @property
    def stacked(self) -> Counts:
        """The columns of all metrics side by side, (items, columns, 3), for `xstilts.scores.chance`
        whose score is their plain mean: those of labels that occur, and a metric of one column as
        often as the others have columns."""
        kept = [own if own.shape[1] == 1 else own[:, _occurs(own.sum(0))] for own in self._tables]
        width = max(own.shape[1] for own in kept)
        wide = [np.repeat(own, width, axis=1) if own.shape[1] == 1 else own for own in kept]
        return np.concatenate(wide, axis=1)

    @property
    def _tables(self) -> list[Counts]:
        return list(self.counts.values())


def score_of(metric: str, sums: np.ndarray) -> np.ndarray:
    """A score from sums over items: (..., columns, 3) to (...), 0-100; 0 where nothing agrees.

    Twice what agrees by what was predicted and what is gold, the mean over the columns that occur
    at all: F1, macro F1 over labels, and with sizes of 1 any mean over items. `mcc` is Matthews'
    coefficient of several labels (Gorodkin 2004, doi 10.1016/j.compbiolchem.2004.09.006), 0 where
    it is not defined, as scikit-learn has it.
    """
    agree, predicted, gold = (sums[..., i] for i in range(3))
    if metric == "mcc":
        total = gold.sum(-1)
        covariance = agree.sum(-1) * total - (predicted * gold).sum(-1)
        spread = (total**2 - (predicted**2).sum(-1)) * (total**2 - (gold**2).sum(-1))
        root = np.sqrt(np.maximum(spread, 0))
        mcc: np.ndarray = np.divide(covariance, root, out=np.zeros_like(root), where=root > 0)
        return 100 * mcc
    sizes = predicted + gold
    shares = np.divide(2 * agree, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    means: np.ndarray = 100 * shares.sum(-1) / np.maximum(_occurs(sums).sum(-1), 1)
    return means


def points_of(counts: Counts) -> np.ndarray:
    """What each item (items,) stands for in a score of `counts` (items, columns, 3), 0-100, so that
    the score is the plain mean over items and varies over samples of items as that does.

    Of a mean over items it is what the item gave; of an F1 over the corpus the score and what the
    item moves it by to first order (infinitesimal jackknife: Jaeckel 1972; Efron 1982). Matthews'
    coefficient has no such points here.
    """
    sums = counts.sum(0)
    kept = _occurs(sums)
    agree, predicted, gold = np.moveaxis(sums[kept], -1, 0)
    sizes, own = predicted + gold, counts[:, kept]
    share = 2 * agree / sizes
    moved = (2 * own[..., 0] - share * (own[..., 1] + own[..., 2])) / sizes
    columns = max(int(kept.sum()), 1)
    return np.asarray(100 * (share.sum() + len(counts) * moved.sum(1)) / columns)


def is_mean(counts: Counts) -> bool:
    """Whether a metric is the plain mean of a value of every item: one column, with sizes of 1."""
    return counts.shape[-2] == 1 and bool((counts[..., 1:] == 1).all())


def _occurs(sums: np.ndarray) -> np.ndarray:
    occurs: np.ndarray = sums[..., 1] + sums[..., 2] > 0
    return occurs


def _table(columns: Sequence[Column]) -> Counts:
    parts = [np.stack([np.asarray(part, np.float64) for part in one], -1) for one in columns]
    return np.stack(parts, axis=1)

"""The data loader of a stage: a part's batches, any of them by its number.

A batch is a function of the stage's seed and its number, so a stage goes on where it stopped
without reading what came before, and the loop prefetches the next one in a thread. Rows come
encoded from the token cache; the kind's collator pads them into tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from xstilts import kinds
from xstilts.data.batches import columns_of, example_order, generator, window_turns
from xstilts.kinds.kind import Batch, Encoded, Vocabulary
from xstilts.plan.stage import Part, Train
from xstilts.tasks import Task


@dataclass(frozen=True, slots=True)
class PartData:
    """A part's encoded rows: training rows by language in the part's order, dev rows, and those of
    pivot languages."""

    train: Sequence[Encoded]
    dev: Encoded | None
    pivots: Mapping[str, Encoded] = field(default_factory=dict)


class Feed:
    """Makes one part's batches; each is a function of the stage's seed and the batch's number."""

    def __init__(self, part: Part, data: PartData, stage: Train, vocabulary: Vocabulary):
        self.task: Task = part.train.entry
        self.kind = kinds.get(self.task.kind)
        self._stage = stage
        self._vocabulary = vocabulary
        tables = [encoded.features for encoded in data.train]
        self._features = pa.concat_tables(tables).combine_chunks()
        self._windows = _windows(data.train)
        self._languages = [language for language, _ in part.train.rows]
        self._ends = np.cumsum([count for _, count in part.train.rows])
        self._order = example_order(part, stage.seed, stage.phase)
        self._batch_size = part.batch_size
        self._turns = None
        if self.task.kind_spec.is_self_supervised:
            # An article has more windows than a batch has room for.
            self._turns = window_turns(part, self._order, stage.seed, stage.phase)

    def batch(self, number: int) -> Batch:
        """The batch of the part's step of that number, counted from 0."""
        start = number * self._batch_size
        rows = self._order[start : start + self._batch_size]
        windows = [self._windows[row] for row in rows]
        if self._turns is None:
            positions = np.concatenate(windows)
        else:
            turns = self._turns[start : start + self._batch_size]
            pairs = zip(windows, turns, strict=True)
            positions = np.array([own[turn % len(own)] for own, turn in pairs])
        columns = columns_of(self._features.take(positions))
        stage = self._stage
        random = generator(stage.seed, stage.phase, "mask", self.task.name, str(number))
        found = self.kind.collate(columns, self._vocabulary, random)
        return replace(found, smoothing=stage.recipe.adapt.label_smoothing)

    def drawn(self, num_batches: int) -> dict[str, int]:
        """The examples of the first batches, by language."""
        rows = self._order[: num_batches * self._batch_size]
        languages = np.searchsorted(self._ends, rows, side="right")
        counts = np.bincount(languages, minlength=len(self._languages)).tolist()
        return dict(zip(self._languages, counts, strict=True))


def _windows(encoded: Sequence[Encoded]) -> list[np.ndarray[Any, Any]]:
    """The positions of every example's features in the joined tables."""
    windows: list[np.ndarray[Any, Any]] = []
    offset = 0
    for rows in encoded:
        owners = rows.features["example"].to_numpy()
        order = np.argsort(owners, kind="stable")
        counts = np.bincount(owners, minlength=rows.examples.num_rows)
        windows += np.split(offset + order, np.cumsum(counts)[:-1])
        offset += rows.features.num_rows
    return windows

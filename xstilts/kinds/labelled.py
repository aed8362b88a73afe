"""What kinds share whose rows have one label each: confusion counts, the majority-class baseline,
and the entropy of the labels that a run which learnt anything comes below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from xstilts.kinds.kind import (
    IGNORED,
    Batch,
    Encoded,
    is_one_label,
    labels_in,
    majority,
    mean_vectors,
)
from xstilts.scores.chance import entropy
from xstilts.tasks import Task


class Labelled:
    """The part of `Supervised`, and of `Probed`, that reads the column `label` of features and
    examples alone."""

    def num_units(self, batch: Batch) -> int:
        """Rows with a label."""
        return int((batch.targets["label"] != IGNORED).sum())

    def label_entropy(self, encoded: Sequence[Encoded]) -> float:
        """Of the labels, or of the right choices' positions."""
        return entropy(labels_in(encoded, "label"))

    def is_constant(self, predictions: Sequence[Any], task: Task) -> bool:
        """One label, or position, for nearly all."""
        return is_one_label(predictions)

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The most frequent label everywhere."""
        return majority(examples["label"].to_pylist())

    def vectors(self, states: Sequence[Tensor], batch: Batch) -> list[np.ndarray]:
        """The mean vector of every sequence of a row."""
        by_state = [np.stack(mean_vectors(state, batch)) for state in states]
        return np.split(np.stack(by_state, 1), len(batch.targets["label"]))

    def classes(self, features: pa.Table) -> np.ndarray:
        """The rows' labels."""
        return np.asarray(features["label"])

"""Pair classification: two texts, one label (entailment, paraphrase)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional

from xstilts.kinds.kind import (
    IGNORED,
    Batch,
    Encoded,
    Rows,
    SequenceHead,
    Vocabulary,
    counts_of,
    first_positions,
    is_one_label,
    label_ids,
    labels_in,
    majority,
    pad_inputs,
    sequence_columns,
)
from xstilts.scores import metrics
from xstilts.scores.chance import Counts, entropy
from xstilts.tasks import Task


class Pair:
    """Reads `premise`, `hypothesis`, `label`."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """One sequence a pair; over-long pairs lose tokens of the longer text first."""
        encoding = tokenizer(
            list(rows["premise"]),
            list(rows["hypothesis"]),
            truncation="longest_first",
            max_length=max_length,
        )
        count = len(rows["premise"])
        labels = label_ids(rows, task)
        features = {"example": range(count), **sequence_columns(encoding), "label": labels}
        examples = {"id": [str(i) for i in range(count)], "label": list(rows["label"])}
        return Encoded(pa.table(features), pa.table(examples))

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """`targets["label"]`: (sequences,), int64."""
        inputs, labels = pad_inputs(features, vocabulary), torch.tensor(features["label"])
        return Batch(inputs, {"label": labels}, read=first_positions(inputs))

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """One output a label."""
        return SequenceHead(hidden_size, len(task.labels), dropout)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy over the labels."""
        return functional.cross_entropy(head(hidden).float(), batch.targets["label"])

    def num_units(self, batch: Batch) -> int:
        """Rows with a label."""
        return int((batch.targets["label"] != IGNORED).sum())

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """The most likely label's position."""
        assert head is not None
        positions: list[Any] = head(hidden).argmax(-1).tolist()
        return positions

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """Labels by name."""
        return [task.labels[position] for position in outputs]

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """Accuracy; of two labels also the second's F1, as GLUE has it for QQP."""
        gold = examples["label"].to_pylist()
        scores = {"accuracy": metrics.accuracy(gold, predictions)}
        if len(task.labels) == 2:
            scores["f1"] = metrics.binary_f1(gold, predictions, task.labels[1])
        return scores

    def label_entropy(self, encoded: Sequence[Encoded]) -> float:
        """Of the labels."""
        return entropy(labels_in(encoded, "label"))

    def is_constant(self, predictions: Sequence[Any], task: Task) -> bool:
        """One label for nearly all."""
        return is_one_label(predictions)

    def counts(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Counts:
        """A pair is right or wrong; for F1 it is of the second label or not."""
        gold, predicted = np.array(examples["label"].to_pylist()), np.array(predictions)
        ones = np.ones(len(gold))
        wanted, given = gold == task.labels[-1], predicted == task.labels[-1]
        return counts_of(
            {"accuracy": (gold == predicted, ones, ones), "f1": (wanted & given, given, wanted)},
            task,
        )

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The most frequent label everywhere."""
        return majority(examples["label"].to_pylist())

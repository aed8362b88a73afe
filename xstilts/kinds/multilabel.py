"""Multi-label classification: one text, any of the labels, none too (emotions, topics).

Every label is a question of its own, answered from one head's output for it; what selects and is
reported weighs labels (`f1_macro`), givings (`f1_micro`) or rows (`subset_accuracy`) alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional

from xstilts.kinds.kind import (
    Batch,
    Encoded,
    Rows,
    SequenceHead,
    Vocabulary,
    first_positions,
    is_one_label,
    majority,
    pad_inputs,
    sequence_columns,
)
from xstilts.scores import metrics
from xstilts.scores.chance import entropy
from xstilts.scores.outcomes import Column, Outcomes
from xstilts.tasks import Task


class MultiLabel:
    """Reads `text`, and `label`: a list of labels by name."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """One sequence a row; `labels`: 1 or 0 for each label of the task, in its order."""
        texts = list(rows["text"])
        encoding = tokenizer(texts, truncation=True, max_length=max_length)
        given = [[x for x in task.labels if x in labels] for labels in rows["label"]]
        features = {
            "example": range(len(texts)),
            **sequence_columns(encoding),
            "labels": _table(given, task).tolist(),
        }
        examples = {
            "id": [str(i) for i in range(len(texts))],
            "labels": pa.array(given, pa.list_(pa.string())),
        }
        return Encoded(pa.table(features), pa.table(examples))

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """`targets["labels"]`: (sequences, labels), float32, 0 or 1."""
        inputs = pad_inputs(features, vocabulary)
        labels = torch.from_numpy(np.array(features["labels"], dtype=np.float32))
        return Batch(inputs, {"labels": labels}, read=first_positions(inputs))

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """One output a label: its logit."""
        return SequenceHead(hidden_size, len(task.labels), dropout)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy, the mean over rows and labels."""
        return functional.binary_cross_entropy_with_logits(
            head(hidden).float(), batch.targets["labels"]
        )

    def num_units(self, batch: Batch) -> int:
        """Rows: each has as many labels to be told as all others."""
        return len(batch.targets["labels"])

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """1 for each label whose probability is at least a half, else 0."""
        assert head is not None
        given: list[Any] = (head(hidden) >= 0).int().tolist()
        return given

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """The labels that are given, by name, in the task's order."""
        return [
            [label for label, is_given in zip(task.labels, row, strict=True) if is_given]
            for row in outputs
        ]

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """F1 by label and over all, and the share of rows that are wholly right."""
        gold = _table(examples["labels"].to_pylist(), task)
        return metrics.multilabel_scores(gold, _table(predictions, task))

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The most frequent set of labels everywhere."""
        return [list(labels) for labels in majority([*map(tuple, examples["labels"].to_pylist())])]

    def label_entropy(self, encoded: Sequence[Encoded]) -> float:
        """The mean over labels of that of being given or not."""
        given = np.array([row for one in encoded for row in one.features["labels"].to_pylist()])
        return float(np.mean([entropy(column) for column in given.T.tolist()]))

    def is_constant(self, predictions: Sequence[Any], task: Task) -> bool:
        """One set of labels for nearly all."""
        return is_one_label([tuple(labels) for labels in predictions])

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """What agrees, was predicted and is gold: for macro F1 of each label, for micro F1 of all
        together; of a subset's accuracy a row is right or wrong."""
        gold, predicted = _table(examples["labels"].to_pylist(), task), _table(predictions, task)
        agreed, ones = gold & predicted, np.ones(len(gold))
        columns: dict[str, list[Column]] = {
            "f1_macro": [
                (agreed[:, i], predicted[:, i], gold[:, i]) for i, _ in enumerate(task.labels)
            ],
            "f1_micro": [(agreed.sum(1), predicted.sum(1), gold.sum(1))],
            "subset_accuracy": [((gold == predicted).all(1), ones, ones)],
        }
        return Outcomes.of({name: columns[name] for name in task.metrics})


def _table(rows: Sequence[Sequence[str]], task: Task) -> np.ndarray:
    """(rows, labels), 0 or 1, int64: which labels of the task each row has."""
    table = [[label in labels for label in task.labels] for labels in rows]
    return np.array(table, dtype=np.int64).reshape(len(rows), len(task.labels))

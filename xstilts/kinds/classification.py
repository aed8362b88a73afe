"""Sequence classification: one or two texts, one label (sentiment; entailment, paraphrase).

What goes in are rows of one or two texts and a label; what comes out is a label, read off the
first token, through a pooler where the recipe has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from xstilts.kinds.kind import (
    Batch,
    Encoded,
    Rows,
    SequenceHead,
    Vocabulary,
    first_positions,
    label_ids,
    pad_inputs,
    sequence_columns,
)
from xstilts.kinds.labelled import Labelled
from xstilts.kinds.smoothing import cross_entropy
from xstilts.scores import metrics
from xstilts.scores.outcomes import Column, Outcomes
from xstilts.tasks import Task


class Classification(Labelled):
    """Reads the columns of its texts, and `label`."""

    def __init__(self, *texts: str):
        self._texts = texts

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """One sequence a row; of over-long pairs the longer text loses tokens first."""
        texts = [list(rows[name]) for name in self._texts]
        encoding = tokenizer(*texts, truncation="longest_first", max_length=max_length)
        count = len(texts[0])
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
        scores = head(hidden).float()
        return cross_entropy(scores, batch.targets["label"], batch.smoothing)

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
        """Accuracy; of two labels also the second's F1, as GLUE has it for QQP; and what the task
        names beside."""
        gold = examples["label"].to_pylist()
        scores = {"accuracy": metrics.accuracy(gold, predictions)}
        if len(task.labels) == 2:
            scores["f1"] = metrics.binary_f1(gold, predictions, task.labels[1])
        for name in (*task.metrics, *task.beside):
            if name in metrics.OF_LABELS:
                scores[name] = metrics.OF_LABELS[name](gold, predictions)
        return scores

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """A row is right or wrong; for F1 it is of the second label or not, for macro F1 and MCC of
        each.

        Whether an MCC is above a constant's, which is 0, macro F1 tells in its place: it has the
        same counts.
        """
        gold, predicted = np.array(examples["label"].to_pylist()), np.array(predictions)
        ones = np.ones(len(gold))

        def of_one(label: str) -> Column:
            return (gold == label) & (predicted == label), predicted == label, gold == label

        by_label = [of_one(label) for label in task.labels]
        columns: dict[str, list[Column]] = {
            "accuracy": [(gold == predicted, ones, ones)],
            "f1": by_label[-1:],
            "f1_macro": by_label,
            "mcc": by_label,
        }
        return Outcomes.of({name: columns[name] for name in task.metrics})

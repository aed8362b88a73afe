"""Multiple choice: a prompt and some choices, each scored alone, softmax over the choices.

What goes in are rows with a prompt, their choices and the position of the right one (HellaSwag,
CosmosQA, COPA); what comes out is a position. A row is as many sequences as it has choices, which
stay in one micro-batch, for the loss needs them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from xstilts.errors import DataError
from xstilts.kinds.kind import (
    IGNORED,
    Batch,
    Encoded,
    Rows,
    SequenceHead,
    Vocabulary,
    cut,
    first_positions,
    num_special,
    pad_inputs,
    sequence_columns,
)
from xstilts.kinds.labelled import Labelled
from xstilts.kinds.smoothing import cross_entropy
from xstilts.scores import metrics
from xstilts.scores.outcomes import Outcomes
from xstilts.tasks import Task


class Choice(Labelled):
    """Reads `prompt`, `choices` (as many in every row), `label` (one of the task's labels, which
    name the choices in their order, or else a position, as text or number)."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """One group of sequences a row; over-long prompts lose tokens on the left, as in jiant."""
        count, width = len(rows["prompt"]), len(rows["choices"][0])
        for i, group in enumerate(rows["choices"]):
            if len(group) != width:
                raise DataError(
                    f"{task.name}: row {i} has {len(group)} choices, the first has {width}; all "
                    "rows of a data set have as many"
                )
        prompts = [prompt for prompt in rows["prompt"] for _ in range(width)]
        choices = [choice for group in rows["choices"] for choice in group]
        # At least one token of the prompt stays; a choice has the rest.
        choices = cut(choices, tokenizer, max_length - num_special(tokenizer) - 1)
        side, tokenizer.truncation_side = tokenizer.truncation_side, "left"
        try:
            encoding = tokenizer(prompts, choices, truncation="only_first", max_length=max_length)
        finally:
            tokenizer.truncation_side = side
        groups = {
            name: [column[i * width : (i + 1) * width] for i in range(count)]
            for name, column in sequence_columns(encoding).items()
        }
        labels = [_position(label, task) for label in rows["label"]]
        for i, position in enumerate(labels):
            if position != IGNORED and not 0 <= position < width:
                raise DataError(
                    f"{task.name}: row {i} has the label {rows['label'][i]!r}, no position of its "
                    f"{width} choices, 0 to {width - 1}; labels that count otherwise are "
                    'named in their order, as labels: ["1", "2", "3"]'
                )
        features = {"example": range(count), **groups, "label": labels}
        examples = {"id": [str(i) for i in range(count)], "label": labels}
        return Encoded(pa.table(features), pa.table(examples))

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """Sequences are the rows' choices in order; `targets["label"]`: (rows,), int64."""
        names = [name for name in ("input_ids", "token_type_ids") if name in features]
        flat = {name: [ids for group in features[name] for ids in group] for name in names}
        inputs, labels = pad_inputs(flat, vocabulary), torch.tensor(features["label"])
        return Batch(inputs, {"label": labels}, read=first_positions(inputs))

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """One output a choice."""
        return SequenceHead(hidden_size, 1, dropout)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy over the choices."""
        labels = batch.targets["label"]
        scores = head(hidden).float().view(len(labels), -1)
        return cross_entropy(scores, labels, batch.smoothing)

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """The most likely choice's position."""
        assert head is not None
        scores = head(hidden).view(len(batch.targets["label"]), -1)
        positions: list[Any] = scores.argmax(-1).tolist()
        return positions

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """Positions."""
        return list(outputs)

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """Accuracy."""
        return {"accuracy": metrics.accuracy(examples["label"].to_pylist(), predictions)}

    def classes(self, features: pa.Table) -> np.ndarray:
        """Of every choice whether it is the right one."""
        found: list[int] = []
        for group, label in zip(
            features["input_ids"].to_pylist(), features["label"].to_pylist(), strict=True
        ):
            is_known = label != IGNORED
            found += [int(i == label) if is_known else IGNORED for i in range(len(group))]
        return np.array(found)

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """A choice is right or wrong."""
        right = np.array(examples["label"].to_pylist()) == np.array(predictions)
        ones = np.ones(len(right))
        return Outcomes.of({"accuracy": [(right, ones, ones)]})


def _position(label: str | int, task: Task) -> int:
    """The position of the right choice; `IGNORED` where the label was not published."""
    if label in ("", -1):
        return IGNORED
    return task.labels.index(str(label)) if task.labels else int(label)

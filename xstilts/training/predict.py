"""Prediction: one pass over encoded rows, sorted by length, outputs in the rows' order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from xstilts import kinds
from xstilts.data.batches import by_length
from xstilts.kinds.kind import Batch, Encoded, Vocabulary
from xstilts.tasks import Task
from xstilts.training.model import Model

MAX_TOKENS = {"cpu": 1024, "cuda": 16384}
"""Padded tokens of an evaluation batch; changes the speed, not the numbers. A CPU computes small
batches as fast, and sorted sequences then need hardly any padding."""


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context in which a forward pass runs."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def predict(
    model: Model,
    encoded: Encoded,
    task: Task,
    vocabulary: Vocabulary,
    *,
    precision: str = "fp32",
    layer: int | None = None,
    rows: Sequence[int] | None = None,
) -> tuple[list[Any], Encoded]:
    """Predictions for every example, and the rows that they belong to.

    `rows` takes only some of the examples. The model is left in evaluation mode.
    """
    if rows is not None:
        encoded = select(encoded, rows)
    kind = kinds.get(task.kind)
    head = dict(model.heads.items()).get(task.head)
    outputs = _outputs(
        lambda batch: kind.outputs(head, model.hidden(batch.inputs, layer), batch),
        *(model, encoded, task, vocabulary, precision),
    )
    return kind.decode(outputs, encoded, task), encoded


def predict_layers(
    model: Model, encoded: Encoded, task: Task, vocabulary: Vocabulary, *, precision: str = "fp32"
) -> list[Any]:
    """Outputs of every hidden state for every feature, of a kind that is `Layered`."""
    kind = kinds.get(task.kind)
    assert isinstance(kind, kinds.Layered)
    return _outputs(
        lambda batch: kind.layer_outputs(model.states(batch.inputs), batch),
        *(model, encoded, task, vocabulary, precision),
    )


def _outputs(
    compute: Callable[[Batch], list[Any]],
    model: Model,
    encoded: Encoded,
    task: Task,
    vocabulary: Vocabulary,
    precision: str,
) -> list[Any]:
    """What `compute` gives for every feature, in their order; batches are sorted by length."""
    device = next(model.parameters()).device
    fixed = np.random.default_rng(0)
    features = encoded.features
    outputs: list[Any] = [None] * features.num_rows
    model.eval()
    with torch.inference_mode(), autocast(device, precision):
        for positions in by_length(feature_lengths(encoded), MAX_TOKENS[device.type]):
            columns = features.take(positions).to_pydict()
            batch = kinds.get(task.kind).collate(columns, vocabulary, fixed).to(device)
            for position, output in zip(positions, compute(batch), strict=True):
                outputs[position] = output
    return outputs


def feature_lengths(encoded: Encoded) -> list[int]:
    """Tokens of every feature; of a group of sequences the sum."""
    return [
        sum(map(len, ids)) if ids and isinstance(ids[0], list) else len(ids)
        for ids in encoded.features["input_ids"].to_pylist()
    ]


def select(encoded: Encoded, rows: Sequence[int]) -> Encoded:
    """Some of the examples, in the given order, with their features."""
    positions = {row: i for i, row in enumerate(rows)}
    owners = encoded.features["example"].to_pylist()
    # An example's n-th feature keeps its place among the n-th ones: retrieval has all sources
    # before all targets, windows of one example may stand one after the other.
    seen: dict[int, int] = {}
    ranked = []
    for i, row in enumerate(owners):
        if row in positions:
            ranked.append((seen.get(row, 0), positions[row], i))
            seen[row] = seen.get(row, 0) + 1
    chosen = [i for _, _, i in sorted(ranked)]
    features = encoded.features.take(chosen)
    new = [positions[owners[i]] for i in chosen]
    index = features.schema.get_field_index("example")
    features = features.set_column(index, "example", [new])
    return Encoded(features, encoded.examples.take(list(rows)))


def main_score(scores: dict[str, float], task: Task) -> float:
    """The task's score: the mean of its metrics."""
    return sum(scores[metric] for metric in task.metrics) / len(task.metrics)

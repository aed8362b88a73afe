"""Prediction: one pass over encoded rows, sorted by length, outputs in the rows' order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from xstilts import kinds
from xstilts.data.batches import by_length, columns_of
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.tasks import Task
from xstilts.training.model import Model
from xstilts.training.passes import Divider, Pass
from xstilts.training.ranks import ALONE, Ranks

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
    ranks: Ranks = ALONE,
) -> tuple[list[Any], Encoded]:
    """Predictions for every example, and the rows that they belong to.

    `rows` takes only some of the examples; `ranks` divide the work, and all get all predictions.
    The model is left in evaluation mode.
    """
    if rows is not None:
        encoded = select(encoded, rows)
    kind = kinds.get(task.kind)
    found = outputs(model, encoded.features, task, vocabulary, precision, layer=layer, ranks=ranks)
    return kind.decode(found, encoded, task), encoded


def outputs(
    model: Model,
    features: pa.Table,
    task: Task,
    vocabulary: Vocabulary,
    precision: str,
    *,
    layer: int | None = None,
    ranks: Ranks = ALONE,
) -> list[Any]:
    """What the kind decodes, for every feature in its order."""
    kind = kinds.get(task.kind)
    head = dict(model.heads.items()).get(task.head)
    return _outputs(
        lambda work: kind.outputs(head, model.hidden(work, layer), work.batch),
        *(model, features, task, vocabulary, precision, ranks),
    )


def predict_layers(
    model: Model,
    features: pa.Table,
    task: Task,
    vocabulary: Vocabulary,
    precision: str,
) -> list[Any]:
    """Outputs of every hidden state for every feature, of a kind that is `Layered`."""
    kind = kinds.get(task.kind)
    assert isinstance(kind, kinds.Layered)
    return _outputs(
        lambda work: kind.layer_outputs(model.states(work), work.batch),
        *(model, features, task, vocabulary, precision, ALONE),
    )


def _outputs(
    compute: Callable[[Pass], list[Any]],
    model: Model,
    features: pa.Table,
    task: Task,
    vocabulary: Vocabulary,
    precision: str,
    ranks: Ranks,
) -> list[Any]:
    """What `compute` gives for every feature, in their order; batches are sorted by length."""
    device = next(model.parameters()).device
    fixed = np.random.default_rng(0)
    features = features.combine_chunks()
    outputs: list[Any] = [None] * features.num_rows
    divider = Divider.of(model.encoder, device)
    model.eval()
    own: list[tuple[list[int], list[Any]]] = []
    with torch.inference_mode(), autocast(device, precision):
        every = by_length(feature_lengths(features), MAX_TOKENS[device.type])
        for positions in islice(every, ranks.rank, None, ranks.world):
            columns = columns_of(features.take(positions))
            batch = kinds.get(task.kind).collate(columns, vocabulary, fixed)
            own.append((positions, compute(divider.whole(batch).to(device))))
    for computed in ranks.gather(own):
        for positions, found in computed:
            for position, output in zip(positions, found, strict=True):
                outputs[position] = output
    return outputs


def feature_lengths(features: pa.Table) -> list[int]:
    """Tokens of every feature; of a group of sequences the sum."""
    column = features["input_ids"].combine_chunks()
    if pa.types.is_list(column.type.value_type):
        ends, inner = column.offsets.to_numpy(), column.values.offsets.to_numpy()
        return list(np.diff(inner[ends]).tolist())
    return list(pc.list_value_length(column).to_pylist())


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

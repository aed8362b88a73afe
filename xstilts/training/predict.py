"""Prediction, or inference: one pass over encoded rows, for dev checks and evaluation.

Rows are sorted by length so that batches hardly pad, and outputs come back in the rows' order.

Several threads predict at the same time where that is faster: batches are what one thread's are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from queue import SimpleQueue
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from xstilts import kinds
from xstilts.data.batches import by_length, columns_of
from xstilts.kinds.kind import Batch, Encoded, Rows, Vocabulary, pad_inputs
from xstilts.tasks import Task
from xstilts.training.collectives import ALONE, Collective
from xstilts.training.heads import reads_all as head_reads_all
from xstilts.training.micro_batches import MicroBatch, MicroBatcher
from xstilts.training.model import Model
from xstilts.training.packed.self_attention import kernels_for_any_shape

MAX_TOKENS = {"cpu": 2048, "cuda": 16384}
"""Padded tokens of an evaluation batch; changes the speed, not the numbers. A CPU computes small
batches nearly as fast, and several threads share them evenly."""

SCORED_AT_ONCE = 128
"""Masked tokens whose scores over the whole vocabulary are held at once: of XLM-R's 250,002 tokens
128 MB."""


def replicas(model: Model, devices: int = 1) -> list[Model]:
    """A model for every thread that predicts.

    On a CPU the model itself, for as many threads as there would be devices; each of them has the
    threads that torch was given. On GPUs a copy on each of the first `devices`, every one for two
    threads, of which one makes a batch and reads its outputs while the other's is computed.
    """
    if next(model.parameters()).device.type == "cpu":
        return [model] * devices
    copies = [copy.deepcopy(model).to(f"cuda:{index}") for index in range(1, devices)]
    return [model, *copies] * 2


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predicts with `models`, `replicas` of one, which it leaves in evaluation mode.

    `precision` is that of the encoder. The processes of `collective` divide the work, and all get
    all of it.
    """

    models: Sequence[Model]
    vocabulary: Vocabulary
    precision: str = "fp32"
    collective: Collective = ALONE

    def predict(
        self, encoded: Encoded, task: Task, rows: Sequence[int] | None = None
    ) -> tuple[list[Any], Encoded]:
        """Predictions for every example, and the rows that they belong to; `rows` takes only some
        of the examples."""
        if rows is not None:
            encoded = select(encoded, rows)
        found = self.outputs(encoded.features, task)
        return kinds.get(task.kind).decode(found, encoded, task), encoded

    def outputs(self, features: pa.Table, task: Task, layer: int | None = None) -> list[Any]:
        """What the kind decodes, for every feature in its order."""
        kind = kinds.get(task.kind)

        def compute(model: Model, work: MicroBatch) -> list[Any]:
            head = dict(model.heads.items()).get(task.head)
            return kind.outputs(head, model.hidden(work, layer, self.precision), work.batch)

        return self._computed(compute, features, task)

    def layer_outputs(self, features: pa.Table, task: Task) -> list[Any]:
        """Outputs of every hidden state for every feature, of a kind that is `Layered`."""
        kind = kinds.get(task.kind)
        assert isinstance(kind, kinds.Layered)

        def compute(model: Model, work: MicroBatch) -> list[Any]:
            return kind.layer_outputs(model.states(work, self.precision), work.batch)

        return self._computed(compute, features, task)

    def vectors(self, features: pa.Table, task: Task) -> list[np.ndarray]:
        """Vectors of every feature in every hidden state, of a kind that is `Probed`."""
        kind = kinds.get(task.kind)
        assert isinstance(kind, kinds.Probed)

        def compute(model: Model, work: MicroBatch) -> list[Any]:
            return kind.vectors(model.states(work, self.precision), work.batch)

        return self._computed(compute, features, task, reads_all=True)

    def log_probabilities(self, features: pa.Table) -> list[float]:
        """The natural logarithm of the probability that the LM head, the one head, gives to the
        token in `place` of every feature, which the mask stands for meanwhile."""

        def compute(model: Model, work: MicroBatch) -> list[Any]:
            (head,) = model.heads.values()
            tokens = work.batch.targets["label"]
            rows = torch.arange(len(tokens), device=tokens.device)
            hidden = model.hidden(work, None, self.precision)
            chosen = hidden[rows, work.batch.targets["place"]]
            found = []
            for begin in range(0, len(tokens), SCORED_AT_ONCE):
                scores = head(chosen[begin : begin + SCORED_AT_ONCE]).float()
                own = tokens[begin : begin + SCORED_AT_ONCE, None]
                found += (scores.gather(1, own)[:, 0] - scores.logsumexp(1)).tolist()
            return found

        return self._in_batches(compute, features, self._masked)

    def _masked(self, columns: Rows) -> Batch:
        inputs = pad_inputs(columns, self.vocabulary)
        ids, places = inputs["input_ids"], torch.tensor(columns["place"])
        rows, read = torch.arange(len(ids)), torch.zeros_like(ids, dtype=torch.bool)
        targets = {"label": ids[rows, places], "place": places}
        read[rows, places] = True
        ids[rows, places] = self.vocabulary.mask_id
        return Batch(inputs, targets, read=read)

    def _computed(
        self,
        compute: Callable[[Model, MicroBatch], list[Any]],
        features: pa.Table,
        task: Task,
        reads_all: bool = False,
    ) -> list[Any]:
        """What `compute` gives for every feature of a task's rows, in their order.

        `reads_all`: states are read where the kind's head would not.
        """
        kind = kinds.get(task.kind)
        heads_read_all = head_reads_all(dict(self.models[0].heads.items()).get(task.head))

        def collated(columns: Rows) -> Batch:
            batch = kind.collate(columns, self.vocabulary, np.random.default_rng(0))
            return replace(batch, read=None) if reads_all or heads_read_all else batch

        return self._in_batches(compute, features, collated)

    def _in_batches(
        self,
        compute: Callable[[Model, MicroBatch], list[Any]],
        features: pa.Table,
        collated: Callable[[Rows], Batch],
    ) -> list[Any]:
        """What `compute` gives for every feature, in their order; batches are sorted by length."""
        features = features.combine_chunks()
        first = next(self.models[0].parameters()).device
        micro_batcher = MicroBatcher.of(self.models[0].encoder, first, self.precision)
        every = by_length(feature_lengths(features), MAX_TOKENS[first.type])
        own = list(islice(every, self.collective.rank, None, self.collective.world))
        free: SimpleQueue[Model] = SimpleQueue()
        for model in self.models:
            model.eval()
            free.put(model)

        def predicted(positions: list[int]) -> list[Any]:
            work = micro_batcher.whole(collated(columns_of(features.take(positions))))
            model = free.get()
            device = next(model.parameters()).device
            current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
            try:
                with current, torch.inference_mode():
                    return compute(model, work.to(device))
            finally:
                free.put(model)

        outputs: list[Any] = [None] * features.num_rows
        with kernels_for_any_shape():
            found = _in_threads(predicted, own, len(self.models))
        for computed in self.collective.all_gather(found):
            for positions, values in computed:
                for position, output in zip(positions, values, strict=True):
                    outputs[position] = output
        return outputs


def _in_threads(
    predicted: Callable[[list[int]], list[Any]], batches: list[list[int]], count: int
) -> list[tuple[list[int], list[Any]]]:
    """Every batch with its outputs, computed by so many threads."""
    if count == 1:
        return [(positions, predicted(positions)) for positions in batches]
    # What torch was told about threads holds for the one that told it.
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "predict", torch.set_num_threads, (threads,))
    try:
        return list(zip(batches, pool.map(predicted, batches), strict=True))
    finally:  # an interrupt, or memory that has ended, waits for no more than what is computed
        pool.shutdown(cancel_futures=True)


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

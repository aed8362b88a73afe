"""Gradient accumulation: a batch in micro-batches, the same gradient with hardly any padding.

The optimiser sees the whole batch, drawn at random; how its rows are divided changes the speed and
the memory, never the result. Encoders of known families run packed, all rows at once where memory
allows; others in micro-batches of similar lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from xstilts.kinds.kind import Batch
from xstilts.training.dropout import Masks
from xstilts.training.packed.anatomy import can_pack
from xstilts.training.packed.layout import Layout, pack, partition


@dataclass(frozen=True, slots=True)
class Speed:
    """Roughly what a device does: the seconds that a micro-batch costs beside its arithmetic,
    operations and bytes a second. A wrong guess costs a little speed and changes no result."""

    overhead_s: float
    flops: float
    bytes_per_s: float


SPEEDS = {"cpu": Speed(1e-2, 5e10, 1e10), "cuda": Speed(1e-2, 3e14, 3e12)}

MICRO_BATCH_TOKENS = {"cpu": 4096, "cuda": 32768}
"""Tokens of a micro-batch in training: what fits, until memory says otherwise."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Some rows of a batch as they go through the model.

    `batch`: the rows, padded to their own longest. `sequences`: (sequences,), where each stands in
    the whole batch. `inputs`: what the encoder reads; with a `layout` they are packed.
    """

    batch: Batch
    sequences: np.ndarray
    inputs: dict[str, Tensor]
    layout: Layout | None

    @property
    def num_rows(self) -> int:
        """Rows of the batch: of multiple choice, groups of sequences."""
        return len(next(iter(self.batch.targets.values())))

    def masks(self, streams: Sequence[Any], shared: Sequence[int] = ()) -> Masks:
        """What dropout takes from a packed micro-batch; `streams` are those of all sequences of the
        batch, `shared` the numbers that all passes of its step have."""
        assert self.layout is not None
        chosen = [streams[place] for place in self.sequences]
        lengths, num_read = np.empty_like(self.layout.lengths), np.empty_like(self.layout.num_read)
        lengths[self.layout.rows] = self.layout.lengths
        num_read[self.layout.rows] = self.layout.num_read
        order = self.layout.rows.tolist()
        return Masks(chosen, lengths.tolist(), order, num_read.tolist(), shared)

    def pinned(self) -> MicroBatch:
        """The micro-batch in memory from which a GPU copies while it computes: any other copy would
        wait for what it was asked before. Of the batch's own inputs kinds read the mask alone."""

        def pin(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.pin_memory() for name, tensor in tensors.items()}

        mask = {"attention_mask": self.batch.inputs["attention_mask"]}
        batch = replace(self.batch, inputs=pin(mask), targets=pin(self.batch.targets))
        layout = None if self.layout is None else self.layout.map(Tensor.pin_memory)
        return replace(self, inputs=pin(self.inputs), batch=batch, layout=layout)

    def to(self, device: torch.device) -> MicroBatch:
        """The micro-batch with its tensors on a device."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        layout = None
        if self.layout is not None:
            layout = self.layout.map(lambda tensor: tensor.to(device, non_blocking=True))
        return replace(self, batch=self.batch.to(device), inputs=moved, layout=layout)


@dataclass(frozen=True, slots=True)
class MicroBatcher:
    """How the batches of one model on one device are divided.

    `config`: the encoder's, if it runs packed. `device`: the device's type. `overhead`: padded
    tokens that another micro-batch must save. `max_tokens`: of a micro-batch, padding counted.
    `dtype`: that of the attention.
    """

    config: Any | None
    device: str
    overhead: float
    max_tokens: int
    dtype: torch.dtype = torch.float32

    @classmethod
    def of(
        cls, encoder: PreTrainedModel, device: torch.device, precision: str = "fp32"
    ) -> MicroBatcher:
        """How an encoder's batches are divided on a device."""
        config = encoder.config if can_pack(encoder) else None
        name, dtype = device.type, torch.bfloat16 if precision == "bf16" else torch.float32
        return cls(config, name, overhead_tokens(encoder, device), MICRO_BATCH_TOKENS[name], dtype)

    def whole(self, batch: Batch) -> MicroBatch:
        """A batch in one micro-batch, on the host."""
        inputs, layout = batch.inputs, None
        if self.config is not None:
            inputs, layout = pack(batch.inputs, self.config, self.device, self.dtype, batch.read)
        work = MicroBatch(batch, np.arange(len(batch.inputs["input_ids"])), inputs, layout)
        return work.pinned() if self.device == "cuda" else work

    def divide(self, batch: Batch, share: tuple[int, int] = (0, 1)) -> list[MicroBatch]:
        """The micro-batches of a batch, those with the longest sequences first.

        Args:
            share: this process's number and how many divide the batch among them.

        A micro-batch holds at least one row, whatever its length.
        """
        lengths = batch.inputs["attention_mask"].sum(1).numpy()
        num_rows = len(next(iter(batch.targets.values())))
        # Multiple choice has several sequences a row, which stay together.
        width = len(lengths) // num_rows
        groups = lengths.reshape(num_rows, width)
        longest = groups.max(1)
        order = np.argsort(-longest, kind="stable")
        rank, world = share
        order = order[np.flatnonzero(_dealt(num_rows, world) == rank)]
        if self.config is None:
            ends = partition(width * longest[order], self.overhead)
            ends = _bounded(width * longest[order], ends, self.max_tokens)
        else:
            ends = _filled(groups.sum(1)[order], self.max_tokens)
        micro_batches = []
        for start, end in pairwise([0, *ends]):
            rows = order[start:end]
            if len(rows) == num_rows:
                micro_batches.append(self.whole(batch))
                continue
            part, sequences = _rows_of(batch, rows, width, int(longest[rows[0]]))
            micro_batches.append(replace(self.whole(part), sequences=sequences))
        return micro_batches


def one_micro_batch(encoder: PreTrainedModel, inputs: dict[str, Tensor]) -> MicroBatch:
    """Padded inputs that belong to no step, in one micro-batch; `inputs` are on the host."""
    device = next(encoder.parameters()).device
    return MicroBatcher.of(encoder, device).whole(Batch(inputs, {})).to(device)


def overhead_tokens(encoder: PreTrainedModel, device: torch.device) -> float:
    """The tokens whose arithmetic takes as long as the overhead of a micro-batch.

    A token costs about six operations a weight, forward and backward. Each micro-batch also fills
    and adds up a dense gradient of the embeddings, which are looked up.
    """
    speed = SPEEDS[device.type]
    embeddings = encoder.get_input_embeddings()
    looked_up = sum(int(parameter.numel()) for parameter in embeddings.parameters())
    weights = sum(int(parameter.numel()) for parameter in encoder.parameters()) - looked_up
    overhead_s = speed.overhead_s + 3 * 4 * looked_up / speed.bytes_per_s
    return overhead_s * speed.flops / (6.0 * max(weights, 1))


def _rows_of(batch: Batch, rows: np.ndarray, width: int, longest: int) -> tuple[Batch, np.ndarray]:
    """Some rows of a batch, cut to their longest sequence, and where their sequences stand."""
    sequences = (rows[:, None] * width + np.arange(width)).ravel()
    chosen, places = torch.from_numpy(rows), torch.from_numpy(sequences)
    inputs = {name: tensor[places, :longest] for name, tensor in batch.inputs.items()}
    targets = {
        name: tensor[chosen, :longest] if name in batch.by_token else tensor[chosen]
        for name, tensor in batch.targets.items()
    }
    read = None if batch.read is None else batch.read[places, :longest]
    return replace(batch, inputs=inputs, targets=targets, units=None, read=read), sequences


def _dealt(count: int, world: int) -> np.ndarray:
    """Which process gets each of rows sorted by length: there and back, so that all get alike."""
    turns = np.arange(count) // world
    places = np.arange(count) % world
    return np.where(turns % 2 == 0, places, world - 1 - places)


def _filled(tokens: np.ndarray, max_tokens: int) -> list[int]:
    """The ends of micro-batches of at most `max_tokens`, as even as their number allows."""
    if not len(tokens):
        return []
    total = int(tokens.sum())
    target = total / -(-total // max_tokens)
    ends, used = [], 0
    for i, count in enumerate(tokens.tolist()):
        if used and (used + count > max_tokens or used >= target):
            ends.append(i)
            used = 0
        used += count
    return [*ends, len(tokens)]


def _bounded(lengths: Sequence[int] | np.ndarray, ends: list[int], max_tokens: int) -> list[int]:
    """Cuts between which no micro-batch has more than `max_tokens` padded."""
    bounded = []
    for start, end in pairwise([0, *ends]):
        step = max(1, max_tokens // int(lengths[start]))
        bounded += [*range(start + step, end, step), end]
    return bounded

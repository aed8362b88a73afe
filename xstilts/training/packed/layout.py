"""Sequences without padding: their tokens one after the other, attention within each.

An encoder of a known family reads all tokens of a pass as one row, so that its matrix products
and everything position by position see no padding; only attention is computed in buckets of
sequences of similar length. It is transformers' own model with another attention, and computes
what that model computes on padded rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xstilts.config.families import FAMILIES
from xstilts.training.packed.anatomy import anatomy_of, window_of
from xstilts.training.packed.attention import Bucket
from xstilts.training.packed.distances import Distances
from xstilts.training.packed.gather import regather

BUCKET_COSTS = {"cpu": 600.0, "cuda": 6000.0}
"""Padded tokens that another bucket of attention must save; changes the speed, not the result. That
of a GPU is an estimate: in XLM-R Large a bucket is a dozen kernels in each of 24 layers."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tokens of padded rows are in a packed row, and the buckets of their attention.

    `rows`: (sequences,), the padded row of each packed sequence, the longest first.
    `lengths`: tokens of each packed sequence; `num_read` of them are read.
    `read`: (read tokens,), the packed tokens whose final states are computed; None: all.
    `to_padded`: (sequences x longest,), the final state at each padded place; any where none is.
    `to_packed`: (read tokens,), the padded place of each final state.
    """

    rows: np.ndarray
    lengths: np.ndarray
    num_read: np.ndarray
    read: Tensor | None
    to_padded: Tensor
    to_packed: Tensor
    buckets: tuple[Bucket, ...]

    def map(self, function: Callable[[Tensor], Tensor]) -> Layout:
        """The layout with a function applied to its tensors."""
        return replace(
            self,
            read=None if self.read is None else function(self.read),
            to_padded=function(self.to_padded),
            to_packed=function(self.to_packed),
            buckets=tuple(bucket.map(function) for bucket in self.buckets),
        )


def pack(
    inputs: dict[str, Tensor],
    config: Any,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    read: Tensor | None = None,
) -> tuple[dict[str, Tensor], Layout]:
    """The inputs of padded rows as one row without padding: (1, tokens) each, with positions.

    Args:
        inputs: on the host; `attention_mask` is 1 from the left to each row's length.
        config: the encoder's.
        device: the type of the one that will compute them.
        dtype: that of the attention.
        read: (rows, length), bool: the positions whose final states are read; None: all.
    """
    ids, mask = inputs["input_ids"].numpy(), inputs["attention_mask"].numpy()
    width = ids.shape[1]
    lengths = mask.sum(1)
    rows = np.argsort(-lengths, kind="stable")
    lengths = lengths[rows]
    owners = np.repeat(np.arange(len(rows)), lengths)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    to_packed = rows[owners] * width + within
    packed = {
        name: tensor.flatten()[torch.from_numpy(to_packed)][None]
        for name, tensor in inputs.items()
        if name != "attention_mask"
    }
    positions = np.broadcast_to(np.arange(width), ids.shape)
    if FAMILIES[config.model_type].after_padding:
        # A padding token inside a text (masking may draw it) has padding's position, as there.
        pad_id = config.pad_token_id
        is_text = ids != pad_id
        positions = np.cumsum(is_text, axis=1) * is_text + pad_id
    packed["position_ids"] = torch.from_numpy(positions.ravel()[to_packed])[None]
    counts, chosen = lengths, None
    is_read = None if read is None else read.numpy().ravel()[to_packed]
    if is_read is not None and is_read.any():  # a pass needs at least one state
        chosen = np.flatnonzero(is_read)
        counts, to_packed = np.bincount(owners[chosen], minlength=len(rows)), to_packed[chosen]
    to_padded = np.zeros(ids.size, dtype=np.int64)
    to_padded[to_packed] = np.arange(len(to_packed))
    layout = Layout(
        rows,
        lengths,
        counts,
        None if chosen is None else torch.from_numpy(chosen),
        torch.from_numpy(to_padded),
        torch.from_numpy(to_packed),
        tuple(_buckets(lengths, config, device, dtype)),
    )
    return packed, layout


def unpack(hidden: Tensor, layout: Layout) -> Tensor:
    """Final states as padded rows: (1, read tokens, size) to (sequences, longest, size).

    What stands at other slots is some other token's state, and its gradient is dropped.
    """
    rows = len(layout.rows)
    padded = regather(hidden.flatten(0, 1), layout.to_padded, layout.to_packed)
    return padded.view(rows, -1, hidden.shape[-1])


def partition(lengths: Sequence[int] | np.ndarray, overhead: float) -> list[int]:
    """Where to cut falling lengths so that padded tokens plus passes cost the least: the ends."""
    sizes = np.asarray(lengths, dtype=np.float64)
    best = np.zeros(len(sizes) + 1)
    cut = np.zeros(len(sizes) + 1, dtype=np.int64)
    for end in range(1, len(sizes) + 1):
        costs = best[:end] + overhead + sizes[:end] * np.arange(end, 0, -1)
        cut[end] = costs.argmin()
        best[end] = costs[cut[end]]
    ends = []
    end = len(sizes)
    while end:
        ends.append(end)
        end = int(cut[end])
    return ends[::-1]


def _buckets(lengths: np.ndarray, config: Any, device: str, dtype: torch.dtype) -> Iterator[Bucket]:
    is_disentangled = anatomy_of(config).is_disentangled
    for first, last in pairwise([0, *partition(lengths, BUCKET_COSTS[device])]):
        own, distances = lengths[first:last], None
        if is_disentangled and config.relative_attention:
            distances = Distances.of(config, int(own[0]), int(lengths[0]))
        yield Bucket.of(
            first,
            own,
            config.num_attention_heads,
            device,
            dtype,
            window_of(config),
            is_disentangled,
            distances,
        )

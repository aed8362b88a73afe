"""Packed attention: softmax attention within each sequence of a packed row.

Sequences of similar length are padded together in buckets, each a batched product; the rows between
are as they were. Two ways: torch's fused kernels (GPUs, and dropout by torch), and the products
written out with their gradient (CPUs, where the fused ones take no dropout).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xstilts.training.dropout import Masks, scale
from xstilts.training.packed.distances import Distances
from xstilts.training.packed.gather import gather_rows, regather

PARTS = 3
"""Query, key and value of a token, one after the other."""

ALIGNMENT = 8
"""Rows of a bias that begin at another multiple would be copied by every layer."""

FAR = -1e30
"""Added beyond a window: finite, for padding may see no text there, and its weights be NaN."""

PIECE_BYTES = 4 * 2**20
"""Attention weights that a CPU computes at a time where none are kept for gradients: they stay in
its cache, and no layer asks for much new memory."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Where rows are in padded form: of tokens, (sequences x longest), or of the vectors of their
    heads, (sequences x heads x longest).

    `to_padded`: which row is at each padded place, 0 at padding. `to_packed`: each row's place.
    """

    to_padded: Tensor
    to_packed: Tensor

    @classmethod
    def of(cls, slots: np.ndarray, num_places: int) -> Slots:
        """Those of rows at these of so many slots."""
        to_padded = np.zeros(num_places, dtype=np.int64)
        to_padded[slots] = np.arange(len(slots))
        return cls(torch.from_numpy(to_padded), torch.from_numpy(slots))

    def map(self, function: Callable[[Tensor], Tensor]) -> Slots:
        """The slots with a function applied to their tensors."""
        return Slots(function(self.to_padded), function(self.to_packed))


@dataclass(frozen=True, slots=True)
class Bucket:
    """Neighbouring sequences of a packed row, and where they are.

    `tokens`: the slots of their tokens; `heads`: those of their heads' vectors, for a CPU, whose
    products want each head's together. `bias`: (sequences, 1, 1, longest and more), minus infinity
    at padding, in memory as fused kernels want it; None if nothing is padded. `window`: (1, 1,
    longest, longest and more), `FAR` beyond what local attention sees; None where it sees all.
    `distances`: of disentangled attention.
    """

    first: int
    count: int
    longest: int
    tokens: Slots
    heads: Slots | None
    bias: Tensor | None
    window: Tensor | None
    distances: Distances | None = None

    @classmethod
    def of(
        cls,
        first: int,
        lengths: np.ndarray,
        num_heads: int,
        device: str,
        dtype: torch.dtype,
        window: int | None = None,
        heads_first: bool = False,
        distances: Distances | None = None,
    ) -> Bucket:
        """The bucket of sequences with these falling lengths, for attention in a data type on a
        device of a type; local attention sees so many tokens to each side. `heads_first`: where
        each head's vectors of all sequences stand together, not each sequence's of all heads."""
        count, longest = len(lengths), int(lengths[0])
        is_text = np.arange(longest) < lengths[:, None]
        slots = np.flatnonzero(is_text)
        heads = None
        if device == "cpu":
            owners, within = np.divmod(slots, longest)
            each = owners[:, None] * num_heads + np.arange(num_heads)
            if heads_first:
                each = np.arange(num_heads) * count + owners[:, None]
            heads = Slots.of((each * longest + within[:, None]).ravel(), is_text.size * num_heads)
        bias = beyond = None
        width = -(-longest // ALIGNMENT) * ALIGNMENT
        if not is_text.all():
            bias = torch.zeros(count, 1, 1, width, dtype=dtype)
            hidden = torch.from_numpy(~is_text)[:, None, None]
            bias[..., :longest].masked_fill_(hidden, float("-inf"))
        if window is not None and longest > window + 1:
            places = torch.arange(width)
            is_far = (places[:longest, None] - places).abs() > window
            beyond = (is_far * FAR).to(dtype)[None, None]
        return cls(
            first, count, longest, Slots.of(slots, is_text.size), heads, bias, beyond, distances
        )

    def bias_for(self, dtype: torch.dtype, is_local: bool = False) -> Tensor | None:
        """What is added to the products: (sequences, 1, 1, longest), of local attention
        (sequences, 1, longest, longest) where that does not see all."""
        bias = self.bias
        if is_local and self.window is not None:
            bias = (
                self.window.expand(self.count, -1, -1, -1) if bias is None else bias + self.window
            )
        return None if bias is None else bias.to(dtype)[..., : self.longest]

    def map(self, function: Callable[[Tensor], Tensor]) -> Bucket:
        """The bucket with a function applied to its tensors."""
        return replace(
            self,
            tokens=self.tokens.map(function),
            heads=None if self.heads is None else self.heads.map(function),
            bias=None if self.bias is None else function(self.bias),
            window=None if self.window is None else function(self.window),
            distances=None if self.distances is None else self.distances.map(function),
        )


def by_hand(device: torch.device, rate: float, masks: Masks | None) -> bool:
    """Whether attention is computed in steps of its own: on a CPU they take less time than torch's
    fused kernels, which know nothing of masks. Dropout that torch draws is left to those."""
    return device.type == "cpu" and (not rate or masks is not None)


def attend_by_hand(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    buckets: tuple[Bucket, ...],
    num_heads: int,
    rate: float,
    masks: Masks | None,
    caller: int,
    is_local: bool = False,
) -> Tensor:
    """Softmax attention within each sequence, on a CPU.

    Args:
        query: (tokens, hidden size), as are `key` and `value`.
        rate: dropout of the attention weights.
        masks: where the dropout comes from.
        caller: the attention module's identity, under which the masks remember what they drew.
        is_local: whether tokens see those of their window alone.

    Returns:
        (tokens, hidden size)
    """
    keeps: list[Tensor | None] = [None for _ in buckets]
    if rate and masks is not None:
        sizes = [(bucket.first, bucket.count, bucket.longest) for bucket in buckets]
        keeps = list(masks.keep_pairs(sizes, num_heads, rate, query.dtype, caller))
    factor = scale(rate) if rate else 1.0
    size = query.shape[1] // num_heads
    vectors = [x.reshape(-1, size) for x in (query, key, value)]
    out = _Attention.apply(*vectors, buckets, keeps, num_heads, is_local, factor)  # type: ignore[no-untyped-call]
    result: Tensor = out.view(query.shape)
    return result


def attend_fused(
    projected: Tensor,
    buckets: tuple[Bucket, ...],
    num_heads: int,
    rate: float,
    is_local: bool = False,
) -> Tensor:
    """Softmax attention within each sequence by torch's fused kernels, which read and write token
    by token; torch draws the dropout.

    Args:
        projected: (tokens, 3 x hidden size), every token's query, key and value.

    Returns:
        (tokens, hidden size)
    """
    parts = []
    for bucket, (own,) in zip(buckets, split_rows([projected], buckets), strict=True):
        shape = (bucket.count, bucket.longest, PARTS, num_heads, -1)
        padded = regather(own, bucket.tokens.to_padded, bucket.tokens.to_packed).view(shape)
        query, key, value = (part.transpose(1, 2) for part in padded.unbind(2))
        bias = bucket.bias_for(query.dtype, is_local)
        found = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=rate
        )
        states = found.transpose(1, 2).reshape(bucket.count * bucket.longest, -1)
        parts.append(gather_rows(states, bucket.tokens.to_packed))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def split_rows(rows: Sequence[Tensor], buckets: Sequence[Bucket]) -> Iterator[tuple[Tensor, ...]]:
    """The rows of each bucket, of several tensors that have as many for every token."""
    if len(buckets) == 1:
        return iter([tuple(rows)])
    counts = [len(bucket.tokens.to_packed) for bucket in buckets]
    a_token = len(rows[0]) // sum(counts)
    return zip(*(torch.split(x, [a_token * n for n in counts]) for x in rows), strict=True)


def _pieces(bucket: Bucket, row_bytes: int, keeps_weights: bool) -> Iterator[slice]:
    """A bucket's sequences in pieces, in one where the weights are kept; `row_bytes` are those of a
    sequence's weights for each pair of tokens."""
    most = bucket.count
    if not keeps_weights:
        most = max(1, PIECE_BYTES // (row_bytes * bucket.longest**2))
    for first in range(0, bucket.count, most):
        yield slice(first, min(first + most, bucket.count))


class _Attention(torch.autograd.Function):
    """Attention of all buckets with its gradient written out, for the CPU.

    Torch's fused kernels there do not take dropout, its backward of a pick adds row by row, and
    with a bias they are slower than two products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        buckets: tuple[Bucket, ...],
        keeps: list[Tensor | None],
        num_heads: int,
        is_local: bool,
        factor: float,
    ) -> Tensor:
        """(tokens x heads, head size) from as many vectors of query, key and value."""
        size = query.shape[1]
        scaling = size**-0.5
        parts, saved = [], []
        keeps_weights = any(ctx.needs_input_grad)
        with torch.autocast("cpu", enabled=False):
            split = split_rows((query, key, value), buckets)
            for bucket, keep, own in zip(buckets, keeps, split, strict=True):
                assert bucket.heads is not None
                shape = (bucket.count * num_heads, bucket.longest, size)
                q, k, v = (x.index_select(0, bucket.heads.to_padded).view(shape) for x in own)
                bias, found = bucket.bias_for(q.dtype, is_local), []
                for rows in _pieces(bucket, num_heads * q.element_size(), keeps_weights):
                    each = slice(rows.start * num_heads, rows.stop * num_heads)
                    products = torch.bmm(q[each], k[each].transpose(1, 2)).mul_(scaling)
                    square = products.view(-1, num_heads, bucket.longest, bucket.longest)
                    if bias is not None:
                        square += bias[rows]
                    weights = torch.softmax(square, -1)
                    kept = weights if keep is None else (weights * keep[rows]).mul_(factor)
                    found.append(torch.bmm(kept.view_as(products), v[each]))
                states = torch.cat(found) if len(found) > 1 else found[0]
                parts.append(states.view(-1, size).index_select(0, bucket.heads.to_packed))
                if keeps_weights:
                    saved += [q, k, v, weights]
        ctx.save_for_backward(*saved)
        ctx.buckets, ctx.keeps, ctx.factor = buckets, keeps, factor
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of query, key and value."""
        (grad,) = grads
        size = grad.shape[1]
        saved = iter(ctx.saved_tensors)
        parts: list[list[Tensor]] = [[], [], []]
        split = split_rows([grad], ctx.buckets)
        for bucket, keep, (own,) in zip(ctx.buckets, ctx.keeps, split, strict=True):
            q, k, v, weights = (next(saved) for _ in range(4))
            kept = weights if keep is None else (weights * keep).mul_(ctx.factor)
            outer = own.index_select(0, bucket.heads.to_padded).view_as(q)
            if (bias := bucket.bias_for(weights.dtype)) is not None:
                padding = bias.transpose(2, 3).isinf()
                outer.view(bucket.count, -1, bucket.longest, size).masked_fill_(padding, 0.0)
            of_value = torch.bmm(kept.view(len(q), bucket.longest, -1).transpose(1, 2), outer)
            of_weights = torch.bmm(outer, v.transpose(1, 2)).view_as(weights)
            if keep is not None:
                of_weights.mul_(ctx.factor).mul_(keep)
            inner = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            inner = inner.mul_(size**-0.5).view(len(q), bucket.longest, -1)
            of_query, of_key = torch.bmm(inner, k), torch.bmm(inner.transpose(1, 2), q)
            for part, gradient in zip(parts, (of_query, of_key, of_value), strict=True):
                part.append(gradient.view(-1, size).index_select(0, bucket.heads.to_packed))
        return (*(torch.cat(part) for part in parts), None, None, None, None, None)

"""Attention of a packed row, block by block: sequences of similar length are padded together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xstilts.training.dropout import Masks, scale
from xstilts.training.picking import pick, regather


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring sequences of a packed row, and where their heads' vectors are.

    `to_padded`: (sequences x heads x longest,), which of the block's (tokens x heads) vectors is at
    each padded place, 0 at padding. `to_packed`: (tokens x heads,), the padded place of each.
    `bias`: (sequences, 1, 1, longest), minus infinity at padding; None if nothing is padded.
    """

    first: int
    count: int
    longest: int
    to_padded: Tensor
    to_packed: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, first: int, lengths: np.ndarray, num_heads: int) -> Block:
        """The block of sequences with these falling lengths."""
        count, longest = len(lengths), int(lengths[0])
        owners = np.repeat(np.arange(count), lengths)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        heads = np.arange(num_heads)
        places = (owners[:, None] * num_heads + heads) * longest + within[:, None]
        to_padded = np.zeros(count * num_heads * longest, dtype=np.int64)
        to_padded[places.ravel()] = np.arange(places.size)
        bias = None
        if (lengths < longest).any():
            hidden = np.arange(longest) >= lengths[:, None]
            zeros = torch.zeros(count, 1, 1, longest)
            bias = zeros.masked_fill(torch.from_numpy(hidden)[:, None, None], float("-inf"))
        return cls(
            first,
            count,
            longest,
            torch.from_numpy(to_padded),
            torch.from_numpy(places.ravel()),
            bias,
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> Block:
        """The block with a function applied to its tensors."""
        return replace(
            self,
            to_padded=function(self.to_padded),
            to_packed=function(self.to_packed),
            bias=None if self.bias is None else function(self.bias),
        )


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: tuple[Block, ...],
    scaling: float,
    rate: float,
    masks: Masks | None,
    caller: int,
) -> Tensor:
    """Softmax attention within each sequence.

    Args:
        query: (1, heads, tokens, head size), as are `key` and `value`.
        scaling: what the products are multiplied by.
        rate: dropout of the attention weights.
        masks: where the dropout comes from; None: torch.
        caller: the attention module's identity, under which the masks remember what they drew.

    Returns:
        (1, tokens, heads, head size)
    """
    _, num_heads, num_tokens, size = query.shape
    vectors = [x.transpose(1, 2).reshape(-1, size) for x in (query, key, value)]
    if by_hand(query.device, rate, masks):
        keeps: list[Tensor | None] = [None for _ in blocks]
        if rate and masks is not None:
            sizes = [(block.first, block.count, block.longest) for block in blocks]
            keeps = list(masks.keep_pairs(sizes, num_heads, rate, query.dtype, caller))
        factor = scale(rate) if rate else 1.0
        out = _Attention.apply(*vectors, blocks, keeps, num_heads, scaling, factor)  # type: ignore[no-untyped-call]
    else:
        out = _fused(vectors, blocks, num_heads, scaling, rate)
    result: Tensor = out.view(1, num_tokens, num_heads, size)
    return result


def by_hand(device: torch.device, rate: float, masks: Masks | None) -> bool:
    """Whether attention is computed in steps of its own: on a CPU they take less time than torch's
    fused kernels, which know nothing of masks. Dropout that torch draws is left to those."""
    return device.type == "cpu" and (not rate or masks is not None)


def _fused(
    vectors: list[Tensor], blocks: tuple[Block, ...], num_heads: int, scaling: float, rate: float
) -> Tensor:
    """Torch's fused attention of every block: (tokens x heads, head size)."""
    size = vectors[0].shape[1]
    parts = []
    for block, own in zip(blocks, _split(vectors, blocks), strict=True):
        shape = (block.count, num_heads, block.longest, size)
        query, key, value = (regather(x, block.to_padded, block.to_packed).view(shape) for x in own)
        bias = None if block.bias is None else block.bias.to(query.dtype)
        found = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=rate, scale=scaling
        )
        parts.append(pick(found.reshape(-1, size), block.to_packed))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _split(vectors: Sequence[Tensor], blocks: Sequence[Block]) -> Iterator[tuple[Tensor, ...]]:
    """The rows of each block, of several tensors."""
    if len(blocks) == 1:
        return iter([tuple(vectors)])
    sizes = [len(block.to_packed) for block in blocks]
    return zip(*(torch.split(x, sizes) for x in vectors), strict=True)


class _Attention(torch.autograd.Function):
    """Attention of all blocks with its gradient written out, for the CPU.

    Torch's fused kernels there do not take dropout, its backward of a pick adds row by row, and
    with a bias they are slower than two products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        blocks: tuple[Block, ...],
        keeps: list[Tensor | None],
        num_heads: int,
        scaling: float,
        factor: float,
    ) -> Tensor:
        """(tokens x heads, head size) from as many vectors of query, key and value."""
        size = query.shape[1]
        parts, saved = [], []
        with torch.autocast("cpu", enabled=False):
            split = _split((query, key, value), blocks)
            for block, keep, own in zip(blocks, keeps, split, strict=True):
                shape = (block.count * num_heads, block.longest, size)
                q, k, v = (x.index_select(0, block.to_padded).view(shape) for x in own)
                products = torch.bmm(q, k.transpose(1, 2)).mul_(scaling)
                square = products.view(block.count, num_heads, block.longest, block.longest)
                if block.bias is not None:
                    square += block.bias.to(square.dtype)
                weights = torch.softmax(square, -1)
                kept = weights if keep is None else (weights * keep).mul_(factor)
                found = torch.bmm(kept.view_as(products), v)
                parts.append(found.view(-1, size).index_select(0, block.to_packed))
                saved += [q, k, v, weights]
        ctx.save_for_backward(*saved)
        ctx.blocks, ctx.keeps, ctx.scaling, ctx.factor = blocks, keeps, scaling, factor
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of query, key and value."""
        (grad,) = grads
        size = grad.shape[1]
        saved = iter(ctx.saved_tensors)
        parts: list[list[Tensor]] = [[], [], []]
        split = _split([grad], ctx.blocks)
        for block, keep, (own,) in zip(ctx.blocks, ctx.keeps, split, strict=True):
            q, k, v, weights = (next(saved) for _ in range(4))
            kept = weights if keep is None else (weights * keep).mul_(ctx.factor)
            outer = own.index_select(0, block.to_padded).view_as(q)
            if block.bias is not None:
                padding = block.bias.view(block.count, 1, block.longest, 1).isinf()
                outer.view(block.count, -1, block.longest, size).masked_fill_(padding, 0.0)
            of_value = torch.bmm(kept.view(len(q), block.longest, -1).transpose(1, 2), outer)
            of_weights = torch.bmm(outer, v.transpose(1, 2)).view_as(weights)
            if keep is not None:
                of_weights.mul_(ctx.factor).mul_(keep)
            inner = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            inner = inner.mul_(ctx.scaling).view(len(q), block.longest, -1)
            of_query, of_key = torch.bmm(inner, k), torch.bmm(inner.transpose(1, 2), q)
            for part, gradient in zip(parts, (of_query, of_key, of_value), strict=True):
                part.append(gradient.view(-1, size).index_select(0, block.to_packed))
        return (*(torch.cat(part) for part in parts), None, None, None, None, None)

"""Disentangled attention within each sequence of a packed row, as DeBERTa has it (He et al. 2021).

The product of a query and a key has two more beside it: of the query and a vector of the key's
place as seen from it (content to position), and of the key and one of the query's (position to
content). Vectors of places belong to distances and are the same for all sequences: the products
with them are one of a head's queries, or keys, of a whole bucket. A token's row of those has a
column for each distance, and the columns of the next token's are the same moved by one, so that a
view of other strides has them as pairs of tokens, and nothing is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xstilts.training.dropout import Masks, scale
from xstilts.training.packed.attention import PIECE_BYTES, Bucket, split_rows
from xstilts.training.packed.gather import gather_rows, regather

BLOCK = 64
"""Tokens whose products with places are computed at a time: they share most of their distances."""

Near = tuple[Tensor | None, Tensor | None]
"""Scaled vectors of places by head and distance, those of keys and those of queries."""


@dataclass(frozen=True, slots=True)
class Places:
    """The vectors of relative places of a layer, of the rows that `Distances` counts: (rows, hidden
    size).

    `keys` are multiplied with queries, `queries` with keys; None where a model has no such product.
    """

    keys: Tensor | None
    queries: Tensor | None


def attend_by_hand(
    parts: Sequence[Tensor],
    places: Places,
    buckets: tuple[Bucket, ...],
    num_heads: int,
    scaling: float,
    rate: float,
    masks: Masks | None,
    caller: int,
) -> Tensor:
    """Disentangled attention within each sequence, on a CPU.

    Args:
        parts: query, key and value, (tokens, hidden size) each.
        places: the vectors of relative places.
        scaling: what every product is multiplied by.
        rate: dropout of the attention weights.
        masks: where the dropout comes from.
        caller: the attention module's identity, under which the masks remember what they drew.

    Returns:
        (tokens, hidden size)
    """
    keeps: list[Tensor | None] = [None for _ in buckets]
    if rate and masks is not None:
        sizes = [(bucket.first, bucket.count, bucket.longest) for bucket in buckets]
        drawn = masks.keep_pairs(sizes, num_heads, rate, parts[0].dtype, caller)
        keeps = [keep.transpose(0, 1) for keep in drawn]
    size = parts[0].shape[1] // num_heads
    vectors = [x.reshape(-1, size) for x in parts]
    out = _Attention.apply(  # type: ignore[no-untyped-call]
        *vectors,
        places.keys,
        places.queries,
        buckets,
        keeps,
        num_heads,
        scaling,
        scale(rate) if rate else 1.0,
    )
    result: Tensor = out.view(parts[0].shape)
    return result


def attend_fused(
    parts: Sequence[Tensor],
    places: Places,
    buckets: tuple[Bucket, ...],
    num_heads: int,
    scaling: float,
    rate: float,
) -> Tensor:
    """Disentangled attention within each sequence by torch's fused kernels, for which the products
    with places are a bias; torch draws the dropout. As `attend_by_hand` otherwise."""
    found = []
    for bucket, own in zip(buckets, split_rows(parts, buckets), strict=True):
        to_padded, to_packed = bucket.tokens.to_padded, bucket.tokens.to_packed
        shape = (bucket.count, bucket.longest, num_heads, -1)
        padded = (regather(x, to_padded, to_packed).view(shape) for x in own)
        query, key, value = (x.transpose(1, 2) for x in padded)
        bias = bucket.bias_for(query.dtype)
        of_keys, of_queries = _near(places.keys, places.queries, bucket, num_heads, scaling)
        if of_keys is not None:
            moved = _moved(query @ of_keys.transpose(1, 2))
            bias = moved if bias is None else bias + moved
        if of_queries is not None:
            moved = _moved(key @ of_queries.transpose(1, 2)).transpose(2, 3)
            bias = moved if bias is None else bias + moved
        states = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=rate, scale=scaling
        )
        flat = states.transpose(1, 2).reshape(bucket.count * bucket.longest, -1)
        found.append(gather_rows(flat, to_packed))
    return torch.cat(found) if len(found) > 1 else found[0]


def _near(
    keys: Tensor | None, queries: Tensor | None, bucket: Bucket, num_heads: int, scaling: float
) -> Near:
    """The vectors of places as a bucket's products want them: (heads, 2 x longest, head size)."""
    if bucket.distances is None:
        return None, None

    def chosen(vectors: Tensor | None, rows: Tensor) -> Tensor | None:
        if vectors is None:
            return None
        picked = vectors.index_select(0, rows).view(len(rows), num_heads, -1)
        return picked.transpose(0, 1).contiguous() * scaling

    return chosen(keys, bucket.distances.of_keys), chosen(queries, bucket.distances.of_queries)


def _moved(products: Tensor) -> Tensor:
    """Products by distance as products by pairs of tokens: (..., rows, rows + longest) to (...,
    rows, longest), whose column j in row i was column rows - 1 + j - i. A view."""
    rows, width = products.shape[-2:]
    flat = products.flatten(-2)[..., rows - 1 : rows - 1 + rows * (width - 1)]
    return flat.view(*products.shape[:-1], width - 1)[..., : width - rows]


def _blocks(longest: int) -> Iterator[tuple[slice, slice]]:
    """Neighbouring tokens, and the columns of the distances that they have to any other: fewer than
    those of all tokens by as many as the others are."""
    for first in range(0, longest, BLOCK):
        last = min(first + BLOCK, longest)
        yield slice(first, last), slice(longest - last, 2 * longest - first)


def _pieces(bucket: Bucket, num_heads: int, pair_bytes: int) -> Iterator[tuple[slice, slice]]:
    """A bucket's heads and sequences in pieces whose products stay in a CPU's cache: some heads of
    all sequences, or some sequences of one head."""
    most = max(1, PIECE_BYTES // (pair_bytes * bucket.longest**2))
    heads = max(1, min(num_heads, most // bucket.count))
    rows = min(bucket.count, most)
    for head in range(0, num_heads, heads):
        for row in range(0, bucket.count, rows):
            yield slice(head, head + heads), slice(row, row + rows)


def _attend(
    parts: Sequence[Tensor],
    near: Near,
    bucket: Bucket,
    keep: Tensor | None,
    scaling: float,
    factor: float,
    weights: Tensor | None,
) -> Tensor:
    """A bucket's states, (heads, sequences, longest, head size) as query, key and value are; fills
    in the weights of pairs, where they are wanted."""
    states = torch.empty_like(parts[0])
    bias = bucket.bias_for(states.dtype)
    for piece in _pieces(bucket, len(states), states.element_size()):
        q, k, v = (x[piece] for x in parts)
        products = _products(q, k, near, piece[0], None if bias is None else bias[piece[1], 0])
        softmax = products.baddbmm_(
            q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=scaling
        ).view(*q.shape[:3], -1)
        out = None if weights is None else weights[piece]
        kept = torch.softmax(softmax, -1, out=out)
        if keep is not None:
            kept = kept * keep[piece]
        into = states[piece].flatten(0, 1)
        into.baddbmm_(kept.flatten(0, 1), v.flatten(0, 1), beta=0, alpha=factor)
    return states


def _products(query: Tensor, key: Tensor, near: Near, heads: slice, bias: Tensor | None) -> Tensor:
    """The products with places by pairs and the bias, to which those of queries and keys come:
    (heads x sequences, longest, longest)."""
    start = query.new_zeros(()) if bias is None else bias
    found = query.new_empty(*query.shape[:3], query.shape[2])
    if near[0] is None:
        found.copy_(start)
    for x, places, pairs in zip((query, key), near, (found, found.transpose(2, 3)), strict=True):
        if places is None:
            continue
        for tokens, columns in _blocks(x.shape[2]):
            rows, into = x[:, :, tokens], pairs[:, :, tokens]
            of_columns = places[heads, columns].transpose(1, 2)
            by_distance = torch.bmm(rows.flatten(1, 2), of_columns)
            moved = _moved(by_distance.view(*rows.shape[:3], -1))
            torch.add(moved, start if x is query else into, out=into)
    return found.flatten(0, 1)


def _gradients(
    outer: Tensor,
    parts: Sequence[Tensor],
    near: Near,
    bucket: Bucket,
    keep: Tensor | None,
    scaling: float,
    weights: Tensor,
) -> tuple[list[Tensor], Near]:
    """The gradients of a bucket's query, key and value, and of the vectors of places; `outer` is
    that of its states, with the scale of the weights that dropout left."""
    found = [torch.empty_like(x) for x in parts]
    of_keys, of_queries = (None if x is None else torch.zeros_like(x) for x in near)
    for piece in _pieces(bucket, len(outer), outer.element_size()):
        q, k, v, own = (x[piece].flatten(0, 1) for x in (*parts, outer))
        of_query, of_key, of_value = (x[piece].flatten(0, 1) for x in found)
        softmax = weights[piece]
        kept = softmax if keep is None else softmax * keep[piece]
        torch.bmm(kept.flatten(0, 1).transpose(1, 2), own, out=of_value)
        of_weights = torch.bmm(own, v.transpose(1, 2)).view_as(softmax)
        if keep is not None:
            of_weights.mul_(keep[piece])
        inner = torch.ops.aten._softmax_backward_data(of_weights, softmax, -1, softmax.dtype)
        pairs = inner.flatten(0, 1)
        of_query.baddbmm_(pairs, k, beta=0, alpha=scaling)
        of_key.baddbmm_(pairs.transpose(1, 2), q, beta=0, alpha=scaling)
        shape = (*inner.shape[:3], -1)
        sides = (
            (q.view(shape), of_query.view(shape), inner),
            (k.view(shape), of_key.view(shape), inner.transpose(2, 3)),
        )
        _add_of_places(sides, near, (of_keys, of_queries), piece[0])
    return found, (of_keys, of_queries)


def _add_of_places(
    sides: Sequence[tuple[Tensor, Tensor, Tensor]], near: Near, of_near: Near, heads: slice
) -> None:
    """Add to the gradients of a piece and of places what comes by the products of both: `sides` are
    the queries, their gradient and that of the products by pairs, and the same of keys."""
    pairs = sides[0][2]
    for tokens, columns in _blocks(pairs.shape[2]):
        count = tokens.stop - tokens.start
        # Zeros stay where no pair is, whichever side is copied in.
        by_distance = pairs.new_zeros(*pairs.shape[:2], count, count + pairs.shape[2])
        rows = by_distance.flatten(1, 2)
        for (x, of_x, own), places, of_places in zip(sides, near, of_near, strict=True):
            if places is not None and of_places is not None:
                _moved(by_distance).copy_(own[:, :, tokens])
                vectors = x[:, :, tokens]
                of_x[:, :, tokens] += torch.bmm(rows, places[heads, columns]).view_as(vectors)
                of_places[heads, columns].baddbmm_(rows.transpose(1, 2), vectors.flatten(1, 2))


class _Attention(torch.autograd.Function):
    """Attention of all buckets with its gradient written out, for the CPU: every product by pairs
    goes through the cache piece by piece, and the attention weights alone are kept."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keys: Tensor | None,
        queries: Tensor | None,
        buckets: tuple[Bucket, ...],
        keeps: list[Tensor | None],
        num_heads: int,
        scaling: float,
        factor: float,
    ) -> Tensor:
        """(tokens x heads, head size) from as many vectors of query, key and value."""
        size = query.shape[1]
        found, saved = [], []
        keeps_weights = any(ctx.needs_input_grad)
        with torch.autocast("cpu", enabled=False):
            split = split_rows((query, key, value), buckets)
            for bucket, keep, own in zip(buckets, keeps, split, strict=True):
                shape = (num_heads, bucket.count, bucket.longest, size)
                parts = [_padded(x, bucket).view(shape) for x in own]
                near = _near(keys, queries, bucket, num_heads, scaling)
                weights = query.new_empty(*shape[:3], bucket.longest) if keeps_weights else None
                states = _attend(parts, near, bucket, keep, scaling, factor, weights)
                found.append(_packed(states, bucket))
                if weights is not None:
                    saved += [*parts, weights]
        ctx.save_for_backward(*saved, keys, queries)
        ctx.buckets, ctx.keeps, ctx.scaling, ctx.factor = buckets, keeps, scaling, factor
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of query, key and value, and of the vectors of places."""
        (grad,) = grads
        *saved, keys, queries = ctx.saved_tensors
        of_places = [None if x is None else torch.zeros_like(x) for x in (keys, queries)]
        found: list[list[Tensor]] = [[], [], []]
        split = split_rows([grad], ctx.buckets)
        for i, (bucket, keep, (own,)) in enumerate(zip(ctx.buckets, ctx.keeps, split, strict=True)):
            *parts, weights = saved[4 * i : 4 * i + 4]
            outer = _padded(own, bucket).view_as(parts[0])
            if keep is not None:
                outer.mul_(ctx.factor)
            if (bias := bucket.bias_for(outer.dtype)) is not None:
                outer.masked_fill_(bias[:, 0].transpose(1, 2).isinf(), 0.0)
            near = _near(keys, queries, bucket, len(outer), ctx.scaling)
            own_found, of_near = _gradients(outer, parts, near, bucket, keep, ctx.scaling, weights)
            for some, gradient in zip(found, own_found, strict=True):
                some.append(_packed(gradient, bucket))
            _add_by_row(of_places, of_near, bucket, ctx.scaling)
        return (*(torch.cat(some) for some in found), *of_places, None, None, None, None, None)


def _padded(rows: Tensor, bucket: Bucket) -> Tensor:
    """The vectors of a bucket's heads in padded form, one after the other."""
    assert bucket.heads is not None
    return rows.index_select(0, bucket.heads.to_padded)


def _packed(padded: Tensor, bucket: Bucket) -> Tensor:
    """Vectors in padded form as rows."""
    assert bucket.heads is not None
    return padded.view(-1, padded.shape[-1]).index_select(0, bucket.heads.to_packed)


def _add_by_row(
    gradients: Sequence[Tensor | None], of_near: Near, bucket: Bucket, scaling: float
) -> None:
    """Add what vectors by distance have to the gradients of the rows that they were picked from."""
    if bucket.distances is None:
        return
    chosen = (bucket.distances.of_keys, bucket.distances.of_queries)
    for gradient, own, rows in zip(gradients, of_near, chosen, strict=True):
        if gradient is not None and own is not None:
            gradient.index_add_(0, rows, own.transpose(0, 1).flatten(1), alpha=scaling)

"""Self-attention of a packed encoder, in the place of transformers' own.

On a GPU queries, keys and values are one matrix product: three of a third of the size, as
transformers has them, leave much of it idle with the batches of a recipe, and their gradients are
twice as many again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from xstilts.training.dropout import Masks
from xstilts.training.lora import Adapted
from xstilts.training.packed.anatomy import anatomy_of, can_pack
from xstilts.training.packed.attention import (
    PARTS,
    Bucket,
    attend_by_hand,
    attend_fused,
    by_hand,
)
from xstilts.training.packed.rotary import rotate


def install_attention(encoder: PreTrainedModel) -> None:
    """Give the layers of an encoder of a known family the attention of packed rows."""
    anatomy = anatomy_of(encoder.config)
    for layer in anatomy.layers_of(encoder):
        attention = anatomy.attention_of(layer)
        # A method of the instance: copies of the encoder get their own.
        attention.forward = MethodType(_forward, attention)


def kernels_for_any_shape() -> AbstractContextManager[Any]:
    """Attention on a GPU by torch's own kernels, whatever the lengths of a batch.

    On Hopper and Blackwell torch asks cuDNN first, which makes a plan for every shape that it has
    not seen: tens to hundreds of milliseconds, where a batch, of ever another length, takes ten.
    """
    own = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return sdpa_kernel(own)


def joined(encoder: PreTrainedModel) -> list[Any]:
    """The attention modules whose `parts_of` are one product, where one does."""
    device = next(encoder.parameters()).device
    if not can_pack(encoder) or by_hand(device, 0.0, None):
        return []
    anatomy = anatomy_of(encoder.config)
    if anatomy.install is not None:
        return []
    return [anatomy.attention_of(layer) for layer in anatomy.layers_of(encoder)]


def parts_of(attention: Any) -> list[nn.Linear]:
    """The layers that give queries, keys and values: three, or one for all."""
    return anatomy_of(attention.config).parts_of(attention)


def _forward(
    attention: Any,
    hidden_states: Tensor,
    *arguments: Any,
    buckets: tuple[Bucket, ...] = (),
    attended: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """What an attention of these families computes, of a packed row, (1, tokens, hidden size);
    without buckets what the class computes of padded rows.

    Args:
        attended: what `attend` gave, where that was asked for before.
    """
    if not buckets:
        found: tuple[Tensor, Tensor | None] = type(attention).forward(
            attention, hidden_states, *arguments, **options
        )
        return found
    if attended is None:
        attended = attend(attention, hidden_states, buckets=buckets, **options)
    return anatomy_of(attention.config).output_of(attention, attended), None


def attend(
    attention: Any,
    hidden: Tensor,
    *,
    buckets: tuple[Bucket, ...],
    masks: Masks | None = None,
    position_embeddings: tuple[Tensor, Tensor] | None = None,
    **options: Any,
) -> Tensor:
    """The values that each token attends to, within its sequence: (1, tokens, heads x size).

    Args:
        hidden: (1, tokens, hidden size).
        position_embeddings: cosines and sines of rotary positions, (1, tokens, size) each.
    """
    anatomy, num_heads = anatomy_of(attention.config), attention.config.num_attention_heads
    rate, is_local = anatomy.rate_of(attention), anatomy.is_local(attention)
    is_by_hand = by_hand(hidden.device, rate, masks)
    if is_by_hand:
        parts = [part(hidden).flatten(0, 1) for part in parts_of(attention)]
    else:
        projected = functional.linear(hidden, *_projection(attention))
        parts = [_with_low_rank(projected, hidden, parts_of(attention)).flatten(0, 1)]
    if not is_by_hand and position_embeddings is None:
        return attend_fused(parts[0], buckets, num_heads, rate, is_local)[None]
    query, key, value = parts if len(parts) == PARTS else _split(parts[0], attention)
    if position_embeddings is not None:
        query, key = (rotate(x, *position_embeddings) for x in (query, key))
    size = query.shape[1] // num_heads
    key, value = (_for_all_heads(x, num_heads, size) for x in (key, value))
    if is_by_hand:
        found = attend_by_hand(
            query, key, value, buckets, num_heads, rate, masks, id(attention), is_local
        )
        return found[None]
    joined = torch.cat([query, key, value], 1)
    return attend_fused(joined, buckets, num_heads, rate, is_local)[None]


def _projection(attention: Any) -> tuple[Tensor, Tensor | None]:
    """One matrix and bias for queries, keys and values: those that a stage trains with, or the
    weights as they are, side by side."""
    if attention.training and hasattr(attention, "working"):
        working: tuple[Tensor, Tensor | None] = attention.working
        return working
    parts = parts_of(attention)
    weight = torch.cat([part.weight for part in parts])
    return weight, None if parts[0].bias is None else torch.cat([part.bias for part in parts])


def _split(projected: Tensor, attention: Any) -> tuple[Tensor, ...]:
    """Queries, keys and values that came as one; of the latter two there may be fewer."""
    heads = attention.config.num_attention_heads
    of_values = getattr(attention.config, "num_key_value_heads", None) or heads
    size = projected.shape[1] // (heads + 2 * of_values)
    return torch.split(projected, [heads * size, of_values * size, of_values * size], 1)


def _for_all_heads(vectors: Tensor, num_heads: int, size: int) -> Tensor:
    """Keys or values, of which neighbouring heads may share one: (tokens, heads x size)."""
    own = vectors.shape[1] // size
    if own == num_heads:
        return vectors
    return vectors.view(-1, own, 1, size).expand(-1, -1, num_heads // own, -1).flatten(1)


def _with_low_rank(projected: Tensor, hidden: Tensor, parts: list[nn.Linear]) -> Tensor:
    """Queries, keys and values side by side, with what adapters add to each."""
    if not any(isinstance(part, Adapted) for part in parts):
        return projected
    pieces = torch.split(projected, [part.out_features for part in parts], -1)
    return torch.cat(
        [
            piece + part.low_rank(hidden) if isinstance(part, Adapted) else piece
            for piece, part in zip(pieces, parts, strict=True)
        ],
        -1,
    )

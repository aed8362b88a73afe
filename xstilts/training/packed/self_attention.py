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
from xstilts.training.packed.attention import Bucket, attend_by_hand, attend_fused
from xstilts.training.packed.layout import can_pack


def install_attention(encoder: PreTrainedModel) -> None:
    """Give the layers of an encoder of a known family the attention of packed rows."""
    for layer in encoder.encoder.layer:
        attention = layer.attention.self
        # A method of the instance: copies of the encoder get their own.
        attention.forward = MethodType(_attend, attention)


def by_hand(device: torch.device, rate: float, masks: Masks | None) -> bool:
    """Whether attention is computed in steps of its own: on a CPU they take less time than torch's
    fused kernels, which know nothing of masks. Dropout that torch draws is left to those."""
    return device.type == "cpu" and (not rate or masks is not None)


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
    return [layer.attention.self for layer in encoder.encoder.layer]


def parts_of(attention: Any) -> list[nn.Linear]:
    """The layers that give queries, keys and values."""
    return [attention.query, attention.key, attention.value]


def _attend(
    attention: Any,
    hidden: Tensor,
    attention_mask: Tensor | None = None,
    *,
    buckets: tuple[Bucket, ...] = (),
    masks: Masks | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention within the sequences of a packed row, (1, tokens, hidden size); without buckets
    what the class computes of padded rows."""
    if not buckets:
        found: tuple[Tensor, Tensor | None] = type(attention).forward(
            attention, hidden, attention_mask, **options
        )
        return found
    num_heads, scaling = attention.num_attention_heads, attention.scaling
    rate = attention.dropout.p if attention.training else 0.0
    if by_hand(hidden.device, rate, masks):
        query, key, value = (part(hidden).flatten(0, 1) for part in parts_of(attention))
        out = attend_by_hand(
            query, key, value, buckets, num_heads, scaling, rate, masks, id(attention)
        )
    else:
        projected = functional.linear(hidden, *_projection(attention))
        projected = _with_low_rank(projected, hidden, parts_of(attention)).flatten(0, 1)
        out = attend_fused(projected, buckets, num_heads, scaling, rate)
    return out[None], None


def _projection(attention: Any) -> tuple[Tensor, Tensor]:
    """One matrix and bias for queries, keys and values: those that a stage trains with, or the
    weights as they are, side by side."""
    if attention.training and hasattr(attention, "working"):
        working: tuple[Tensor, Tensor] = attention.working
        return working
    parts = parts_of(attention)
    return torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])


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

"""The last layer of a packed encoder, computed for the tokens that a head reads.

A classifier reads the first token of a sequence, a tagger that of every word, masked-language
modelling the masked ones. The last layer's keys and values need every token; what follows its
attention (three quarters of its weights) goes token by token, and its results for tokens that
nobody reads would be thrown away. So would the layers above the one that retrieval reads.
"""

from __future__ import annotations

from copy import copy
from types import MethodType
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from xstilts.training.packed.gather import gather_rows


def install_last_layer(encoder: PreTrainedModel) -> None:
    """Make the last layer of a packed encoder take `read`, the slots of the tokens that count."""
    attention = encoder.encoder.layer[-1].attention
    # A method of the instance: copies of the encoder get their own.
    attention.forward = MethodType(_attend_and_read, attention)


def weights_of_read(encoder: PreTrainedModel) -> int:
    """The weights of the last layer that only the tokens that are read are multiplied with."""
    layer = encoder.encoder.layer[-1]
    whole, before = (
        sum(p.numel() for p in module.parameters()) for module in (layer, layer.attention.self)
    )
    return int(whole - before)


def first_layers(encoder: PreTrainedModel, count: int) -> PreTrainedModel:
    """A packed encoder that ends after some of its layers, with the same weights."""
    shorter: Any = _with_own_children(encoder)
    shorter.encoder = _with_own_children(shorter.encoder)
    shorter.encoder.layer = shorter.encoder.layer[:count]
    is_cut = count < len(encoder.encoder.layer)
    if is_cut and hasattr(shorter.encoder, "LayerNorm"):  # XLM-R XL's, behind the last layer
        shorter.encoder.LayerNorm = nn.Identity()
    return shorter


def _with_own_children(module: nn.Module) -> Any:
    shallow = copy(module)
    shallow._modules = dict(module._modules)
    return shallow


def _attend_and_read(
    attention: Any,
    hidden: Tensor,
    attention_mask: Tensor | None = None,
    *,
    read: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """What the attention of these families computes, its output for some tokens only.

    Args:
        hidden: (1, tokens, hidden size).
        read: (tokens that are read,); None: all.
    """
    norm = getattr(attention, "self_attn_layer_norm", None)  # XLM-R XL has it before
    states = hidden if norm is None else norm(hidden)
    attended, weights = attention.self(states, attention_mask=attention_mask, **options)
    if read is not None:
        attended, hidden = (gather_rows(s.flatten(0, 1), read)[None] for s in (attended, hidden))
    return attention.output(attended, hidden), weights

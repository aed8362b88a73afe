"""DeBERTa-v2 and -v3 on packed rows: transformers' own modules, with disentangled attention and the
convolution kept within sequences.

Its class looks up distances for every pair of a row's tokens, of which a packed row would have
millions; and projects all rows of its table of relative places where a pass uses some.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput

from xstilts.training.dropout import Masks, scale
from xstilts.training.packed.attention import Bucket, by_hand
from xstilts.training.packed.disentangled import Places, attend_by_hand, attend_fused
from xstilts.training.packed.gather import gather_rows


@dataclass(frozen=True, slots=True)
class Pass:
    """What keeps sequences apart, in the place of an attention mask; with the masks of dropout and
    the slots of the tokens that are read."""

    buckets: tuple[Bucket, ...]
    masks: Masks | None
    read: Tensor | None


def install_deberta(encoder: PreTrainedModel) -> None:
    """Let a DeBERTa take packed rows."""
    # Methods of instances: copies of the encoder get their own.
    encoder.forward = MethodType(_encode, encoder)
    for layer in encoder.encoder.layer:
        layer.attention.forward = MethodType(_attend_and_read, layer.attention)


def _encode(
    model: Any,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    position_ids: Tensor | None = None,
    *,
    buckets: tuple[Bucket, ...] = (),
    masks: Masks | None = None,
    read: Tensor | None = None,
    output_hidden_states: bool = False,
    **options: Any,
) -> Any:
    """States of a packed row, (1, tokens, hidden size), the last of those that are read; without
    buckets what the class computes of padded rows."""
    inputs = {"token_type_ids": token_type_ids, "position_ids": position_ids}
    if not buckets:
        options["output_hidden_states"] = output_hidden_states
        return type(model).forward(model, input_ids, attention_mask, **inputs, **options)
    assert position_ids is not None
    hidden = model.embeddings(input_ids=input_ids, **inputs)
    states = [hidden]
    table = _table(model.encoder, buckets)
    count = len(model.encoder.layer)
    for number, layer in enumerate(model.encoder.layer, start=1):
        own = Pass(buckets, masks, read if number == count else None)
        hidden, _ = layer(hidden, own, rel_embeddings=table)
        if number == 1 and model.encoder.conv is not None:
            hidden = _with_convolution(model.encoder.conv, states[0], hidden, position_ids, own)
        states.append(hidden)
    return BaseModelOutput(hidden, tuple(states) if output_hidden_states else None)


def _table(encoder: Any, buckets: tuple[Bucket, ...]) -> Tensor | None:
    """The rows of the table of relative places that a pass uses: (rows, hidden size)."""
    distances = buckets[0].distances
    if distances is None:
        return None
    rows = encoder.rel_embeddings.weight[distances.first : distances.last]
    table: Tensor = encoder.LayerNorm(rows) if "layer_norm" in encoder.norm_rel_ebd else rows
    return table


def _with_convolution(
    conv: Any, embedded: Tensor, hidden: Tensor, position_ids: Tensor, own: Pass
) -> Tensor:
    """The first layer's states and what DeBERTa-v2's convolution makes of the embeddings, (1,
    tokens, hidden size) each: no sequence sees the one beside it."""
    # Zeros before every sequence: as many as are read across its edge.
    gap = conv.conv.padding[0]
    numbers = (position_ids[0] == 0).cumsum(0)
    slots = torch.arange(len(numbers), device=numbers.device) + gap * numbers
    values, num_sequences = embedded[0], sum(bucket.count for bucket in own.buckets)
    spaced = values.new_zeros(len(values) + gap * num_sequences, values.shape[1])
    spaced = spaced.index_copy(0, slots, values)
    out = gather_rows(conv.conv(spaced.t()[None])[0].t(), slots)[None]
    out = ACT2FN[conv.conv_act](conv.dropout(out))
    if own.read is not None:
        out = gather_rows(out[0], own.read)[None]
    convolved: Tensor = conv.LayerNorm(hidden + out)
    return convolved


def _attend_and_read(
    attention: Any,
    hidden: Tensor,
    attention_mask: Any,
    output_attentions: bool = False,
    query_states: Tensor | None = None,
    relative_pos: Tensor | None = None,
    rel_embeddings: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attention and what follows it in its block, for the tokens that are read; of padded rows what
    the class computes.

    Args:
        hidden: (1, tokens, hidden size).
        attention_mask: a `Pass`, or the mask of padded rows.
        rel_embeddings: the rows of the table that the pass uses.
    """
    if not isinstance(attention_mask, Pass):
        found: tuple[Tensor, Tensor | None] = type(attention).forward(
            attention,
            hidden,
            attention_mask,
            output_attentions,
            query_states,
            relative_pos,
            rel_embeddings,
        )
        return found
    attended = _attend(attention.self, hidden, attention_mask, rel_embeddings)
    if (read := attention_mask.read) is not None:
        attended, hidden = (gather_rows(s.flatten(0, 1), read)[None] for s in (attended, hidden))
    return attention.output(attended, hidden), None


def _attend(attention: Any, hidden: Tensor, own: Pass, table: Tensor | None) -> Tensor:
    """Attention within the sequences of a packed row: (1, tokens, hidden size)."""
    num_heads = attention.num_attention_heads
    linear = (attention.query_proj, attention.key_proj, attention.value_proj)
    parts = [part(hidden).flatten(0, 1) for part in linear]
    places = Places(None, None)
    if table is not None:
        places = _places(attention, _dropped(attention, table, own))
    kinds = sum(kind in attention.pos_att_type for kind in ("c2p", "p2c"))
    scaling = 1 / math.sqrt(attention.attention_head_size * (1 + kinds))
    rate = attention.dropout.p if attention.training else 0.0
    if by_hand(hidden.device, rate, own.masks):
        out = attend_by_hand(
            parts, places, own.buckets, num_heads, scaling, rate, own.masks, id(attention)
        )
    else:
        out = attend_fused(parts, places, own.buckets, num_heads, scaling, rate)
    return out[None]


def _places(attention: Any, table: Tensor) -> Places:
    """The vectors of a layer for the rows of the table."""
    keys, queries = attention.key_proj, attention.query_proj
    kinds = attention.pos_att_type
    if not attention.share_att_key:
        keys = getattr(attention, "pos_key_proj", None)
        queries = getattr(attention, "pos_query_proj", None)
    return Places(
        keys(table) if "c2p" in kinds else None, queries(table) if "p2c" in kinds else None
    )


def _dropped(attention: Any, table: Tensor, own: Pass) -> Tensor:
    """The table's rows less what dropout takes, the same in all passes of a step."""
    rate = attention.pos_dropout.p if attention.training else 0.0
    if not rate or own.masks is None:
        return functional.dropout(table, rate)
    distances = own.buckets[0].distances
    assert distances is not None
    rows, size = (distances.first, distances.last), table.shape[1]
    keep = own.masks.keep_rows(*rows, size, rate, table.dtype, id(attention.pos_dropout))
    return (table * keep) * scale(rate)

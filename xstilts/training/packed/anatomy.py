"""Anatomy: how an encoder of a family is built, where packing stands in for a part of it.

A family that runs packed has one entry here, in the names of transformers' own modules, and
`packed=True` in `xstilts.config.families`. Everything else of packing asks the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from xstilts.training.packed.deberta import install_deberta


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where the parts of an encoder are; names may have dots, an empty one is a part it lacks.

    Attributes:
        layers: in the encoder, its layers, which give what they are given beside the states to
            their attention (where they do not, the family has an `install` of its own).
        final_norm: in the encoder, the norm behind the last layer.
        norm: in a layer, the norm that its attention reads through, not its residual.
        attention: in a layer, what projects queries, keys and values and attends.
        projections: in the attention, the linear layers that give those: three or one.
        output: in the attention, what its result goes through, where it does so inside of it.
        dropout: in the attention, the rate at which weights are dropped.
        window: in the configuration and in an attention, how many tokens to each side are seen;
            None in an attention that sees all.
        options: what the encoder is given beside in a packed pass.
        is_disentangled: whether places are in products of their own (`disentangled`).
        install: what makes an encoder compute packed rows, where it takes more than what
            `self_attention` and `last_layer` put in the place of its own.
    """

    layers: str = "layers"
    final_norm: str = ""
    norm: str = ""
    attention: str = "self_attn"
    projections: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    output: tuple[str, ...] = ("o_proj",)
    dropout: str = "attention_dropout"
    window: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    is_disentangled: bool = False
    install: Callable[[PreTrainedModel], None] | None = None

    def layers_of(self, encoder: nn.Module) -> nn.ModuleList:
        """The layers of an encoder."""
        layers: nn.ModuleList = attrgetter(self.layers)(encoder)
        return layers

    def attention_of(self, layer: nn.Module) -> Any:
        """The attention of a layer."""
        return attrgetter(self.attention)(layer)

    def normed(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        """What the attention of a layer reads of the states that the layer is given."""
        states: Tensor = attrgetter(self.norm)(layer)(hidden) if self.norm else hidden
        return states

    def parts_of(self, attention: nn.Module) -> list[nn.Linear]:
        """The layers that give queries, keys and values."""
        return [attrgetter(name)(attention) for name in self.projections]

    def output_of(self, attention: nn.Module, attended: Tensor) -> Tensor:
        """What an attention gives of the values that it has attended to."""
        for name in self.output:
            attended = attrgetter(name)(attention)(attended)
        return attended

    def rate_of(self, attention: nn.Module) -> float:
        """The rate at which an attention drops its weights now."""
        return float(attrgetter(self.dropout)(attention)) if attention.training else 0.0

    def is_local(self, attention: nn.Module) -> bool:
        """Whether an attention sees the tokens of its window alone."""
        return bool(self.window) and attrgetter(self.window)(attention) is not None


_BERT = Anatomy(
    layers="encoder.layer",
    attention="attention.self",
    projections=("query", "key", "value"),
    output=(),
    dropout="dropout.p",
)

ANATOMIES: Mapping[str, Anatomy] = {
    **dict.fromkeys(("bert", "camembert", "electra", "roberta", "xlm-roberta"), _BERT),
    "xlm-roberta-xl": Anatomy(
        layers=_BERT.layers,
        final_norm="encoder.LayerNorm",
        norm="attention.self_attn_layer_norm",
        attention=_BERT.attention,
        projections=_BERT.projections,
        output=(),
        dropout=_BERT.dropout,
    ),
    "deberta-v2": Anatomy(
        layers=_BERT.layers,
        attention=_BERT.attention,
        projections=("query_proj", "key_proj", "value_proj"),
        output=(),
        dropout=_BERT.dropout,
        is_disentangled=True,
        install=install_deberta,
    ),
    "eurobert": Anatomy(final_norm="norm", norm="input_layernorm"),
    "gte": Anatomy(),
    "modernbert": Anatomy(
        final_norm="final_norm",
        norm="attn_norm",
        attention="attn",
        projections=("Wqkv",),
        output=("Wo", "out_drop"),
        window="sliding_window",
        # Masks of its own would be of all pairs of tokens of the packed row.
        options={"attention_mask": {"full_attention": None, "sliding_attention": None}},
    ),
}
"""By `model_type`."""


def can_pack(encoder: PreTrainedModel) -> bool:
    """Whether an encoder's family is known to compute the same packed."""
    config = encoder.config
    return config.model_type in ANATOMIES and not getattr(config, "is_decoder", False)


def anatomy_of(config: Any) -> Anatomy:
    """The anatomy of an encoder that runs packed, by its configuration."""
    return ANATOMIES[config.model_type]


def window_of(config: Any) -> int | None:
    """How many tokens to each side local attention sees; None where there is none."""
    name = anatomy_of(config).window
    return int(getattr(config, name)) if name else None

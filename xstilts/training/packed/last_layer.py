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

from xstilts.training.packed.anatomy import anatomy_of
from xstilts.training.packed.gather import gather_rows
from xstilts.training.packed.self_attention import attend, install_attention


def install_packing(encoder: PreTrainedModel) -> None:
    """Make an encoder of a known family compute packed rows; others it computes as before."""
    if (install := anatomy_of(encoder.config).install) is not None:
        install(encoder)
    else:
        install_attention(encoder)
        install_last_layer(encoder)


def install_last_layer(encoder: PreTrainedModel) -> None:
    """Make the last layer of a packed encoder take `read`, the slots of the tokens that count."""
    layer: Any = anatomy_of(encoder.config).layers_of(encoder)[-1]
    # A method of the instance: copies of the encoder get their own.
    layer.forward = MethodType(_forward, layer)
    layer.anatomy = anatomy_of(encoder.config)


def weights_of_read(encoder: PreTrainedModel) -> int:
    """The weights of the last layer that only the tokens that are read are multiplied with."""
    anatomy = anatomy_of(encoder.config)
    layer = anatomy.layers_of(encoder)[-1]
    before = anatomy.parts_of(anatomy.attention_of(layer))
    whole, *parts = (sum(p.numel() for p in own.parameters()) for own in (layer, *before))
    return int(whole - sum(parts))


def first_layers(encoder: PreTrainedModel, count: int) -> PreTrainedModel:
    """A packed encoder that ends after some of its layers, with the same weights."""
    anatomy = anatomy_of(encoder.config)
    layers = anatomy.layers_of(encoder)
    shorter: Any = _with_own_children(encoder)
    if "forward" in vars(shorter):  # of an `install`, and the whole encoder's
        shorter.forward = MethodType(shorter.forward.__func__, shorter)
    _replace(shorter, anatomy.layers, layers[:count])
    if anatomy.final_norm and count < len(layers):
        _replace(shorter, anatomy.final_norm, nn.Identity())
    return shorter


def _replace(encoder: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in an encoder's place of a name, where only the encoder's own children know."""
    *parents, last = name.split(".")
    for parent in parents:
        own = _with_own_children(getattr(encoder, parent))
        setattr(encoder, parent, own)
        encoder = own
    setattr(encoder, last, module)


def _with_own_children(module: nn.Module) -> Any:
    shallow = copy(module)
    shallow._modules = dict(module._modules)
    return shallow


def _forward(
    layer: Any, hidden_states: Tensor, *arguments: Any, read: Tensor | None = None, **options: Any
) -> Any:
    """What the last layer computes, its output for some tokens only.

    Attention reads the states of all; what follows it is the class's own, of those that are read.

    Args:
        hidden_states: (1, tokens, hidden size).
        read: (tokens that are read,); None: all.
    """
    if read is None:
        return type(layer).forward(layer, hidden_states, *arguments, **options)
    states = layer.anatomy.normed(layer, hidden_states)
    attended = attend(layer.anatomy.attention_of(layer), states, **options)
    attended, hidden = (
        gather_rows(states.flatten(0, 1), read)[None] for states in (attended, hidden_states)
    )
    return type(layer).forward(layer, hidden, *arguments, attended=attended, **options)

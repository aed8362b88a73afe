"""Which layer of its encoder a weight belongs to, and what arms make of that.

Transformers has no name for it: encoders keep their layers in lists, under names that differ. What
stands before the lists embeds the tokens, what stands behind them follows the last layer. A test
holds this to every type that runs, by what has a gradient when all below has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedModel

from xstilts.config.families import num_layers
from xstilts.config.recipe import StageRecipe

BEHIND_ITS_LIST = {"encoder.LayerNorm.": 0, "encoder.conv.": 1}
"""Of DeBERTa-v2: the norm of its relative positions, which all layers read, and the convolution
that is added to its first layer."""


def depth_of(encoder: PreTrainedModel) -> int:
    """The layers of an encoder."""
    return num_layers(encoder.config.to_dict())


def layer_numbers(encoder: PreTrainedModel) -> dict[str, int]:
    """The layer of every parameter of an encoder by its name: 0 is embeddings, the layers count
    from 1, and what follows the last has one more, as have layers that share their weights."""
    depth = depth_of(encoder)
    lists = list(_lists(encoder, depth))
    own = BEHIND_ITS_LIST if encoder.config.model_type == "deberta-v2" else {}
    outside = 0 if lists else depth + 1
    found: dict[str, int] = {}
    for name, _ in encoder.named_parameters():
        if prefix := next((one for one in lists if name.startswith(one)), ""):
            found[name] = 1 + int(name.removeprefix(prefix).partition(".")[0])
            outside = depth + 1
        else:
            at = outside if not _embeds(encoder, name) else 0
            found[name] = next((n for one, n in own.items() if name.startswith(one)), at)
    return found


def _lists(encoder: PreTrainedModel, depth: int) -> Iterator[str]:
    """The prefixes of the lists that have an entry for each layer; some types have several."""
    outer: list[str] = []
    for name, module in encoder.named_modules():
        is_list = isinstance(module, nn.ModuleList) and len(module) == depth
        if is_list and not name.startswith(tuple(outer)):
            outer.append(f"{name}.")
            yield outer[-1]


def _embeds(encoder: PreTrainedModel, name: str) -> bool:
    """Whether a parameter outside the layers is a table, such as relative positions behind them,
    or is named after one."""
    owner = encoder.get_submodule(name.rpartition(".")[0])
    return isinstance(owner, nn.Embedding) or "emb" in name.lower()


def freeze(encoder: PreTrainedModel, recipe: StageRecipe) -> None:
    """Leave the embeddings and the lowest layers as they are, where the recipe's arm says so: they
    get no gradient, and no backward pass goes below the lowest layer that is trained."""
    frozen = recipe.adapt.frozen
    if frozen is None:
        return
    numbers = layer_numbers(encoder)
    for name, parameter in encoder.named_parameters():
        if numbers[name] <= frozen:
            parameter.requires_grad_(False)


def rate_of(recipe: StageRecipe, layer: int, depth: int) -> float:
    """The share of the learning rate that a layer has: layer_decay ** (depth + 1 - layer), 1 for
    what follows the last layer, the heads with it. Discriminative fine-tuning (Howard and Ruder
    2018, arXiv 1801.06146), in the form of Sun et al. 2019 (arXiv 1905.05583): by one factor from
    each layer to the one below it."""
    return recipe.adapt.layer_decay ** (depth + 1 - layer)

"""Whether the models of a sweep have the layers beside which it would train adapters.

The names are those of a model's class, which is made without weights; only where a sweep trains
adapters is torch imported for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from xstilts.config.families import RUNNING
from xstilts.errors import Problem, StageError
from xstilts.files import read_json
from xstilts.tasks import suggest

if TYPE_CHECKING:
    from torch import nn

    from xstilts.config.adapt import Lora

WITHOUT = ("ibert", "squeezebert", "xlnet")
"""Families whose queries and values come from no linear layers of torch: quantised ones,
convolutions, and matrices that are no layers."""


def adapter_problems(where: str, lora: Lora, model: str, folder: Path) -> Iterator[Problem]:
    """What of adapters a model cannot have.

    Args:
        where: where the sweep file says them, or draws them.
        model: its name in the sweep; `folder` is where it lies.
    """
    if (name := read_json(folder / "config.json").get("model_type")) in WITHOUT:
        rule = f"lora needs linear layers for queries and values, and models.{model} has others"
        can = ", ".join(x for x in RUNNING if x not in WITHOUT)
        yield Problem(where, rule, f'model_type "{name}"', f"these can: {can}")
        return
    # Late: it imports torch.
    from xstilts.training.lora import layers_named, queries_and_values

    try:
        layers = _layers(folder)
    except StageError as error:
        yield Problem(f"models.{model}.path", str(error))
        return
    sides: dict[str, int] = {}
    for own in lora.modules or queries_and_values(layers):
        chosen = layers_named(layers, own)
        if not chosen:
            ends = {name.rpartition(".")[2] for name in layers}
            rule = f"lora.modules are linear layers of models.{model}"
            yield Problem(where, rule, f'"{own}"', suggest(own, ends))
            return
        sides[own] = min(min(x.in_features, x.out_features) for x in chosen.values())
    own = min(sides, key=lambda x: sides[x])
    if lora.rank > sides[own]:
        rule = f"lora.rank is at most the smaller side of {own} in models.{model}, {sides[own]}"
        yield Problem(where, rule, f"{lora.rank}", "write a smaller one")


@cache
def _layers(folder: Path) -> Mapping[str, nn.Linear]:
    """The linear layers of a model, which many arms are asked about."""
    from xstilts.training.lora import linear_layers
    from xstilts.training.model import empty_encoder

    return linear_layers(empty_encoder(folder))

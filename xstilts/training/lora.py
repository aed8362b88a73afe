"""Low-rank adapters: a stage that trains two thin matrices beside some of an encoder's layers.

Hu et al. 2021 (arXiv 2106.09685): a layer gives W x + b + (alpha / rank) B A x, of which W and b
are frozen, with all else of the encoder; A is drawn as peft draws it (uniform, bound
1 / sqrt(inputs)), B begins as zero. Such a stage keeps A and B alone; whoever reads its encoder
adds them to the weights that it went on from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from xstilts.config.adapt import Lora
from xstilts.errors import StageError
from xstilts.files import derive_seed

ADAPTERS_FILE = "adapters.safetensors"
"""In the folder of an encoder that is adapters alone: A and B by the names of their layers."""

QUERIES_AND_VALUES = (
    *(("query", "value"), ("q_proj", "v_proj"), ("q_lin", "v_lin"), ("query_proj", "value_proj")),
    *(("q", "v"), ("Wqkv",), ("in_proj",)),
)
"""What families call the layers that give queries and values; no encoder has two of these."""

A, B, SCALE = ".lora_A", ".lora_B", "scale"


class Adapted(nn.Linear):
    """A linear layer with a product of two thin matrices beside it; its own weights are the
    layer's.

    Args:
        layer: (inputs) to (outputs).
        random: what A is drawn with.
    """

    def __init__(self, layer: nn.Linear, lora: Lora, random: torch.Generator):
        has_bias = layer.bias is not None
        super().__init__(layer.in_features, layer.out_features, has_bias, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.scale = lora.alpha / lora.rank
        bound = layer.in_features**-0.5
        drawn = torch.empty(lora.rank, layer.in_features).uniform_(-bound, bound, generator=random)
        self.lora_A = nn.Parameter(drawn)
        self.lora_B = nn.Parameter(torch.zeros(layer.out_features, lora.rank))

    def low_rank(self, input: Tensor) -> Tensor:
        """What is added to the layer's own output: (..., inputs) to (..., outputs)."""
        return functional.linear(functional.linear(input, self.lora_A) * self.scale, self.lora_B)

    def own(self, input: Tensor) -> Tensor:
        """The layer's own output: (..., inputs) to (..., outputs)."""
        return functional.linear(input, self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return self.own(input) + self.low_rank(input)


def linear_layers(encoder: nn.Module) -> dict[str, nn.Linear]:
    """The layers of an encoder that adapters can stand beside, by their full names; not those of a
    pooler, which is none of its own."""
    return {
        name: module
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and "pooler" not in name
    }


def layers_named(layers: Mapping[str, nn.Linear], name: str) -> dict[str, nn.Linear]:
    """The layers that a name stands for: that of one, or what the names of several end with."""
    return {own: x for own, x in layers.items() if own == name or own.endswith(f".{name}")}


def queries_and_values(layers: Mapping[str, nn.Linear]) -> tuple[str, ...]:
    """What the layers of queries and values are called in an encoder, empty where it has none; in
    some families one layer gives the keys too."""
    ends = {name.rpartition(".")[2] for name in layers}
    return next((names for names in QUERIES_AND_VALUES if ends.issuperset(names)), ())


def add_adapters(encoder: PreTrainedModel, lora: Lora, seed: int, phase: str) -> None:
    """Freeze an encoder and put adapters beside the layers that are named; A of each is drawn from
    the stage's seed and the layer's name.

    Raises:
        StageError: the encoder has no layer of a name.
    """
    layers, chosen = linear_layers(encoder), dict[str, nn.Linear]()
    for name in lora.modules or queries_and_values(layers) or ("query",):
        if not (found := layers_named(layers, name)):
            raise StageError(f"its encoder has no linear layer named {name}")
        chosen |= found
    encoder.requires_grad_(False)
    for name, layer in chosen.items():
        random = torch.Generator().manual_seed(derive_seed(seed, phase, "lora", name))
        encoder.set_submodule(name, Adapted(layer, lora, random))


def adapters_of(encoder: nn.Module) -> dict[str, Adapted]:
    """The adapted layers of an encoder, by name."""
    return {name: x for name, x in encoder.named_modules() if isinstance(x, Adapted)}


def save_adapters(
    adapters: Mapping[str, Adapted], others: Mapping[str, Tensor], folder: Path
) -> None:
    """Write A and B of all adapters, and other tensors beside them, into a new folder."""
    tensors = dict(others)
    scales = set()
    for name, layer in adapters.items():
        tensors |= {f"{name}{A}": layer.lora_A.detach(), f"{name}{B}": layer.lora_B.detach()}
        scales.add(layer.scale)
    (scale,) = scales
    folder.mkdir(parents=True)
    metadata = {SCALE: repr(scale)}
    safetensors.torch.save_file(tensors, folder / ADAPTERS_FILE, metadata)


@torch.no_grad()
def merge_adapters(encoder: nn.Module, folder: Path) -> None:
    """Add adapters to the weights that they were trained beside: W + (alpha / rank) B A.

    Computed in float64 and rounded to float32 once, so that it does not depend on the library
    that multiplies.

    Raises:
        StageError: they cannot be read, or a layer of theirs is not the encoder's.
    """
    try:
        with safetensors.safe_open(folder / ADAPTERS_FILE, framework="pt") as file:
            scale = float((file.metadata() or {})[SCALE])
            tensors = {key: file.get_tensor(key).double() for key in file.keys()}  # noqa: SIM118
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise StageError(f"{folder}: its adapters cannot be loaded: {error}") from error
    for name in (key.removesuffix(A) for key in tensors if key.endswith(A)):
        try:
            weight = encoder.get_parameter(f"{name}.weight")
            low_rank = tensors[f"{name}{B}"] @ tensors[f"{name}{A}"]
            weight.copy_(weight.double() + scale * low_rank)
        except (AttributeError, RuntimeError) as error:
            rule = f"its adapter of {name} is of another encoder"
            raise StageError(f"{folder}: {rule}") from error

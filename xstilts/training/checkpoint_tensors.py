"""What a checkpoint holds of a stage on its way: the tensors, by name.

`model.*` are the weights that are trained, `best.*` those that are kept (`xstilts.training.kept`),
`optimizer.*` the moments, `losses` those since the last check, added up over the processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xstilts.training.collectives import Collective

Weights = Mapping[str, Tensor]


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """A model's state without the weights that are frozen, which a stage has from its parent."""
    frozen = {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if not parameter.requires_grad
    }
    return {name: x for name, x in model.state_dict().items() if name not in frozen}


def put_back(weights: Weights, model: nn.Module) -> None:
    """Give a model a state that `trained_state` gave."""
    others = model.load_state_dict(weights, strict=False)
    assert not others.unexpected_keys, others.unexpected_keys


def tensors_of(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    kept: Weights | None,
    losses: Sequence[Tensor],
    collective: Collective,
) -> dict[str, Tensor]:
    """The tensors of a stage as they are now; not copies."""
    tensors = {f"model.{name}": tensor for name, tensor in trained_state(model).items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (kept or {}).items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    if losses:
        together = torch.stack(list(losses))
        collective.all_reduce([together])
        tensors["losses"] = together
    return tensors


def fits(model: nn.Module, tensors: Weights) -> bool:
    """Whether a checkpoint's weights are of this model: libraries rename and reshape them."""
    own = {f"model.{name}": tensor.shape for name, tensor in trained_state(model).items()}
    return own == {
        name: tensor.shape for name, tensor in tensors.items() if name.startswith("model.")
    }


def restore(
    tensors: Weights, model: nn.Module, optimizer: torch.optim.Optimizer, collective: Collective
) -> tuple[Weights | None, list[Tensor]]:
    """Put weights and moments where they were; those that are kept, and the losses."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        if name != "losses":
            group, _, key = name.partition(".")
            parts[group][key] = tensor
    put_back(parts["model"], model)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    losses: list[Tensor] = []
    if "losses" in tensors:
        # They are added up over the processes; one of them holds them from here on.
        share = tensors["losses"] if collective.rank == 0 else tensors["losses"] * 0
        losses = list(share.to(next(model.parameters()).device))
    return parts["best"] or None, losses

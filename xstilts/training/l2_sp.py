"""L2-SP: a penalty on the distance of an encoder to its pretrained weights.

Li, Grandvalet and Davoine 2018 (arXiv 1802.01483): the loss has weight/2 times the squared distance
of the weights to those of the pretrained model, in place of the decay to 0 that the rest of the
model keeps. Pretrained are the weights that all stages go on from, not those that this one begins
with: what an intermediate stage has moved is drawn back in the target's.

The penalty's gradient is added once the batch's is complete, so that it counts once however a batch
is divided; it is clipped with it. The losses that are told of are without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from xstilts.plan.stage import Train, root_of
from xstilts.training.model import Model, load_encoder
from xstilts.training.token_embeddings import EmbeddingRows

Rows = Callable[[Tensor], Tensor]


class DistancePenalty:
    """The penalty on those weights of an encoder that a stage trains.

    Of token vectors those that the stage reads count; the others have no gradient, and stay.

    Args:
        weight: that of the penalty.
        pretrained: the weights by their names in the encoder.
        rows: picks the token vectors that the stage reads; None where it reads the whole table.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        weight: float,
        pretrained: Mapping[str, Tensor],
        rows: Rows | None = None,
    ):
        self._weight = weight
        self._trained: list[Tensor] = []
        self._pretrained: list[Tensor] = []
        table = encoder.get_input_embeddings().weight
        for name, own in encoder.named_parameters():
            if own.requires_grad:
                found = pretrained[name].to(own.device)
                picked = rows(found) if rows is not None and own is table else found
                self._trained.append(own)
                self._pretrained.append(picked)

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add weight * (w - pretrained) to the gradient of every weight w."""
        for own in self._trained:
            if own.grad is None:
                own.grad = torch.zeros_like(own)
        gradients = [own.grad for own in self._trained if own.grad is not None]
        distance = torch._foreach_sub(self._trained, self._pretrained)
        torch._foreach_add_(gradients, distance, alpha=self._weight)


def penalty_of(model: Model, stage: Train, rows: EmbeddingRows | None) -> DistancePenalty | None:
    """The penalty of a stage, None where its arm has none. `rows` are the token vectors that stand
    in the place of the table.

    Raises:
        StageError: the pretrained weights cannot be loaded.
    """
    weight = stage.recipe.adapt.l2_sp
    if not weight:
        return None
    pretrained = load_encoder(Path(root_of(stage).path)).state_dict()
    pick = None if rows is None else rows.of_whole
    return DistancePenalty(model.encoder, weight, pretrained, pick)

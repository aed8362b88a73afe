"""The optimiser, its learning-rate schedule, and the steps at which dev scores are taken.

AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), linear warm-up and a schedule after it; all
are functions of the recipe and the step's number, so that nothing of a schedule has to be saved.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xstilts.config.recipe import StageRecipe
from xstilts.training.layers import depth_of, layer_numbers, rate_of
from xstilts.training.model import Model


def build_optimizer(model: Model, recipe: StageRecipe) -> torch.optim.AdamW:
    """AdamW over what has a gradient, by groups of one share of the learning rate (`scale`) and one
    decay: biases and normalisation weights have none, nor what L2-SP draws elsewhere."""
    numbers = layer_numbers(model.encoder) if recipe.adapt.layer_decay < 1 else {}
    depth = depth_of(model.encoder) if numbers else 0
    groups: dict[tuple[int, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_encoder, own = name.startswith("encoder."), name.removeprefix("encoder.")
            layer = numbers.get(own, depth + 1) if is_encoder else depth + 1
            decays = parameter.dim() > 1 and not (is_encoder and recipe.adapt.l2_sp)
            groups.setdefault((layer, not decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": groups[layer, stays],
                "weight_decay": 0.0 if stays else recipe.weight_decay,
                "scale": rate_of(recipe, layer, depth),
            }
            for layer, stays in sorted(groups)
        ],
        lr=recipe.learning_rate,
        eps=recipe.adam_epsilon,
        fused=True,
    )


def learning_rate(recipe: StageRecipe, step: int, num_steps: int) -> float:
    """The rate of a step counted from 0: up to the recipe's peak, then down to 0 by its schedule.

    `linear`; `cosine`, half a period of it (Loshchilov and Hutter 2017, arXiv 1608.03983); or
    `constant_then_decay`, the peak until the last share of all steps, and linearly down over these
    (Hägele et al. 2024, arXiv 2405.18392).
    """
    warmup = recipe.warmup_steps or round(num_steps * recipe.warmup_ratio)
    if step < warmup:
        return recipe.learning_rate * ((step + 1) / warmup)
    left = max(0.0, (num_steps - step) / max(1, num_steps - warmup))
    if recipe.adapt.schedule == "cosine":
        left = (1 + math.cos(math.pi * (1 - left))) / 2
    elif recipe.adapt.schedule == "constant_then_decay":
        decaying = min(num_steps - warmup, max(1, round(num_steps * recipe.adapt.decay_share)))
        left = min(1.0, max(0.0, (num_steps - step) / max(1, decaying)))
    return recipe.learning_rate * left


def embedding_scale(model: Model, recipe: StageRecipe) -> float:
    """By how much of the learning rate token vectors decay that no row of a stage has: those of the
    optimiser's group that has the table; 0 where they stay."""
    adapt = recipe.adapt
    if adapt.frozen is not None or adapt.l2_sp or adapt.lora is not None:
        return 0.0
    if adapt.layer_decay == 1:
        return 1.0
    return rate_of(recipe, 0, depth_of(model.encoder))


def check_steps(num_steps: int, recipe: StageRecipe) -> frozenset[int]:
    """The steps, counted from 1, after which a stage is checked; the last is among them."""
    if recipe.check_every:
        return frozenset([*range(recipe.check_every, num_steps, recipe.check_every), num_steps])
    return frozenset(math.ceil(num_steps * (i + 1) / recipe.checks) for i in range(recipe.checks))

"""The optimiser, its learning-rate schedule, and the steps at which dev scores are taken.

AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), linear warm-up and decay; all are functions of
the recipe and the step's number, so that nothing of a schedule has to be saved.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from xstilts.config.recipe import StageRecipe


def build_optimizer(model: nn.Module, recipe: StageRecipe) -> torch.optim.AdamW:
    """AdamW; biases and normalisation weights do not decay."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        (decayed if parameter.dim() > 1 else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, eps=recipe.adam_epsilon, fused=True)


def learning_rate(recipe: StageRecipe, step: int, num_steps: int) -> float:
    """The rate of a step counted from 0: up to the recipe's peak, then linearly down to 0."""
    warmup = recipe.warmup_steps or round(num_steps * recipe.warmup_ratio)
    if step < warmup:
        return recipe.learning_rate * ((step + 1) / warmup)
    return recipe.learning_rate * max(0.0, (num_steps - step) / max(1, num_steps - warmup))


def check_steps(num_steps: int, recipe: StageRecipe) -> frozenset[int]:
    """The steps, counted from 1, after which a stage is checked; the last is among them."""
    if recipe.check_every:
        return frozenset([*range(recipe.check_every, num_steps, recipe.check_every), num_steps])
    return frozenset(math.ceil(num_steps * (i + 1) / recipe.checks) for i in range(recipe.checks))

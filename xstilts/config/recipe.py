"""Recipes: the defaults of every stage, by name, in one place, each with its evidence.

A sweep file names a recipe; what it searches overrides single values. Nothing else has defaults
for training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class StageRecipe:
    """How one stage trains.

    `learning_rate` is the peak after `warmup_ratio` of all steps, then linear to 0. `batch_size`
    is in examples per optimiser step, `max_length` in sub-tokens, `epochs` in passes over a task's
    training data, `clip_norm` bounds the global gradient norm. The stage is checked `checks` times
    at equal distances on `dev_examples` examples of each dev set; the best check is kept.
    """

    learning_rate: float
    batch_size: int
    epochs: float
    max_length: int
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    clip_norm: float = 1.0
    checks: int = 10
    dev_examples: int = 500

    def __post_init__(self) -> None:
        bounds = {
            "learning_rate": 0 < self.learning_rate < math.inf,
            "batch_size": self.batch_size >= 1,
            "epochs": 0 < self.epochs < math.inf,
            "max_length": self.max_length >= 8,
            "warmup_ratio": 0 <= self.warmup_ratio < 1,
            "weight_decay": 0 <= self.weight_decay < math.inf,
            "adam_epsilon": self.adam_epsilon > 0,
            "clip_norm": self.clip_norm > 0,
            "checks": self.checks >= 1,
            "dev_examples": self.dev_examples >= 1,
        }
        for name, is_valid in bounds.items():
            if not is_valid:
                raise ValueError(f"{name} cannot be {getattr(self, name)}")


SEARCHABLE = ("learning_rate", "batch_size", "epochs", "warmup_ratio", "weight_decay", "max_length")
"""Fields of a stage recipe that a search space may name."""

INTEGER_FIELDS = frozenset(field.name for field in fields(StageRecipe) if field.type == "int")
"""Fields that take whole numbers only."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Defaults of both phases; `per_task` overrides single fields for a task's own stage."""

    name: str
    evidence: str
    intermediate: StageRecipe
    target: StageRecipe
    per_task: Mapping[str, Mapping[str, Any]]

    def for_task(self, phase: str, task: str, overrides: Mapping[str, Any]) -> StageRecipe:
        """The recipe of a task in a phase (`intermediate` or `target`).

        `overrides` are values of a trial's parameters; they win over the task's own values.
        """
        base = self.intermediate if phase == "intermediate" else self.target
        return replace(base, **{**self.per_task.get(task, {}), **overrides})


_MINI = StageRecipe(
    learning_rate=7e-4, batch_size=16, epochs=1, max_length=64, checks=4, dev_examples=100
)
_SMALL = StageRecipe(
    learning_rate=1e-4, batch_size=16, epochs=1, max_length=128, checks=2, dev_examples=60
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="mini",
            evidence=(
                "chosen on the English dev sets of the miniature benchmark so that a stage takes "
                "a few seconds on one core"
            ),
            intermediate=_MINI,
            target=_MINI,
            per_task={
                "mini_choice": {"epochs": 0.2},
                "mini_qa": {"epochs": 0.3},
                "mini_xnli": {"epochs": 0.35},
                "mini_udpos": {"epochs": 0.75},
                "mini_xquad": {"epochs": 0.25},
            },
        ),
        Recipe(
            name="small",
            evidence=(
                "all-MiniLM-L6-v2 on two thousand records a task: learning rates tried on English "
                "dev, epochs cut until a trial takes minutes on one core; made for trying a sweep, "
                "not for the best scores"
            ),
            intermediate=_SMALL,
            target=replace(_SMALL, learning_rate=2e-4),
            per_task={
                "xnli": {"epochs": 0.6},
                "udpos": {"epochs": 0.5},
                "panx": {"epochs": 0.5},
                # Longer windows overlap less: a paragraph becomes one or two, not three.
                "squad_v1": {"max_length": 256},
                "xquad": {"epochs": 0.4, "max_length": 256},
            },
        ),
    )
}

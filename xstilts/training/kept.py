"""The weights that a stage ends with: those of its best check, of its last, or a mean of some.

The recipe's `keep` says which. `best` is the check with the highest mean dev score, the earlier one
of equals; it alone counts checks without improvement, which patience goes by. `last` are the
weights as they are at the end. `average` is the mean of the weights at the checks of the stage's
second half (Schmidt, Vulić and Glavaš 2023, who average checkpoints of one run for transfer to
other languages), or at its last checks, as many as the arm's `average` says: a running mean in
float32 on the CPU, one copy however many checks there are.
Neither of the two looks at dev scores, so a stage that keeps them is never stopped early.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from xstilts.config.recipe import StageRecipe
from xstilts.training.checkpoint_tensors import Weights, put_back, trained_state
from xstilts.training.model import Model
from xstilts.training.outcome import State
from xstilts.training.token_embeddings import decay_after


class Kept:
    """What a stage on its way keeps beside its weights.

    `weights` are a copy of the best check's or the running mean; None where there is none yet or
    the last ones count.

    Args:
        num_steps: steps of the whole stage.
        checks: the steps, counted from 1, after which it is checked.
    """

    def __init__(self, recipe: StageRecipe, num_steps: int, checks: Collection[int]):
        self._recipe = recipe
        self._num_steps = num_steps
        own, last = sorted(checks), recipe.adapt.average
        self._averaged = own[-last:] if last else [step for step in own if 2 * step > num_steps]
        self.weights: Weights | None = None

    def check(self, model: Model, state: State, value: float | None) -> None:
        """After a check.

        Args:
            value: the mean dev score, None without a dev set.
        """
        state.checks_since_best += 1
        keep = self._recipe.keep
        if keep == "average" and state.step in self._averaged:
            self._add(model, 1 + self._averaged.index(state.step))
        if value is None or keep != "best":
            state.best_step, state.checks_since_best = state.step, 0
        elif state.best_value is None or value > state.best_value:
            state.best_value = value
            state.best_step, state.checks_since_best = state.step, 0
            self._copy(model)

    def put_back(self, model: Model, state: State) -> bool:
        """Give the model the weights that are kept; False where they are those that it has."""
        is_last = self._recipe.keep == "best" and state.best_step == state.step
        if self.weights is None or is_last:
            return False
        put_back(self.weights, model)
        return True

    def decay(self, state: State, scale: float) -> float:
        """What a weight that never had a gradient, with a share `scale` of the learning rate, has
        been multiplied by in what is kept."""
        if self.weights is None:
            steps = [state.step]
        else:
            steps = self._averaged if self._recipe.keep == "average" else [state.best_step]
        found = [decay_after(self._recipe, step, self._num_steps, scale) for step in steps]
        return sum(found) / len(found)

    def _copy(self, model: Model) -> None:
        """Copy the weights as they are, into the copy that is there."""
        weights = trained_state(model)
        if self.weights is None:
            self.weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        else:
            for name, tensor in self.weights.items():
                tensor.copy_(weights[name])

    def _add(self, model: Model, count: int) -> None:
        """Take the weights as they are into the mean, as the `count`-th."""
        weights = {name: tensor.detach().cpu() for name, tensor in trained_state(model).items()}
        if self.weights is None:
            self.weights = {name: torch.zeros_like(own).copy_(own) for name, own in weights.items()}
            return
        for name, tensor in self.weights.items():
            _mean_of(tensor, weights[name], count)


def _mean_of(mean: Tensor, own: Tensor, count: int) -> None:
    """The mean of `count` tensors, from that of all but one; of whole numbers the last stand."""
    if mean.is_floating_point():
        mean.lerp_(own.to(mean.dtype), 1 / count)
    else:
        mean.copy_(own)

"""What proposals are drawn with: Optuna's samplers, what they look back on, and a uniform draw
where they repeat.

A sampler's own state dies with its process; what is drawn hangs on the seed of the file, the number
of the proposal and the attempt alone.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from copy import copy
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from xstilts.config.schema import Sweep
from xstilts.files import derive_seed


class RandomSuggest:
    """Independent uniform suggestions from a seed; remembers them by name."""

    def __init__(self, random: np.random.Generator):
        self._random = random
        self.drawn: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._note(name, choices[int(self._random.integers(len(choices)))])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Uniform, or uniform in the logarithm."""
        if log:
            value = float(np.exp(self._random.uniform(np.log(low), np.log(high))))
            return float(self._note(name, min(max(value, low), high)))
        return float(self._note(name, float(self._random.uniform(low, high))))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """A multiple of `step` above `low`."""
        count = (high - low) // step + 1
        return int(self._note(name, low + step * int(self._random.integers(count))))

    def _note(self, name: str, value: Any) -> Any:
        self.drawn[name] = value
        return value


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a parameter of this distribution can have a value."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if not isinstance(value, int | float) or not distribution.low <= value <= distribution.high:
        return False
    return not distribution.step or (value - distribution.low) % distribution.step == 0


def sampler_of(sweep: Sweep, number: int, attempt: int) -> BaseSampler:
    """The sampler for an attempt to draw the proposal of a number, seeded anew."""
    spec = sweep.search.encoder.sampler
    seed = derive_seed(spec.seed, "sampler", str(number), str(attempt)) % 2**32
    if spec.name == "tpe":
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    return RandomSampler(seed=seed)


class LookBack(InMemoryStorage):
    """A study's storage that begins with `told`, trials that samplers read and nobody changes.

    A study copies to the depth what is added to it. Every draw has a study of its own, so that of
    thousands of trials these copies would be most of what it costs.
    """

    def __init__(self, told: Sequence[FrozenTrial]):
        super().__init__()
        self._told = [_bare(trial, number - len(told)) for number, trial in enumerate(told)]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """See Optuna's storages."""
        own = super().get_all_trials(study_id, deepcopy, states)
        return [*(x for x in self._told if states is None or x.state in states), *own]


def _bare(trial: FrozenTrial, number: int) -> FrozenTrial:
    """A trial without the attributes that no sampler reads; its own, of a study, count from 0."""
    found = copy(trial)
    found.user_attrs, found.number = {}, number
    return found

"""Proposals: which configurations a sweep tries, remembered in Optuna's journal.

The journal is the memory of what was proposed and the trials' records are the memory of what came
of it, so a sweep that was killed goes on where it was: proposals once made are reissued, none is
made twice.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from xstilts.config.derive import NONE, encoder_space, split_space, target_space
from xstilts.config.schema import Sweep
from xstilts.config.space import Choice, Point, Space
from xstilts.files import derive_seed, sha256_of
from xstilts.plan.plan import target_key, target_sets
from xstilts.tasks import lookup

logger = logging.getLogger(__name__)
optuna.logging.set_verbosity(optuna.logging.WARNING)
# `group` and the journal are what we want; that they are marked experimental is no news to users.
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

POINT = "point"
"""User attribute of a study's trial: the point, without which a trial is no proposal."""

REPEATS_BEFORE_EXPLORING = 10
EXPLORING_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Proposal:
    """One configuration; its seeds are one trial each. `number` is the study's."""

    number: int
    config_id: str
    point: Point


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


class Proposals:
    """The outer search of one sweep.

    `ask` gives the next configuration that nobody has tried, or None when all that were asked for
    are made or the space is exhausted (`is_exhausted`).
    """

    def __init__(self, sweep: Sweep, journal: Path):
        self._sweep = sweep
        self._space = encoder_space(sweep)
        closed, self._searched = split_space(self._space)
        self._closed = sorted(closed, key=lambda point: point["intermediate"] != NONE)
        self._wanted = sweep.search.encoder.trials
        journal.parent.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        # A study cannot take new choices, so that a space that has grown gets one of its own.
        space = sha256_of(repr((self._closed, self._searched)))[:8]
        self._study = optuna.create_study(
            storage=storage,
            study_name=f"{sweep.name}-{space}",
            direction="maximize" if sweep.objective.mode == "max" else "minimize",
            load_if_exists=True,
        )
        self._take_over(storage)
        self.is_exhausted = False
        self.made: dict[str, Proposal] = {}
        self._open: dict[str, int] = {}
        self._recover()

    def _take_over(self, storage: JournalStorage) -> None:
        """Seed the study with what the journal's earlier ones know: the space has grown since.

        What they proposed and nobody has finished is proposed again.
        """
        known = {
            sha256_of(trial.user_attrs[POINT])
            for trial in self._study.get_trials(deepcopy=False)
            if POINT in trial.user_attrs
        }
        choices = {
            parameter.label or parameter.name: CategoricalDistribution(parameter.dimension.values)
            for parameter in (self._searched.parameters if self._searched else ())
            if isinstance(parameter.dimension, Choice)
        }
        for name in optuna.get_all_study_names(storage):
            if name == self._study.study_name:
                continue
            before = optuna.load_study(study_name=name, storage=storage)
            for trial in before.get_trials(deepcopy=False):
                point = trial.user_attrs.get(POINT)
                if point is None or sha256_of(point) in known:
                    continue
                if trial.state == TrialState.COMPLETE:
                    # What is not searched now was tried, and says nothing to the sampler.
                    distributions = {
                        label: choices.get(label, distribution)
                        for label, distribution in trial.distributions.items()
                        if label not in choices or trial.params[label] in choices[label].choices
                    }
                    self._study.add_trial(
                        optuna.create_trial(
                            value=trial.value,
                            params={label: trial.params[label] for label in distributions},
                            distributions=distributions,
                            user_attrs={POINT: point},
                        )
                    )
                elif trial.state == TrialState.RUNNING:
                    if trial.params.get("intermediate") in self._candidates:
                        self._study.enqueue_trial(trial.params, skip_if_exists=True)
                    before.tell(trial.number, state=TrialState.FAIL)

    def _recover(self) -> None:
        """Take up the journal: open proposals stay open, half-made ones are dropped."""
        for trial in self._study.get_trials(deepcopy=False):
            point = trial.user_attrs.get(POINT)
            if point is not None:
                proposal = Proposal(trial.number, sha256_of(point)[:12], point)
                self.made[proposal.config_id] = proposal
                if trial.state == TrialState.RUNNING:
                    self._open[proposal.config_id] = trial.number
            elif trial.state == TrialState.RUNNING:
                # Killed between the draw and its acceptance; what it had to try is tried again.
                self._study.tell(trial.number, state=TrialState.FAIL)
                if fixed := trial.system_attrs.get("fixed_params"):
                    self._study.enqueue_trial(fixed)
        if not self._is_grid:
            # Every candidate is tried once before the sampler decides.
            for name in self._candidates:
                self._study.enqueue_trial({"intermediate": name}, skip_if_exists=True)

    @property
    def _candidates(self) -> Sequence[str]:
        """The intermediates that the sampler chooses from."""
        return self._searched.values_of("intermediate") if self._searched else ()

    def ask(self) -> Proposal | None:
        """The next new configuration; what leaves nothing to search comes first, the baseline
        before all."""
        if len(self.made) >= self._wanted or self.is_exhausted:
            return None
        known = self._space.grid() if self._is_grid else self._closed
        point = next((point for point in known if not self._is_made(point)), None)
        if point is not None:
            proposal: Proposal | None = self._begin(point)
        else:
            proposal = None if self._is_grid else self._from_sampler()
        if proposal is None:
            self.is_exhausted = True
            return None
        self.made[proposal.config_id] = proposal
        self._open[proposal.config_id] = proposal.number
        return proposal

    def tell(self, config_id: str, value: float | None) -> None:
        """The outcome of a configuration; None if it failed. Later outcomes change nothing."""
        number = self._open.pop(config_id, None)
        if number is None:
            return
        if value is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, value)

    @property
    def _is_grid(self) -> bool:
        return self._sweep.search.encoder.sampler.name == "grid"

    def _is_made(self, point: Point) -> bool:
        return sha256_of(point)[:12] in self.made

    def _begin(self, point: Point) -> Proposal:
        """A proposal without the sampler, and without what waits to be asked for."""
        number = len(self._study.get_trials(deepcopy=False))
        self._study.add_trial(
            optuna.create_trial(state=TrialState.RUNNING, user_attrs={POINT: point})
        )
        return Proposal(number, sha256_of(point)[:12], point)

    def _from_sampler(self) -> Proposal | None:
        if self._searched is None:
            return None
        for _ in range(REPEATS_BEFORE_EXPLORING):
            trial = self._ask_study()
            point = self._searched.draw(trial)
            if not self._is_made(point):
                return self._accept(trial, point)
            # A repeat would tell nothing new: its outcome is known or under way.
            self._study.tell(trial, state=TrialState.FAIL)
        spec = self._sweep.search.encoder.sampler
        random = np.random.default_rng(derive_seed(spec.seed, "explore", str(len(self.made))))
        for _ in range(EXPLORING_DRAWS):
            suggest = RandomSuggest(random)
            if not self._is_made(self._searched.draw(suggest)):
                logger.info("the sampler repeats itself; exploring at random")
                self._study.enqueue_trial(suggest.drawn)
                trial = self._ask_study()
                return self._accept(trial, self._searched.draw(trial))
        return None

    def _ask_study(self) -> Trial:
        """A new trial of the study, drawn by a sampler that is seeded by the trial's number.

        A sampler's own state dies with its process; this way a resumed search goes on as an
        undisturbed one would.
        """
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = _sampler(self._sweep, number)
        return self._study.ask()

    def _accept(self, trial: Trial, point: Point) -> Proposal:
        trial.set_user_attr(POINT, point)
        return Proposal(trial.number, sha256_of(point)[:12], point)


def target_points(sweep: Sweep) -> dict[str, list[Point]]:
    """The points of the inner search, for every trained target set and seed.

    Drawn by Optuna from (seed, target) alone, so that every encoder, the baseline included, is
    tried at the same points. A space with no more points than asked for is taken whole.
    """
    space, wanted = target_space(sweep), sweep.search.target.trials
    return {
        target_key(name, seed): _distinct_points(space, wanted, derive_seed(seed, "inner", name))
        for name in target_sets(sweep)
        if lookup(name).is_trained
        for seed in sweep.seeds
    }


def _distinct_points(space: Space, wanted: int, seed: int) -> list[Point]:
    if not space.parameters:
        return [{}]
    if space.is_finite:
        points = list(_at_most(space.grid(), wanted + 1))
        if len(points) <= wanted:
            return points
    study = optuna.create_study(sampler=RandomSampler(seed=seed % 2**32))
    points = []
    for _ in range(100 * wanted):
        point = space.draw(study.ask())
        if point not in points:
            points.append(point)
        if len(points) == wanted:
            break
    return points


def _at_most(points: Iterator[Point], count: int) -> Iterator[Point]:
    for _, point in zip(range(count), points, strict=False):
        yield point


def _sampler(sweep: Sweep, number: int) -> BaseSampler:
    spec = sweep.search.encoder.sampler
    seed = derive_seed(spec.seed, "sampler", str(number)) % 2**32
    if spec.name == "tpe":
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    return RandomSampler(seed=seed)

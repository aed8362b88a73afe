"""Proposals: which configurations a sweep tries, remembered in Optuna's journal.

The journal is the memory of what was proposed and the trials' records are the memory of what came
of it, so a sweep that was killed goes on where it was: proposals once made are reissued, none is
made twice. A proposal is drawn in memory and written in one piece: killed before, the sweep draws
the same one again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from xstilts.config.derive import NONE, chance_of, encoder_space, split_space, target_space
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import WEIGHTED, Sweep
from xstilts.config.space import Choice, Point, Space
from xstilts.files import derive_seed, sha256_of
from xstilts.plan.trial_plan import target_sets
from xstilts.run.rounds import Dev, Rounds
from xstilts.search.sampling import LookBack, RandomSuggest, holds, sampler_of
from xstilts.search.weighting import DEV, DIVERGED, POINT, as_believed, weighted

logger = logging.getLogger(__name__)
optuna.logging.set_verbosity(optuna.logging.WARNING)
# `group` and the journal are what we want; that they are marked experimental is no news to users.
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

AGAIN = "again"
"""User attribute of a study: parameters that an earlier study proposed and nobody finished."""

WAITED = "waited"
"""User attribute of a study's trial: the parameters whose turn it was when it was drawn."""

REPEATS_BEFORE_EXPLORING = 10
EXPLORING_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Proposal:
    """One configuration; its seeds are one trial each. `number` is the study's."""

    number: int
    config_id: str
    point: Point


class Proposals:
    """The outer search of one sweep.

    `ask` gives the next configuration that nobody has tried, or None when all that were asked for
    are made or the space is exhausted (`is_exhausted`). `rounds` are those of dev/weighted. In a
    race `beliefs` gives what is believed of configurations that have not ended.
    """

    def __init__(self, sweep: Sweep, journal: BaseJournalBackend, rounds: Rounds | None = None):
        self._sweep = sweep
        self._rounds = rounds or Rounds()
        self.beliefs: Callable[[], Mapping[str, tuple[float, Dev]]] = dict
        self._space = encoder_space(sweep)
        closed, self._searched = split_space(self._space)
        self._closed = sorted(closed, key=lambda point: point["intermediate"] != NONE)
        self._wanted = sweep.search.encoder.trials
        storage = JournalStorage(journal)
        # A study cannot take new choices, so that a space that has grown gets one of its own.
        space = sha256_of(repr((self._closed, self._searched)))[:8]
        # Nor do values stay what they were where they are means over other targets or seeds.
        self._measure = sha256_of([sweep.targets, sweep.seeds])[:8]
        name = f"{sweep.name}-{space}-{self._measure}"
        if name in optuna.get_all_study_names(storage):  # else a line is written for every look
            self._study = optuna.load_study(study_name=name, storage=storage)
        else:
            self._study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="maximize" if sweep.objective.mode == "max" else "minimize",
            )
        self._take_over(storage)
        self.is_exhausted = False
        self.made: dict[str, Proposal] = {}
        self._open: dict[str, int] = {}
        self._failed: dict[str, FrozenTrial] = {}
        # By the study's numbers: a point stays what it is, and all are asked for at every draw.
        self._ids: dict[int, str] = {}
        self._recover()

    def _take_over(self, storage: JournalStorage) -> None:
        """Seed the study with what the journal's earlier ones know: the sweep has grown since.

        What they proposed and nobody has finished is proposed again. What was measured by other
        targets or seeds is a proposal that waits for its value. Models that are not searched now
        are another part of a study, whose trials are no part of this one.
        """
        models = self._space.values_of("model")
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
        for name in reversed(optuna.get_all_study_names(storage)):  # the newest knows most
            if name == self._study.study_name:
                continue
            before = optuna.load_study(study_name=name, storage=storage)
            is_same = name.endswith(f"-{self._measure}")
            for trial in before.get_trials(deepcopy=False):
                is_told = is_same and trial.state == TrialState.COMPLETE
                point = trial.user_attrs.get(POINT)
                if point is None or point["model"] not in models or sha256_of(point) in known:
                    continue
                if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                    known.add(sha256_of(point))
                    kept = {n: x for n, x in trial.user_attrs.items() if n in (DIVERGED, DEV)}
                    # What is not searched now was tried, and says nothing to the sampler.
                    distributions = {
                        label: choices.get(label, distribution)
                        for label, distribution in trial.distributions.items()
                        if label not in choices or trial.params[label] in choices[label].choices
                    }
                    self._study.add_trial(
                        optuna.create_trial(
                            state=TrialState.COMPLETE if is_told else TrialState.RUNNING,
                            value=trial.value if is_told else None,
                            params={label: trial.params[label] for label in distributions},
                            distributions=distributions,
                            user_attrs={POINT: point, **(kept if is_told else {})},
                        )
                    )
                elif trial.state == TrialState.RUNNING:
                    again = self._study.user_attrs.get(AGAIN, [])
                    if trial.params.get("intermediate") in self._candidates:
                        self._study.set_user_attr(AGAIN, [*again, trial.params])
                    before.tell(trial.number, state=TrialState.FAIL)

    def _recover(self) -> None:
        """Take up the journal: open proposals stay open."""
        for config_id, trial in self._proposed().items():
            self.made[config_id] = Proposal(trial.number, config_id, trial.user_attrs[POINT])
            if trial.state == TrialState.RUNNING:
                self._open[config_id] = trial.number
            elif trial.state in (TrialState.FAIL, TrialState.PRUNED) or trial.user_attrs.get(
                DIVERGED
            ):
                self._failed[config_id] = trial

    def _proposed(self) -> dict[str, FrozenTrial]:
        """The study's trials that are proposals, by their configurations' ids; of one that was told
        again, the last."""
        found = {}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.number not in self._ids and POINT in trial.user_attrs:
                self._ids[trial.number] = sha256_of(trial.user_attrs[POINT])[:12]
            if trial.number in self._ids:
                found[self._ids[trial.number]] = trial
        return found

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

    def tell(
        self, config_id: str, value: float | None, diverged: bool = False, dev: Dev | None = None
    ) -> None:
        """The outcome of a configuration; None if it failed, or `diverged`. `dev` is what
        dev/weighted is made of.

        One that diverged is told as the worst value that is known now, or without one as the score
        of chance: the sampler learns to stay away. It may be told again: a success after a failure
        counts, anything else changes nothing.
        """
        number = self._open.get(config_id)
        if number is None:
            if value is not None and config_id in self._failed:
                self._succeed(self._failed.pop(config_id), value, dev)
        elif value is None:
            if diverged:
                trial = self._study.get_trials(deepcopy=False)[number]
                Trial(self._study, trial._trial_id).set_user_attr(DIVERGED, True)
                self._study.tell(number, self._worst())
            else:
                self._study.tell(number, state=TrialState.FAIL)
            self._failed[config_id] = self._study.get_trials(deepcopy=False)[number]
        else:
            if dev:
                trial = self._study.get_trials(deepcopy=False)[number]
                Trial(self._study, trial._trial_id).set_user_attr(DEV, dev)
            self._study.tell(number, value)
        self._open.pop(config_id, None)

    def prune(self, config_id: str, value: float | None, runs: int) -> None:
        """A race has ended and given a configuration fewer runs than the whole; `value` is the mean
        of what was seen. Told once; a later success counts, as after a failure."""
        number = self._open.pop(config_id, None)
        if number is None:
            return
        if value is not None:
            trial = self._study.get_trials(deepcopy=False)[number]
            Trial(self._study, trial._trial_id).report(value, runs)
        self._study.tell(number, state=TrialState.PRUNED)
        self._failed[config_id] = self._study.get_trials(deepcopy=False)[number]

    def _succeed(self, failed: FrozenTrial, value: float, dev: Dev | None) -> None:
        """A study's trial that has ended stays as it is, so that a better end is another one."""
        self._study.add_trial(
            optuna.create_trial(
                value=value,
                params=failed.params,
                distributions=failed.distributions,
                user_attrs={POINT: failed.user_attrs[POINT], **({DEV: dev} if dev else {})},
            )
        )

    def _worst(self) -> float:
        """The worst value that a configuration has had; what chance would score before one has."""
        values = [trial.value for trial in self._proposed().values() if trial.value is not None]
        if self._sweep.objective.mode == "min":
            return max(values, default=100.0)
        return min(values, default=chance_of(self._sweep))

    def _told(self) -> dict[str, FrozenTrial]:
        """Proposals with the values that the sampler is told."""
        proposed = self._proposed()
        if beliefs := self.beliefs():
            proposed = as_believed(proposed, beliefs)
        if self._sweep.objective.metric != WEIGHTED:
            return proposed
        is_max = self._sweep.objective.mode == "max"
        return weighted(proposed, self._rounds, self._measure, is_max)

    @property
    def _is_grid(self) -> bool:
        return self._sweep.search.encoder.sampler.name == "grid"

    def _is_made(self, point: Point) -> bool:
        return sha256_of(point)[:12] in self.made

    def _begin(
        self, point: Point, drawn: Trial | None = None, waited: dict[str, Any] | None = None
    ) -> Proposal:
        """Write a proposal, with what the sampler drew for it."""
        number = len(self._study.get_trials(deepcopy=False))
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                params=drawn.params if drawn else {},
                distributions=drawn.distributions if drawn else {},
                user_attrs={POINT: point, **({WAITED: waited} if waited else {})},
            )
        )
        return Proposal(number, sha256_of(point)[:12], point)

    def _from_sampler(self) -> Proposal | None:
        if self._searched is None:
            return None
        storage = LookBack([*self._told().values()])
        study = optuna.create_study(storage=storage, direction=self._study.direction)
        waited = self._waiting()
        for attempt in range(REPEATS_BEFORE_EXPLORING):
            # A sampler's own state dies with its process; seeded anew for every draw, a resumed
            # search goes on as an undisturbed one would.
            study.sampler = sampler_of(self._sweep, len(self.made), attempt)
            if waited and not attempt:
                study.enqueue_trial(self._possible(waited))
            trial = study.ask()
            point = self._searched.draw(trial)
            if not self._is_made(point):
                return self._begin(point, trial, waited)
            # A repeat would tell nothing new: its outcome is known or under way.
            study.tell(trial, state=TrialState.FAIL)
        spec = self._sweep.search.encoder.sampler
        random = np.random.default_rng(derive_seed(spec.seed, "explore", str(len(self.made))))
        for _ in range(EXPLORING_DRAWS):
            suggest = RandomSuggest(random)
            if not self._is_made(self._searched.draw(suggest)):
                logger.info("the sampler repeats itself; exploring at random")
                study.enqueue_trial(suggest.drawn)
                trial = study.ask()
                return self._begin(self._searched.draw(trial), trial, waited)
        return None

    def _possible(self, fixed: dict[str, Any]) -> dict[str, Any]:
        """Those of the parameters that the space still has, with these values."""
        assert self._searched is not None
        scratch = optuna.create_study(sampler=RandomSampler(seed=0))
        scratch.enqueue_trial({"intermediate": fixed["intermediate"]})
        trial = scratch.ask()
        self._searched.draw(trial)
        found = trial.distributions
        return {
            label: value
            for label, value in fixed.items()
            if label in found and holds(found[label], value)
        }

    def _waiting(self) -> dict[str, Any] | None:
        """Parameters that are tried before the sampler decides: of what was not finished in an
        earlier study, then every candidate once."""
        proposed = self._proposed()
        again = self._study.user_attrs.get(AGAIN, [])
        for fixed in (*again, *({"intermediate": name} for name in self._candidates)):
            if not any(
                fixed == trial.user_attrs.get(WAITED) or fixed.items() <= trial.params.items()
                for trial in proposed.values()
            ):
                return dict(fixed)
        return None


def proposed_points(journal: BaseJournalBackend) -> list[Point]:
    """Every point that the studies of a journal have proposed, once."""
    storage = JournalStorage(journal)
    studies = (
        optuna.load_study(study_name=name, storage=storage)
        for name in optuna.get_all_study_names(storage)
    )
    trials = (trial for study in studies for trial in study.get_trials(deepcopy=False))
    points = (trial.user_attrs[POINT] for trial in trials if POINT in trial.user_attrs)
    return list({sha256_of(point): point for point in points}.values())


def target_points(sweep: Sweep) -> dict[str, list[Point]]:
    """The points of the inner search, for every trained target set.

    Drawn by Optuna from the sampler's seed and the target alone, so that every encoder, the
    baseline included, is tried at the same points, and every seed: the spread over seeds is not to
    hold the luck of the draw. A space with no more points than asked for is taken whole.
    """
    space, wanted = target_space(sweep), sweep.search.target.trials
    seed = sweep.search.encoder.sampler.seed
    return {
        name: _distinct_points(space, wanted, derive_seed(seed, "inner", name))
        for name in target_sets(sweep)
        if find_task(sweep, name).is_trained
    }


def _distinct_points(space: Space, wanted: int, seed: int) -> list[Point]:
    if not space.parameters:
        return [{}]
    if space.is_finite:
        points = list(islice(space.grid(), wanted + 1))
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

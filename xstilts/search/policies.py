"""The policies that a replay plays: the race, and what it is compared with.

A policy draws runs from a board, which shows it dev scores and nothing else, and hands back the
candidates of every target in its order. Optuna's pruners decide where the policy is Optuna's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner

from xstilts.files import derive_seed
from xstilts.search import race

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Board:
    """What a policy may draw: the dev scores of one replay, cell by cell, each draw once.

    `dev` is (candidates, targets, rungs, draws), NaN where nothing was recorded. `most` draws of a
    cell are allowed; those beyond are for confirmation. `prior` is what other grids say of the
    candidates, see `recorded.prior_of`.
    """

    def __init__(
        self, dev: np.ndarray, most: int, confirms: int = 0, prior: np.ndarray | None = None
    ):
        self._dev = dev
        self.most = most
        self.confirms = confirms
        self.prior = prior
        self.available = np.isfinite(dev).any(-1)
        self.seen = np.full(dev.shape, np.nan)

    @property
    def full(self) -> np.ndarray:
        """The full runs that were drawn, (candidates, targets, draws), NaN for others."""
        return self.seen[:, :, -1]

    def draw(self, candidate: int, target: int, rung: int = -1) -> None:
        """Runs a candidate on a target at a rung, with the next of its seeds."""
        place = int(np.isfinite(self.seen[candidate, target, rung]).sum())
        if place >= self.most or not self.available[candidate, target, rung]:
            raise ValueError(f"no run is left of {candidate}, {target}, {rung}")
        self.seen[candidate, target, rung, place] = self._dev[candidate, target, rung, place]

    def confirm(self, candidate: int, target: int) -> None:
        """Runs a candidate with the seeds that search does not draw."""
        fresh = slice(self.most, self.most + self.confirms)
        self.seen[candidate, target, -1, fresh] = self._dev[candidate, target, -1, fresh]

    def mean(self, candidate: int, target: int, rung: int = -1) -> float:
        """The mean of a candidate's scores on a target at a rung."""
        return float(np.nanmean(self.seen[candidate, target, rung]))


Policy = Callable[[Board, int], np.ndarray]
"""From a board and a seed to candidates' numbers, best first: (candidates, targets)."""


def play_race(board: Board, seed: int) -> np.ndarray:
    """Rounds of `race.next_runs`, until every target has ended."""
    prior = board.prior
    while runs := race.next_runs(
        board.seen, board.most, available=board.available, seed=seed, prior=prior
    ):
        for run in runs:
            board.draw(*run)
    # As in a sweep, what a lower rung gave says who runs and chooses nothing.
    return race.ranking(board.full[:, :, None], board.most, prior)


def play_all(board: Board, seed: int) -> np.ndarray:
    """Every candidate with all seeds that are allowed."""
    candidates, targets = board.full.shape[:2]
    for candidate in range(candidates):
        for target in range(targets):
            for _ in range(board.most):
                board.draw(candidate, target)
    return by_mean(board)


def play_random(board: Board, seed: int) -> np.ndarray:
    """As many runs of a target as there are candidates, of candidates drawn at random."""
    generator = np.random.default_rng(seed)
    candidates, targets = board.full.shape[:2]
    for target in range(targets):
        every = np.repeat(np.arange(candidates), board.most)
        for candidate in generator.permutation(every)[:candidates]:
            board.draw(int(candidate), target)
    return by_mean(board)


def play_halving(board: Board, seed: int) -> np.ndarray:
    """Optuna's SuccessiveHalvingPruner."""

    def pruner(steps: int, factor: int) -> BasePruner:
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=factor)

    return _play_pruner(board, seed, pruner)


def play_hyperband(board: Board, seed: int) -> np.ndarray:
    """Optuna's HyperbandPruner."""

    def pruner(steps: int, factor: int) -> BasePruner:
        most = factor ** (steps - 1)
        return HyperbandPruner(min_resource=1, max_resource=most, reduction_factor=factor)

    return _play_pruner(board, seed, pruner)


POLICIES: dict[str, Policy] = {
    "race": play_race,
    "all": play_all,
    "random": play_random,
    "halving": play_halving,
    "hyperband": play_hyperband,
}
"""By name, as the command knows them."""


def by_mean(board: Board) -> np.ndarray:
    """Candidates by the mean of their full runs, best first; those without are last."""
    with np.errstate(invalid="ignore"):
        counts = np.isfinite(board.full).sum(-1)
        means = np.nansum(board.full, -1) / counts
    return np.argsort(-np.nan_to_num(means, nan=-np.inf), axis=0, kind="stable")


def _play_pruner(
    board: Board, seed: int, pruner_of: Callable[[int, int], BasePruner]
) -> np.ndarray:
    """A study for each target, a trial for each candidate, in random order.

    Over rungs a trial's steps are the rungs, with the mean of all seeds allowed at each, and a
    third goes on from step to step; over seeds, where the grid has one rung, its steps are seeds,
    with the mean so far, and half goes on. Optuna's own rungs are powers of the reduction factor,
    so the n-th step is reported as such a power.
    """
    candidates, targets, rungs = board.available.shape
    generator = np.random.default_rng(seed)
    steps, factor = (rungs, 3) if rungs > 1 else (board.most, 2)
    found = np.zeros((candidates, targets), dtype=int)
    for target in range(targets):
        # Hyperband deals trials to brackets by the name of the study.
        study = optuna.create_study(
            study_name=f"{derive_seed(seed, 'replay', str(target))}",
            direction="maximize",
            pruner=pruner_of(steps, factor),
        )
        reached = []
        for candidate in generator.permutation(candidates):
            reached.append(_trial(board, study, int(candidate), target, steps, factor))
        order = sorted(range(candidates), key=lambda place: reached[place][:2], reverse=True)
        found[:, target] = [reached[place][2] for place in order]
    return found


def _trial(
    board: Board, study: optuna.Study, candidate: int, target: int, steps: int, factor: int
) -> tuple[int, float, int]:
    """How many steps a candidate reached, its value there, and its number."""
    trial = study.ask()
    is_over_rungs = board.available.shape[-1] > 1
    value, last = -np.inf, 0
    for step in range(steps):
        rung = step if is_over_rungs else 0
        if not board.available[candidate, target, rung]:
            continue
        for _ in range(board.most if is_over_rungs else 1):
            board.draw(candidate, target, rung)
        value, last = board.mean(candidate, target, rung), step + 1
        trial.report(value, factor**step)
        if step + 1 < steps and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return last, value, candidate
    study.tell(trial, value)
    return last, value, candidate

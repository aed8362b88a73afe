"""What a race has seen of a sweep: dev scores of configurations, by what they choose and by seed.

A column is a dev score with the targets whose best it chooses. Targets that share a training stage
share their column; those without a dev set, which the mean over all others chooses, have one
together, so that a run of it is a run of every target.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xstilts.config.derive import selected_targets, task_of
from xstilts.config.schema import Sweep
from xstilts.scores.aggregate import AVERAGE
from xstilts.scores.best import TrialScores


@dataclass(frozen=True, slots=True)
class Column:
    """`score` names the dev score, `targets` those that it chooses for; a run trains and scores
    all that are `needed` for it."""

    score: str
    targets: tuple[str, ...]
    needed: tuple[str, ...]


def columns_of(sweep: Sweep) -> tuple[Column, ...]:
    """The columns of a sweep, in the order of its file."""
    by_head: dict[str, tuple[str, ...]] = {}
    for task in selected_targets(sweep):
        by_head[task.head] = (*by_head.get(task.head, ()), task.name)
    found = [Column(targets[0], targets, targets) for targets in by_head.values()]
    rest = tuple(name for name in sweep.targets if "dev" not in task_of(sweep, name).splits)
    return (*found, Column(AVERAGE, rest, sweep.targets)) if rest else tuple(found)


class SeenScores:
    """The dev scores of a sweep's finished trials, read off each once."""

    def __init__(self, sweep: Sweep):
        self._columns = [(x.score, frozenset(x.targets)) for x in columns_of(sweep)]
        self._seeds = {seed: place for place, seed in enumerate(sweep.seeds)}
        self._rows: dict[str, tuple[str, int, list[float]]] = {}

    def note(self, trial: TrialScores) -> None:
        """Take in a finished trial, in the place of what it gave before."""
        if trial.seed in self._seeds:
            given = trial.scores.keys()
            row = [
                trial.dev.get(score, np.nan) if given >= targets else np.nan
                for score, targets in self._columns
            ]
            self._rows[trial.trial] = trial.config, self._seeds[trial.seed], row

    def scores(self, configs: Sequence[str]) -> np.ndarray:
        """What was seen of configurations, (configurations, columns, seeds), NaN where not run.

        Args:
            configs: their ids, in the order of the rows; trials of others are left out.
        """
        found = np.full((len(configs), len(self._columns), len(self._seeds)), np.nan)
        places = {config: place for place, config in enumerate(configs)}
        known = [(places[x], seed, row) for x, seed, row in self._rows.values() if x in places]
        if known:
            rows, seeds, values = zip(*known, strict=True)
            found[rows, :, seeds] = values
        return found


def seen_scores(sweep: Sweep, configs: Sequence[str], trials: Iterable[TrialScores]) -> np.ndarray:
    """The dev scores of finished trials; see `SeenScores.scores`."""
    seen = SeenScores(sweep)
    for trial in trials:
        seen.note(trial)
    return seen.scores(configs)

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


def seen_scores(sweep: Sweep, configs: Sequence[str], trials: Iterable[TrialScores]) -> np.ndarray:
    """The dev scores of finished trials, (configurations, columns, seeds), NaN where not run.

    Args:
        configs: their ids, in the order of the rows; trials of others are left out.
    """
    columns = columns_of(sweep)
    found = np.full((len(configs), len(columns), len(sweep.seeds)), np.nan)
    rows = {config: place for place, config in enumerate(configs)}
    seeds = {seed: place for place, seed in enumerate(sweep.seeds)}
    for trial in trials:
        if trial.config not in rows or trial.seed not in seeds:
            continue
        for place, column in enumerate(columns):
            if column.score in trial.dev and trial.scores.keys() >= set(column.targets):
                at = rows[trial.config], place, seeds[trial.seed]
                found[at] = trial.dev[column.score]
    return found

"""What a race has seen at its lower rungs, and how far that orders candidates as whole runs do.

Runs there trained a share of the budget: their dev scores are no results. A record of one is that
of a trial of its own, which nothing but the race reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.scores.aggregate import dev_scores
from xstilts.scores.ranks import LEAST_PAIRS, rank_correlation
from xstilts.scores.seen import Column, columns_of
from xstilts.scores.table import ChosenScores


class LowerRungs:
    """The finished runs of a sweep's lower rungs."""

    def __init__(self, sweep: Sweep):
        self._tasks = [find_task(sweep, name) for name in sweep.targets]
        self._read = {(task.name, metric) for task in self._tasks for metric in task.metrics}
        self._trained = {task.name for task in self._tasks if task.is_trained}
        self._columns = columns_of(sweep)
        self._rungs = sweep.search.lower_rungs
        self._dev: dict[tuple[str, float], dict[str, float]] = {}

    @classmethod
    def of(cls, sweep: Sweep, records: Iterable[TrialRecord]) -> LowerRungs:
        """Those of records."""
        found = cls(sweep)
        for record in records:
            found.note(record)
        return found

    def note(self, record: TrialRecord) -> None:
        """Take in the record of a finished run."""
        table = ChosenScores(record.scores.of_metrics(self._read))
        self._dev[record.config, record.rung] = dev_scores(table, self._tasks)

    def needed(self, column: Column) -> set[str]:
        """The targets that a run trains for a column."""
        return {*column.needed} & self._trained

    def scores(self, configs: Sequence[str]) -> np.ndarray:
        """What was seen of configurations, (configurations, columns, rungs), NaN where not run."""
        found = np.full((len(configs), len(self._columns), len(self._rungs)), np.nan)
        for row, config in enumerate(configs):
            for rung, share in enumerate(self._rungs):
                dev = self._dev.get((config, share), {})
                for place, column in enumerate(self._columns):
                    found[row, place, rung] = dev.get(column.score, np.nan)
        return found


def correlation_of(hints: np.ndarray, runs: np.ndarray) -> tuple[float | None, int]:
    """Spearman's rank correlation of hints (candidates,) with the means of full runs (candidates,
    draws), and of how many candidates that have both; None of too few, or of equal values."""
    has_run = np.isfinite(runs).any(-1)
    means = np.full(len(runs), np.nan)
    means[has_run] = np.nanmean(runs[has_run], -1)
    return rank_correlation(hints, means, LEAST_PAIRS)

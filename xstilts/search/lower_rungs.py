"""What a race has seen at its lower rungs: dev scores of runs that trained a share of the budget.

A candidate has at most one run at a lower rung on each target, with the first seed. Its record is
that of a trial of its own, and nothing but the race reads what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.scores.aggregate import dev_scores
from xstilts.scores.seen import Column, columns_of
from xstilts.scores.table import ChosenScores


@dataclass(frozen=True, slots=True, eq=False)
class Lower:
    """Lower rungs as a decision sees them: dev `scores` (candidates, columns, rungs), the lowest
    first, NaN where not run, and which `can_run`, of that shape."""

    scores: np.ndarray
    can_run: np.ndarray

    @classmethod
    def none(cls, seen: np.ndarray) -> Lower:
        """Those of a race without lower rungs; `seen` (candidates, columns, draws) are its runs."""
        shape = (*seen.shape[:2], 0)
        return cls(np.empty(shape), np.empty(shape, dtype=bool))

    def beside(self, seen: np.ndarray) -> np.ndarray:
        """All runs, (candidates, columns, rungs, draws): `seen` are those of the last rung."""
        num_lower = self.scores.shape[2]
        found = np.full((*seen.shape[:2], num_lower + 1, seen.shape[2]), np.nan)
        found[:, :, :num_lower, 0], found[:, :, -1] = self.scores, seen
        return found

    def expected(self) -> np.ndarray:
        """What a run is expected to give, of that shape: the mean of its column at its rung, 0
        where that has none."""
        counts = np.isfinite(self.scores).sum(0)
        means = np.nansum(self.scores, 0) / np.maximum(counts, 1)
        return np.broadcast_to(means, self.scores.shape)

    def around(self, levels: np.ndarray) -> np.ndarray:
        """Candidates' values (candidates, columns) as far from the levels of columns (columns,) as
        their scores at the lowest rung are from the mean there, so that these order them; the level
        itself where there is none. A level that is NaN is that mean."""
        if not self.scores.shape[2]:
            return np.broadcast_to(np.nan_to_num(levels), self.scores.shape[:2]).copy()
        means = self.expected()[:, :, 0]
        places = np.nan_to_num(self.scores[:, :, 0] - means)
        return np.asarray(np.where(np.isnan(levels), means, levels) + places)


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

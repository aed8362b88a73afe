"""Where a race stands on every target: how many runs it had, and who may still be the best.

Whoever was not run there may be: nothing is known of it. All of it is read off finished trials of
search, whose dev scores decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xstilts.config.derive import NONE
from xstilts.config.schema import Sweep
from xstilts.report.comparison import scores_of
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.trial_states import TrialState
from xstilts.scores.best import TrialScores
from xstilts.scores.seen import columns_of, seen_scores


@dataclass(frozen=True, slots=True)
class Standing:
    """A race on one target, the baseline left out: its `runs`, its `candidates` (configurations
    that have run on some target), how many of these have no run on this one, and how many may be
    the best."""

    target: str
    runs: int
    candidates: int
    parked: int
    left: int

    def __str__(self) -> str:
        return f"{self.target} {self.left} of {self.candidates} ({self.runs} runs)"


def standings(sweep: Sweep, trials: Sequence[TrialScores]) -> list[Standing]:
    """The standings of a race's targets, in the file's order; empty where the sweep is none, or no
    candidate has run.

    Args:
        trials: the finished ones of search.
    """
    configs = sorted({trial.config for trial in trials if trial.intermediate != NONE})
    if not sweep.search.is_race or not configs:
        return []
    import numpy as np

    from xstilts.search.race import may_be_best  # imports scipy

    seen = seen_scores(sweep, configs, trials)
    counts = np.isfinite(seen).sum(2)
    found: dict[str, Standing] = {}
    for place, column in enumerate(columns_of(sweep)):
        own = counts[:, place]
        left = may_be_best(seen[:, place], len(sweep.seeds), alpha=sweep.search.alpha)
        facts = (int(own.sum()), len(configs), int((own == 0).sum()), int(left.sum()))
        found |= {target: Standing(target, *facts) for target in column.targets}
    return [found[target] for target in sweep.targets]


class Follower:
    """The standings of a running race; a record is read when its trial has ended, once."""

    def __init__(self, sweep: Sweep, places: Places):
        self._sweep, self._places = sweep, places
        self._ended: dict[str, float] = {}
        self._trials: dict[str, TrialScores] = {}
        self._standings: list[Standing] = []

    def look(self, states: Sequence[TrialState]) -> list[Standing]:
        """The standings now."""
        if not self._sweep.search.is_race:
            return []
        new = [x for x in states if x.ended is not None and self._ended.get(x.trial) != x.ended]
        for state in new:
            record = read_record(self._places.trials / state.trial)
            self._ended[state.trial] = state.ended or 0.0
            if record is not None and record.state == "finished" and not record.is_confirming:
                self._trials[state.trial] = scores_of(self._sweep, record)
        if new:
            self._standings = standings(self._sweep, list(self._trials.values()))
        return self._standings

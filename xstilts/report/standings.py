"""Where a race stands on every target: how many runs it had, and who may still be the best.

Whoever was not run there may be: nothing is known of it. All of it is read off finished trials of
search, whose dev scores decide. Of lower rungs is told how far they order candidates as whole runs
do, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from xstilts.config.derive import NONE
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.report.comparison import scores_of
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.trial_states import TrialState
from xstilts.scores.best import TrialScores
from xstilts.scores.seen import columns_of, seen_scores

STANDINGS_EVERY_S, STANDINGS_SHARE = 10.0, 0.05
"""How often a running race has its standings at most, and of a processor the share that they may
take: they cost more the more candidates there are, and trials may end several times a second."""


@dataclass(frozen=True, slots=True)
class RungStanding:
    """How a lower rung of a race orders the candidates of a target: its rank `correlation` with
    whole runs over the `pairs` that have both; None where these are fewer than three."""

    rung: float
    correlation: float | None
    pairs: int

    def __str__(self) -> str:
        return "-" if self.correlation is None else f"{self.correlation:+.2f} ({self.pairs})"


@dataclass(frozen=True, slots=True)
class Standing:
    """A race on one target, the baseline left out: its `runs`, its `candidates` (configurations
    that have run on some target), how many of these have no run on this one, and how many may be
    the best. Runs at lower rungs are none of these; what they tell is under `rungs`."""

    target: str
    runs: int
    candidates: int
    parked: int
    left: int
    rungs: tuple[RungStanding, ...] = ()

    def __str__(self) -> str:
        orders = "".join(f", rung {x.rung:g} {x}" for x in self.rungs if x.correlation is not None)
        return f"{self.target} {self.left} of {self.candidates} ({self.runs} runs{orders})"


def standings(
    sweep: Sweep, trials: Sequence[TrialScores], short: Sequence[TrialRecord] = ()
) -> list[Standing]:
    """The standings of a race's targets, in the file's order; empty where the sweep is none, or no
    candidate has run.

    Args:
        trials: the finished ones of search.
        short: the finished ones of lower rungs.
    """
    configs = sorted({trial.config for trial in trials if trial.intermediate != NONE})
    if not sweep.search.is_race or not configs:
        return []
    import numpy as np

    from xstilts.scores.rungs import LowerRungs, correlation_of  # imports scipy
    from xstilts.search.race import may_be_best

    seen = seen_scores(sweep, configs, trials)
    counts = np.isfinite(seen).sum(2)
    lower = LowerRungs.of(sweep, short).scores(configs)
    found: dict[str, Standing] = {}
    for place, column in enumerate(columns_of(sweep)):
        own = counts[:, place]
        left = may_be_best(seen[:, place], len(sweep.seeds), alpha=sweep.search.alpha)
        rungs = tuple(
            RungStanding(share, *correlation_of(lower[:, place, rung], seen[:, place]))
            for rung, share in enumerate(sweep.search.lower_rungs)
        )
        facts = (int(own.sum()), len(configs), int((own == 0).sum()), int(left.sum()), rungs)
        found |= {target: Standing(target, *facts) for target in column.targets}
    return [found[target] for target in sweep.targets]


def race_columns(
    sweep: Sweep, found: Sequence[Standing]
) -> tuple[tuple[str, ...], list[list[str]], str]:
    """The standings as a table: its header, its rows and its note."""
    rungs = sweep.search.lower_rungs
    counts = ("runs", "candidates", "without run", "may be best")
    rows = [
        [one.target, *map(str, (one.runs, one.candidates, one.parked, one.left, *one.rungs))]
        for one in found
    ]
    note = (
        f"runs: of candidates, at most {len(sweep.seeds)} each; without run: parked, not beaten; "
        f"may be best: not excluded by dev with {100 * (1 - sweep.search.alpha):g} % confidence"
    )
    if rungs:
        note += "; rung: its rank correlation with whole runs (candidates that have both)"
    return ("target", *counts, *(f"rung {share:g}" for share in rungs)), rows, note


class Follower:
    """The standings of a running race. A record is read once, after its trial has ended; what
    follows from all of them is worked out every `STANDINGS_EVERY_S` at most, less often where that
    takes long."""

    def __init__(self, sweep: Sweep, places: Places):
        self._sweep, self._places = sweep, places
        self._ended: dict[str, float] = {}
        self._trials: dict[str, TrialScores] = {}
        self._short: dict[str, TrialRecord] = {}
        self._standings: list[Standing] = []
        self._not_before = 0.0

    def look(self, states: Sequence[TrialState], at_once: bool = False) -> list[Standing]:
        """The standings now, or a while ago if not `at_once`."""
        if not self._sweep.search.is_race:
            return []
        if not at_once and time.monotonic() < self._not_before:
            return self._standings
        new = [x for x in states if x.ended is not None and self._ended.get(x.trial) != x.ended]
        for state in new:
            record = read_record(self._places.trials / state.trial)
            self._ended[state.trial] = state.ended or 0.0
            if record is None or record.state != "finished":
                continue
            if record.is_searching:
                self._trials[state.trial] = scores_of(self._sweep, record)
            elif record.is_short:
                self._short[state.trial] = record
        if new:
            begun = time.thread_time()
            trials, short = list(self._trials.values()), list(self._short.values())
            self._standings = standings(self._sweep, trials, short)
            pause = (time.thread_time() - begun) / STANDINGS_SHARE
            self._not_before = time.monotonic() + max(STANDINGS_EVERY_S, pause)
        return self._standings

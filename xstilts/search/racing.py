"""A race over the trials of a sweep: which are wanted now, from their records alone.

The policy (`race.py`) sees the configurations with an intermediate; the baseline has all its runs
in any case. The nth run of a configuration is with the nth seed of the file. A decision counts
what runs now as drawn, with the value that the model believes in, so that nobody waits for a round
to fill. All first runs that are wanted are decided together, so that a configuration's first trial
has its targets at once; of further runs each target wants one at a time. What was begun is written
down before it is handed out: a sweep that was killed hands it out again before it decides anew.
A run at a lower rung is a trial of its own, with the first seed (`lower_rungs.py`).
What trials gave, and what Optuna's study is told of it, is in `race_scores.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xstilts.config.derive import NONE
from xstilts.files import write_json
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.run.places import Places
from xstilts.run.rounds import Dev
from xstilts.scores.aggregate import AVERAGE
from xstilts.scores.prior import KnownCell
from xstilts.scores.seen import columns_of
from xstilts.search.hints import Hints
from xstilts.search.lower_rungs import Lower
from xstilts.search.proposals import Proposal
from xstilts.search.race import next_runs
from xstilts.search.race_scores import ConfigurationEnd, RaceScores, believed

UNDER_WAY = "race.json"
"""In the folder of a launch: the trials that were handed out last and have not ended."""

ReadRecord = Callable[[TrialPlan], TrialRecord | None]


class Drawing(NamedTuple):
    """Runs of a candidate with the seed of a number, on some columns, at a rung; all by number."""

    candidate: int
    draw: int
    columns: tuple[int, ...]
    rung: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted, each in the order in which it is to begin: runs of candidates where they
    have none, and further ones."""

    first: tuple[Drawing, ...]
    further: tuple[Drawing, ...]


def decide(
    seen: np.ndarray,
    running: Sequence[Drawing],
    available: np.ndarray,
    seed: int,
    lower: Lower | None = None,
    hints: np.ndarray | None = None,
) -> Decision:
    """What a race wants; a pure function.

    Args:
        seen: dev scores (candidates, columns, draws), NaN where not drawn.
        running: what is under way.
        available: which candidates can be run on which columns, (candidates, columns).
        seed: orders the candidates of whom nothing is known.
        lower: the rungs below the whole, if there are any.
        hints: order those that have not run, (candidates, columns); see `next_runs`.
    """
    if not seen.size:
        return Decision((), ())
    lower = lower or Lower.none(seen)
    scores = lower.beside(seen)
    values = np.concatenate([lower.expected(), believed(seen, lower)[:, :, None]], 2)
    for candidate, draw, columns, rung in running:
        for column in columns:
            if np.isnan(scores[candidate, column, rung, draw]):
                scores[candidate, column, rung, draw] = values[candidate, column, rung]
    first: dict[tuple[int, int, int], list[int]] = {}
    further: dict[tuple[int, int, int], list[int]] = {}
    can_run = np.concatenate([lower.can_run, available[..., None]], 2)
    most, is_first_round = seen.shape[2], True
    while True:
        runs = next_runs(scores, most, available=can_run, seed=seed, hints=hints)
        drawn = np.isfinite(scores)
        begin = [run for run in runs if not drawn[run.candidate, run.target].any()]
        for run in runs if is_first_round else begin:
            draw = int(drawn[run.candidate, run.target, run.rung].argmin())
            kind = first if run in begin else further
            kind.setdefault((run.candidate, draw, run.rung), []).append(run.target)
        if not begin:
            break
        for run in begin:
            at = run.candidate, run.target, run.rung
            scores[(*at, int(drawn[at].argmin()))] = values[at]
        is_first_round = False
    return Decision(*(_drawings(kind) for kind in (first, further)))


def _drawings(runs: dict[tuple[int, int, int], list[int]]) -> tuple[Drawing, ...]:
    return tuple(
        Drawing(candidate, draw, tuple(sorted(columns)), rung)
        for (candidate, draw, rung), columns in runs.items()
    )


class UnderWay:
    """The trials that are under way, on disk. `folder` is that of this launch, None to keep them in
    memory."""

    def __init__(self, known: Sequence[dict[str, Any]] = (), folder: Path | None = None):
        self.known = list(known)
        self._folder = folder

    @classmethod
    def of(cls, places: Places, folder: Path) -> UnderWay:
        """Those that the launch before has left; what comes is written into `folder`."""
        none: list[dict[str, Any]] = []
        return cls(places.latest(UNDER_WAY, none), folder)

    def write(self, plans: Sequence[TrialPlan]) -> None:
        """Write down what is under way now."""
        told = [
            {"config": x.config_id, "seed": x.seed, "rung": x.rung, "targets": x.subset}
            for x in plans
        ]
        if self._folder is not None:
            write_json(self._folder / UNDER_WAY, told)


class Race:
    """The race of one sweep. `read_final` gives a trial's record if nothing of its plan is left to
    do, `read` whatever record it has.

    Where `with_failed` a trial whose record says that it failed is over; else it is tried again.
    """

    def __init__(
        self,
        planner: Planner,
        proposals: Sequence[Proposal],
        read_final: ReadRecord,
        read: ReadRecord,
        under_way: UnderWay | None = None,
        with_failed: bool = False,
        known: Sequence[KnownCell] = (),
    ):
        self._planner = planner
        self._sweep = planner.sweep
        self._columns = columns_of(planner.sweep)
        self._rungs = (*planner.sweep.search.lower_rungs, 1.0)
        self._gave = RaceScores(planner.sweep)
        self._read_final, self._read = read_final, read
        self._under_way = under_way or UnderWay()
        self._with_failed = with_failed
        self._hints = Hints(planner.sweep, planner.inventory, known)
        self._candidates: list[Proposal] = []
        self._baselines: list[Proposal] = []
        self._targets: dict[str, tuple[str, ...]] = {}
        self._bare: dict[tuple[str, int, float], TrialPlan] = {}
        self._failed: dict[str, tuple[str, ...]] = {}
        self._ended: dict[str, list[bool]] = {}
        # One decision wants most of what the last one wanted.
        self._made = lru_cache(maxsize=256)(self._make)
        self._running: dict[str, TrialPlan] = {}
        self._wanted: tuple[list[TrialPlan], list[TrialPlan]] | None = None
        self.owed: list[TrialPlan] = []
        """What is to be run before anything is decided: the baseline's trials, what a launch has
        left under way, what has lost a stage."""
        for proposal in proposals:
            self.take(proposal)
        self._take_up(proposals)

    def take(self, proposal: Proposal) -> None:
        """Let a configuration take part."""
        is_baseline = proposal.point["intermediate"] == NONE
        (self._baselines if is_baseline else self._candidates).append(proposal)
        kinds = [(seed, 1.0) for seed in self._sweep.seeds]
        if not is_baseline:
            kinds += [(self._sweep.seeds[0], rung) for rung in self._rungs[:-1]]
        for seed, rung in kinds:
            plan = self._planner.plan(proposal.point, seed, targets=(), rung=rung)
            self._bare[proposal.config_id, seed, rung] = plan
            record = self._read(plan)
            if record is not None:
                self._note(plan, record)
            wanted = self._sweep.targets if is_baseline else self._targets.get(plan.trial_id, ())
            # Of a lower rung the score is all that counts, whatever became of its stages.
            if wanted and not plan.is_short:
                self._owe(self._plan(proposal, seed, wanted))
        self._wanted = None

    def _take_up(self, proposals: Sequence[Proposal]) -> None:
        """Owe what the launch before has handed out and nobody has ended, before all others."""
        by_id = {proposal.config_id: proposal for proposal in proposals}
        others, self.owed = self.owed, []
        for told in self._under_way.known:
            if told["config"] in by_id and told["seed"] in self._sweep.seeds:
                proposal = by_id[told["config"]]
                rung = told.get("rung", 1.0)  # older launches had none
                self._owe(self._plan(proposal, told["seed"], tuple(told["targets"]), rung))
        for plan in others:
            if plan.trial_id not in {one.trial_id for one in self.owed}:
                self.owed.append(plan)

    def _owe(self, plan: TrialPlan) -> None:
        failed = self._failed.get(plan.trial_id)
        is_over = failed is not None and {*plan.targets} <= {*failed}
        if self._read_final(plan) is None and not is_over:
            self.owed = [one for one in self.owed if one.trial_id != plan.trial_id] + [plan]

    def _plan(
        self, proposal: Proposal, seed: int, targets: Sequence[str], rung: float = 1.0
    ) -> TrialPlan:
        """The plan of a trial with these targets, and all that it has had or owes."""
        bare = self._bare[proposal.config_id, seed, rung]
        owed = (one.targets for one in self.owed if one.trial_id == bare.trial_id)
        before = self._targets.get(bare.trial_id, ())
        wanted = {*targets, *before}.union(*owed)
        for column in self._columns:
            # The mean over all targets chooses for those without a dev set, for no more training.
            if column.score == AVERAGE and wanted >= {*column.needed} - {*column.targets}:
                wanted |= {*column.targets}
        return self._made(proposal.config_id, seed, rung, frozenset(wanted))

    def _make(self, config: str, seed: int, rung: float, targets: frozenset[str]) -> TrialPlan:
        point = self._bare[config, seed, rung].point
        return self._planner.plan(point, seed, targets=targets, rung=rung)

    def wanted(self) -> tuple[list[TrialPlan], list[TrialPlan]]:
        """The trials that are wanted now: first runs of configurations, and further ones; none of
        those that run. Where signals are asked for, those that tell them come before all others."""
        if self._wanted is None:
            owed = (plan for plan in self.owed if plan.trial_id not in self._running)
            under_way = [*self._running.values(), *owed]
            seen = self._gave.seen(self._rows)
            found = decide(
                seen,
                list(self._drawings(under_way)),
                self._available(seen),
                self._sweep.search.encoder.sampler.seed,
                self._lower_seen(),
                self._hints.of(self._candidates),
            )
            first, further = (list(self._plans(one)) for one in (found.first, found.further))
            if self._sweep.search.signals:
                first, further = list(self._without_signals()), [*first, *further]
            self._wanted = first, further
        return self._wanted

    def _plans(self, drawings: Sequence[Drawing]) -> Iterator[TrialPlan]:
        for candidate, draw, columns, rung in drawings:
            needed = {name for column in columns for name in self._columns[column].needed}
            proposal, seed = self._candidates[candidate], self._sweep.seeds[draw]
            plan = self._plan(proposal, seed, tuple(needed), self._rungs[rung])
            if plan.trial_id not in self._running:
                yield plan

    def _without_signals(self) -> Iterator[TrialPlan]:
        """Trials that train a configuration's encoder and tell its signals, for no target yet."""
        for proposal in self._candidates:
            plan = self._plan(proposal, self._sweep.seeds[0], ())
            is_over = plan.trial_id in self._running or plan.trial_id in self._failed
            if self._hints.lack(plan) and not is_over:
                yield plan

    def is_over(self) -> bool:
        """Whether no trial is owed, runs or is wanted."""
        return not self.owed and not self._running and not any(self.wanted())

    def begin(self, plan: TrialPlan) -> None:
        """Note that a trial is handed out."""
        self.owed = [one for one in self.owed if one.trial_id != plan.trial_id]
        self._running[plan.trial_id] = plan
        self._wanted = None
        self._under_way.write([*self._running.values(), *self.owed])

    def end(self, plan: TrialPlan, is_over: bool) -> None:
        """Take in what came of a trial; one that is not over is owed."""
        self._running.pop(plan.trial_id, None)
        self._wanted = None
        if not is_over:
            self.owed.insert(0, plan)
            return
        record = self._read(plan)
        if record is not None:
            self._note(plan, record)
        if self._read_final(plan) is None:
            self._failed[plan.trial_id] = plan.targets or self._sweep.targets
            self._ended.pop(plan.trial_id, None)

    def _note(self, plan: TrialPlan, record: TrialRecord) -> None:
        self._gave.note(record)
        self._hints.note(record)
        if record.state == "finished":
            # The targets themselves are not asked: one that was run by itself names none.
            scored = {row["target"] for row in record.scores}
            self._targets[plan.trial_id] = tuple(x for x in self._sweep.targets if x in scored)
        if self._with_failed and (record.state == "failed" or record.error):
            self._failed[plan.trial_id] = self._sweep.targets
        self._ended.pop(plan.trial_id, None)

    @property
    def _rows(self) -> list[str]:
        return [one.config_id for one in self._candidates]

    def _drawings(self, plans: Sequence[TrialPlan]) -> Iterator[Drawing]:
        rows = self._rows
        for plan in plans:
            if plan.config_id in rows:
                needed = [
                    self._gave.lower.needed(x) if plan.is_short else {*x.needed}
                    for x in self._columns
                ]
                own = [place for place, names in enumerate(needed) if {*plan.targets} >= names]
                draw, rung = self._sweep.seeds.index(plan.seed), self._rungs.index(plan.rung)
                yield Drawing(rows.index(plan.config_id), draw, tuple(own), rung)

    def _lower_seen(self) -> Lower:
        """What was seen at lower rungs. What failed there, or gave no score, runs there no more."""
        rows = self._rows
        scores = self._gave.lower.scores(rows)
        can_run = np.ones(scores.shape, dtype=bool)
        for at in zip(*np.nonzero(np.isnan(scores)), strict=True):
            row, place, rung = map(int, at)
            trial = self._bare[rows[row], self._sweep.seeds[0], self._rungs[rung]].trial_id
            needed = self._gave.lower.needed(self._columns[place])
            failed, scored = ({*of.get(trial, ())} for of in (self._failed, self._targets))
            can_run[at] = not (failed & needed or scored >= needed)
        return Lower(scores, can_run)

    def _available(self, seen: np.ndarray) -> np.ndarray:
        """A configuration that failed with a seed, or gave no score, runs no more there: its next
        run would have another seed than its pairs'."""
        seeds = self._sweep.seeds
        ended = [
            [self._has_ended(self._bare[one.config_id, seed, 1.0].trial_id) for seed in seeds]
            for one in self._candidates
        ]
        by_seed = np.array(ended, dtype=bool).reshape(len(seen), len(seeds), len(self._columns))
        return np.asarray(~(by_seed.swapaxes(1, 2) & np.isnan(seen)).any(2))

    def _has_ended(self, trial: str) -> list[bool]:
        """Whether a whole run has ended on each column, however."""
        if trial not in self._ended:
            failed, scored = ({*of.get(trial, ())} for of in (self._failed, self._targets))
            self._ended[trial] = [
                bool(failed & {*x.needed}) or scored >= {*x.needed} for x in self._columns
            ]
        return self._ended[trial]

    def beliefs(self) -> dict[str, tuple[float, Dev]]:
        """Configurations that have a run: what the model believes of their objective, and of their
        dev scores with the sampling variances that these would have."""
        return self._gave.beliefs(self._all)

    def ends(self) -> Iterator[ConfigurationEnd]:
        """What came of every configuration."""
        return self._gave.ends(self._all)

    @property
    def _all(self) -> list[str]:
        return [one.config_id for one in (*self._baselines, *self._candidates)]

"""A race over the trials of a sweep: which are wanted now, from their records alone.

The policy (`race.py`) sees the configurations with an intermediate; the baseline has all its runs
in any case. The nth run of a configuration is with the nth seed of the file. A decision counts
what runs now as drawn, with the value that the model believes in, so that nobody waits for a round
to fill. All first runs that are wanted are decided together, so that a configuration's first trial
has its targets at once; of further runs each target wants one at a time. What was begun is written
down before it is handed out: a sweep that was killed hands it out again before it decides anew.

Optuna's study keeps every configuration open until search ends. Until then its sampler is told
of each that has a run what the model believes of it on all targets, by the values that
`weighting.py` makes of dev scores. At the end one with all its runs is told as it is in any sweep,
and one with fewer as pruned, with the mean of what was seen. This needs no second sampler and no
value that has to be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from xstilts.config.derive import NONE, measured_by
from xstilts.files import write_json
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.report.comparison import scores_of
from xstilts.run.places import Places
from xstilts.run.rounds import Dev
from xstilts.scores.aggregate import AVERAGE
from xstilts.scores.best import TrialScores
from xstilts.scores.prior import KnownCell
from xstilts.scores.seen import Column, columns_of, seen_scores
from xstilts.search.hints import Hints
from xstilts.search.proposals import Proposal
from xstilts.search.race import next_runs
from xstilts.search.race_model import believe
from xstilts.search.weighting import dev_of, mean_dev

UNDER_WAY = "race.json"
"""In the folder of a launch: the trials that were handed out last and have not ended."""

LEAST_KNOWN = 2
"""Candidates of a column that have run before the model is asked."""

ReadRecord = Callable[[TrialPlan], TrialRecord | None]


class Drawing(NamedTuple):
    """Runs of a candidate with the seed of a number, on some columns; all by number."""

    candidate: int
    draw: int
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ConfigurationEnd:
    """What a configuration has in the end: its objective, the mean of what was seen of it; `dev` if
    it had all its runs, else how many, and whether one diverged."""

    config_id: str
    objective: float | None
    dev: Dev | None = None
    num_runs: int = 0
    diverged: bool = False


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
    hints: np.ndarray | None = None,
) -> Decision:
    """What a race wants; a pure function.

    Args:
        seen: dev scores (candidates, columns, draws), NaN where not drawn.
        running: what is under way.
        available: which candidates can be run on which columns, (candidates, columns).
        seed: orders the candidates of whom nothing is known.
        hints: order those that have not run, (candidates, columns); see `next_runs`.
    """
    if not seen.size:
        return Decision((), ())
    scores, values = seen[:, :, None].copy(), believed(seen)
    for candidate, draw, columns in running:
        for column in columns:
            if np.isnan(scores[candidate, column, 0, draw]):
                scores[candidate, column, 0, draw] = values[candidate, column]
    first: dict[tuple[int, int], list[int]] = {}
    further: dict[tuple[int, int], list[int]] = {}
    most, can_run, is_first_round = seen.shape[2], available[..., None], True
    while True:
        runs = next_runs(scores, most, available=can_run, seed=seed, hints=hints)
        drawn = np.isfinite(scores[:, :, 0])
        begin = [run for run in runs if not drawn[run.candidate, run.target].any()]
        for run in runs if is_first_round else begin:
            draw = int(drawn[run.candidate, run.target].argmin())
            kind = first if run in begin else further
            kind.setdefault((run.candidate, draw), []).append(run.target)
        if not begin:
            break
        for run in begin:
            draw = int(drawn[run.candidate, run.target].argmin())
            scores[run.candidate, run.target, 0, draw] = values[run.candidate, run.target]
        is_first_round = False
    return Decision(*(_drawings(kind) for kind in (first, further)))


def _drawings(runs: dict[tuple[int, int], list[int]]) -> tuple[Drawing, ...]:
    return tuple(Drawing(*key, tuple(sorted(columns))) for key, columns in runs.items())


def believed(seen: np.ndarray) -> np.ndarray:
    """What a run of each candidate on each column is expected to give, (candidates, columns): the
    model's means, or the column's mean where too few have run for a model."""
    drawn = np.isfinite(seen)
    means = np.nansum(seen, (0, 2)) / np.maximum(drawn.sum((0, 2)), 1)
    values = np.tile(means, (len(seen), 1))
    known = drawn.any(2).sum(0) >= LEAST_KNOWN
    if known.any():
        values[:, known] = believe(seen[:, known, None]).means
    return values


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
            {"config": plan.config_id, "seed": plan.seed, "targets": plan.subset} for plan in plans
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
        self._read_final, self._read = read_final, read
        self._under_way = under_way or UnderWay()
        self._with_failed = with_failed
        self._hints = Hints(planner.sweep, planner.inventory, known)
        self._candidates: list[Proposal] = []
        self._baselines: list[Proposal] = []
        self._scores: dict[str, TrialScores] = {}
        self._ends: dict[str, tuple[float | None, Dev]] = {}
        self._targets: dict[str, tuple[str, ...]] = {}
        self._bare: dict[tuple[str, int], TrialPlan] = {}
        self._dev_rows: dict[str, int] = {}
        self._failed: dict[str, tuple[str, ...]] = {}
        self._diverged: set[str] = set()
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
        for seed in self._sweep.seeds:
            plan = self._planner.plan(proposal.point, seed, targets=())
            self._bare[proposal.config_id, seed] = plan
            record = self._read(plan)
            if record is not None:
                self._note(plan, record)
            wanted = self._sweep.targets if is_baseline else self._targets.get(plan.trial_id, ())
            if wanted:
                self._owe(self._plan(proposal, seed, wanted))
        self._wanted = None

    def _take_up(self, proposals: Sequence[Proposal]) -> None:
        """Owe what the launch before has handed out and nobody has ended, before all others."""
        by_id = {proposal.config_id: proposal for proposal in proposals}
        others, self.owed = self.owed, []
        for told in self._under_way.known:
            if told["config"] in by_id and told["seed"] in self._sweep.seeds:
                proposal = by_id[told["config"]]
                self._owe(self._plan(proposal, told["seed"], tuple(told["targets"])))
        for plan in others:
            if plan.trial_id not in {one.trial_id for one in self.owed}:
                self.owed.append(plan)

    def _owe(self, plan: TrialPlan) -> None:
        failed = self._failed.get(plan.trial_id)
        is_over = failed is not None and {*plan.targets} <= {*failed}
        if self._read_final(plan) is None and not is_over:
            self.owed = [one for one in self.owed if one.trial_id != plan.trial_id] + [plan]

    def _plan(self, proposal: Proposal, seed: int, targets: Sequence[str]) -> TrialPlan:
        """The plan of a trial with these targets, and all that it has had or owes."""
        bare = self._bare[proposal.config_id, seed]
        owed = (one.targets for one in self.owed if one.trial_id == bare.trial_id)
        before = self._targets.get(bare.trial_id, ())
        wanted = {*targets, *before}.union(*owed)
        for column in self._columns:
            # The mean over all targets chooses for those without a dev set, for no more training.
            if column.score == AVERAGE and wanted >= {*column.needed} - {*column.targets}:
                wanted |= {*column.targets}
        return self._planner.plan(proposal.point, seed, targets=wanted)

    def wanted(self) -> tuple[list[TrialPlan], list[TrialPlan]]:
        """The trials that are wanted now: first runs of configurations, and further ones; none of
        those that run. Where signals are asked for, those that tell them come before all others."""
        if self._wanted is None:
            owed = (plan for plan in self.owed if plan.trial_id not in self._running)
            under_way = [*self._running.values(), *owed]
            seen = self._seen()
            found = decide(
                seen,
                list(self._drawings(under_way)),
                self._available(seen),
                self._sweep.search.encoder.sampler.seed,
                self._hints.of(self._candidates),
            )
            first, further = (list(self._plans(one)) for one in (found.first, found.further))
            if self._sweep.search.signals:
                first, further = list(self._without_signals()), [*first, *further]
            self._wanted = first, further
        return self._wanted

    def _plans(self, drawings: Sequence[Drawing]) -> Iterator[TrialPlan]:
        for candidate, draw, columns in drawings:
            needed = {name for column in columns for name in self._columns[column].needed}
            plan = self._plan(self._candidates[candidate], self._sweep.seeds[draw], tuple(needed))
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

    def _note(self, plan: TrialPlan, record: TrialRecord) -> None:
        self._hints.note(record)
        if record.state == "finished":
            # The targets themselves are not asked: one that was run by itself names none.
            scored = {row["target"] for row in record.scores}
            self._targets[plan.trial_id] = tuple(x for x in self._sweep.targets if x in scored)
            self._scores[plan.trial_id] = scores_of(self._sweep, record)
            self._ends[plan.trial_id] = record.objective, dev_of(self._sweep, record)
            for row in record.scores:
                if row["split"] == "dev":
                    self._dev_rows[row["target"]] = row["n"]
        elif record.diverged:
            self._diverged.add(plan.trial_id)
        if self._with_failed and (record.state == "failed" or record.error):
            self._failed[plan.trial_id] = self._sweep.targets

    @property
    def _rows(self) -> list[str]:
        return [one.config_id for one in self._candidates]

    def _seen(self) -> np.ndarray:
        return seen_scores(self._sweep, self._rows, self._scores.values())

    def _drawings(self, plans: Sequence[TrialPlan]) -> Iterator[Drawing]:
        rows = self._rows
        for plan in plans:
            if plan.config_id in rows:
                own = [i for i, x in enumerate(self._columns) if {*plan.targets} >= {*x.needed}]
                draw = self._sweep.seeds.index(plan.seed)
                yield Drawing(rows.index(plan.config_id), draw, tuple(own))

    def _available(self, seen: np.ndarray) -> np.ndarray:
        """A configuration that failed with a seed, or gave no score, runs no more there: its next
        run would have another seed than its pairs'."""
        found = np.ones(seen.shape[:2], dtype=bool)
        for row, proposal in enumerate(self._candidates):
            for draw, seed in enumerate(self._sweep.seeds):
                trial = self._bare[proposal.config_id, seed].trial_id
                failed, scored = ({*of.get(trial, ())} for of in (self._failed, self._targets))
                for place, column in enumerate(self._columns):
                    has_ended = failed & {*column.targets} or scored >= {*column.needed}
                    if has_ended and np.isnan(seen[row, place, draw]):
                        found[row, place] = False
        return found

    def beliefs(self) -> dict[str, tuple[float, Dev]]:
        """Configurations that have a run: what the model believes of their objective, and of their
        dev scores with the sampling variances that these would have."""
        proposals = [*self._baselines, *self._candidates]
        seen = self._measured(proposals)
        if not seen.size:
            return {}
        values = np.clip(believed(seen), 0, 100)
        found: dict[str, tuple[float, Dev]] = {}
        for proposal, own, scores in zip(proposals, values, seen, strict=True):
            if np.isfinite(scores).any():
                dev = {
                    column.score: [float(s), float(s * (100 - s)) / self._dev_rows[column.score]]
                    for column, s in zip(self._with_dev, own, strict=True)
                    if column.score in self._dev_rows
                }
                found[proposal.config_id] = self._objective(own), dev
        return found

    def ends(self) -> Iterator[ConfigurationEnd]:
        """What came of every configuration."""
        proposals = [*self._baselines, *self._candidates]
        seen = self._measured(proposals)
        for proposal, scores in zip(proposals, seen, strict=True):
            drawn = np.isfinite(scores)
            trials = [self._bare[proposal.config_id, seed].trial_id for seed in self._sweep.seeds]
            known = [self._ends[trial] for trial in trials if trial in self._ends]
            objectives = [value for value, _ in known if value is not None]
            if drawn.all() and len(objectives) == len(trials):
                dev = mean_dev([dev for _, dev in known])
                yield ConfigurationEnd(proposal.config_id, fmean(objectives), dev)
                continue
            with np.errstate(invalid="ignore"):
                mean = self._objective(np.nansum(scores, 1) / drawn.sum(1))
            yield ConfigurationEnd(
                proposal.config_id,
                mean if np.isfinite(mean) else None,
                num_runs=int(drawn.sum()),
                diverged=any(trial in self._diverged for trial in trials),
            )

    @property
    def _with_dev(self) -> list[Column]:
        return [column for column in self._columns if column.score != AVERAGE]

    def _measured(self, proposals: Sequence[Proposal]) -> np.ndarray:
        """The dev scores of targets that have a dev set, (configurations, columns, seeds)."""
        own = [i for i, column in enumerate(self._columns) if column.score != AVERAGE]
        ids = [proposal.config_id for proposal in proposals]
        return seen_scores(self._sweep, ids, self._scores.values())[:, own]

    def _objective(self, values: np.ndarray) -> float:
        """The objective by dev scores of columns, without those that are NaN."""
        target = measured_by(self._sweep).removeprefix("dev/")
        own = [i for i, column in enumerate(self._with_dev) if target in (*column.targets, AVERAGE)]
        known = values[own][np.isfinite(values[own])]
        return float(known.mean()) if len(known) else float("nan")

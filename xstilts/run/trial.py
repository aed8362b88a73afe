"""Run one trial: walk its plan, stage by stage, and write its record.

The same function runs under Ray, by `xstilts run` and in tests. A trial that is started again
finds its finished stages in the store; its record is a view of them.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from xstilts.config.derive import links_of
from xstilts.errors import (
    Diverged,
    LeaseLost,
    Preempted,
    ProcessLost,
    StorageFull,
    StorageGone,
    XstiltsError,
)
from xstilts.files import CARE, is_disk_full, sha256_of, write_json
from xstilts.lease import Lease
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Computable, Evaluate, Train, fingerprint, stage_name
from xstilts.plan.trial_plan import Cell, TargetSet, TrialPlan, retried
from xstilts.records import Attempt, Chosen, Outcome, StageEntry, TrialRecord
from xstilts.run import attempts
from xstilts.run.costs import told_of
from xstilts.run.kept_weights import with_bases
from xstilts.run.links import Links
from xstilts.run.probes import Probed
from xstilts.run.records import STAGES, kept_of, read_stages, read_status, write_record
from xstilts.run.selection import dev_by_language, dev_score
from xstilts.run.trial_record import record_of
from xstilts.run.trial_status import TrialStatus
from xstilts.run.workshop import Computed, Workshop
from xstilts.scores.table import Score

WAIT_S = 0.5


class TrialRun:
    """One trial on its way, in a process that holds its lease."""

    def __init__(
        self,
        plan: TrialPlan,
        planner: Planner,
        workshop: Workshop,
        lease: Lease,
        before_record: Callable[[TrialRecord], None],
    ):
        self.plan = plan
        self.planner = planner
        self.sweep = planner.sweep
        self.workshop = workshop
        self.lease = lease
        self.folder = lease.folder
        self.before_record = before_record
        self.scores: list[Score] = []
        self.stages: list[StageEntry] = []
        self.curves: dict[str, list[dict[str, float]]] = {}
        self.chosen: dict[str, Chosen] = {}
        self.chosen_recipes: dict[str, dict[str, dict[str, Any]]] = {}
        self.judged: dict[str, list[str]] = {"collapsed": [], "undecided": []}
        self.retries: dict[str, int] = {}
        self._links = Links(self._train, self.retries)
        self.examples: dict[str, dict[str, int]] = {}
        self.environment: dict[str, Any] = {}
        self.signals: dict[str, dict[str, float]] = {}
        self.probes = Probed()
        self.evaluation_s: dict[str, float] = {}
        self.care_s = CARE.seconds
        self._used = {stage_name(stage) for stage in plan.training_stages}
        num_stages = len(plan.training_stages) + len(plan.evaluated)
        num_stages += len(plan.signals) + len(plan.probes)
        self.status = TrialStatus(self.folder, num_stages)

    def run(self) -> TrialRecord:
        """Compute or read every stage; the trial's record."""
        if isinstance(self.plan.encoder, Train):
            stage, found = self._train(self.plan.encoder, self.plan.encoder.label)
            if stage is not self.plan.encoder:
                self.plan = self.planner.with_encoder(self.plan, stage)
            outcome = found.manifest.trained
            self.examples = outcome.examples
            self.curves["intermediate"] = outcome.curve
            for verdict, tasks in verdicts(outcome).items():
                self.judged[verdict] += [f"intermediate/{task}" for task in tasks]
        for signal in self.plan.signals:
            found = self._stage(signal, f"signal {signal.name}")
            self.signals[signal.name] = found.manifest.values
        for probe in self.plan.probes:
            self.probes.add(probe, self._stage(probe, f"probe {probe.name}").manifest)
        waiting = list(self.plan.target_sets)
        while waiting:
            # What another trial trains right now is done when the rest is, and need not be waited
            # for with a GPU in hand.
            group = next((group for group in waiting if not self._is_in_work(group)), waiting[0])
            waiting.remove(group)
            cell = self._best_cell(group) if group.cells else None
            for target in group.targets:
                if target in self.plan.evaluated:
                    self._evaluate(target, cell)
        # No cell goes on from them any more, but what was chosen may be adapters of theirs.
        chosen = (one.stage for one in self.chosen.values())
        needed = with_bases(self.workshop.storage, chosen)
        for name in self._links.names:
            if name not in needed:
                self.workshop.let_go(name)
        return self.record("finished")

    def _is_in_work(self, group: TargetSet) -> bool:
        """Whether another process computes a stage of the target set now."""
        store = self.workshop.store
        stages: list[Train | Evaluate] = []
        for cell in group.cells:
            stages += [*cell.stage.links_before, cell.stage]
        if not stages:
            stages = [self.planner.evaluation(self.plan, name, None) for name in group.targets]
        return any(not store.has(stage) and store.is_in_work(stage) for stage in stages)

    def _stage(self, stage: Computable, name: str) -> Computed:
        self.status.at(name)
        # Before it is computed: its checkpoint, too, is nobody else's to delete.
        self._used.add(stage_name(stage))
        self.lease.check()
        write_json(self.folder / STAGES, sorted(self._used))
        asked = time.time()
        owner = f"{self.sweep.name}/{self.plan.trial_id}"
        found = self.workshop.run(stage, owner, lambda share: self.status.at(name, share))
        self.status.done_stages += 1
        self.environment = found.manifest.environment
        self.stages.append(
            StageEntry(
                name=stage_name(stage),
                fingerprint=fingerprint(stage),
                is_reused=found.manifest.computed_by != owner,
                asked=asked,
                started=found.manifest.started,
                seconds=found.manifest.seconds,
                wait_s=found.wait_s,
                threads=found.manifest.environment.get("threads"),
                **told_of(found.manifest.outcome),
            )
        )
        return found

    def _train(self, stage: Train, name: str) -> tuple[Train, Computed]:
        """A training stage; one that collapses is tried with other seeds, as the file allows."""
        for attempt in range(self.sweep.retries + 1):
            tried = retried(stage, attempt)
            is_last = attempt == self.sweep.retries
            try:
                found = self._stage(tried, name if not attempt else f"{name}, retry {attempt}")
            except Diverged:
                if is_last:
                    raise
            else:
                if is_last or not found.manifest.trained.collapsed:
                    break
            self.retries[name] = attempt + 1
        return tried, found

    def _best_cell(self, group: TargetSet) -> Cell:
        """Train every cell of a target set; the one with the highest dev score, first wins ties."""
        task = links_of(self.sweep, group.name)[-1]
        trained = []
        for number, cell in enumerate(group.cells):
            planned = self._links.under(cell.stage, partial(group.label, number))
            stage, found = self._train(planned, group.label(number))
            trained.append((replace(cell, stage=stage), found))

        best, best_found = max(trained, key=lambda pair: dev_score(pair[1].manifest.trained, task))
        for cell, found in trained:
            if cell is not best:
                self.workshop.let_go(stage_name(cell.stage))
            outcome = found.manifest.trained
            for target in group.targets:
                row = self._row(cell, target, cell is best)
                self.scores += [
                    row(split="dev", language=language, metric=metric, value=value, n=count)
                    for language, (values, count) in dev_by_language(outcome, task).items()
                    for metric, value in values.items()
                ]
        outcome, links = best_found.manifest.trained, self._links.before(best.stage)
        (part,) = best.stage.parts
        own = {f"{group.name}/{link.stage.label}": link for link in links}
        self.curves |= {name: link.outcome.curve for name, link in own.items()}
        self.curves[group.name] = outcome.curve
        ends = [verdicts(one) for one in (*(link.outcome for link in links), outcome)]
        # A chain is what is worst of its links.
        if worst := next((name for name in self.judged if any(one[name] for one in ends)), ""):
            self.judged[worst] += group.targets
        values = {"learning_rate": best.stage.recipe.learning_rate, **best.point}
        names = tuple(stage_name(link.stage) for link in links)
        self.chosen[group.name] = Chosen(stage_name(best.stage), values, links=names)
        self.chosen_recipes[group.name] = {
            **{name: link.recipe for name, link in own.items()},
            group.name: best.stage.recipe_of(part).values,
        }
        if self.plan.is_short:
            return best
        final = self.planner.final(best.stage, outcome.best_step)
        return best if final is None else self._finally(group, best, final, outcome.best_step)

    def _finally(self, group: TargetSet, best: Cell, final: Train, best_step: int) -> Cell:
        """Train the chosen cell once more, with the rows that selected it; what selected stays."""
        self._stage(final, f"{group.name} final")
        self.workshop.let_go(stage_name(best.stage))
        self.chosen[group.name] = replace(
            self.chosen[group.name],
            stage=stage_name(final),
            selected=stage_name(best.stage),
            best_step=best_step,
        )
        return replace(best, stage=final)

    def _evaluate(self, target: str, cell: Cell | None) -> None:
        stage = self.planner.evaluation(self.plan, target, cell)
        found = self._stage(stage, f"{target} evaluation")
        if not self.stages[-1].is_reused:
            for what, seconds in found.manifest.evaluation_s.items():
                self.evaluation_s[f"cost/{target}/{what}_s"] = seconds
        row, counts = self._row(cell, target, True), found.manifest.rows
        self.scores += [
            row(split=stage.split, language=name, metric=metric, value=value, n=counts[name])
            for name, scores in found.manifest.scores.items()
            for metric, value in scores.items()
        ]

    def _row(self, cell: Cell | None, target: str, is_chosen: bool) -> Callable[..., Score]:
        """Makes rows of the score table for a target, of all that is the same in each."""
        return partial(
            Score,
            trial=self.plan.trial_id,
            config=self.plan.config_id,
            cell=fingerprint(cell.stage)[:12] if cell else "",
            intermediate=self.plan.intermediate,
            model=self.plan.model,
            target=target,
            seed=self.plan.seed,
            is_chosen=is_chosen,
        )

    def record(self, state: str, error: str = "", diverged: bool = False) -> TrialRecord:
        """Write and return the trial's record as it stands."""
        record = record_of(self, state, error, diverged)
        kept = kept_of(self.folder, record)
        self.before_record(kept)
        self.lease.renew()
        write_record(self.folder, kept)
        return record


def verdicts(outcome: Outcome) -> dict[str, list[str]]:
    """The tasks of a training stage of which something must be said, by what it is."""
    return {"collapsed": outcome.collapsed, "undecided": outcome.undecided}


def run_trial(
    plan: TrialPlan,
    planner: Planner,
    workshop: Workshop,
    folder: Path,
    on_error: Callable[[str], None] = lambda text: None,
    before_record: Callable[[TrialRecord], None] = lambda record: None,
) -> TrialRecord:
    """Run a trial to its record; a trial that fails for its own reason gives a failed record.

    Args:
        folder: the trial's folder, for its status and record.
        on_error: called with the traceback of a failure.
        before_record: called with the record before it is written, which tells all others that
            the trial has ended.

    Raises:
        Preempted: the workshop was told to stop.
        ProcessLost: one of the trial's processes was killed.
        LeaseLost: another process has taken the trial over.
        StorageFull: the disk is full.
        StorageGone: the storage is not there any more.
    """
    folder.mkdir(exist_ok=True)
    lease = Lease(folder)
    while not lease.acquire():
        # Its process of before may only be stopped: what it holds ends by its silence.
        if workshop.must_stop():
            raise Preempted(f"{plan.trial_id}: stopped before it began; the same command goes on")
        time.sleep(WAIT_S)
    with lease.held():
        return _attempt(TrialRun(plan, planner, workshop, lease, before_record), on_error)


def _attempt(trial: TrialRun, on_error: Callable[[str], None]) -> TrialRecord:
    folder, number = trial.folder, trial.lease.number
    how = "stopped"
    try:
        attempts.check_progress(_begin(trial))
        record = trial.run()
        how = record.state
    except (Preempted, LeaseLost, StorageGone):
        raise  # no result: the same command goes on, or another process does
    except ProcessLost:
        how = attempts.LOST
        raise
    except Exception as error:
        if is_disk_full(error):
            raise StorageFull(f"{trial.workshop.storage}: the disk is full") from error
        on_error(traceback.format_exc())
        text = str(error)
        if not isinstance(error, XstiltsError):
            # A bug or a library's error: the sweep goes on, the record keeps the traceback.
            text = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        how = "failed"
        record = trial.record("failed", text, diverged=isinstance(error, Diverged))
    finally:
        with suppress(OSError):
            attempts.end(folder, number, how)
    return record


def _begin(trial: TrialRun) -> list[Attempt]:
    """Note a further attempt; all of them."""
    folder, status = trial.folder, read_status(trial.folder)
    names = {*(read_stages(folder) or []), *map(stage_name, trial.plan.training_stages)}
    progress = sha256_of([trial.workshop.progress_of(name) for name in sorted(names)])[:16]
    last_sign_s = status.updated if status else None
    attempts.begin(folder, trial.lease.number, progress, last_sign_s)
    return attempts.read(folder)

"""The record of a trial, made from what its stages gave: averages, recipes, costs."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from xstilts.config.derive import benchmark_of, languages_of, measured_by
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.files import CARE
from xstilts.plan.stage import Train
from xstilts.records import RUNG, SCHEMA, TrialRecord
from xstilts.run import attempts
from xstilts.run.costs import costs_of
from xstilts.scores.aggregate import averages
from xstilts.scores.table import ChosenScores, ScoreTable
from xstilts.tracking.tracker import metric_name

if TYPE_CHECKING:
    from xstilts.run.trial import TrialRun


def record_of(trial: TrialRun, state: str, error: str, diverged: bool) -> TrialRecord:
    """A trial's record as it stands."""
    sweep, plan, encoder = trial.sweep, trial.plan, trial.plan.encoder
    _put_in_order(trial)
    metrics, missing = averaged(sweep, ScoreTable(trial.scores).chosen, plan.targets, plan.phase)
    return TrialRecord(
        trial=plan.trial_id,
        attempt=trial.lease.number,
        config=plan.config_id,
        sweep=sweep.name,
        state=state,
        error=error,
        diverged=diverged,
        point=plan.point,
        seed=plan.seed,
        phase=plan.phase,
        confirms=plan.confirms,
        targets=None if plan.subset is None else list(plan.subset),
        rung=plan.rung,
        signals=trial.signals,
        probes=trial.probes.values,
        probe_holes=trial.probes.holes,
        model=plan.model,
        intermediate=plan.intermediate,
        rates=dict(plan.rates),
        examples=trial.examples,
        learning_rate=encoder.recipe.learning_rate if isinstance(encoder, Train) else None,
        chosen=trial.chosen,
        recipes=_recipes(trial),
        metrics={**metrics, **_costs(trial)},
        missing=missing if state == "finished" and not plan.is_short else [],
        **trial.judged,
        retries=trial.retries,
        objective=metrics.get(measured_by(sweep)),
        scores=ScoreTable(trial.scores).rows,
        stages=trial.stages,
        curves=trial.curves,
        environment=trial.environment,
        processes=trial.planner.world_size,
        precision=trial.planner.precision,
        started=trial.status.started,
        ended=time.time(),
        schema=SCHEMA,
    )


def averaged(
    sweep: Sweep, table: ChosenScores, scored: Collection[str], phase: str
) -> tuple[dict[str, float], list[str]]:
    """The averages of a trial's scores by the names that its record has them under, and what some
    of them lack. `scored` are the targets that the trial scores."""
    tasks = [find_task(sweep, name) for name in sweep.targets if name in scored]
    languages = {task.name: languages_of(sweep, task) for task in tasks}
    is_whole = len(tasks) == len(sweep.targets)
    split, pivots = sweep.evaluation.split, sweep.selection.pivot or ()
    found = averages(table, tasks, languages, benchmark_of(sweep), split, is_whole, pivots)
    # Nothing of a lower rung has the name of what a whole run gave.
    prefix = f"{phase}/" if phase == RUNG else ""
    metrics = {prefix + metric_name(metric): value for metric, value in found.metrics.items()}
    return metrics, list(found.missing)


def _recipes(trial: TrialRun) -> dict[str, dict[str, Any]]:
    """What the stages were trained by, in the plan's order: each task of the intermediate, each
    target's chosen stage, after the links of its chain as TARGET/LINK. A target without training
    has a length alone."""
    encoder, recipes = trial.plan.encoder, {}
    targets: dict[str, dict[str, Any]] = {}
    if isinstance(encoder, Train):
        recipes = {one.train.task: encoder.recipe_of(one).values for one in encoder.parts}
    for group in trial.plan.target_sets:
        targets |= trial.chosen_recipes.get(group.name, {})
        for target in group.targets if not group.cells else ():
            rows = trial.planner.evaluation(trial.plan, target, None).rows
            targets[target] = {"max_length": rows.max_length}
    return {"intermediate": recipes, "target": targets}


def _put_in_order(trial: TrialRun) -> None:
    """Sort what the target sets gave: their order of execution hangs on other trials."""
    groups = [group.name for group in trial.plan.target_sets]
    place = {
        target: groups.index(group.name)
        for group in trial.plan.target_sets
        for target in group.targets
    }
    trial.scores.sort(key=lambda score: place[score.target])
    for names in trial.judged.values():
        names.sort(key=lambda name: place.get(name, -1))
    trial.chosen = {name: trial.chosen[name] for name in groups if name in trial.chosen}


def _costs(trial: TrialRun) -> dict[str, float]:
    """What the trial cost."""
    return {
        **costs_of(trial.stages, trial.sweep.resources.gpus_per_trial),
        "cost/interruptions": attempts.num_lost(attempts.read(trial.folder)),
        "cost/care_s": CARE.seconds - trial.care_s,
        **trial.evaluation_s,
    }

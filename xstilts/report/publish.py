"""Publish a sweep: tables and pictures into its folder, records into the tracker.

Everything is rebuilt from the records, so publishing again after a lost tracker, a deleted file or
an extended sweep gives what an undisturbed sweep would have given.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.csv

from xstilts.config.derive import measured_by
from xstilts.errors import TrackingError
from xstilts.files import write_atomically
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.records import TrialRecord
from xstilts.report.documents import as_json_text, as_markdown, cells_csv
from xstilts.report.notes import experiment_note, run_note, summary_note
from xstilts.report.pictures import gain_map, heat_map
from xstilts.report.results import Results
from xstilts.report.tables import column_names
from xstilts.report.trial_files import columns_of, sweep_file, trial_artifacts, write_scores
from xstilts.report.usage import bars, draw_timeline
from xstilts.run.preparation import jobs_of, known_figures
from xstilts.run.rounds import read_rounds
from xstilts.tracking.runs import COST, summary_run, trial_run
from xstilts.tracking.tracker import Point, TrackedExperiment, Tracker
from xstilts.tracking.views import KIND, View, sweep_views

logger = logging.getLogger(__name__)

PICTURES = ("intermediates.png", "languages.png")
"""The heat maps among the report's files."""


def write_report(results: Results) -> list[Path]:
    """Write the report's files; the paths of the pictures."""
    folder = results.places.report
    folder.mkdir(exist_ok=True)
    write_atomically(folder / "report.md", as_markdown(results))
    write_atomically(folder / "report.json", as_json_text(results))
    for name, table in results.tables.items():
        write_atomically(folder / f"{name}.csv", table.csv())
    write_atomically(folder / "cells.csv", cells_csv(results))
    scores = [one.scores for one in results.records if not one.is_short]
    write_scores(scores, folder / "scores.parquet")
    # What a report of an earlier version left: of 5,000 trials 250 MB, which nothing reads.
    (folder / "scores.json").unlink(missing_ok=True)
    _write_tokens(results, folder / "tokens.csv")
    pictures = _write_pictures(results, folder)
    if times := bars(results, time.time()):
        pictures.append(folder / "timeline.png")
        draw_timeline(times, f"{results.sweep.name}: what trials did", pictures[-1])
    return pictures


def publish_trial(tracker: Tracker, results: Results, record: TrialRecord) -> None:
    """Write one trial's artifacts beside its record and its run into the tracker.

    Raises:
        TrackingError: see `Tracker.write`.
    """
    artifacts = trial_artifacts(results.sweep, results.places, record)
    note = run_note(results.sweep, record)
    tracker.write(trial_run(results.sweep, record, artifacts, (), note=note))


def publish_views(tracker: Tracker, results: Results) -> None:
    """Have the tracker store the views that links open, before there is a verdict.

    Raises:
        TrackingError: see `Tracker.write`.
    """
    tracker.describe(TrackedExperiment(tags=_tags(results)))


def views_of(results: Results) -> tuple[View, ...]:
    """The views of a sweep's runs that the tracker is to have."""
    sweep = results.sweep
    # One trial of each sort has the names of all: a link must not wait for a thousand of them.
    sorts = {(record.phase, record.intermediate): record for record in results.records}
    runs = (trial_run(sweep, record, {}, ()) for record in sorts.values())
    names = {point.key for run in runs for point in run.metrics}
    objective = measured_by(sweep)
    reached = [
        record.metrics[objective] for record in results.records if objective in record.metrics
    ]
    return sweep_views(sweep, names, filter(math.isfinite, reached))


def _tags(results: Results) -> dict[str, str]:
    """Tags of the experiment: what it is for, and its views."""
    return {**KIND, **dict(view.tag for view in views_of(results))}


def publish_sweep(tracker: Tracker, results: Results) -> None:
    """Write every trial's run, with its gains, the sweep's `summary`, and what the experiment says
    of itself.

    Raises:
        TrackingError: see `Tracker.write`.
    """
    if not results.records:
        return
    ended = max(record.ended for record in results.records)
    words: dict[str, dict[str, str]] = {}
    for target, told in results.verdicts.items():
        for trial in told.trials:
            words.setdefault(trial, {})[target] = told.verdict.verdict
    gains = _gains(results)
    for record in results.records:
        points = [
            Point(f"{name}/{target}", value, 0, round(ended * 1000), "gain")
            for (name, target), value in sorted(gains.get(record.trial, {}).items())
        ]
        artifacts = trial_artifacts(results.sweep, results.places, record)
        own = words.get(record.trial, {})
        note = run_note(results.sweep, record, own)
        tracker.write(trial_run(results.sweep, record, artifacts, points, own, note))
    files = [path for path in sorted(results.places.report.glob("*")) if path.is_file()]
    artifacts = {path.name: path for path in files}
    artifacts |= sweep_file(results.places)
    started = min(record.started for record in results.records)
    verdicts = {target: told.verdict.verdict for target, told in results.verdicts.items()}
    pictures = {path.stem: path for path in files if path.name in PICTURES}
    tracker.write(
        summary_run(
            results.sweep,
            _summary(results),
            artifacts,
            started,
            ended,
            verdicts,
            pictures,
            summary_note(results),
        )
    )
    tracker.describe(TrackedExperiment(experiment_note(results), _tags(results)))


def try_publish(tracker: Tracker, results: Results) -> str:
    """`publish_sweep`, with the reason instead of an error when the tracker is unreachable."""
    try:
        publish_sweep(tracker, results)
    except TrackingError as error:
        return str(error)
    return ""


def _gains(results: Results) -> dict[str, dict[tuple[str, str], float]]:
    """Trial -> (name, target) -> points over the baseline: of search over search's best baseline,
    of confirmation over the mean of its baseline's runs that learnt."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    searched = {best.target: best.baseline.score for best in results.best if best.baseline}
    confirmed = {
        target: told.verdict.none
        for target, told in results.verdicts.items()
        if told.is_confirmed and told.verdict.none is not None
    }
    for name, trials, baselines in (
        ("search_gain", results.trials, searched),
        ("gain", results.fresh, confirmed),
    ):
        for trial in trials:
            own = {
                target: trial.scores[target] - score
                for target, score in baselines.items()
                if target in trial.scores
            }
            if own and len(own) == len(results.sweep.targets):
                own["avg"] = fmean(own.values())
            found[trial.trial] = {(name, target): gain for target, gain in own.items()}
    return found


def _summary(results: Results) -> dict[str, float]:
    metrics = {f"best/{best.target}": best.best.score for best in results.best}
    metrics |= {f"search_gain/{b.target}": b.gain for b in results.best if b.gain is not None}
    metrics |= {
        f"gain/{target}": told.verdict.gain
        for target, told in results.verdicts.items()
        if told.is_confirmed and told.verdict.gain is not None
    }
    if len(metrics) and len(results.best) == len(results.sweep.targets):
        scores = [best.best.score for best in results.best]
        metrics["best/avg"] = sum(scores) / len(scores)
    if results.confirmed:
        metrics[f"{COST}/confirm_trials"] = float(len(results.confirmed))
        metrics[f"{COST}/confirm_cost"] = results.confirm_cost
    for current in read_rounds(results.places)[-1:]:
        weights = zip(current.targets, current.weights, strict=True)
        metrics |= {f"weight/{target}": weight for target, weight in weights}
    return {**metrics, f"{COST}/trials": float(len(results.searched))}


def _write_tokens(results: Results, path: Path) -> None:
    """What the tokenizers made of every language: a line for each task, use and language."""
    definition = results.places.definition()
    if definition is None:
        return
    inventory = Inventory.from_json(definition.inventory)
    jobs = jobs_of(Planner(results.sweep, inventory, {}))
    lines = [
        {
            "model": prepared.job.model,
            "task": prepared.job.rows.task,
            "use": prepared.job.rows.use,
            "language": prepared.job.language,
            **prepared.statistics,
        }
        for prepared in known_figures(jobs, results.places.storage, inventory)
    ]
    if lines:
        pyarrow.csv.write_csv(pa.Table.from_pylist(lines), path)


def _write_pictures(results: Results, folder: Path) -> list[Path]:
    if not results.grid or not results.best:
        return []
    by_intermediate, by_language = (folder / name for name in PICTURES)
    name = results.sweep.name
    title = f"{name} (search): best by dev"
    gain_map(results.grid, column_names(results), title).save(by_intermediate)
    title, grid = f"{name} (search): best intermediate by language", results.languages
    heat_map(grid, columns_of(grid), title).save(by_language)
    return [by_intermediate, by_language]

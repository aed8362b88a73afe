"""What is read off finished trials to compare them: scores, costs, the best by dev.

One rule for every table, picture and verdict, from records and from their cache alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from xstilts.config.derive import NONE, languages_of
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.plan.stage import class_of, stage_title
from xstilts.records import TrialRecord
from xstilts.scores.aggregate import AVERAGE, dev_scores, trial_scores
from xstilts.scores.best import Best, Entry, TrialScores, best_for, entries_for
from xstilts.scores.seen import columns_of, seen_scores
from xstilts.scores.table import ChosenScores
from xstilts.tasks import Task


@dataclass(frozen=True, slots=True)
class Compared:
    """What of a sweep's records is compared: its targets, their languages, their metrics, each with
    its target. Made once for thousands of records."""

    tasks: Sequence[Task]
    languages: Mapping[str, Sequence[str]]
    metrics: Set[tuple[str, str]]

    @classmethod
    def of(cls, sweep: Sweep) -> Compared:
        """That of a sweep."""
        tasks = [find_task(sweep, name) for name in sweep.targets]
        metrics = {(task.name, metric) for task in tasks for metric in task.metrics}
        return cls(tasks, {task.name: languages_of(sweep, task) for task in tasks}, metrics)


def scores_of(sweep: Sweep, record: TrialRecord, compared: Compared | None = None) -> TrialScores:
    """What the comparison reads of a finished trial's record: its rows of the score table."""
    compared = compared or Compared.of(sweep)
    tasks = compared.tasks
    # A retrieval target has a row for every layer of the encoder besides, in every language.
    table = ChosenScores.of(record.scores, compared.metrics)
    evaluations = evaluations_of(sweep, record)
    return TrialScores(
        trial=record.trial,
        config=record.config,
        intermediate=record.intermediate,
        model=record.model,
        seed=record.seed,
        dev=dev_scores(table, tasks),
        scores=trial_scores(table, tasks, compared.languages),
        collapsed=record.collapsed,
        hours=_hours(record, tasks, evaluations),
        evaluations=evaluations,
    )


def evaluations_of(sweep: Sweep, record: TrialRecord) -> dict[str, str]:
    """The stage of a record that scored each target."""
    named = {stage_title(stage.name): stage.name for stage in record.stages}
    titles = {target: stage_title(f"evaluate-{target}-") for target in sweep.targets}
    return {target: named[title] for target, title in titles.items() if title in named}


def _hours(
    record: TrialRecord, tasks: Sequence[Task], evaluations: Mapping[str, str]
) -> dict[str, float]:
    """What training the intermediate, the chosen cell of a target and its evaluation took whoever
    computed them: the cost of one more run, whatever this one found done already."""
    seconds = {stage.name: stage.seconds for stage in record.stages}
    before = [name for name in seconds if class_of(name) == "intermediate"]
    found = {}
    for task in tasks:
        if task.name in evaluations:
            chosen = record.chosen.get(task.head)
            own = () if chosen is None else chosen.stages
            names = {*before, *own, evaluations[task.name]}
            found[task.name] = math.fsum(seconds.get(name, 0.0) for name in names) / 3600
    return found


def selected_on(sweep: Sweep, target: str) -> str:
    """The target whose dev score chooses for a target: its own, or the mean where it has none."""
    return target if "dev" in find_task(sweep, target).splits else AVERAGE


def best_of(sweep: Sweep, trials: Sequence[TrialScores]) -> list[Best]:
    """The best intermediate of every target that has one, in the file's order."""
    ranks = ranks_of(sweep, trials)
    found = [
        best_for(trials, target, selected_on(sweep, target), len(sweep.seeds), ranks.get(target))
        for target in sweep.targets
    ]
    return [best for best in found if best is not None]


def configurations_of(
    sweep: Sweep, trials: Sequence[TrialScores]
) -> dict[str, dict[str, list[Entry]]]:
    """Target -> intermediate -> its complete configurations, the best by dev first."""
    found: dict[str, dict[str, list[Entry]]] = {}
    ranks = ranks_of(sweep, trials)
    for target in sweep.targets:
        row = found.setdefault(target, {})
        chosen_by = selected_on(sweep, target)
        for entry in entries_for(trials, target, chosen_by, len(sweep.seeds), ranks.get(target)):
            row.setdefault(entry.intermediate, []).append(entry)
    return found


def ranks_of(sweep: Sweep, trials: Sequence[TrialScores]) -> dict[str, dict[str, int]]:
    """Of a race, by target, the configurations that have a run on it with their places by
    `race.ranking`, 0 the best; empty for a sweep that is none.

    The baseline is one of them, once it has all its runs: it is never parked.
    """
    if not sweep.search.is_race:
        return {}
    from xstilts.search.race import ranking  # imports scipy

    baselines = {trial.config for trial in trials if trial.intermediate == NONE}
    configs = sorted({trial.config for trial in trials})
    found: dict[str, dict[str, int]] = {target: {} for target in sweep.targets}
    seen = seen_scores(sweep, configs, trials)
    drawn = np.isfinite(seen)
    for place, name in enumerate(configs):
        if name in baselines:
            seen[place, ~drawn[place].all(1)] = np.nan
    columns = columns_of(sweep)
    has_runs = np.isfinite(seen).any(2)
    known = np.flatnonzero(has_runs.any(0))
    if not len(known):
        return found
    order = ranking(seen[:, known, None], len(sweep.seeds))
    for i, column in enumerate(known):
        own = [configs[place] for place in order[:, i] if has_runs[place, column]]
        for target in columns[column].targets:
            found[target] = {config: rank for rank, config in enumerate(own)}
    return found


def entries_of(sweep: Sweep, trials: Sequence[TrialScores]) -> dict[str, dict[str, Entry]]:
    """Target -> intermediate -> its best configuration by dev."""
    return {
        target: {name: entries[0] for name, entries in row.items()}
        for target, row in configurations_of(sweep, trials).items()
    }


def grid_of(entries: Mapping[str, Mapping[str, Entry]]) -> dict[str, dict[str, float]]:
    """Target -> intermediate -> score of its best configuration by dev."""
    return {
        target: {name: entry.score for name, entry in row.items()}
        for target, row in entries.items()
    }


def language_means(
    sweep: Sweep, target: str, rows: Iterable[Mapping[str, Any]]
) -> dict[str, float]:
    """A target's score in every language, the mean over the trials whose rows these are."""
    task = find_task(sweep, target)
    by_trial: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_trial.setdefault(row["trial"], []).append(row)
    found = [ChosenScores(own).score_by_language(target, task.metrics) for own in by_trial.values()]
    return {x: fmean(scores[x] for scores in found) for x in languages_of(sweep, task)}

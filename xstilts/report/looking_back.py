"""Looking back at selection: what dev said of configurations, beside how they transferred.

For each target, over the complete configurations of search: the rank correlation of the dev score
with the mean zero-shot test score, and the regret, the points that the choice by dev is below the
highest of them. Test scores are read for this table, and nothing else reads it. Of checkpoints it
says nothing: a stage's other checks were never scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from xstilts.config.own_tasks import find_task
from xstilts.records import TrialRecord
from xstilts.report.comparison import selected_on
from xstilts.report.results import Results
from xstilts.report.table import Table
from xstilts.scores.aggregate import AVERAGE, DEV, ZERO_SHOT, Metric
from xstilts.scores.ranks import LEAST_PAIRS, rank_correlation
from xstilts.scores.table import ChosenScores
from xstilts.tasks import Task
from xstilts.tracking.tracker import metric_name

NOTE = (
    "Test scores were read for this table, and it is used for nothing. regret: zero-shot points of "
    "the best configuration over the one that dev ranks first; the best of noisy means flatters "
    "the best, so it is more too high than too low. rank: correlation of dev with zero-shot scores "
    "over configurations. Other checkpoints were never scored: of them it says nothing."
)


@dataclass(frozen=True, slots=True)
class LookedBack:
    """One line: a target, what it was or could have been selected by, over how many configurations;
    `rank` is None where there are too few or all are alike. `intermediate` is that of the choice;
    `dev` and `scores` are those of every configuration, the choice's first."""

    target: str
    selected_by: str
    configurations: int
    rank: float | None
    regret: float
    intermediate: str
    dev: tuple[float, ...]
    scores: tuple[float, ...]


def looked_back(results: Results) -> list[LookedBack]:
    """Of every target with two or more complete configurations; where pivots selected, what the
    training language alone would have chosen stands below."""
    found = []
    for target in results.sweep.targets:
        task = find_task(results.sweep, target)
        scores = _by_configuration(results, target, Metric(target, language=ZERO_SHOT))
        own = selected_on(results.sweep, target)
        if len(scores) < 2:
            continue
        chosen = next(best.best.config for best in results.best if best.target == target)
        dev = _by_configuration(results, target, Metric(own, DEV))
        found.append(_line(results, target, f"dev/{own}", dev, scores, chosen))
        if results.sweep.selection.pivot and own != AVERAGE:
            alone = _training_language(results, task, scores)
            first = max(alone, key=lambda config: alone[config])
            by = f"{task.train_language} alone"
            found.append(_line(results, target, by, alone, scores, first))
    return found


def selection_table(results: Results) -> Table | None:
    """The lines as a table; None without any."""
    rows = [
        [
            one.target,
            one.selected_by,
            str(one.configurations),
            "-" if one.rank is None else f"{one.rank:+.2f}",
            f"{one.regret:.1f}",
        ]
        for one in results.looked_back
    ]
    header = ("target", "selected by", "n", "rank", "regret")
    return Table("Looking back: what selection by dev gave", header, rows, NOTE) if rows else None


def _line(
    results: Results,
    target: str,
    selected_by: str,
    dev: Mapping[str, float],
    scores: Mapping[str, float],
    chosen: str,
) -> LookedBack:
    # The choice first; of the others the order says nothing.
    configs = sorted((one for one in scores if one in dev), key=lambda one: one != chosen)
    own, transferred = (np.array([one[config] for config in configs]) for one in (dev, scores))
    return LookedBack(
        target,
        selected_by,
        len(scores),
        rank_correlation(own, transferred, LEAST_PAIRS)[0],
        max(scores.values()) - scores[chosen],
        next(one.intermediate for one in results.searched if one.config == chosen),
        tuple(own.tolist()),
        tuple(transferred.tolist()),
    )


def _records(results: Results, target: str) -> dict[str, list[TrialRecord]]:
    """The trials of a target's complete configurations."""
    complete = {
        entry.config
        for entries in results.configurations.get(target, {}).values()
        for entry in entries
    }
    found: dict[str, list[TrialRecord]] = {}
    for record in results.searched:
        if record.config in complete:
            found.setdefault(record.config, []).append(record)
    return found


def _by_configuration(results: Results, target: str, metric: Metric) -> dict[str, float]:
    """A metric of every complete configuration that has it, the mean over its seeds."""
    name = metric_name(metric)
    found = {
        config: [record.metrics[name] for record in records if name in record.metrics]
        for config, records in _records(results, target).items()
    }
    return {config: fmean(values) for config, values in found.items() if values}


def _training_language(
    results: Results, task: Task, scores: Mapping[str, float]
) -> dict[str, float]:
    """The dev scores of the training language alone."""
    found: dict[str, float] = {}
    for config, records in _records(results, task.name).items():
        if config in scores:
            rows = [
                [r for r in one.scores if r["language"] == task.train_language] for one in records
            ]
            values = [ChosenScores(own).dev_score(task.name, task.metrics) for own in rows]
            found[config] = fmean(value for value in values if value is not None)
    return found

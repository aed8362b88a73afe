"""What the inner search tried for every target: its points, how they did on dev, what was kept.

All encoders are tried at the same points, so that a point is compared beside its encoder's others:
what encoders differ by is no merit of a rate. A record tells the dev scores of its cells in the
order of the points, and which it kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.plan.trial_plan import target_sets
from xstilts.records import TrialRecord
from xstilts.report.frames import parameters_of
from xstilts.report.importance import Configuration, Importance, importances
from xstilts.report.results import Results
from xstilts.scores.table import ChosenScores

PHASE = "target."
"""What stands before the name of a parameter of the inner search."""

Run = tuple[TrialRecord, float, bool]
"""A trial at a point: its dev score there, and whether it kept it."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the inner search: its parameters by name, how many runs were trained at it, the
    mean of their dev scores, how far they lie over their encoders' mean, and how many kept it."""

    parameters: Mapping[str, Any]
    runs: int
    dev: float
    over: float
    kept: int


@dataclass(frozen=True, slots=True)
class TargetSearch:
    """The inner search of targets that share a training stage. `tried` has each encoder's
    configuration at each point, the mean dev score over its seeds as the objective."""

    targets: tuple[str, ...]
    points: tuple[Point, ...]
    tried: tuple[Configuration, ...]
    importances: tuple[Importance, ...]


def target_searches(results: Results) -> list[TargetSearch]:
    """What search tried for every target that has a choice, in the file's order."""
    definition = results.places.definition()
    points = definition.target_points if definition else {}
    found = (
        _search(results.sweep, results.searched, head, targets, points)
        for head, targets in target_sets(results.sweep).items()
    )
    return [one for one in found if one is not None]


def _search(
    sweep: Sweep,
    records: Sequence[TrialRecord],
    head: str,
    targets: tuple[str, ...],
    points: Mapping[str, Sequence[Mapping[str, Any]]],
) -> TargetSearch | None:
    runs: dict[str, list[Run]] = {}
    means: dict[str, float] = {}
    parameters: dict[str, dict[str, Any]] = {}
    for record in records:
        own = points.get(f"{head}|{record.seed}") or points.get(head, ())
        cells = _cells(sweep, record, targets)
        if len(own) < 2 or len(cells) != len(own):
            continue  # there was no choice, or a launch since has drawn other points
        means[record.trial] = fmean(dev for dev, _ in cells)
        for point, (dev, is_kept) in zip(own, cells, strict=True):
            named = {f"{PHASE}{name}": value for name, value in parameters_of(point)}
            parameters[key := str(sorted(named.items()))] = named
            runs.setdefault(key, []).append((record, dev, is_kept))
    if not runs:
        return None
    tried = [
        Configuration(config, {"intermediate": own[0][0].intermediate, **parameters[key]}, dev)
        for key, all_runs in runs.items()
        for config, own in _by_config(all_runs).items()
        for dev in [fmean(dev for _, dev, _ in own)]
    ]
    told = importances(tried, lambda one: one.config)
    return TargetSearch(
        targets,
        tuple(
            Point(
                parameters[key],
                len(own),
                fmean(dev for _, dev, _ in own),
                fmean(dev - means[record.trial] for record, dev, _ in own),
                sum(is_kept for _, _, is_kept in own),
            )
            for key, own in runs.items()
        ),
        tuple(tried),
        tuple(one for one in told if one.parameter != "intermediate"),
    )


def _by_config(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of every configuration: its seeds."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run[0].config, []).append(run)
    return found


def _cells(sweep: Sweep, record: TrialRecord, targets: Sequence[str]) -> list[tuple[float, bool]]:
    """Dev score of every cell that a record has for one of the targets, in the order of their
    training, and whether it was kept; none where a score is missing."""
    for target in targets:
        metrics = find_task(sweep, target).metrics
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in record.scores.of_metrics({(target, metric) for metric in metrics}):
            if row["split"] == "dev":
                rows.setdefault(row["cell"], []).append(row)
        scores = [
            (
                ChosenScores({**row, "is_chosen": True} for row in own).dev_score(target, metrics),
                own,
            )
            for own in rows.values()
        ]
        if scores:  # those of a set share them, and a race may have left some out
            known = [(dev, own[0]["is_chosen"]) for dev, own in scores if dev is not None]
            return known if len(known) == len(scores) else []
    return []

"""Search's leaders on every target, to be confirmed: chosen by dev, by the rule of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from xstilts.config.derive import NONE, confirm_seeds
from xstilts.config.own_tasks import find_task
from xstilts.config.space import Point
from xstilts.files import canonical_json
from xstilts.plan.plan import Planner
from xstilts.records import SCHEMA, TrialRecord
from xstilts.report.comparison import entries_of
from xstilts.report.results import Results
from xstilts.run.confirmation import Choice, Chosen, TargetChoice, search_of
from xstilts.scores.best import Entry
from xstilts.scores.table import task_score


def choose(results: Results, planner: Planner) -> Choice:
    """The leaders of every target that has a baseline and one other configuration, each with all
    seeds of search, or in a race with those that it was given."""
    sweep = results.sweep
    assert sweep.confirm is not None
    targets = {}
    for target, row in entries_of(sweep, results.trials).items():
        # A row has the best first.
        leading = [entry for name, entry in row.items() if name != NONE][: sweep.confirm.top]
        if NONE in row and leading:
            leaders = [_chosen(results, planner, target, entry) for entry in leading]
            baseline = _chosen(results, planner, target, row[NONE])
            targets[target] = TargetChoice(leaders[0].config, leaders, baseline)
    return Choice(search_of(sweep), list(confirm_seeds(sweep)), targets, SCHEMA)


def _chosen(results: Results, planner: Planner, target: str, entry: Entry) -> Chosen:
    own = [record for record in results.searched if record.config == entry.config]
    point = own[0].point
    target_point = best_point(own, planner, target)
    return Chosen(entry.config, entry.intermediate, point, entry.dev, target_point)


def best_point(records: Sequence[TrialRecord], planner: Planner, target: str) -> Point:
    """The point of the inner search with the best dev score on a target, the mean over the seeds of
    one configuration; the first of equal ones. Empty for a target that is not trained.

    Sweeps of before all seeds had the same points go by those that most seeds have.
    """
    sweep = planner.sweep
    task, head = find_task(sweep, target), find_task(sweep, find_task(sweep, target).head)
    if not head.is_trained:
        return {}
    points: dict[str, Point] = {}
    scores: dict[str, list[float]] = {}
    for record in records:
        rows = [r for r in record.scores if r["target"] == target and r["split"] == "dev"]
        if not rows:
            continue  # of a race, which ran it for other targets
        plan = planner.plan(record.point, record.seed)
        cells = next(group.cells for group in plan.target_sets if group.name == task.head)
        # A record has the rows of one cell after the other, in the order of the plan.
        values = {name: [r["value"] for r in rows if r["metric"] == name] for name in head.metrics}
        for i, cell in enumerate(cells):
            key = canonical_json(cell.point)
            points.setdefault(key, cell.point)
            # A row a language: the training language's, and those of pivots.
            size = {name: len(of_cells) // len(cells) for name, of_cells in values.items()}
            own = {
                name: fmean(of_cells[i * size[name] : (i + 1) * size[name]])
                for name, of_cells in values.items()
            }
            scores.setdefault(key, []).append(task_score(head.metrics, own))
    best = max(scores, key=lambda key: (len(scores[key]), fmean(scores[key])))
    return points[best]

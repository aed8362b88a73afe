"""What selects one of the cells of a target set: dev scores of a finished training stage.

They are those of its training language; where a sweep names pivot languages, theirs count as much
each, and the dev score is the mean over these languages.
"""

from __future__ import annotations

from statistics import fmean

from xstilts.records import Outcome
from xstilts.scores.table import task_score
from xstilts.tasks import Task


def dev_by_language(outcome: Outcome, task: Task) -> dict[str, tuple[dict[str, float], int]]:
    """A task's dev scores by metric, 0-100, with the number of rows, by language."""
    found = {task.train_language: (outcome.dev[task.name], outcome.dev_rows[task.name])}
    for language, scores in outcome.pivots.get(task.name, {}).items():
        found[language] = scores, outcome.pivot_rows[task.name][language]
    return found


def dev_score(outcome: Outcome, task: Task) -> float:
    """A task's dev score, the mean over the languages that select."""
    scores = (values for values, _ in dev_by_language(outcome, task).values())
    return fmean(task_score(task.metrics, values) for values in scores)

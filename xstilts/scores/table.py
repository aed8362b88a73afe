"""The score table: one row a number, append-only; every report and average is a view of it.

A row is the score of a trial on a target's language by a metric, with its split and its number of
items. Nothing is averaged in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from itertools import compress
from statistics import fmean
from typing import Any

from xstilts.score_rows import ScoreRows


@dataclass(frozen=True, slots=True)
class Score:
    """One number: which trial and cell, which target, language, split and metric, over n items.

    `split` is `dev` for selection (the full dev set of the training language and of pivots) or what
    `evaluation.split` names. `value` is 0-100. `is_chosen` marks the cell that the inner search
    kept for its target.
    """

    trial: str
    config: str
    intermediate: str
    model: str
    seed: int
    cell: str
    target: str
    language: str
    split: str
    metric: str
    value: float
    n: int
    is_chosen: bool


COLUMNS = tuple(field.name for field in fields(Score))


def task_score(metrics: Sequence[str], values: Mapping[str, float]) -> float:
    """A task's score: the plain mean of its metrics, as XTREME takes it (of QA: exact match and
    F1). Whatever needs a task's score, on whatever rows, has it from here.

    Raises:
        KeyError: a metric is missing.
    """
    return sum(values[metric] for metric in metrics) / len(metrics)


_READ = ("target", "split", "metric", "language", "value")


class ChosenScores:
    """The values of the chosen cells of one trial, by target, metric and language: what averages
    and comparisons are made of.

    Args:
        rows: of the score table; those of other cells are left out.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]):
        self._values: dict[tuple[str, bool], dict[str, dict[str, float]]] = {}
        for row in rows:
            if row["is_chosen"]:
                self._add(*(row[name] for name in _READ))

    @classmethod
    def of(cls, scores: ScoreRows, metrics: Set[tuple[str, str]]) -> ChosenScores:
        """Of the rows of one trial those of these metrics, each with its target: column by column,
        for thousands of trials have millions of rows."""
        found = cls(())
        if scores.columns:
            columns = zip(*(scores.columns[name] for name in _READ), strict=True)
            for row in compress(columns, scores.columns["is_chosen"]):
                if (row[0], row[2]) in metrics:
                    found._add(*row)
        return found

    def _add(self, target: str, split: str, metric: str, language: str, value: float) -> None:
        values = self._values.setdefault((target, split == "dev"), {})
        values.setdefault(metric, {})[language] = value

    def dev_score(self, target: str, metrics: Sequence[str]) -> float | None:
        """The chosen cell's score on the full dev set, that of the training language or the mean
        with those of pivots; None where a metric is missing, or there are none."""
        dev = self._values.get((target, True), {})
        if not metrics or not dev.keys() >= set(metrics):
            return None
        return task_score(metrics, {name: fmean(dev[name].values()) for name in metrics})

    def metrics_of(self, target: str) -> list[str]:
        """The metrics of a target's evaluation, in the order in which they were added."""
        return list(self._values.get((target, False), ()))

    def evaluation(self, target: str, metric: str) -> dict[str, float]:
        """The chosen cell's value in every evaluated language."""
        return self._values.get((target, False), {}).get(metric, {})

    def score_by_language(self, target: str, metrics: Sequence[str]) -> dict[str, float]:
        """The chosen cell's score in every evaluated language that has all of its metrics."""
        if len(metrics) == 1:
            return dict(self.evaluation(target, metrics[0]))
        values = {metric: self.evaluation(target, metric) for metric in metrics}
        languages = values[metrics[0]] if metrics else ()
        return {
            name: task_score(metrics, {metric: values[metric][name] for metric in metrics})
            for name in languages
            if all(name in found for found in values.values())
        }


class ScoreTable:
    """Scores of one or many trials."""

    def __init__(self, scores: Iterable[Score] = ()):
        self.scores = tuple(scores)

    @property
    def rows(self) -> ScoreRows:
        """The rows of one trial, as its record keeps them."""
        return ScoreRows.of([asdict(score) for score in self.scores])

    @property
    def chosen(self) -> ChosenScores:
        """What the chosen cells give."""
        return ChosenScores(asdict(score) for score in self.scores)

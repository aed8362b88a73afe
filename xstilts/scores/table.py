"""The score table: one row a number, append-only; every report and average is a view of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Score:
    """One number: which trial and cell, which target, language, split and metric, over n items.

    `split` is `dev` for selection (the training language's full dev set) or what
    `evaluation.split` names. `value` is 0-100. `is_chosen` marks the cell that the inner search
    kept for its target.
    """

    trial: str
    config: str
    cell: str
    intermediate: str
    model: str
    target: str
    language: str
    split: str
    metric: str
    value: float
    n: int
    seed: int
    is_chosen: bool


COLUMNS = tuple(field.name for field in fields(Score))


class ScoreTable:
    """Scores of one or many trials."""

    def __init__(self, scores: Iterable[Score] = ()):
        self.scores = list(scores)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> ScoreTable:
        """The table whose `to_rows` these are."""
        return cls(Score(**row) for row in rows)

    def to_rows(self) -> list[dict[str, Any]]:
        """JSON-able rows."""
        return [asdict(score) for score in self.scores]

    def of_trial(self, trial: str) -> ScoreTable:
        """The rows of one trial."""
        return ScoreTable(score for score in self.scores if score.trial == trial)

    def dev_score(self, target: str, metrics: tuple[str, ...]) -> float | None:
        """The chosen cell's score on the full dev set: the mean of the task's metrics."""
        values = {
            score.metric: score.value
            for score in self.scores
            if score.target == target and score.split == "dev" and score.is_chosen
        }
        if not metrics or any(metric not in values for metric in metrics):
            return None
        return sum(values[metric] for metric in metrics) / len(metrics)

    def metrics_of(self, target: str) -> list[str]:
        """The metrics of a target's evaluation, in the order in which they were added."""
        return list(
            dict.fromkeys(
                score.metric
                for score in self.scores
                if score.target == target and score.split != "dev" and score.is_chosen
            )
        )

    def evaluation(self, target: str, metric: str) -> dict[str, float]:
        """The chosen cell's value in every evaluated language."""
        return {
            score.language: score.value
            for score in self.scores
            if score.target == target
            and score.metric == metric
            and score.split != "dev"
            and score.is_chosen
        }

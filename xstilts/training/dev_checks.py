"""Dev scores of a stage, for early stopping and for what is told of it.

What goes in is the model on its way and the dev rows of the stage's tasks; what comes out is a mean
score on a sample at every check, which early stopping and the choice of the checkpoint go by, and
the whole dev set once at the end, with whether the run collapsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import pyarrow as pa
from torch import Tensor

from xstilts import kinds
from xstilts.data.batches import generator
from xstilts.kinds.kind import Encoded, Supervised, Vocabulary
from xstilts.plan.mixture import allocate
from xstilts.plan.stage import Part, Rows, Train
from xstilts.scores.chance import is_above
from xstilts.scores.table import task_score
from xstilts.training.collectives import Collective
from xstilts.training.feed import PartData
from xstilts.training.model import Model
from xstilts.training.predict import Predictor, replicas

LEARNT_LOSS = 0.98
"""The share of the labels' entropy that a training loss falls below once anything is learnt."""


@dataclass(slots=True)
class Final:
    """Weights on the whole dev sets, by task, and what a constant would get.

    A task has `collapsed` where its training loss never came 2 % below the entropy of the labels'
    frequencies, or its predictions say one thing only. It is `undecided` where its score is above
    the constant's by no more than the noise of the dev set.
    """

    dev: dict[str, dict[str, float]]
    dev_rows: dict[str, int]
    floor: dict[str, float]
    collapsed: list[str]
    undecided: list[str]
    pivots: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    pivot_rows: dict[str, dict[str, int]] = field(default_factory=dict)


class DevChecks:
    """Scores a model on the dev sets of a stage's parts."""

    def __init__(
        self, stage: Train, data: Sequence[PartData], vocabulary: Vocabulary, collective: Collective
    ):
        self._stage = stage
        self._vocabulary = vocabulary
        self._collective = collective
        self._parts: list[tuple[Rows, Encoded, list[int]]] = []
        # Those of pivot languages, by task.
        self._pivots: dict[str, dict[str, tuple[Rows, Encoded, list[int]]]] = {}
        self._entropy: dict[str, float] = {}
        for part, rows in zip(stage.parts, data, strict=True):
            if part.dev is None or rows.dev is None or not rows.dev.examples.num_rows:
                continue
            self._parts.append((part.dev, rows.dev, dev_sample(stage, part, rows.dev.examples)))
            self._entropy[part.dev.task] = _supervised(part.dev).label_entropy(rows.train)
            if (pivots := part.pivots) is not None:
                own = replace(part, dev=pivots)
                self._pivots[pivots.task] = {
                    language: (pivots, encoded, dev_sample(stage, own, encoded.examples))
                    for language, encoded in rows.pivots.items()
                }

    def sample(self, model: Model) -> tuple[float | None, dict[str, float]]:
        """The mean score over tasks on the samples, None without a dev set, and each task's: with
        pivots the mean over their languages and the training language."""
        values = {}
        for rows, encoded, sample in self._parts:
            task = rows.entry
            language = rows.rows[0][0]
            scores = [self._score(model, rows, encoded, sample, language)]
            for language, pivot in self._pivots.get(task.name, {}).items():
                scores.append(self._score(model, *pivot, language))
            values[task.name] = fmean(task_score(task.metrics, one) for one in scores)
        return fmean(values.values()) if values else None, values

    def whole(self, model: Model, losses: Mapping[str, float]) -> Final:
        """The full dev set of every part, and what a constant prediction would get.

        Args:
            losses: the lowest mean training loss between two checks, by task.
        """
        final = Final({}, {}, {}, [], [])
        for rows, encoded, _ in self._parts:
            task, kind = rows.entry, _supervised(rows)
            predictions, examples = self._predict(model, rows, encoded, None)
            language = rows.rows[0][0]
            constant = kind.constant(examples, task)
            final.dev[task.name] = kind.score(predictions, examples, task, language)
            final.dev_rows[task.name] = examples.num_rows
            self._add_pivots(final, model, task.name)
            floor = kind.score(constant, examples, task, language)
            final.floor[task.name] = task_score(task.metrics, floor)
            least = LEARNT_LOSS * self._entropy[task.name]
            # Of one label alone nothing can be learnt, nor of a task that no batch was drawn from.
            never_fell = 0 < least <= losses.get(task.name, 0.0)
            if never_fell or kind.is_constant(predictions, task):
                final.collapsed.append(task.name)
                continue
            own, other = (
                kind.outcomes(each, examples, task, language).stacked
                for each in (predictions, constant)
            )
            noise = generator(self._stage.seed, self._stage.phase, "noise", task.name)
            if not is_above(own, other, noise):
                final.undecided.append(task.name)
        return final

    def _add_pivots(self, final: Final, model: Model, task: str) -> None:
        """The scores of a task on the dev sets of its pivots."""
        pivots = self._pivots.get(task, {})
        if pivots:
            final.pivots[task] = {
                language: self._score(model, rows, encoded, None, language)
                for language, (rows, encoded, _) in pivots.items()
            }
            final.pivot_rows[task] = {
                language: encoded.examples.num_rows for language, (_, encoded, _) in pivots.items()
            }

    def _score(
        self, model: Model, rows: Rows, encoded: Encoded, sample: list[int] | None, language: str
    ) -> dict[str, float]:
        task, kind = rows.entry, kinds.get(rows.entry.kind)
        predictions, examples = self._predict(model, rows, encoded, sample)
        return kind.score(predictions, examples, task, language)

    def _predict(
        self, model: Model, rows: Rows, encoded: Encoded, sample: list[int] | None
    ) -> tuple[list[Any], pa.Table]:
        precision = self._stage.precision
        predictor = Predictor(replicas(model), self._vocabulary, precision, self._collective)
        predictions, chosen = predictor.predict(encoded, rows.entry, sample)
        return predictions, chosen.examples


def _supervised(rows: Rows) -> Supervised:
    """The kind of a task that has a dev set."""
    kind = kinds.get(rows.entry.kind)
    assert isinstance(kind, Supervised), f"{rows.task}: its kind cannot say what it learnt"
    return kind


def dev_sample(stage: Train, part: Part, examples: pa.Table) -> list[int]:
    """The dev examples of the checks: the same at every check and in every trial of a seed.

    A stratified sample has as large a share of each label as the whole set; where examples have
    no single label it is drawn from all. The first of a set that is joined from several would be
    of one of them: there they stand at equal distances, so that each has its share.
    """
    assert part.dev is not None
    size = min(stage.recipe.dev_examples, examples.num_rows)
    if stage.recipe.dev_sample == "first":
        is_joined = len(part.dev.entry.slices_of(part.dev.use)) > 1
        return [i * examples.num_rows // size for i in range(size)] if is_joined else [*range(size)]
    order = generator(stage.seed, stage.phase, "dev", part.dev.task).permutation(examples.num_rows)
    has_label = "label" in examples.column_names
    labels = examples["label"].to_pylist() if has_label else [None] * examples.num_rows
    strata: dict[Any, list[int]] = {}
    for position in order.tolist():
        strata.setdefault(labels[position], []).append(position)
    # In an order that the draw does not change.
    ranked = sorted(strata.items(), key=lambda pair: str(pair[0]))
    counts = allocate(size, [len(positions) for _, positions in ranked])
    chosen = zip(ranked, counts, strict=True)
    return sorted(i for (_, positions), count in chosen for i in positions[:count])


def mean_losses(losses: Tensor, drawn: Sequence[int], tasks: Sequence[str]) -> dict[str, Tensor]:
    """The mean loss of every task of a mixture over some steps; nothing for a task alone.

    Args:
        losses: (steps,).
        drawn: the position in `tasks` that each step drew.
    """
    if len(tasks) == 1:
        return {}
    steps = [[j for j, part in enumerate(drawn) if part == i] for i in range(len(tasks))]
    return {task: losses[own].mean() for task, own in zip(tasks, steps, strict=True) if own}


def lowest_losses(curve: Sequence[Mapping[str, float]], tasks: Sequence[str]) -> dict[str, float]:
    """The lowest mean training loss between two checks, by task."""
    keys = {task: "loss" if len(tasks) == 1 else f"loss/{task}" for task in tasks}
    found = {task: [point[key] for point in curve if key in point] for task, key in keys.items()}
    return {task: min(values) for task, values in found.items() if values}

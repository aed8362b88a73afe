"""Dev scores of a stage: a sample at every check, the whole set once at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pyarrow as pa

from xstilts import kinds
from xstilts.data.batches import generator
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.plan.mixture import allocate
from xstilts.plan.stage import Part, Rows, Train
from xstilts.training.feed import PartData
from xstilts.training.model import Model
from xstilts.training.predict import main_score, predict
from xstilts.training.ranks import Ranks

COLLAPSE_MARGIN = 10.0
"""Points over the best constant prediction below which a stage has not learnt its task."""


@dataclass(slots=True)
class Final:
    """The chosen weights on the whole dev sets, by task, and what a constant would get."""

    dev: dict[str, dict[str, float]]
    dev_rows: dict[str, int]
    floor: dict[str, float]
    collapsed: list[str]


class Checks:
    """Scores a model on the dev sets of a stage's parts."""

    def __init__(
        self, stage: Train, data: Sequence[PartData], vocabulary: Vocabulary, ranks: Ranks
    ):
        self._stage = stage
        self._vocabulary = vocabulary
        self._ranks = ranks
        self._parts: list[tuple[Rows, Encoded, list[int]]] = [
            (part.dev, rows.dev, dev_sample(stage, part, rows.dev.examples))
            for part, rows in zip(stage.parts, data, strict=True)
            if part.dev is not None and rows.dev is not None and rows.dev.examples.num_rows
        ]

    def sample(self, model: Model) -> tuple[float | None, dict[str, float]]:
        """The mean score over tasks on the samples, None without a dev set, and each task's."""
        values = {}
        for rows, encoded, sample in self._parts:
            scores, _ = self._score(model, rows, encoded, sample)
            values[rows.entry.name] = main_score(scores, rows.entry)
        return fmean(values.values()) if values else None, values

    def whole(self, model: Model) -> Final:
        """The full dev set of every part, and what a constant prediction would get."""
        final = Final({}, {}, {}, [])
        for rows, encoded, _ in self._parts:
            task = rows.entry
            kind = kinds.get(task.kind)
            scores, examples = self._score(model, rows, encoded, None)
            constant = kind.constant(examples, task)
            floor = main_score(kind.score(constant, examples, task, task.train_language), task)
            final.dev[task.name] = scores
            final.dev_rows[task.name] = examples.num_rows
            final.floor[task.name] = floor
            # Where a constant is nearly right, the margin is half of what is left.
            if main_score(scores, task) < floor + min(COLLAPSE_MARGIN, (100 - floor) / 2):
                final.collapsed.append(task.name)
        return final

    def _score(
        self, model: Model, rows: Rows, encoded: Encoded, sample: list[int] | None
    ) -> tuple[dict[str, float], pa.Table]:
        task = rows.entry
        predictions, chosen = predict(
            model,
            encoded,
            task,
            self._vocabulary,
            precision=self._stage.precision,
            rows=sample,
            ranks=self._ranks,
        )
        kind = kinds.get(task.kind)
        scores = kind.score(predictions, chosen.examples, task, task.train_language)
        return scores, chosen.examples


def dev_sample(stage: Train, part: Part, examples: pa.Table) -> list[int]:
    """The dev examples of the checks: the same at every check and in every trial of a seed.

    A stratified sample has as large a share of each label as the whole set; where examples have
    no single label it is drawn from all.
    """
    assert part.dev is not None
    size = min(stage.recipe.dev_examples, examples.num_rows)
    if stage.recipe.dev_sample == "first":
        return list(range(size))
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

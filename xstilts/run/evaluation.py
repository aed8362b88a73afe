"""Evaluate one target, language by language: predictions, scores, and what stands beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from xstilts import kinds
from xstilts.data.prepare import Encoder
from xstilts.kinds.kind import Encoded, Vocabulary, is_labelled
from xstilts.plan.stage import Evaluate, Rows
from xstilts.tasks import Task
from xstilts.training.model import Model
from xstilts.training.predict import predict, predict_layers


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One language: predictions for its examples, and metrics where its gold was published."""

    predictions: list[Any]
    examples: pa.Table
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What evaluating a stage needs."""

    stage: Evaluate
    task: Task
    net: Model
    encoder: Encoder
    vocabulary: Vocabulary

    def evaluate(self, language: str) -> Evaluated:
        """Predict and score one language.

        Raises:
            DataError: its rows cannot be read.
        """
        kind = kinds.get(self.task.kind)
        predictions, encoded, profile = self._predict(self.stage.rows, language)
        examples = encoded.examples
        if isinstance(kind, kinds.Calibrated):
            fitted = None
            if self.stage.fitted is not None:
                others, labelled, _ = self._predict(self.stage.fitted, language)
                fitted = (others, labelled.examples)
            predictions = kind.calibrate(predictions, examples, fitted)
        scores: dict[str, float] = {}
        if is_labelled(examples):
            scores = {**kind.score(predictions, examples, self.task, language), **profile}
        return Evaluated(predictions, examples, scores)

    def _predict(self, rows: Rows, language: str) -> tuple[list[Any], Encoded, dict[str, float]]:
        """Predictions, their rows, and the profile of a kind that reads all layers."""
        kind = kinds.get(self.task.kind)
        encoded = self.encoder.encoded(rows, language)
        precision, layer = self.stage.precision, self.stage.layer
        if isinstance(kind, kinds.Layered) and layer is not None:
            layers = predict_layers(
                self.net, encoded, self.task, self.vocabulary, precision=precision
            )
            profile = kind.profile(layers, layer, encoded, self.task)
            chosen = [vectors[layer] for vectors in layers]
            return kind.decode(chosen, encoded, self.task), encoded, profile
        predictions, _ = predict(
            self.net, encoded, self.task, self.vocabulary, precision=precision, layer=layer
        )
        return predictions, encoded, {}

"""Evaluate one target, language by language: predictions, scores, and what stands beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from xstilts import kinds
from xstilts.data.prepare import Encoder
from xstilts.kinds.kind import Encoded, Vocabulary, is_labelled
from xstilts.plan.stage import Evaluate, Rows
from xstilts.tasks import Task
from xstilts.training.model import Model
from xstilts.training.predict import outputs, predict_layers


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One language: predictions for its examples, and metrics where its gold was published."""

    predictions: list[Any]
    examples: pa.Table
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What evaluating a stage needs. `seconds` adds up what the encoder took, and what turning its
    outputs into predictions did: spans, neighbours, pairs."""

    stage: Evaluate
    task: Task
    net: Model
    encoder: Encoder
    vocabulary: Vocabulary
    seconds: dict[str, float] = field(default_factory=lambda: {"forward": 0.0, "decode": 0.0})

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
            with self._timed("forward"):
                layers = predict_layers(self.net, encoded, self.task, self.vocabulary, precision)
            profile = kind.profile(layers, layer, encoded, self.task)
            found = [vectors[layer] for vectors in layers]
        else:
            profile = {}
            with self._timed("forward"):
                found = outputs(
                    self.net, encoded, self.task, self.vocabulary, precision, layer=layer
                )
        with self._timed("decode"):
            return kind.decode(found, encoded, self.task), encoded, profile

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - begun

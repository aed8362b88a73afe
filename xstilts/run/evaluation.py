"""Evaluate one target: predictions and scores of each language, and what stands beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import Any, NamedTuple

import pyarrow as pa

from xstilts import kinds
from xstilts.data.encoding import TokenCache
from xstilts.kinds.kind import Encoded, is_labelled
from xstilts.plan.stage import Evaluate, Rows
from xstilts.run.outcomes import Items
from xstilts.run.pooled import ranked
from xstilts.tasks import Task
from xstilts.training.predict import Predictor

MAX_FEATURES = 8192
"""How many features of several languages the encoder sees in one pass: enough that what does not
fill a batch is little, and their vectors, in every layer at that, are held in memory."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One language: predictions for its examples, and where its gold was published metrics and, of
    kinds that tell it, what every item gave."""

    predictions: list[Any]
    examples: pa.Table
    scores: dict[str, float]
    items: Items | None = None


class Predicted(NamedTuple):
    """One language: predictions, their rows, and the profile of a kind that reads all layers."""

    predictions: list[Any]
    encoded: Encoded
    profile: dict[str, float]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What evaluating a stage needs.

    `before_pass` is called before each pass of the encoder and may raise: no finished work is
    thrown away. `seconds` adds up what the encoder took, and what turning its outputs into
    predictions did: spans, neighbours, pairs.
    """

    stage: Evaluate
    task: Task
    predictor: Predictor
    token_cache: TokenCache
    before_pass: Callable[[], None]
    seconds: dict[str, float] = field(default_factory=lambda: {"forward": 0.0, "decode": 0.0})

    def evaluate(self, languages: Sequence[str]) -> Iterator[tuple[str, Evaluated]]:
        """Predict and score, language after language.

        Raises:
            DataError: their rows cannot be read.
        """
        kind = kinds.get(self.task.kind)
        fitted: Iterator[Predicted | None] = repeat(None)
        if isinstance(kind, kinds.Calibrated) and self.stage.fitted is not None:
            fitted = self._predict(self.stage.fitted, languages)
        own = (
            self._ranked(languages)
            if self.stage.pool
            else self._predict(self.stage.rows, languages)
        )
        for language, (predictions, encoded, profile), other in zip(
            languages, own, fitted, strict=False
        ):
            examples = encoded.examples
            if isinstance(kind, kinds.Calibrated):
                labelled = (other.predictions, other.encoded.examples) if other else None
                if is_labelled(examples):
                    profile = profile | kind.at_golds_threshold(predictions, examples)
                predictions = kind.calibrate(predictions, examples, labelled)
            scores: dict[str, float] = {}
            items = None
            if is_labelled(examples):
                scores = {**kind.score(predictions, examples, self.task, language), **profile}
                if isinstance(kind, kinds.Itemised):
                    outcomes = kind.outcomes(predictions, examples, self.task, language)
                    items = Items(outcomes, self._keys(language, len(outcomes.rows)))
            yield language, Evaluated(predictions, examples, scores, items)

    def _keys(self, language: str, count: int) -> list[str | None]:
        """The items' keys; blocks of rows are no other language's."""
        if self.task.kind_spec.is_pools:
            return [None] * count
        return self.token_cache.item_keys(self.stage.rows, language)

    def _predict(self, rows: Rows, languages: Sequence[str]) -> Iterator[Predicted]:
        """Predictions of each language; small ones share a pass of the encoder."""
        kind = kinds.get(self.task.kind)
        for some in _together(self.token_cache.encoded(rows, language) for language in languages):
            self.before_pass()
            features = pa.concat_tables([encoded.features for encoded in some])
            with self._timed("forward"):
                outputs = self._outputs(features)
            for encoded in some:
                found = list(islice(outputs, encoded.features.num_rows))
                profile: dict[str, float] = {}
                layer = self.stage.layer
                if isinstance(kind, kinds.Layered) and layer is not None:
                    profile = kind.profile(found, layer, encoded, self.task)
                    found = [vectors[layer] for vectors in found]
                with self._timed("decode"):
                    predictions = kind.decode(found, encoded, self.task)
                yield Predicted(predictions, encoded, profile)

    def _ranked(self, languages: Sequence[str]) -> Iterator[Predicted]:
        """The nearest of one pool for the queries of each language; how many candidates there were
        stands beside the scores."""
        kind, pool = kinds.get(self.task.kind), self.stage.pool
        assert isinstance(kind, kinds.Ranking) and pool is not None

        def outputs(features: pa.Table) -> list[Any]:
            self.before_pass()
            with self._timed("forward"):
                return list(self._outputs(features))

        queries = [self.token_cache.encoded(self.stage.rows, language) for language in languages]
        candidates = (self.token_cache.encoded(pool, language) for language, _ in pool.rows)
        for rankings, encoded in ranked(kind, queries, candidates, outputs):
            yield Predicted(rankings, encoded, {"candidates": float(pool.num_rows)})

    def _outputs(self, features: pa.Table) -> Iterator[Any]:
        """What the kind decodes of every feature; of a kind that reads all layers, in each."""
        if isinstance(kinds.get(self.task.kind), kinds.Layered) and self.stage.layer is not None:
            return iter(self.predictor.layer_outputs(features, self.task))
        return iter(self.predictor.outputs(features, self.task, self.stage.layer))

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[what] += time.perf_counter() - begun


def _together(every: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    """Languages that share a pass: as many as stay within `MAX_FEATURES`, one at least."""
    some: list[Encoded] = []
    for encoded in every:
        count = sum(other.features.num_rows for other in some) + encoded.features.num_rows
        if some and count > MAX_FEATURES:
            yield some
            some = []
        some.append(encoded)
    if some:
        yield some

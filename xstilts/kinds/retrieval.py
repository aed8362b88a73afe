"""Sentence retrieval: the translation of an English sentence among all of a language.

What goes in are pairs of sentences; what comes out is, for every English one, the nearest of the
other language. As XTREME does for Tatoeba: mean over the attention mask (special tokens included)
of one hidden state, cosine similarity. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from xstilts.kinds.kind import (
    Batch,
    Encoded,
    Rows,
    Vocabulary,
    mean_vectors,
    pad_inputs,
    sequence_columns,
)
from xstilts.scores import metrics
from xstilts.scores.outcomes import Outcomes
from xstilts.scores.probes import mean_cosine
from xstilts.tasks import Task

CSLS_NEIGHBOURS = 10


class Retrieval:
    """Reads `source_sentence` (the other language) and `target_sentence` (English)."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """Two sequences an example: features 0..n-1 are the sources, n..2n-1 the targets.

        As in XTREME's submissions the English sentences are sorted, and the gold of each is the
        position of its translation, which keeps its place.
        """
        # Tatoeba's Hub copy keeps line ends.
        sources = [text.strip() for text in rows["source_sentence"]]
        targets = [text.strip() for text in rows["target_sentence"]]
        gold = sorted(range(len(targets)), key=lambda i: targets[i])
        texts = [*sources, *(targets[i] for i in gold)]
        encoding = tokenizer(texts, truncation=True, max_length=max_length)
        count = len(sources)
        features = {"example": [*range(count), *range(count)], **sequence_columns(encoding)}
        examples = {"id": [str(i) for i in range(count)], "gold": gold}
        return Encoded(pa.table(features), pa.table(examples))

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """Inputs only."""
        return Batch(pad_inputs(features, vocabulary), {})

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """Retrieval has no head; asking for one is a bug."""
        raise TypeError("retrieval is not trained")

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Retrieval has no loss; asking for one is a bug."""
        raise TypeError("retrieval is not trained")

    def num_units(self, batch: Batch) -> int:
        """Retrieval has no loss; asking for its units is a bug."""
        raise TypeError("retrieval is not trained")

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """Mean vectors over the attention mask: (hidden size,) a feature, float32."""
        return mean_vectors(hidden, batch)

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """For every English sentence the position of its nearest neighbour by cosine."""
        sources, english = _sides(np.stack(outputs))
        nearest: list[Any] = (english @ sources.T).argmax(1).tolist()
        return nearest

    def layer_outputs(self, states: Sequence[Tensor], batch: Batch) -> list[Any]:
        """Mean vectors of every hidden state: (hidden states, hidden size) a feature, float32."""
        by_layer = [mean_vectors(state, batch) for state in states]
        return [np.stack(vectors) for vectors in zip(*by_layer, strict=True)]

    def profile(
        self, outputs: Sequence[Any], layer: int, encoded: Encoded, task: Task
    ) -> dict[str, float]:
        """Controls from the same embeddings, and the accuracy of every hidden state.

        `centred`: accuracy after each side's mean is subtracted; `csls`: accuracy with the
        neighbourhoods' density taken off (Conneau et al. 2018, arXiv 1710.04087, k = 10);
        `anisotropy`: mean cosine of different sentences of one side, times 100. A gain that
        centring alone gives is no better alignment.
        """
        vectors = np.stack(outputs)  # (features, hidden states, hidden size)
        gold = encoded.examples["gold"].to_numpy()

        def accuracy(
            sources: np.ndarray, english: np.ndarray, penalty: np.ndarray | float
        ) -> float:
            nearest = (2 * english @ sources.T - penalty).argmax(1)
            return 100 * float((nearest == gold).mean())

        own = vectors[:, layer]
        sources, english = _sides(own)
        half = len(own) // 2
        means = own[:half].mean(0), own[half:].mean(0)
        centred = np.concatenate([own[:half] - means[0], own[half:] - means[1]])
        cosines = np.sort(english @ sources.T, axis=0)[-CSLS_NEIGHBOURS:]
        profile = {
            "centred": accuracy(*_sides(centred), 0.0),
            "csls": accuracy(sources, english, cosines.mean(0)),
            "anisotropy": 50 * (mean_cosine(sources) + mean_cosine(english)) if half > 1 else 0.0,
        }
        for number in range(vectors.shape[1]):
            sides = _sides(vectors[:, number])
            profile[f"by_layer/{number:02d}"] = accuracy(*sides, 0.0)
        return profile

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """Accuracy: whether the nearest sentence is the translation."""
        return {"accuracy": metrics.accuracy(examples["gold"].to_pylist(), predictions)}

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """An English sentence finds its translation or does not: in the order of the rows, which
        is not that of the sorted English sentences."""
        gold = examples["gold"].to_numpy()
        hits = np.zeros(len(gold))
        hits[gold] = gold == np.asarray(predictions)
        ones = np.ones(len(hits))
        return Outcomes.of({"accuracy": [(hits, ones, ones)]})

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The first sentence everywhere."""
        return [0] * examples.num_rows


def _sides(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the sources and of the English sentences, which follow them."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    half = len(unit) // 2
    return unit[:half], unit[half:]

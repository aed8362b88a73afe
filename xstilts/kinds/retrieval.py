"""Sentence retrieval: the translation of an English sentence among all of a language.

As XTREME does for Tatoeba: mean over the attention mask (special tokens included) of one hidden
state, cosine, English queries against the other language. Nothing is trained.
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
    pad_inputs,
    sequence_columns,
)
from xstilts.scores import metrics
from xstilts.tasks import Task


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

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """Mean vectors over the attention mask: (hidden size,) a feature, float32."""
        return mean_vectors(hidden, batch)

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """For every English sentence the position of its nearest neighbour by cosine."""
        vectors = np.stack(outputs)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
        count = encoded.examples.num_rows
        nearest: list[Any] = (vectors[count:] @ vectors[:count].T).argmax(1).tolist()
        return nearest

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """Accuracy: whether the nearest sentence is the translation."""
        return {"accuracy": metrics.accuracy(examples["gold"].to_pylist(), predictions)}

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The first sentence everywhere."""
        return [0] * examples.num_rows


def mean_vectors(hidden: Tensor, batch: Batch) -> list[Any]:
    """Means over the attention mask, special tokens included: (hidden size,) each, float32."""
    mask = batch.inputs["attention_mask"][..., None].to(hidden.dtype)
    vectors = (hidden * mask).sum(1) / mask.sum(1)
    return list(vectors.float().cpu().numpy())

"""Sequence labelling (tagging): a tag for every word, read off the word's first sub-token.

What goes in are sentences of words with a tag each (parts of speech, entities); what comes out are
their tags. Sentences longer than the model's limit are split into stretches of whole words and
joined again for scoring, as XTREME does; no word is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from xstilts.kinds.kind import (
    IGNORED,
    Batch,
    Encoded,
    Rows,
    TokenHead,
    Vocabulary,
    labels_in,
    most_frequent,
    pad,
    pad_inputs,
    sequence_columns,
    word_forms,
)
from xstilts.kinds.smoothing import cross_entropy
from xstilts.scores import metrics
from xstilts.scores.chance import entropy
from xstilts.scores.outcomes import Column, Outcomes
from xstilts.tasks import Task


class Tagging:
    """Reads `tokens`, `tags`."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """A feature for every piece: its sequence and its words' first positions and tags."""
        positions_of = {label: i for i, label in enumerate(task.labels)}
        pieces: dict[str, list[Any]] = {"example": [], "words": [], "labels": []}
        sentences = word_forms(rows["tokens"], tokenizer)
        for i, (tokens, tags) in enumerate(zip(sentences, rows["tags"], strict=True)):
            sizes = _num_subtokens(tokens, tokenizer)
            for first, last in _pieces(sizes, max_length - _num_special(tokenizer)):
                pieces["example"].append(i)
                pieces["words"].append(_without_void(tokens[first:last], sizes, first, tokenizer))
                pieces["labels"].append(
                    [positions_of.get(tag, IGNORED) for tag in tags[first:last]]
                )
        encoding = tokenizer(
            pieces["words"], is_split_into_words=True, truncation=True, max_length=max_length
        )
        firsts = [_first_positions(encoding.word_ids(i)) for i in range(len(pieces["words"]))]
        features = {
            "example": pieces["example"],
            **sequence_columns(encoding),
            "positions": firsts,
            "labels": pieces["labels"],
        }
        examples = {
            "id": [str(i) for i in range(len(rows["tokens"]))],
            "tokens": [list(tokens) for tokens in rows["tokens"]],
            "tags": [list(tags) for tags in rows["tags"]],
        }
        return Encoded(pa.table(features), pa.table(examples))

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """`targets["positions"]`, `["labels"]`: (sequences, most words), int64, padded alike."""
        targets = {
            "positions": pad(features["positions"], 0),
            "labels": pad(features["labels"], IGNORED),
            "num_words": torch.tensor([len(labels) for labels in features["labels"]]),
        }
        inputs = pad_inputs(features, vocabulary)
        read = np.zeros(inputs["input_ids"].shape, dtype=np.bool_)
        for row, positions in zip(read, features["positions"], strict=True):
            row[positions] = True
        return Batch(inputs, targets, read=torch.from_numpy(read))

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """One output a tag."""
        return TokenHead(hidden_size, len(task.labels), dropout)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy over the tags of all words."""
        scores = head(_at(hidden, batch.targets["positions"])).float()
        labels = batch.targets["labels"]
        return cross_entropy(scores.flatten(0, 1), labels.flatten(), batch.smoothing)

    def num_units(self, batch: Batch) -> int:
        """Words with a tag."""
        return int((batch.targets["labels"] != IGNORED).sum())

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """The most likely tag's position for every word of a piece."""
        assert head is not None
        best = head(_at(hidden, batch.targets["positions"])).argmax(-1).tolist()
        lengths = batch.targets["num_words"].tolist()
        return [row[:length] for row, length in zip(best, lengths, strict=True)]

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """The tags of every sentence, its pieces joined."""
        sentences: list[list[str]] = [[] for _ in range(encoded.examples.num_rows)]
        for i, piece in zip(encoded.features["example"].to_pylist(), outputs, strict=True):
            sentences[i] += [task.labels[position] for position in piece]
        return sentences

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """Chunk F1, XTREME's metric, with precision and recall; accuracy over words."""
        gold = examples["tags"].to_pylist()
        words = [tag for tags in gold for tag in tags]
        predicted = [tag for tags in predictions for tag in tags]
        return {
            **metrics.chunk_scores(gold, predictions),
            "accuracy": metrics.accuracy(words, predicted),
        }

    def label_entropy(self, encoded: Sequence[Encoded]) -> float:
        """Of the tags of all words."""
        return entropy(labels_in(encoded, "labels"))

    def is_constant(self, predictions: Sequence[Any], task: Task) -> bool:
        """One tag for all words, such as that of no entity."""
        return len({tag for tags in predictions for tag in tags}) < 2

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """Chunks for F1, words for accuracy, of every sentence."""
        gold = examples["tags"].to_pylist()
        pairs = list(zip(gold, predictions, strict=True))
        chunks = [(set(metrics.chunks(g)), set(metrics.chunks(p))) for g, p in pairs]
        words = [len(tags) for tags in gold]
        right = [sum(a == b for a, b in zip(g, p, strict=True)) for g, p in pairs]
        agree = [len(wanted & given) for wanted, given in chunks]
        sizes = [[len(given) for _, given in chunks], [len(wanted) for wanted, _ in chunks]]
        columns: dict[str, list[Column]] = {
            "f1": [(agree, *sizes)],
            "accuracy": [(right, words, words)],
        }
        return Outcomes.of({name: columns[name] for name in task.metrics})

    def vectors(self, states: Sequence[Tensor], batch: Batch) -> list[np.ndarray]:
        """The first sub-token of every word of a piece."""
        positions, counts = batch.targets["positions"], batch.targets["num_words"].tolist()
        words = torch.stack([_at(state, positions) for state in states], 2).float().cpu().numpy()
        return [piece[:count] for piece, count in zip(words, counts, strict=True)]

    def classes(self, features: pa.Table) -> np.ndarray:
        """The tags of all words."""
        return np.asarray(features["labels"].combine_chunks().flatten())

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The most frequent tag everywhere."""
        gold = examples["tags"].to_pylist()
        tag = most_frequent([tag for tags in gold for tag in tags])
        return [[tag] * len(tags) for tags in gold]


def _at(hidden: Tensor, positions: Tensor) -> Tensor:
    """The hidden states at each sequence's positions: (sequences, most words, hidden size)."""
    index = positions[..., None].expand(-1, -1, hidden.shape[-1])
    return hidden.gather(1, index)


def _num_special(tokenizer: Any) -> int:
    return int(tokenizer.num_special_tokens_to_add(pair=False))


def _num_subtokens(words: Sequence[str], tokenizer: Any) -> list[int]:
    """Sub-tokens of every word in the sentence; 0 where a tokenizer drops all of a word."""
    encoding = tokenizer(list(words), is_split_into_words=True, add_special_tokens=False)
    sizes = [0] * len(words)
    for word in encoding.word_ids():
        sizes[word] += 1
    return sizes


def _pieces(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of words whose sub-tokens fit into `limit`; a word alone may exceed it."""
    first, used = 0, 0
    for i, size in enumerate(sizes):
        size = max(size, 1)
        if used + size > limit and i > first:
            yield first, i
            first, used = i, 0
        used += size
    yield first, len(sizes)


def _without_void(
    words: Sequence[str], sizes: Sequence[int], first: int, tokenizer: Any
) -> list[str]:
    """The words, with the unknown token for those that the tokenizer would drop; a tokenizer that
    has none, as those of bytes, knows a question mark."""
    stand_in = tokenizer.unk_token or "?"
    return [word if sizes[first + i] else stand_in for i, word in enumerate(words)]


def _first_positions(word_ids: Sequence[int | None]) -> list[int]:
    """The position of every word's first sub-token."""
    firsts: dict[int, int] = {}
    for position, word in enumerate(word_ids):
        if word is not None:
            firsts.setdefault(word, position)
    return [firsts[word] for word in sorted(firsts)]

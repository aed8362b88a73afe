"""Bitext mining: which sentences of two pools are translations of each other, as XTREME mines BUCC.

Sentences are embedded as in retrieval. The rules are those of XTREME's `utils_retrieve.py`
(Artetxe & Schwenk 2019, arXiv 1811.01136): margin ratio over 4 neighbours in both directions,
the best of both joined, greedy one-to-one; a threshold fitted on other gold decides what is a
pair. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
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
from xstilts.kinds.neighbours import nearest
from xstilts.scores import metrics
from xstilts.scores.outcomes import Outcomes
from xstilts.tasks import Task

NEIGHBOURS = 4

NUM_BLOCKS = 1000
"""Of sentences that count together where the noise of a score is estimated."""


class Mining:
    """Reads the pools `id`, `sentence` and `en.id`, `en.sentence`, and the gold pairs
    `gold.source_id`, `gold.target_id`."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """A sequence for every distinct sentence: first the other language's, then English.

        A sentence that stands in its pool more than once has no id: XTREME mines it too, and
        drops its pairs.
        """
        sources, targets = (_distinct(rows[f"{s}id"], rows[f"{s}sentence"]) for s in ("", "en."))
        gold: dict[str, list[str]] = {}
        for source, target in zip(rows["gold.source_id"], rows["gold.target_id"], strict=True):
            gold.setdefault(source, []).append(target)
        texts = [*sources, *targets]
        encoding = tokenizer(texts, truncation=True, max_length=max_length)
        features = {"example": range(len(texts)), **sequence_columns(encoding)}
        ids = [*sources.values(), *targets.values()]
        is_target = [False] * len(sources) + [True] * len(targets)
        # Gold whose source sentence is repeated is on no row of its own: it stays to be missed.
        owned = {name for name in sources.values() if name}
        lost = [[a, b] for a, others in gold.items() if a not in owned for b in others]
        pairs = [[[name, b] for b in gold.get(name, ())] if name else [] for name in ids]
        pairs[0] = [*pairs[0], *lost]
        examples = {"id": ids, "is_target": is_target, "gold": pairs}
        schema = pa.schema(
            [
                ("id", pa.string()),
                ("is_target", pa.bool_()),
                ("gold", pa.list_(pa.list_(pa.string()))),
            ]
        )
        return Encoded(pa.table(features), pa.table(examples, schema=schema))

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """Inputs only."""
        return Batch(pad_inputs(features, vocabulary), {})

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """Mining has no head; asking for one is a bug."""
        raise TypeError("mining is not trained")

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Mining has no loss; asking for one is a bug."""
        raise TypeError("mining is not trained")

    def num_units(self, batch: Batch) -> int:
        """Mining has no loss; asking for its units is a bug."""
        raise TypeError("mining is not trained")

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """Mean vectors over the attention mask: (hidden size,) a sentence, float32."""
        return mean_vectors(hidden, batch)

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """Candidate pairs with their margin, `[source id, target id, margin]`, best first."""
        ids = encoded.examples["id"].to_pylist()
        count = encoded.examples["is_target"].to_pylist().index(True)
        vectors = torch.from_numpy(np.stack(outputs, dtype=np.float32))
        nn.functional.normalize(vectors, dim=1, out=vectors)
        pairs = mine(vectors[:count], vectors[count:])
        named = ((ids[i], ids[count + j], margin) for i, j, margin in pairs)
        return [[source, target, margin] for source, target, margin in named if source and target]

    def calibrate(
        self,
        predictions: Sequence[Any],
        examples: pa.Table,
        fitted: tuple[Sequence[Any], pa.Table] | None,
    ) -> list[Any]:
        """The candidates above a threshold, `[source id, target id]`.

        The threshold is the best on the predictions and gold of `fitted`. None: there is no other
        gold, so each half of the candidates, by the hash of their source, is cut where the other
        half is best.
        """
        if fitted is not None:
            threshold = best_threshold(fitted[0], _gold(fitted[1]))
            return [[a, b] for a, b, margin in predictions if margin >= threshold]
        gold = _gold(examples)
        kept: list[Any] = []
        for half in (0, 1):
            others = [pair for pair in predictions if _half(pair[0]) != half]
            theirs = {pair for pair in gold if _half(pair[0]) != half}
            threshold = best_threshold(others, theirs)
            own = (pair for pair in predictions if _half(pair[0]) == half)
            kept += [[a, b] for a, b, margin in own if margin >= threshold]
        return kept

    def at_golds_threshold(
        self, predictions: Sequence[Any], examples: pa.Table
    ) -> dict[str, float]:
        """The F1 at the margin that is best on the gold, and that margin."""
        threshold = best_threshold(predictions, _gold(examples))
        taken = {(a, b) for a, b, margin in predictions if margin >= threshold}
        f1 = metrics.overlap_scores(_gold(examples), taken)["f1"]
        return {"gold_threshold/f1": f1, "gold_threshold/margin": threshold}

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """F1 of the pairs, with precision and recall."""
        return metrics.overlap_scores(_gold(examples), {(a, b) for a, b, *_ in predictions})

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """Pairs that agree, that were mined and that are gold, in `NUM_BLOCKS` blocks of the other
        language's sentences, by their ids' hash: most sentences have no pair."""
        gold, mined = _gold(examples), {(a, b) for a, b, *_ in predictions}
        names = examples.filter(pc.invert(examples["is_target"]))["id"].to_pylist()
        blocks = sorted({_block(name) for name in (*names, *(a for a, _ in gold)) if name})
        place = {block: i for i, block in enumerate(blocks)}
        counts = np.zeros((3, len(blocks)))
        for row, pairs in zip(counts, (gold & mined, mined, gold), strict=True):
            for source, _ in pairs:
                row[place[_block(source)]] += 1
        return Outcomes.of({"f1": [tuple(counts)]}, np.array(blocks))

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """No pair."""
        return []


def mine(sources: Tensor, targets: Tensor) -> list[tuple[int, int, float]]:
    """Candidate pairs of two pools of unit vectors: positions and margin, best first.

    Each vector gets its best neighbour by the ratio of their cosine to the mean of both vectors'
    cosines with their nearest; of all these pairs, best first, each vector keeps one.

    Args:
        sources: (sources, hidden size), float32, on the host.
        targets: (targets, hidden size), float32, on the host.
    """
    forward, backward = nearest(sources, targets, NEIGHBOURS)
    cosines, neighbours = forward
    back_cosines, back_neighbours = backward
    source_mean, target_mean = cosines.mean(1), back_cosines.mean(1)
    margins = cosines / ((source_mean[:, None] + target_mean[neighbours]) / 2)
    back_margins = back_cosines / ((target_mean[:, None] + source_mean[back_neighbours]) / 2)
    best, back_best = margins.argmax(1), back_margins.argmax(1)
    rows, columns = np.arange(len(sources)), np.arange(len(targets))
    firsts = np.concatenate([rows, back_neighbours[columns, back_best]])
    seconds = np.concatenate([neighbours[rows, best], columns])
    values = np.concatenate([margins[rows, best], back_margins[columns, back_best]])
    order = np.argsort(-values, kind="stable")
    order = order[values[order] > 0]
    taken_sources, taken_targets = np.zeros(len(rows), bool), np.zeros(len(columns), bool)
    pairs = []
    for first, second, value in zip(
        *(column[order].tolist() for column in (firsts, seconds, values)), strict=True
    ):
        if not taken_sources[first] and not taken_targets[second]:
            pairs.append((first, second, value))
            taken_sources[first] = taken_targets[second] = True
    return pairs


def best_threshold(candidates: Sequence[Any], gold: set[tuple[str, str]]) -> float:
    """The margin that gives the best F1 when pairs at or above it are taken.

    It lies between the last pair taken and the next; 0, which takes all, where no candidate is
    gold.
    """
    ordered = sorted(candidates, key=lambda pair: -pair[2])
    threshold, best, correct = 0.0, 0.0, 0
    for taken, (source, target, margin) in enumerate(ordered, start=1):
        correct += (source, target) in gold
        f1 = 2 * correct / (taken + len(gold))
        if f1 > best:
            best = f1
            after = ordered[taken][2] if taken < len(ordered) else margin
            threshold = (margin + after) / 2
    return threshold


def _distinct(ids: Sequence[str], sentences: Sequence[str]) -> Mapping[str, str]:
    """Each distinct sentence with its id, "" where it stands more than once."""
    found: dict[str, str] = {}
    for name, sentence in zip(ids, sentences, strict=True):
        text = sentence.strip()
        found[text] = "" if text in found else name
    return found


def _gold(examples: pa.Table) -> set[tuple[str, str]]:
    return {(a, b) for pairs in examples["gold"].to_pylist() for a, b in pairs}


def _block(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:4], "big") % NUM_BLOCKS


def _half(name: str) -> int:
    return sha256(name.encode()).digest()[0] % 2

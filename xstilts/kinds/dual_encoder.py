"""Dual encoders: queries find their candidates by the cosine of vectors of one tower.

What goes in are queries, candidates and the keys by which they belong together; what comes out is,
for every query, the ids of its nearest candidates. Trained by in-batch softmax: of a batch every
other row's candidate is a wrong one. As XTREME-R's baselines for LAReQA and Mewsli-X: the encoder's
pooler, unit vectors, cosines times a learnt scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional

from xstilts.kinds.kind import (
    Batch,
    Encoded,
    Pooler,
    Rows,
    Vocabulary,
    first_positions,
    is_one_label,
    pad_inputs,
    sequence_columns,
)
from xstilts.kinds.neighbours import Search
from xstilts.scores.metrics import RANKED, average_precision
from xstilts.scores.outcomes import Outcomes
from xstilts.tasks import Task

SCALE = 100.0
"""What cosines are multiplied by before anything is learnt."""

ENCODED_AT_ONCE = 20_000
"""Texts that are Python lists of tokens at a time: a pool may have a million."""


class DualEncoderHead(nn.Module):
    """From an encoder's states to unit vectors, and the scale of their cosines.

    `pooling`: `pooler`, tanh of a dense layer on the first token, `first`, that token itself, or
    `mean` over all. `negatives`: a row is compared with so many others, in groups of the batch; 0:
    with all. `false_negatives`: also with those that have its own key.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.pooler: Pooler | None = Pooler(hidden_size)
        # What is learnt is the distance from where it begins: heads are drawn, and biases are 0.
        self.scale = nn.Parameter(torch.zeros(1))
        self.pooling, self.negatives, self.false_negatives = "pooler", 0, True

    def shape(self, pooling: str, negatives: int, false_negatives: bool) -> None:
        """Make it what a recipe says."""
        self.pooling, self.negatives, self.false_negatives = pooling, negatives, false_negatives
        if pooling != "pooler":
            self.pooler = None

    @property
    def reads_all(self) -> bool:
        """Whether it reads every token."""
        return self.pooling == "mean"

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(sequences, length, hidden size) to (sequences, hidden size), of length 1."""
        if self.reads_all:
            weights = mask[..., None].to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1)
        else:
            pooled = hidden[:, 0]
            if self.pooler is not None:
                pooled = self.pooler(pooled)
        return functional.normalize(pooled, dim=1)

    def contrast(self, vectors: Tensor, keys: Tensor) -> Tensor:
        """The mean over rows of the cross-entropy of each query's own candidate among those of its
        group.

        Args:
            vectors: (2 x rows, size), every query before its candidate.
            keys: (rows,); equal where candidates are the same.
        """
        logits = (SCALE + self.scale) * (vectors[0::2] @ vectors[1::2].T)
        rows = torch.arange(len(keys), device=keys.device)
        is_out = torch.zeros_like(logits, dtype=torch.bool)
        if self.negatives:
            groups = rows // (self.negatives + 1)
            is_out |= groups[:, None] != groups
        if not self.false_negatives:
            is_out |= (keys[:, None] == keys) & (rows[:, None] != rows)
        return functional.cross_entropy(logits.masked_fill(is_out, -torch.inf), rows)


class DualEncoder:
    """Reads `id`, `query`, `candidate` and `keys`, which name what a candidate is, or is right for,
    and what is right for a query.

    Rows that are trained on, or that bring their own candidates, have both texts, and their first
    key names the candidate. What is ranked in a pool has the query alone, a pool's rows the
    candidate alone, named by its id.
    """

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """A group of sequences a row: of its texts those that are there. A row that lacks what the
        others have gives none, and is nowhere."""
        count = len(rows["query"])
        limit = min(task.query_tokens or max_length, max_length)
        texts = {"query": rows["query"], "candidate": rows["candidate"]}
        present = {name: own for name, own in texts.items() if any(own)}
        limits = {"query": limit, "candidate": max_length}
        whole = [i for i in range(count) if all(own[i] for own in present.values())]
        keys = [[own] if isinstance(own, str) else list(own) for own in rows["keys"]]
        tables = []
        for first in range(0, len(whole), ENCODED_AT_ONCE):
            some = whole[first : first + ENCODED_AT_ONCE]
            sides = [
                sequence_columns(
                    tokenizer([own[i] for i in some], truncation=True, max_length=limits[name])
                )
                for name, own in present.items()
            ]
            groups = {
                name: [list(group) for group in zip(*(side[name] for side in sides), strict=True)]
                for name in sides[0]
            }
            key = [_number(keys[i]) for i in some]
            tables.append(pa.table({"example": some, **groups, "key": key}))
        strings = pa.list_(pa.string())
        gold = [own[:1] if len(present) == 2 else [] for own in keys]
        examples = {
            "id": pa.array([str(name) for name in rows["id"]], pa.string()),
            "keys": pa.array(keys, strings),
            "gold": pa.array(gold, strings),
        }
        return Encoded(pa.concat_tables(tables), pa.table(examples))

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """Sequences are the rows' texts in order; `targets["key"]`: (rows,), int64."""
        names = [name for name in ("input_ids", "token_type_ids") if name in features]
        flat = {name: [ids for group in features[name] for ids in group] for name in names}
        inputs = pad_inputs(flat, vocabulary)
        targets = {"key": torch.tensor(features["key"])}
        return Batch(inputs, targets, read=first_positions(inputs))

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """Pooler and scale; nothing is dropped."""
        return DualEncoderHead(hidden_size)

    def vectors_of(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Unit vectors: (sequences, hidden size), float32."""
        vectors: Tensor = head(hidden, batch.inputs["attention_mask"])
        return vectors

    def joint_loss(self, head: nn.Module, vectors: Tensor, batch: Batch) -> Tensor:
        """The loss of a whole batch from the vectors of all its sequences."""
        assert isinstance(head, DualEncoderHead)
        return head.contrast(vectors, batch.targets["key"])

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """In-batch softmax over scaled cosines."""
        return self.joint_loss(head, self.vectors_of(head, hidden, batch), batch)

    def num_units(self, batch: Batch) -> int:
        """Rows."""
        return len(batch.targets["key"])

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """Unit vectors of a row's texts: (texts, hidden size) each, float32."""
        assert head is not None
        vectors = self.vectors_of(head, hidden, batch).float().cpu().numpy()
        return list(vectors.reshape(len(batch.targets["key"]), -1, vectors.shape[1]))

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """For every query the names of the nearest among the rows' own candidates, best first."""
        gold = encoded.examples["gold"].to_pylist()
        owners = encoded.features["example"].to_pylist()
        places: dict[str, int] = {}
        for i, owner in enumerate(owners):
            places.setdefault(gold[owner][0], i)
        pairs = np.stack(outputs)
        search = self.search(pairs[:, 0])
        search.add(torch.from_numpy(pairs[list(places.values()), 1]))
        names = list(places)
        rankings: list[Any] = [[] for _ in gold]
        for owner, positions in zip(owners, search.neighbours()[1].tolist(), strict=True):
            rankings[owner] = [names[position] for position in positions]
        return rankings

    def search(self, queries: np.ndarray) -> Search:
        """A search for the nearest of candidates that come in parts.

        Args:
            queries: (queries, hidden size), unit vectors.
        """
        return Search(torch.from_numpy(np.ascontiguousarray(queries)), RANKED)

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """Mean average precision of the first 20; with one right candidate each the mean reciprocal
        rank in them."""
        return self.outcomes(predictions, examples, task, language).scores

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """The average precision of every query."""
        both = zip(examples["gold"].to_pylist(), predictions, strict=True)
        # A query without a candidate to find has found none.
        found = [average_precision(gold, ranking) if gold else 0.0 for gold, ranking in both]
        precisions, ones = np.array(found) / 100, np.ones(len(found))
        return Outcomes.of({"map_20": [(precisions, ones, ones)]})

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The candidates that are right most often, for every query."""
        counts = Counter(name for gold in examples["gold"].to_pylist() for name in gold)
        best = [name for name, _ in counts.most_common(RANKED)]
        return [best] * examples.num_rows

    def label_entropy(self, encoded: Sequence[Encoded]) -> float:
        """0, for no label is predicted: the loss of a head that reads nothing is the logarithm of
        the rows of a batch."""
        return 0.0

    def is_constant(self, predictions: Sequence[Any], task: Task) -> bool:
        """One candidate first for nearly all."""
        return is_one_label([ranking[0] if ranking else "" for ranking in predictions])


def _number(keys: Sequence[str]) -> int:
    """63 bits that stand for a candidate's keys."""
    digest = sha256("\n".join(keys).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

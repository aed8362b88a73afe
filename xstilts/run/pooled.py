"""Queries of all languages against one pool of candidates: encoded once, a part at a time.

A pool may have a million candidates, so that their vectors are never all there: those of a part are
compared with the queries of every language and forgotten. Memory is a part, the queries' vectors
and their best so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from xstilts.kinds.kind import Encoded, Ranking

PART = 8192
"""Candidates whose vectors are there at a time."""


@dataclass(slots=True)
class Pool:
    """A pool's candidates as they come by: their ids in order, and by key those that have it; of
    the keys those that are `wanted`, or all."""

    wanted: frozenset[str] | None = None
    names: list[str] = field(default_factory=list)
    by_key: dict[str, list[str]] = field(default_factory=dict)

    def add(self, examples: pa.Table) -> None:
        """Take up candidates."""
        names = examples["id"].to_pylist()
        self.names += names
        for name, keys in zip(names, examples["keys"].to_pylist(), strict=True):
            for key in keys:
                if self.wanted is None or key in self.wanted:
                    self.by_key.setdefault(key, []).append(name)

    def with_gold(self, examples: pa.Table) -> pa.Table:
        """The examples of queries, each with the candidates that have one of its keys."""
        gold = [
            list(dict.fromkeys(name for key in keys for name in self.by_key.get(key, ())))
            for keys in examples["keys"].to_pylist()
        ]
        index = examples.schema.get_field_index("gold")
        return examples.set_column(index, "gold", pa.array(gold, pa.list_(pa.string())))


def ranked(
    kind: Ranking,
    queries: Sequence[Encoded],
    pool: Iterator[Encoded],
    outputs: Callable[[pa.Table], Sequence[Any]],
) -> Iterator[tuple[list[Any], Encoded]]:
    """The nearest candidates of every query, and the queries with those that are right.

    Args:
        queries: by language.
        pool: the candidates, in as many tables as they lie.
        outputs: the vectors of features, (1, size) each.
    """
    features = pa.concat_tables([encoded.features for encoded in queries])
    vectors = np.concatenate(outputs(features))
    search = kind.search(vectors)
    keys = (key for own in queries for each in own.examples["keys"].to_pylist() for key in each)
    found = Pool(frozenset(keys))
    for candidates in pool:
        # In the order of the features: a candidate without text has none.
        owners = candidates.features["example"]
        found.add(candidates.examples.take(owners))
        for start in range(0, candidates.features.num_rows, PART):
            part = outputs(candidates.features.slice(start, PART))
            search.add(torch.from_numpy(np.concatenate(part)))
    positions = search.neighbours()[1]
    first = 0
    for encoded in queries:
        rankings: list[Any] = [[] for _ in range(encoded.examples.num_rows)]
        owners = encoded.features["example"].to_pylist()
        own = positions[first : first + len(owners)].tolist()
        for owner, nearest in zip(owners, own, strict=True):
            rankings[owner] = [found.names[position] for position in nearest]
        first += len(owners)
        examples = found.with_gold(encoded.examples)
        yield rankings, replace(encoded, examples=examples)

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
    """A pool's candidates as they come by: their ids in order, and those that have a key."""

    names: list[str] = field(default_factory=list)
    by_key: dict[str, list[str]] = field(default_factory=dict)

    def add(self, examples: pa.Table, wanted: frozenset[str]) -> None:
        """Take up candidates; of their keys those that a query has."""
        names = examples["id"].to_pylist()
        self.names += names
        for name, keys in zip(names, examples["keys"].to_pylist(), strict=True):
            for key in wanted.intersection(keys):
                self.by_key.setdefault(key, []).append(name)


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
    search, found = kind.search(vectors), Pool()
    keys = (key for own in queries for each in own.examples["keys"].to_pylist() for key in each)
    wanted = frozenset(keys)
    for candidates in pool:
        # In the order of the features: a candidate without text has none.
        owners = candidates.features["example"]
        found.add(candidates.examples.take(owners), wanted)
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
        examples = kind.with_gold(encoded.examples, found.by_key)
        yield rankings, replace(encoded, examples=examples)

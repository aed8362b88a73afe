"""Distances of tokens, and the rows of DeBERTa's table of relative places that stand for them.

Near ones have a row each, those behind half of `position_buckets` share rows by the logarithm. How
far is known before a pass from its longest sequence, so that rows which no pair of it uses are
neither normalised nor projected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position


@dataclass(frozen=True, slots=True)
class Distances:
    """Rows for the distances in sequences up to a length, counted from the first that a pass uses.

    `of_keys`: (2 x longest,), from key's place less query's of 1 - longest up. `of_queries`: the
    same of query's less key's. The last of each is no pair's.
    `first`, `last`: the rows of the table that the pass uses.
    """

    of_keys: Tensor
    of_queries: Tensor
    first: int
    last: int

    @classmethod
    def of(cls, config: Any, longest: int, longest_of_pass: int) -> Distances:
        """Those of a bucket's longest sequence in a pass, by a DeBERTa's configuration."""
        used = table_rows(config, longest_of_pass)
        first, last = int(used[0]), int(used[-1]) + 1
        rows = table_rows(config, longest) - first
        of_keys, of_queries = (torch.cat([own, own[-1:]]) for own in (rows.flip(0), rows))
        return cls(of_keys, of_queries, first, last)

    def map(self, function: Callable[[Tensor], Tensor]) -> Distances:
        """The distances with a function applied to their tensors."""
        return Distances(function(self.of_keys), function(self.of_queries), self.first, self.last)


def table_rows(config: Any, longest: int) -> Tensor:
    """The row of every distance of a query's place from a key's, from 1 - longest up: (2 x longest
    - 1,), never falling."""
    distances = torch.arange(1 - longest, longest)
    most = getattr(config, "max_relative_positions", -1)
    if most < 1:
        most = config.max_position_embeddings
    half = most
    if (buckets := getattr(config, "position_buckets", -1)) > 0:
        half = buckets
        distances = make_log_bucket_position(distances, buckets, most).long()
    return (distances + half).clamp(0, 2 * half - 1)

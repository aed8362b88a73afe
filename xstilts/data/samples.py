"""Samples of rows: the same ones for everybody who asks for as many, in every language alike."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from xstilts.tasks import Task


def limited(columns: dict[str, list[Any]], task: Task, limit: int) -> dict[str, list[Any]]:
    """At most `limit` rows; of pools that are mined, as many gold pairs and ten times the rest."""
    if not task.kind_spec.is_pools:
        kept = sample(len(next(iter(columns.values()))), limit)
        return {name: [values[i] for i in kept] for name, values in columns.items()}
    chosen = sample(len(columns["gold.source_id"]), limit)
    found = dict(columns)
    for side, gold in (("", "gold.source_id"), ("en.", "gold.target_id")):
        kept_ids = {columns[gold][i] for i in chosen}
        others = set(columns[gold]) - kept_ids
        ids = columns[f"{side}id"]
        rest = [i for i, name in enumerate(ids) if name not in kept_ids and name not in others]
        kept = [rest[i] for i in sample(len(rest), 10 * limit)]
        kept = sorted([*kept, *(i for i, name in enumerate(ids) if name in kept_ids)])
        for column in ("id", "sentence"):
            found[side + column] = [columns[side + column][i] for i in kept]
        found[gold] = [columns[gold][i] for i in chosen]
    return found


def sample(num_rows: int, limit: int | None) -> list[int]:
    """Positions of at most `limit` rows, in their order: those with the lowest sha256."""
    if limit is None or limit >= num_rows:
        return list(range(num_rows))
    ranked = sorted(range(num_rows), key=lambda i: sha256(str(i).encode()).digest())
    return sorted(ranked[:limit])

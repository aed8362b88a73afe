"""What makes rows of several languages one item: translations of each other, or equal questions.

An item's key is the same in all languages that have it; a row without one is an item of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import sha256

from xstilts.plan.stage import Rows

PARALLEL_SENTENCE = re.compile(r"[nw]\d{8}")
"""The `sent_id` of a sentence of UD's parallel treebanks (PUD), the same in all of them; those of
other treebanks number their own."""

DIGITS = 12
"""Hex digits of a text's sha256 that stand for it."""


def joined(by: str, values: Sequence[str]) -> list[str | None]:
    """What rows are joined by, of the values of the column `by`: names of parallel sentences as
    they are, texts by their digest; None where a row is no other language's."""
    if by == "sent_id":
        return [name if PARALLEL_SENTENCE.fullmatch(name) else None for name in values]
    return [sha256(text.strip().encode()).hexdigest()[:DIGITS] for text in values]


def item_keys(
    rows: Rows, ids: Sequence[str], joined_by: Callable[[str], list[str | None] | None]
) -> list[str | None]:
    """A key for every row of one language, None where no other language has the item.

    Args:
        ids: the rows' own, as the kind names them.
        joined_by: what a column joins the rows by (`joined`), None where they have none of that
            name.
    """
    task = rows.entry
    by = task.kind_spec.joined_by
    if by == "id":
        return list(ids)
    found = joined_by(by) if by else None
    if found is not None:
        return found
    # A language with other rows than the rest is no translation of them, one by one.
    if task.is_parallel and len({count for _, count in rows.rows}) == 1:
        return [str(i) for i in range(len(ids))]
    return [None] * len(ids)

"""Which fields of a value make its identity: said where a field is declared, in its `metadata`.

Stages are known by a hash of their inputs, encoded rows by a hash of what shapes them. Every field
counts that does not say otherwise, so that one that is added cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

RUNTIME_ONLY = {"uncounted": "runtime"}
"""Of a field that changes how something is computed or shown, and not what comes out."""

ELSEWHERE = {"uncounted": "elsewhere"}
"""Of a field whose value, where it has one, another field of the whole holds that counts."""


def later(before: Any) -> dict[str, Any]:
    """Of a field that came later: `before` says what was so before. With that value it counts for
    nothing, so that what is finished keeps its identity."""
    return {"before": before}


def counted(value: Any) -> Iterator[tuple[Field[Any], Any]]:
    """The fields of a dataclass that make its identity, with their values."""
    for one in fields(value):
        own = getattr(value, one.name)
        if "uncounted" in one.metadata:
            continue
        if "before" in one.metadata and own == one.metadata["before"]:
            continue
        yield one, own

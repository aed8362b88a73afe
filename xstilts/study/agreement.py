"""Whether two JSON values agree, and where they differ first."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT: Final = _Absent()


def first_difference(recorded: Any, recomputed: Any, within: float, path: str = "") -> str | None:
    """Where two values differ first, as `contrasts[2].effect.low: 1.2 recorded, 1.3 recomputed`;
    None where they do not.

    Args:
        within: how far two numbers may be apart: as they are below 1, above it of the larger.
    """
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        pairs = _of_objects(recorded, recomputed, path)
    elif isinstance(recorded, list) and isinstance(recomputed, list):
        both = zip_longest(recorded, recomputed, fillvalue=_ABSENT)
        pairs = ((f"{path}[{i}]", *pair) for i, pair in enumerate(both))
    elif _is_equal(recorded, recomputed, within):
        return None
    else:
        return f"{path}: {_shown(recorded)} recorded, {_shown(recomputed)} recomputed"
    found = (first_difference(one, other, within, where) for where, one, other in pairs)
    return next((difference for difference in found if difference), None)


def count_numbers(value: Any) -> int:
    """How many numbers there are in a value."""
    if isinstance(value, dict | list):
        return sum(map(count_numbers, value.values() if isinstance(value, dict) else value))
    return int(_is_number(value))


def is_close(one: float, other: float, within: float) -> bool:
    """Whether two numbers are no further apart; NaN is as NaN."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or abs(one - other) <= within * max(1.0, abs(one), abs(other))


def _of_objects(
    recorded: dict[str, Any], recomputed: dict[str, Any], path: str
) -> Iterator[tuple[str, Any, Any]]:
    for key in dict.fromkeys((*recorded, *recomputed)):
        where = f"{path}.{key}" if path else key
        yield where, recorded.get(key, _ABSENT), recomputed.get(key, _ABSENT)


def _is_equal(one: Any, other: Any, within: float) -> bool:
    if _is_number(one) and _is_number(other):
        return is_close(one, other, within)
    return bool(type(one) is type(other) and one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, _Absent) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."

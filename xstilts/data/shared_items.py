"""Items of training rows in several languages: the same ones in each, or each in one alone.

What is one item in all languages an id says, where the kind has one, or its place, where all
languages have as many rows: translations that were made line by line. Every language gives out the
items that all of them have in one order, by their sha256, so that reading one language needs no
word with whoever reads another.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from xstilts.data.sources import Folders, column_of_use, count_rows, has_column, kept_of_use
from xstilts.errors import DataError
from xstilts.plan.stage import Items
from xstilts.tasks import Task

USE = "train"


def count_items(folders: Folders, task: Task, languages: Sequence[str]) -> int:
    """How many items the training rows of all languages have in common.

    Raises:
        DataError: they cannot be read, or which rows are one item cannot be told.
    """
    return len(_common(folders, task, languages))


def positions(
    folders: Folders, task: Task, language: str, items: Items, limit: int | None
) -> list[int]:
    """Positions of one language's rows among its training rows: of at most `limit` items, in their
    order.

    Raises:
        DataError: see `count_items`.
    """
    common = _common(folders, task, items.languages)
    ranked = sorted(common, key=lambda key: sha256(key.encode()).digest())
    if items.disjoint:
        most = len(ranked) // len(items.languages)
        count = most if limit is None else min(limit, most)
        first = items.languages.index(language) * count
        chosen = {*ranked[first : first + count]}
    else:
        chosen = {*ranked[:limit]}
    places = {key: i for i, key in reversed([*enumerate(_keys(folders, task, language))])}
    return sorted(places[key] for key in chosen)


def _common(folders: Folders, task: Task, languages: Sequence[str]) -> set[str]:
    if _by(folders, task, languages):
        return set.intersection(*({*_keys(folders, task, x)} for x in languages))
    counts = {language: count_rows(folders, task, USE, language) for language in languages}
    if len({*counts.values()}) > 1:
        told = ", ".join(f"{language} {count:,}" for language, count in counts.items())
        raise DataError(
            f"{task.name}: which rows of its languages are one item cannot be told: they have no "
            f"ids, and as many rows only where all were translated ({told})"
        )
    return {str(i) for i in range(counts[languages[0]])}


def _by(folders: Folders, task: Task, languages: Sequence[str]) -> str:
    """The column by whose values rows are one item; empty where it is their place."""
    by = task.kind_spec.joined_by
    name = str(task.slices_of(USE)[0].origin.columns.get(by, by))
    return name if by and all(has_column(folders, task, USE, x, name) for x in languages) else ""


def _keys(folders: Folders, task: Task, language: str) -> list[str]:
    """What a language's rows are known by, in their order."""
    kept = kept_of_use(folders, task, USE, language)
    if by := _by(folders, task, [language]):
        values = column_of_use(folders, task, USE, language, by)
        return [str(values[i]) for i in kept]
    return [str(i) for i in range(len(kept))]

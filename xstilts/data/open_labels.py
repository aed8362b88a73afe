"""The labels of tasks that do not name theirs: those that the training rows have."""

from __future__ import annotations

from typing import Any

from xstilts.data.sources import Folders, features_of, stored_column
from xstilts.errors import DataError
from xstilts.tasks import Source, Task


def labels_of(folders: Folders, task: Task) -> list[str]:
    """The tags that the training rows of a tagging task have, sorted; class numbers by their names.

    Raises:
        DataError: they cannot be read, or are numbers without names.
    """
    found: set[str] = set()
    for one in task.slices_of("train"):
        source, split = one.origin, one.split
        config = source.config_of(task.train_language)
        column = str(source.columns.get("tags", "tags"))
        rows = stored_column(folders, source, config, split, column)
        tags = {tag for tags in rows for tag in tags}
        if any(isinstance(tag, int) for tag in tags):
            names = _class_names(folders, source, config, split, column)
            tags = {names[tag] for tag in tags if tag >= 0}
        found |= tags
    return sorted(found)


def _class_names(
    folders: Folders, source: Source, config: str, split: str, column: str
) -> list[str]:
    feature: Any = features_of(folders, source, config, split)[column]
    names = getattr(getattr(feature, "feature", None), "names", None)
    if names is None:
        raise DataError(
            f"{source.hub_id}: the tags in {column!r} must be texts, or class numbers with names; "
            "got numbers without names: declare them as ClassLabel, or write the tags themselves"
        )
    return list(names)

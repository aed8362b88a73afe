"""One way to read: `datasets.load_dataset` on a folder in the layout of the Hub.

The cache of `datasets` ignores the content and the place of a local folder, so every content gets
a cache folder of its own; the content's sha256 is the caller's to know.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xstilts.errors import DataError
from xstilts.tasks import Task

_FORMATTER = string.Formatter()


def load_rows(
    root: Path, task: Task, use: str, language: str, content: str, cache: Path
) -> dict[str, list[Any]]:
    """The columns of one use of a task in one language, under the names that its kind reads.

    Labels that a data set stores as class numbers come as their names.

    Args:
        root: the folder that holds `<hub id>/`.
        content: sha256 of the data set's files; names the cache folder.
        cache: where caches may be written.

    Raises:
        DataError: the data set, the configuration or the split is not there or cannot be read.
    """
    import datasets  # imported late: its import takes a second that most processes need not pay

    source, split = task.source, task.splits[use]
    config = source.config_of(language)
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(
            str(root / source.hub_id), config, split=split, cache_dir=str(cache / content[:16])
        )
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{task.name}: cannot read {source.hub_id}, configuration {config}, split {split}, "
            f"under {root}: {error}"
        ) from error
    columns = {name: _plain(loaded, name) for name in loaded.column_names}
    renamed = rename(columns, task)
    _check_labels(renamed, task)
    return renamed


def _check_labels(columns: dict[str, list[Any]], task: Task) -> None:
    """Refuse a label that the task does not declare, naming its row."""
    if not task.labels:
        return
    known = set(task.labels)
    column = "tags" if task.kind == "tagging" else "label"
    for i, value in enumerate(columns.get(column, [])):
        for label in value if isinstance(value, list) else [value]:
            # A blank label is what published test sets have; it is never trained on or scored.
            if label != "" and label not in known:
                raise DataError(
                    f"{task.name}: row {i} of {task.source.hub_id} has the label {label!r}; "
                    f"the task declares {', '.join(task.labels)}"
                )


def rename(columns: dict[str, list[Any]], task: Task) -> dict[str, list[Any]]:
    """Columns under the names that the kind reads, as the task's source declares.

    A declaration is a column's name, or a template such as `{ctx_b} {endings}`; a template over a
    list gives a list.

    Raises:
        DataError: a declared column is missing.
    """
    renamed = dict(columns)
    for name, declared in task.source.columns.items():
        fields = [field for _, field, _, _ in _FORMATTER.parse(declared) if field]
        absent = [field for field in fields or [declared] if field not in columns]
        if absent:
            raise DataError(
                f"{task.name}: {task.source.hub_id} has no column {absent[0]!r}; "
                f"it has {', '.join(sorted(columns))}"
            )
        if fields:
            values = zip(*(columns[field] for field in fields), strict=True)
            renamed[name] = [_render(declared, fields, row) for row in values]
        else:
            renamed[name] = columns[declared]
    return renamed


def _render(template: str, fields: list[str], row: tuple[Any, ...]) -> str | list[str]:
    """A template filled from one row; a list in the row gives a list of texts."""
    named = dict(zip(fields, row, strict=True))
    lists = {field: value for field, value in named.items() if isinstance(value, list)}
    if not lists:
        return template.format(**named).strip()
    width = len(next(iter(lists.values())))
    return [
        template.format(**{f: v[i] if f in lists else v for f, v in named.items()}).strip()
        for i in range(width)
    ]


def _plain(loaded: Any, name: str) -> list[Any]:
    """A column as plain values, class numbers as names."""
    feature, values = loaded.features[name], list(loaded[name])
    inner: Any = getattr(feature, "feature", None)
    if hasattr(feature, "int2str"):
        return [feature.names[value] if value >= 0 else "" for value in values]
    if hasattr(inner, "int2str"):
        return [[inner.names[v] if v >= 0 else "" for v in row] for row in values]
    return values


def dataset_files(root: Path, hub_id: str) -> Iterator[Path]:
    """The files of one data set in a folder, sorted.

    Raises:
        DataError: there is no such data set.
    """
    folder = root / hub_id
    if not folder.is_dir():
        raise DataError(f"{hub_id}: no such data set under {root}")
    yield from sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        # Download tools leave folders such as `.cache` behind; they are no content.
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )

"""Columns: from the names that files have to those that kinds read.

What goes in are names and a task's declaration of them; what comes out is a table under the kind's
own names, or one line that says which column is missing. No file is opened here.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from xstilts.errors import DataError
from xstilts.tasks import Source, Task

_FORMATTER = string.Formatter()


def rename(
    columns: dict[str, list[Any]], task: Task, source: Source | None = None
) -> dict[str, list[Any]]:
    """Columns under the names that the kind reads, as the source (the task's) declares.

    A declaration is a column's name, a name within it (`choices.text`), or a template such as
    `{ctx_b} {endings}`, which over a list gives a list; several make up a list.

    Raises:
        DataError: a declared column is missing.
    """
    source = source or task.source
    renamed = dict(columns)
    for name, declared in source.columns.items():
        if isinstance(declared, tuple):
            parts = (_declared(columns, one, task, source) for one in declared)
            renamed[name] = [list(values) for values in zip(*parts, strict=True)]
        else:
            renamed[name] = _declared(columns, declared, task, source)
    return renamed


def _declared(
    columns: dict[str, list[Any]], declared: str, task: Task, source: Source
) -> list[Any]:
    """The values of one declaration: a column, a name within one, or a template."""
    fields = _fields(declared)
    for name in fields or [declared]:
        column, _, within = name.partition(".")
        has_it = name in columns or (
            within and column in columns and all(within in value for value in columns[column])
        )
        if not has_it:
            raise DataError(no_column(task.name, source, name, columns))
    if fields:
        values = zip(*(columns[field] for field in fields), strict=True)
        return [_render(declared, fields, row) for row in values]
    if declared in columns:
        return columns[declared]
    column, _, within = declared.partition(".")
    return [value[within] for value in columns[column]]


def no_column(task: str, source: Source, name: str, columns: Iterable[str]) -> str:
    """What is said of a column that is not there."""
    return f"{task}: {source.hub_id} has no column {name!r}; it has {', '.join(sorted(columns))}"


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


def names_in(footer: parquet.FileMetaData) -> set[str]:
    """The columns of a Parquet file, and what is within them, as `choices.text`."""
    names: set[str] = set()
    for field in footer.schema.to_arrow_schema():
        names.add(field.name)
        if pa.types.is_struct(field.type):
            names |= {f"{field.name}.{part.name}" for part in field.type}
    return names


def check_names(names: Collection[str], task: Task, source: Source) -> None:
    """See that columns of these names give all that a task's kind reads.

    Raises:
        DataError: one is missing.
    """
    declared = [source.columns.get(name, name) for name in task.kind_spec.columns]
    flat = [one for name in declared for one in (name if isinstance(name, tuple) else (name,))]
    for name in (field for one in flat for field in _fields(one) or [one]):
        if name not in names:
            raise DataError(no_column(task.name, source, name, names))


def _fields(declared: str) -> list[str]:
    """The columns that a template is filled from; none if it is no template."""
    return [field for _, field, _, _ in _FORMATTER.parse(declared) if field]


def check_labels(columns: dict[str, list[Any]], task: Task, source: Source) -> None:
    """Refuse a label that the task does not declare.

    Raises:
        DataError: with the first, and its row.
    """
    if not task.labels or task.open_labels:
        return  # a tag that the training rows do not have is never right
    known = set(task.labels)
    for i, value in enumerate(columns.get(task.kind_spec.label, [])):
        for label in value if isinstance(value, list) else [value]:
            # A blank label is what published test sets have; it is never trained on or scored.
            if label != "" and label not in known:
                raise DataError(
                    f"{task.name}: row {i} of {source.hub_id} has the label {label!r}; "
                    f"the task declares {', '.join(task.labels)}: this is another form of the data "
                    "set, whose original files `xstilts data import` brings to that form"
                )

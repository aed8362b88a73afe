"""One way to read: `datasets.load_dataset` on a folder in the layout of the Hub.

The cache of `datasets` ignores the content and the place of a local folder, so every content gets
a cache folder of its own; the content's sha256 is the caller's to know.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from xstilts.data.mirror import declared_files
from xstilts.errors import DataError
from xstilts.tasks import Slice, Source, Task

_FORMATTER = string.Formatter()

Folders = Mapping[str, Path]
"""Where each data set lies, by its Hub id."""


def load_rows(
    folders: Folders,
    task: Task,
    use: str,
    language: str,
    content: str,
    cache: Path,
    limit: int | None = None,
) -> dict[str, list[Any]]:
    """The columns of one use of a task in one language, under the names that its kind reads.

    Labels that a data set stores as class numbers come as their names.

    Args:
        content: identity of the data set; names the cache folder.
        cache: where caches may be written.
        limit: how many rows to take at most: a sample, the same in every language of parallel data.

    Raises:
        DataError: the data set, the configuration or the split is not there or cannot be read.
    """
    slices = task.slices_of(use)
    # Of one data set the sample is taken before its rows become Python values.
    early = limit if len(slices) == 1 and task.kind != "mining" else None
    parts = [
        _load_slice(
            folders,
            task,
            one,
            language,
            cache / content[:16] / one.origin.hub_id.replace("/", "--"),
            early,
        )
        for one in slices
    ]
    # Sources of one task need only agree on what the kind reads.
    names = [name for name in parts[0] if all(name in part for part in parts)]
    joined = {name: [value for part in parts for value in part[name]] for name in names}
    return joined if limit is None else _limited(joined, task, limit)


def _load_slice(
    folders: Folders, task: Task, wanted: Slice, language: str, cache: Path, limit: int | None
) -> dict[str, list[Any]]:
    source = wanted.origin
    config = source.config_of(language)
    loaded = _load(folders, task, source, config, wanted.split, cache)
    if wanted.filter:

        def column(name: str) -> list[Any]:
            if name not in loaded.column_names:
                raise DataError(_no_column(task.name, source, name, loaded.column_names))
            return list(loaded[name])

        loaded = loaded.select(_kept(folders, wanted, column)[0])
    if limit is not None:
        loaded = loaded.select(sample(len(loaded), limit))
    columns = {name: _plain(loaded, name) for name in loaded.column_names}
    for side, config in source.side_configs_of(language).items():
        other = _load(folders, task, source, config, wanted.split, cache)
        columns |= {f"{side}.{name}": _plain(other, name) for name in other.column_names}
    renamed = rename(columns, task, source)
    _check_labels(renamed, task, source)
    return renamed


def _load(
    folders: Folders, task: Task, source: Source, config: str, split: str, cache: Path
) -> Any:
    import datasets  # imported late: its import takes a second that most processes need not pay

    folder = folders[source.hub_id]
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(
            str(folder), config, split=split, cache_dir=str(cache), trust_remote_code=False
        )
    # A folder with a loading script raises a plain RuntimeError.
    except (
        OSError,
        ValueError,
        KeyError,
        RuntimeError,
        datasets.exceptions.DatasetsError,
    ) as error:
        raise DataError(
            f"{task.name}: cannot read {source.hub_id}, configuration {config}, split "
            f"{split}, in {folder}: {error}"
        ) from error


def _limited(columns: dict[str, list[Any]], task: Task, limit: int) -> dict[str, list[Any]]:
    """At most `limit` rows; of pools that are mined, as many gold pairs and ten times the rest."""
    if task.kind != "mining":
        kept = sample(len(next(iter(columns.values()))), limit)
        return {name: [values[i] for i in kept] for name, values in columns.items()}
    chosen = sample(len(columns["gold.source_id"]), limit)
    limited = dict(columns)
    for side, gold in (("", "gold.source_id"), ("en.", "gold.target_id")):
        kept_ids = {columns[gold][i] for i in chosen}
        others = set(columns[gold]) - kept_ids
        ids = columns[f"{side}id"]
        rest = [i for i, name in enumerate(ids) if name not in kept_ids and name not in others]
        kept = [rest[i] for i in sample(len(rest), 10 * limit)]
        kept = sorted([*kept, *(i for i, name in enumerate(ids) if name in kept_ids)])
        for column in ("id", "sentence"):
            limited[side + column] = [columns[side + column][i] for i in kept]
        limited[gold] = [columns[gold][i] for i in chosen]
    return limited


def sample(num_rows: int, limit: int | None) -> list[int]:
    """Positions of at most `limit` rows, in their order: those with the lowest sha256."""
    if limit is None or limit >= num_rows:
        return list(range(num_rows))
    ranked = sorted(range(num_rows), key=lambda i: sha256(str(i).encode()).digest())
    return sorted(ranked[:limit])


def count_rows(folders: Folders, task: Task, use: str, language: str) -> int:
    """Rows of one use in one language, from the Parquet footers where no row is left out.

    Raises:
        DataError: the data set's README does not declare the configuration or the split.
    """
    return sum(count_slice(folders, task, one, language) for one in task.slices_of(use))


def count_slice(folders: Folders, task: Task, wanted: Slice, language: str) -> int:
    """Rows of one slice of a task in one language; see `count_rows`."""
    source = wanted.origin
    config = source.config_of(language)
    for side in source.side_configs_of(language).values():
        _parquet_files(folders, source, side, wanted.split)
    if wanted.filter:
        return len(_kept(folders, wanted, _stored(folders, wanted, config))[0])
    paths = _parquet_files(folders, source, config, wanted.split)
    try:
        return sum(parquet.read_metadata(path).num_rows for path in paths)
    except (OSError, pa.ArrowInvalid) as error:
        names = ", ".join(map(str, paths))
        raise DataError(f"{task.name}: one of {names} is no Parquet file: {error}") from error


def labels_of(folders: Folders, task: Task) -> list[str]:
    """The tags that the training rows of a tagging task have, sorted.

    Raises:
        DataError: they cannot be read.
    """
    found: set[str] = set()
    for one in task.slices_of("train"):
        source = one.origin
        column = str(source.columns.get("tags", "tags"))
        config = source.config_of(task.train_language)
        rows = _column(folders, source, config, one.split, column)
        found.update(tag for tags in rows for tag in tags)
    return sorted(found)


def divided_otherwise(folders: Folders, task: Task, use: str) -> str:
    """What a use's rows are divided by where they have too few of what should divide them."""
    for one in task.slices_of(use):
        held_out = one.only or one.without
        if held_out and held_out.otherwise:
            config = one.origin.config_of(task.train_language)
            by = _kept(folders, one, _stored(folders, one, config))[1]
            if by != held_out.column:
                return (
                    f"{task.name}: {one.origin.hub_id} {one.split} has too few {held_out.column}s "
                    f"and is divided by {by}"
                )
    return ""


Column = Callable[[str], Sequence[Any]]
"""Gives the values of a column by its name."""


def _stored(folders: Folders, wanted: Slice, config: str) -> Column:
    return partial(_column, folders, wanted.origin, config, wanted.split)


def _kept(folders: Folders, wanted: Slice, column: Column) -> tuple[list[int], str]:
    """Positions of the rows that a slice keeps, and the column that divided them, if one did."""
    tests: list[Sequence[bool]] = []
    if wanted.unlike:
        source, split, name = wanted.unlike
        others = set(_column(folders, source, source.config, split, name))
        tests.append([value not in others for value in column(name)])
    if wanted.labelled:
        tests.append([value not in (-1, "") for value in column(wanted.labelled)])
    if wanted.where:
        tests.append([value == wanted.where[1] for value in column(wanted.where[0])])
    held_out = wanted.only or wanted.without
    if held_out is None:
        return [i for i, passed in enumerate(zip(*tests, strict=True)) if all(passed)], ""
    by, groups = held_out.column, column(held_out.column)
    passed = [all(results) for results in zip(*tests, strict=True)] or [True] * len(groups)
    is_held = [held_out.holds(str(group)) for group in groups]
    if held_out.otherwise and len({x for x, ok in zip(is_held, passed, strict=True) if ok}) < 2:
        by = held_out.otherwise
        is_held = [held_out.holds(str(group)) for group in column(by)]
    wants_held = wanted.only is not None
    both = zip(is_held, passed, strict=True)
    return [i for i, (held, ok) in enumerate(both) if ok and held == wants_held], by


def _column(folders: Folders, source: Source, config: str, split: str, column: str) -> list[Any]:
    paths = _parquet_files(folders, source, config, split)
    try:
        tables = [parquet.read_table(path, columns=[column]) for path in paths]
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise DataError(f"{source.hub_id}: cannot read its column {column!r}: {error}") from error
    return [value for table in tables for value in table[column].to_pylist()]


def _parquet_files(folders: Folders, source: Source, config: str, split: str) -> list[Path]:
    folder = folders[source.hub_id]
    declared = declared_files(folder)
    if (config, split) not in declared:
        known = sorted({known for known, _ in declared})
        raise DataError(
            f"{source.hub_id}: {folder} declares no split {split!r} of a configuration "
            f"{config!r}; it has {', '.join(known[:20])}"
        )
    patterns = declared[config, split]
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def _check_labels(columns: dict[str, list[Any]], task: Task, source: Source) -> None:
    """Refuse a label that the task does not declare, naming its row."""
    if not task.labels or task.open_labels:
        return  # a tag that the training rows do not have is never right
    known = set(task.labels)
    column = "tags" if task.kind == "tagging" else "label"
    for i, value in enumerate(columns.get(column, [])):
        for label in value if isinstance(value, list) else [value]:
            # A blank label is what published test sets have; it is never trained on or scored.
            if label != "" and label not in known:
                raise DataError(
                    f"{task.name}: row {i} of {source.hub_id} has the label {label!r}; "
                    f"the task declares {', '.join(task.labels)}"
                )


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
    fields = [field for _, field, _, _ in _FORMATTER.parse(declared) if field]
    for name in fields or [declared]:
        column, _, within = name.partition(".")
        has_it = name in columns or (
            within and column in columns and all(within in value for value in columns[column])
        )
        if not has_it:
            raise DataError(_no_column(task.name, source, name, columns))
    if fields:
        values = zip(*(columns[field] for field in fields), strict=True)
        return [_render(declared, fields, row) for row in values]
    if declared in columns:
        return columns[declared]
    column, _, within = declared.partition(".")
    return [value[within] for value in columns[column]]


def _no_column(task: str, source: Source, name: str, columns: Iterable[str]) -> str:
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


def _plain(loaded: Any, name: str) -> list[Any]:
    """A column as plain values, class numbers as names."""
    feature, values = loaded.features[name], list(loaded[name])
    inner: Any = getattr(feature, "feature", None)
    if hasattr(feature, "int2str"):
        return [feature.names[value] if value >= 0 else "" for value in values]
    if hasattr(inner, "int2str"):
        return [[inner.names[v] if v >= 0 else "" for v in row] for row in values]
    return values


def dataset_files(folder: Path) -> list[Path]:
    """The files of one data set, sorted: all that lie in its folder, behind links too, and all that
    its README names.

    Raises:
        DataError: there is no such folder, or its README names files elsewhere.
    """
    if not folder.is_dir():
        name = f"{folder.parent.name}/{folder.name}"
        raise DataError(f"{name}: no such data set under {folder.parents[1]}")
    found = set(_visible_files(folder, frozenset()))
    if (folder / "README.md").exists():
        for patterns in declared_files(folder).values():
            found |= {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(path for path in found if path.is_file())


def _visible_files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """All files below a folder but hidden ones: download tools leave folders such as `.cache`
    behind, which are no content. A link that leads back up is not followed."""
    own = folder.resolve()
    if own in above:
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _visible_files(path, above | {own})
        else:
            yield path

"""One way to read: the files that a folder in the layout of the Hub declares, with the features of
`datasets`.

They are read straight into memory. `load_dataset` would write them to its cache first, under a
lock: whoever is stopped while holding it stops every process that wants the same rows, for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from xstilts.data.columns import check_labels, check_names, names_in, no_column, rename
from xstilts.data.forms import formed
from xstilts.data.hub_layout import declared_files, declares_features
from xstilts.data.samples import limited, sample
from xstilts.errors import DataError
from xstilts.tasks import Slice, Source, Task

_TEXTS = (pa.string(), pa.large_string())

Folders = Mapping[str, Path]
"""Where each data set lies, by its Hub id."""


def load_rows(
    folders: Folders,
    task: Task,
    use: str,
    language: str,
    limit: int | None = None,
    chosen: Sequence[int] | None = None,
) -> dict[str, list[Any]]:
    """The columns of one use of a task in one language, under the names that its kind reads.

    Labels that a data set stores as class numbers come as their names.

    Args:
        limit: how many rows to take at most: a sample, the same in every language of parallel data.
        chosen: which rows to take instead, by their place; of a use that is of one data set.

    Raises:
        DataError: the data set, the configuration or the split is not there or cannot be read.
    """
    slices = task.slices_of(use)
    # Of one data set the sample is taken before its rows become Python values.
    early = limit if len(slices) == 1 and not task.kind_spec.is_pools else None
    parts = [_load_slice(folders, task, one, language, early, chosen) for one in slices]
    # Sources of one task need only agree on what the kind reads.
    names = [name for name in parts[0] if all(name in part for part in parts)]
    joined = {name: [value for part in parts for value in part[name]] for name in names}
    return joined if limit is None or chosen is not None else limited(joined, task, limit)


def _load_slice(
    folders: Folders,
    task: Task,
    wanted: Slice,
    language: str,
    limit: int | None,
    chosen: Sequence[int] | None,
) -> dict[str, list[Any]]:
    source = wanted.origin
    config = source.config_of(language)
    loaded = _load(folders, task, source, config, wanted.split)
    if wanted.filter:

        def column(name: str) -> list[Any]:
            if name not in loaded.column_names:
                raise DataError(no_column(task.name, source, name, loaded.column_names))
            return list(loaded[name])

        loaded = loaded.select(_kept(folders, wanted, column)[0])
    if chosen is not None:
        loaded = loaded.select(chosen)
    elif limit is not None:
        loaded = loaded.select(sample(len(loaded), limit))
    columns = {name: _plain(loaded, name) for name in loaded.column_names}
    for side, config in source.side_configs_of(language).items():
        other = _load(folders, task, source, config, wanted.split)
        columns |= {f"{side}.{name}": _plain(other, name) for name in other.column_names}
    renamed = formed(rename(columns, task, source), source.form)
    check_labels(renamed, task, source)
    return renamed


def _load(folders: Folders, task: Task, source: Source, config: str, split: str) -> Any:
    import datasets  # imported late: its import takes a second that most processes need not pay
    from datasets.table import table_cast

    folder = folders[source.hub_id]
    script = folder / f"{folder.name}.py"
    if script.is_file():
        rule = f"{script.name} is a loading script; scripts are no longer supported"
        raise DataError(f"{task.name}: cannot read {source.hub_id} in {folder}: {rule}")
    paths = _parquet_files(folders, source, config, split)
    if not paths:
        raise DataError(f"{task.name}: {source.hub_id}: no file of {config} {split} is in {folder}")
    try:
        features = features_of(folders, source, config, split)
        # A file's columns may stand in another order, or be of a type that can be cast.
        tables = [
            table_cast(parquet.read_table(path, partitioning=None), features.arrow_schema)
            for path in paths
        ]
        return datasets.Dataset(pa.concat_tables(tables), datasets.DatasetInfo(features=features))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DataError(
            f"{task.name}: cannot read {source.hub_id}, configuration {config}, split "
            f"{split}, in {folder}: {error}"
        ) from error


def _declared_features(folder: Path, config: str) -> Any:
    """The features that a README gives a configuration under `dataset_info`, if it does; most files
    hold their own."""
    if not declares_features(folder):
        return None
    infos = _infos(folder, (folder / "README.md").stat().st_mtime_ns)
    return infos[config].features if config in infos else None


@lru_cache(maxsize=64)
def _infos(folder: Path, mtime_ns: int) -> Any:
    import datasets

    return datasets.info.DatasetInfosDict.from_directory(str(folder))


def first_rows(
    folders: Folders, task: Task, use: str, language: str, count: int
) -> dict[str, list[Any]]:
    """The first rows of one use in one language, whatever a slice leaves out of them, under the
    names that the kind reads; labels as the files have them.

    Raises:
        DataError: they cannot be read.
    """
    one = task.slices_of(use)[0]
    source = one.origin
    columns = _head(folders, source, source.config_of(language), one.split, count)
    for side, config in source.side_configs_of(language).items():
        other = _head(folders, source, config, one.split, count)
        columns |= {f"{side}.{name}": values for name, values in other.items()}
    return rename(columns, task, source)


def _head(
    folders: Folders, source: Source, config: str, split: str, count: int
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for path in _parquet_files(folders, source, config, split)[:1]:
        try:
            with parquet.ParquetFile(path) as file:
                batch = next(file.iter_batches(count), None)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{source.hub_id}: cannot read {path}: {error}") from error
        columns = {} if batch is None else batch.to_pydict()
    return columns


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
    return sum(part.num_rows for part in _footers(folders, task, source, config, wanted.split))


def kept_of_use(folders: Folders, task: Task, use: str, language: str) -> Sequence[int]:
    """Positions, among the stored rows, of those that a use of one data set keeps in a language.

    Raises:
        DataError: they cannot be read.
    """
    (one,) = task.slices_of(use)
    config = one.origin.config_of(language)
    if one.filter:
        return _kept(folders, one, _stored(folders, one, config))[0]
    return range(count_slice(folders, task, one, language))


def check_columns(folders: Folders, task: Task, use: str, language: str) -> None:
    """See, in the Parquet footers, that all is there that the kind reads of one use.

    Raises:
        DataError: a column is missing, or a file is damaged.
    """
    for one in task.slices_of(use):
        names = _names_of(folders, task, one, language)
        if names:  # else there are no rows, which is said elsewhere
            check_names(names, task, one.origin)


def check_texts_of_labels(folders: Folders, task: Task, use: str, language: str) -> None:
    """See that labels which files hold as texts are those that the task declares; class numbers
    have names, which whoever reads them compares.

    Raises:
        DataError: one is not declared.
    """
    if not task.labels or task.open_labels:
        return
    for one in task.slices_of(use):
        source = one.origin
        column = source.columns.get(task.kind_spec.label, task.kind_spec.label)
        for path in _parquet_files(folders, source, source.config_of(language), one.split):
            schema = parquet.read_schema(path)
            if column not in schema.names or schema.field(column).type not in _TEXTS:
                continue
            stored = parquet.read_table(path, columns=[column])[column]
            # Millions of rows have a few labels; which row has a wrong one is asked only then.
            if not {*stored.unique().to_pylist()} <= {*task.labels, ""}:
                check_labels({task.kind_spec.label: stored.to_pylist()}, task, source)


def has_column(folders: Folders, task: Task, use: str, language: str, name: str) -> bool:
    """Whether all rows of a use have a column of that name on disk."""
    return all(name in _names_of(folders, task, one, language) for one in task.slices_of(use))


def _names_of(folders: Folders, task: Task, one: Slice, language: str) -> set[str]:
    """The columns of a slice's files, by their footers."""
    source = one.origin
    configs = {"": source.config_of(language)}
    configs |= {f"{x}.": name for x, name in source.side_configs_of(language).items()}
    names: set[str] = set()
    for prefix, config in configs.items():
        # Of several files the first: `datasets` refuses files that differ.
        footers = _footers(folders, task, source, config, one.split)[:1]
        names |= {prefix + name for part in footers for name in names_in(part)}
    return names


def _footers(
    folders: Folders, task: Task, source: Source, config: str, split: str
) -> list[parquet.FileMetaData]:
    paths = _parquet_files(folders, source, config, split)
    try:
        return [parquet.read_metadata(path) for path in paths]
    except (OSError, pa.ArrowException) as error:
        names = ", ".join(map(str, paths))
        raise DataError(f"{task.name}: one of {names} is no Parquet file: {error}") from error


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
    return partial(stored_column, folders, wanted.origin, config, wanted.split)


def _kept(folders: Folders, wanted: Slice, column: Column) -> tuple[list[int], str]:
    """Positions of the rows that a slice keeps, and the column that divided them, if one did."""
    tests: list[Sequence[bool]] = []
    if wanted.unlike:
        source, split, name = wanted.unlike
        others = set(stored_column(folders, source, source.config, split, name))
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


def stored_column(
    folders: Folders, source: Source, config: str, split: str, column: str
) -> list[Any]:
    """A column of one split as it is stored, class numbers as numbers.

    Raises:
        DataError: it cannot be read.
    """
    paths = _parquet_files(folders, source, config, split)
    try:
        tables = [parquet.read_table(path, columns=[column]) for path in paths]
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise DataError(f"{source.hub_id}: cannot read its column {column!r}: {error}") from error
    return [value for table in tables for value in table[column].to_pylist()]


def column_of_use(folders: Folders, task: Task, use: str, language: str, name: str) -> list[Any]:
    """A column of one use in one language, as it is stored, under the name that the files have.

    Raises:
        DataError: it cannot be read.
    """
    found: list[Any] = []
    for one in task.slices_of(use):
        config = one.origin.config_of(language)
        found += stored_column(folders, one.origin, config, one.split, name)
    return found


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


def features_of(folders: Folders, source: Source, config: str, split: str) -> Any:
    """The features of one split, as its README or its first file declares them.

    Raises:
        DataError: there is no such split.
    """
    import datasets

    paths = _parquet_files(folders, source, config, split)
    declared = _declared_features(folders[source.hub_id], config)
    return declared or datasets.Features.from_arrow_schema(parquet.read_schema(paths[0]))


def _plain(loaded: Any, name: str) -> list[Any]:
    """A column as plain values, class numbers as names."""
    feature, values = loaded.features[name], list(loaded[name])
    inner: Any = getattr(feature, "feature", None)
    if hasattr(feature, "int2str"):
        return [feature.names[value] if value >= 0 else "" for value in values]
    if hasattr(inner, "int2str"):
        return [[inner.names[v] if v >= 0 else "" for v in row] for row in values]
    return values

"""Data sets in the layout of the Hub: a README that declares files, Parquet with features.

What `datasets.load_dataset` reads from the Hub it reads from such a folder. Equal rows give equal
bytes. A split that is written again replaces the one of that name; the others stay. What a folder
declares and which files are its content is told here too, for all who read one.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from xstilts.config.yaml_limits import LimitedLoader, read_yaml
from xstilts.errors import DataError, Problem
from xstilts.files import write_atomically

Row = dict[str, Any]
# Column -> feature, as `datasets` writes it into Parquet files.
Features = dict[str, Any]

STRING: Features = {"dtype": "string", "_type": "Value"}
INT32: Features = {"dtype": "int32", "_type": "Value"}
STRINGS: Features = {"feature": STRING, "_type": "List"}
MAX_README_BYTES = 4 * 2**20
"""The longest README; that of 200 configurations with all their columns has a quarter of one."""

ANSWERS: Features = {"text": STRINGS, "answer_start": {"feature": INT32, "_type": "List"}}
"""The answers of SQuAD: texts, and where each begins in the context, in characters."""


def class_label(names: Sequence[str]) -> Features:
    """A feature of class numbers with their names; -1 is a label that was not published."""
    return {"names": list(names), "_type": "ClassLabel"}


def class_labels(names: Sequence[str]) -> Features:
    """A feature of lists of class numbers, one for each word."""
    return {"feature": class_label(names), "_type": "List"}


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of one split of one configuration of a data set."""

    config: str
    name: str
    features: Features
    rows: Sequence[Row]


def write_dataset(folder: Path, splits: Iterable[Split], note: str) -> None:
    """Write splits of a data set: one Parquet file each, and the README that declares all.

    Raises:
        DataError: the folder has a README that declares no data files.
    """
    declared = declared_files(folder) if (folder / "README.md").exists() else {}
    for split in splits:
        name = f"{split.config}/{split.name}-00000-of-00001.parquet"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(list(split.rows), schema=_schema(split.features))
        temporary = path.with_name(f".{path.name}.tmp")
        pq.write_table(table, temporary, compression="snappy", version="2.6")
        temporary.replace(path)
        declared[split.config, split.name] = [name]
    header = ["---", "configs:"]
    for config in dict.fromkeys(config for config, _ in declared):
        header += [f"- config_name: {_quoted(config)}", "  data_files:"]
        for (owner, split_name), paths in declared.items():
            if owner == config:
                listed = _quoted(paths[0]) if len(paths) == 1 else json.dumps(paths)
                header += [f"  - split: {_quoted(split_name)}", f"    path: {listed}"]
    lines = [*header, "---", "", f"# {folder.name}", "", note, ""]
    write_atomically(folder / "README.md", "\n".join(lines))


def _quoted(name: str) -> str:
    """A name as YAML reads it back; Norwegian's code is its word for false."""
    try:
        is_plain = yaml.safe_load(f"- {name}") == [name]
    except yaml.YAMLError:
        is_plain = False
    return name if is_plain else json.dumps(name, ensure_ascii=False)


def declared_files(folder: Path) -> dict[tuple[str, str], list[str]]:
    """The file patterns that a data set's README declares, by configuration and split, in any of
    the Hub's forms. Patterns without a split are of `train`; of a `data_dir` alone the splits are
    told by the names of its files.

    Raises:
        DataError: there is no README, its header does not parse, or it names files elsewhere: what
            is read must be below the folder, whose content is the data set's identity.
    """
    return dict(_declared(folder, *_changed(folder)))


def declares_features(folder: Path) -> bool:
    """Whether a data set's README gives features to its columns.

    Raises:
        DataError: there is no README, or its header does not parse.
    """
    return bool(_header(folder, *_changed(folder)).get("dataset_info"))


def _changed(folder: Path) -> tuple[int, int]:
    """Size and time of change of a README, by which what it declares is remembered."""
    try:
        stat = (folder / "README.md").stat()
    except OSError as error:
        raise _undeclared(folder, error) from error
    return stat.st_size, stat.st_mtime_ns


def _undeclared(folder: Path, reason: object) -> DataError:
    text = " ".join(str(reason).split())
    return DataError(f"{folder}: README.md does not declare its data files ({text})")


class _Names(LimitedLoader):
    """YAML whose scalars are text: a configuration may be called `no`, `1` or `null`."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


@lru_cache(maxsize=256)
def _header(folder: Path, size: int, mtime_ns: int) -> dict[str, Any]:
    """The front matter of a README; a data set of 200 configurations is asked for each of them."""
    try:
        with (folder / "README.md").open("rb") as stream:
            content = stream.read(MAX_README_BYTES + 1)
        if len(content) > MAX_README_BYTES:
            rule = f"a README.md has at most {MAX_README_BYTES >> 20} MiB"
            got = f"{size / 2**20:.1f} MiB"
            raise DataError(str(Problem(str(folder / "README.md"), rule, got)))
        header = read_yaml(_front_matter(content.decode("utf-8-sig")), _Names)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _undeclared(folder, error) from error
    if not isinstance(header, dict):
        raise _undeclared(folder, "its header is no mapping")
    return header


def _front_matter(text: str) -> str:
    """What stands between the first line and the next that are `---` alone."""
    first, *lines = text.lstrip().splitlines() or [""]
    ends = (i for i, line in enumerate(lines) if line.rstrip() == "---")
    if first.rstrip() != "---" or (end := next(ends, None)) is None:
        raise ValueError("it does not begin with a header between lines of ---")
    return "\n".join(lines[:end])


@lru_cache(maxsize=256)
def _declared(folder: Path, size: int, mtime_ns: int) -> dict[tuple[str, str], list[str]]:
    """What a README declares."""
    configs = _header(folder, size, mtime_ns).get("configs")
    if not isinstance(configs, list):
        raise _undeclared(folder, "its header has no list of configs")
    declared: dict[tuple[str, str], list[str]] = {}
    for config in configs:
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            raise _undeclared(folder, f"a configuration must have a config_name; got {config!r}")
        name, data_dir = config["config_name"], config.get("data_dir") or ""
        if not config.get("data_files") and not data_dir:
            rule = f"the configuration {name} must have data_files or data_dir"
            raise _undeclared(folder, rule)
        _check_inside(folder, data_dir)
        if config.get("data_files"):
            found = _by_split(folder, name, config["data_files"])
        else:
            found = _by_file_name(folder, data_dir)
            data_dir = ""
        for split, patterns in found.items():
            listed = [(Path(data_dir) / pattern).as_posix() for pattern in patterns]
            declared[name, split] = [_check_inside(folder, pattern) for pattern in listed]
    return declared


def _check_inside(folder: Path, pattern: str) -> str:
    if "://" in pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise DataError(
            f"{folder}: README.md names files outside of its folder; got {pattern!r}; put "
            "them into the folder, or link them there"
        )
    return pattern


def _by_split(folder: Path, config: str, data_files: Any) -> dict[str, list[str]]:
    """`data_files` in the Hub's forms: a pattern, a list of them, or a list by split."""
    entries = data_files if isinstance(data_files, list) else [data_files]
    if all(isinstance(entry, str) for entry in entries):
        return {"train": entries}
    found: dict[str, list[str]] = {}
    for entry in entries:
        paths = entry.get("path") if isinstance(entry, dict) else None
        paths = paths if isinstance(paths, list) else [paths]
        is_whole = isinstance(entry, dict) and isinstance(entry.get("split"), str)
        if not is_whole or not all(isinstance(path, str) for path in paths):
            rule = f"data_files of {config} must be patterns, or each a split and its path"
            raise _undeclared(folder, f"{rule}; got {entry!r}")
        found[entry["split"]] = paths
    return found


_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Words between signs and digits by which `datasets` tells the split of a file."""


def _by_file_name(folder: Path, data_dir: str) -> dict[str, list[str]]:
    """The Parquet files below a folder by split: the first word of their path that is one's."""
    found: dict[str, list[str]] = {}
    for path in sorted((folder / data_dir).rglob("*.parquet")):
        words = re.split(r"[-._ 0-9/]+", path.relative_to(folder / data_dir).as_posix())
        split = next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), "train")
        found.setdefault(split, []).append(glob.escape(path.relative_to(folder).as_posix()))
    return found


def _schema(features: Features) -> pa.Schema:
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    fields = [pa.field(name, _arrow_type(feature)) for name, feature in features.items()]
    return pa.schema(fields, metadata=metadata)


def _arrow_type(feature: Features) -> pa.DataType:
    kind = feature.get("_type")
    if kind == "Value":
        return {"string": pa.string(), "int32": pa.int32()}[feature["dtype"]]
    if kind == "ClassLabel":
        return pa.int64()
    if kind == "List":
        return pa.list_(_arrow_type(feature["feature"]))
    return pa.struct([(name, _arrow_type(part)) for name, part in feature.items()])


def dataset_files(folder: Path) -> list[Path]:
    """The files of one data set, sorted: all that lie in its folder, behind links too, and all that
    its README names.

    Raises:
        DataError: there is no such folder, or its README names files elsewhere.
    """
    if not folder.is_dir():
        name = f"{folder.parent.name}/{folder.name}"
        raise DataError(f"{name}: no such data set under {folder.parents[1]}")
    found = set(visible_files(folder))
    if (folder / "README.md").exists():
        for patterns in declared_files(folder).values():
            found |= {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(path for path in found if path.is_file())


def visible_files(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """All files below a folder but hidden ones: download tools leave folders such as `.cache`
    behind, which are no content. A link that leads back up is not followed."""
    own = folder.resolve()
    if own in above:
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from visible_files(path, above | {own})
        else:
            yield path

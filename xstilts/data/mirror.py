"""Write data sets in the layout of the Hub: a README that declares files, Parquet with features.

What `datasets.load_dataset` reads from the Hub it reads from such a folder. Equal rows give equal
bytes. A split that is written again replaces the one of that name; the others stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from xstilts.config.yaml_limits import read_yaml
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
        header += [f"- config_name: {config}", "  data_files:"]
        for (owner, split_name), paths in declared.items():
            if owner == config:
                listed = paths[0] if len(paths) == 1 else json.dumps(paths)
                header += [f"  - split: {split_name}", f"    path: {listed}"]
    lines = [*header, "---", "", f"# {folder.name}", "", note, ""]
    write_atomically(folder / "README.md", "\n".join(lines))


def declared_files(folder: Path) -> dict[tuple[str, str], list[str]]:
    """The file patterns that a data set's README declares, by configuration and split.

    Raises:
        DataError: there is no README, its header does not parse, or it names files elsewhere: what
            is read must be below the folder, whose content is the data set's identity.
    """
    try:
        stat = (folder / "README.md").stat()
    except OSError as error:
        raise DataError(f"{folder}: README.md does not declare its data files ({error})") from error
    return dict(_declared(folder, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=256)
def _declared(folder: Path, size: int, mtime_ns: int) -> dict[tuple[str, str], list[str]]:
    """What a README declares; a data set of 200 configurations is asked for each of them."""
    try:
        with (folder / "README.md").open("rb") as stream:
            content = stream.read(MAX_README_BYTES + 1)
        if len(content) > MAX_README_BYTES:
            rule = f"a README.md has at most {MAX_README_BYTES >> 20} MiB"
            got = f"{size / 2**20:.1f} MiB"
            raise DataError(str(Problem(str(folder / "README.md"), rule, got)))
        header = read_yaml(content.decode("utf-8").split("---")[1])
        declared = {
            (str(config["config_name"]), str(entry["split"])): [
                str(path) for path in _listed(entry["path"])
            ]
            for config in header["configs"]
            for entry in config["data_files"]
        }
    except (OSError, UnicodeError, LookupError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{folder}: README.md does not declare its data files ({reason})"
        ) from error
    for patterns in declared.values():
        for pattern in patterns:
            if "://" in pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise DataError(
                    f"{folder}: README.md names files outside of its folder; got {pattern!r}; put "
                    "them into the folder, or link them there"
                )
    return declared


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


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

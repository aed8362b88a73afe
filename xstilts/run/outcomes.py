"""What every item of an evaluation gave, as a file beside its predictions: `outcomes/<target>`.

A row is an item of a language: its number there, its key where other languages have it too, and
the counts of every metric (`xstilts.scores.outcomes`), sizes left out where all are 1. An
evaluation of a version before this has no such file: its scores are what they are, and readers get
None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from xstilts.errors import StoreError
from xstilts.scores.outcomes import Outcomes

FOLDER = "outcomes"
META = b"xstilts"
PARTS = ("agree", "predicted", "gold")


@dataclass(frozen=True, slots=True)
class Items:
    """One language: what its items gave, and their keys, None where no other language has one."""

    outcomes: Outcomes
    keys: Sequence[str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """All languages at once, as they lie in the file: `counts` of every metric are (rows, columns,
    3), see `xstilts.scores.outcomes`."""

    about: pa.Table
    counts: Mapping[str, np.ndarray]

    def has_same_items(self, other: Cells) -> bool:
        """Whether another has the same items in the same languages, row by row."""
        return bool(self.about.equals(other.about))

    @property
    def language_numbers(self) -> np.ndarray:
        """(rows,): the same for rows of one language, from 0."""
        return _numbers(self.about["language"])

    @property
    def item_numbers(self) -> np.ndarray:
        """(rows,): the same for rows with one key, from 0; a row without one is an item."""
        keys = self.about["item"]
        numbers = _numbers(keys)
        alone = keys.is_null().to_numpy()
        begin = int(numbers.max(initial=-1)) + 1
        numbers[alone] = begin + np.arange(int(alone.sum()))
        found: np.ndarray = np.unique(numbers, return_inverse=True)[1]
        return found


def write_outcomes(result: Path, target: str, languages: Mapping[str, Items]) -> None:
    """Write the outcomes of a target below the folder of a result."""
    names = [name for name, own in languages.items() for _ in own.outcomes.rows]
    columns: dict[str, pa.Array] = {
        "language": pa.array(names, pa.string()).dictionary_encode(),
        "row": pa.array(np.concatenate([own.outcomes.rows for own in languages.values()])),
        "item": pa.array([key for own in languages.values() for key in own.keys], pa.string()),
    }
    widths = {}
    for metric in next(iter(languages.values())).outcomes.counts:
        counts = np.concatenate([own.outcomes.counts[metric] for own in languages.values()])
        widths[metric] = counts.shape[1]
        parts = PARTS[:1] if (counts[..., 1:] == 1).all() else PARTS
        for i in range(counts.shape[1]):
            for j, part in enumerate(parts):
                columns[f"{metric}/{i}/{part}"] = pa.array(_compact(counts[:, i, j]))
    table = pa.table(columns).replace_schema_metadata({META: json.dumps(widths)})
    path = outcomes_path(result, target)
    path.parent.mkdir(exist_ok=True)
    # Rows follow each other: differences are all that is stored of their numbers.
    spelled = {"row": "DELTA_BINARY_PACKED"}
    parquet.write_table(
        table,
        path,
        compression="zstd",
        compression_level=9,
        use_dictionary=[name for name in columns if name not in spelled],
        column_encoding=spelled,
        row_group_size=max(1, table.num_rows),
        write_statistics=False,
    )


def read_outcomes(result: Path, target: str) -> dict[str, Items] | None:
    """The outcomes of a target by language; None where the result is of a version before them.

    Raises:
        StoreError: the file cannot be read.
    """
    cells = read_cells(result, target)
    if cells is None:
        return None
    about, counts = cells.about, cells.counts
    names = about["language"].to_pylist()
    bounds = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1]), len(names)]
    rows, keys = about["row"].to_numpy(), about["item"].to_pylist()
    found = {}
    for first, last in pairwise(bounds):
        own = {metric: of_all[first:last] for metric, of_all in counts.items()}
        found[names[first]] = Items(Outcomes(rows[first:last], own), keys[first:last])
    return found


def read_cells(result: Path, target: str) -> Cells | None:
    """The outcomes of a target as they lie in the file; None and errors as `read_outcomes`."""
    path = outcomes_path(result, target)
    if not path.exists():
        return None
    try:
        table = parquet.ParquetFile(path).read(use_threads=False)
        widths = json.loads(table.schema.metadata[META])
        about = table.select(["language", "row", "item"]).replace_schema_metadata()
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
    return Cells(about, {name: _counts(table, name, width) for name, width in widths.items()})


def outcomes_path(result: Path, target: str) -> Path:
    """Where a result has the outcomes of a target."""
    return result / FOLDER / f"{target}.parquet"


def _counts(table: pa.Table, metric: str, width: int) -> np.ndarray:
    counts = np.ones((table.num_rows, width, len(PARTS)))
    for i in range(width):
        for j, part in enumerate(PARTS):
            if (name := f"{metric}/{i}/{part}") in table.column_names:
                counts[:, i, j] = table[name].to_numpy()
    return counts


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Values as numbers from 0, by their first row; -1 where there is none."""
    array = column.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    found: np.ndarray = array.indices.fill_null(-1).to_numpy().astype(np.int64)
    return found


def _compact(values: np.ndarray) -> np.ndarray:
    """Whole numbers as such; Parquet stores equal values once."""
    whole = values.astype(np.int32)
    return whole if (whole == values).all() else values

"""The records of a sweep's trials as one table, kept beside the storage's caches.

A thousand records are hundreds of megabytes of JSON, and who looks at results opens them again and
again. The file has a row for each record, with size and time of the record that it was read from,
and only records that have changed since are read. It is no truth of its own: one that is torn, or
of another version or another sweep file, is made again from the records.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from pydantic_core import from_json, to_json

from xstilts import __version__
from xstilts.config.schema import Sweep
from xstilts.files import sha256_of, write_atomically
from xstilts.records import TrialRecord, typed
from xstilts.report.comparison import scores_of
from xstilts.run.places import Places
from xstilts.run.records import RECORD, read_record
from xstilts.run.storage import CACHES
from xstilts.score_rows import ScoreRows
from xstilts.scores.best import TrialScores

logger = logging.getLogger(__name__)

FORMAT = 5
"""Raise it when a record's row would hold something else."""

SCORE = pa.struct(
    [
        *((name, pa.string()) for name in ("cell", "target", "language", "split", "metric")),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("is_chosen", pa.bool_()),
    ]
)
STAGE = pa.struct(
    [
        *((name, pa.string()) for name in ("name", "fingerprint")),
        *((name, pa.float64()) for name in ("started", "seconds", "wait_s")),
        *((name, pa.int64()) for name in ("tokens", "steps")),
        ("is_reused", pa.bool_()),
    ]
)
SCHEMA = pa.schema(
    [
        ("trial", pa.string()),
        ("size", pa.int64()),
        ("changed_ns", pa.int64()),
        ("record", pa.string()),
        ("compared", pa.string()),
        ("scores", pa.list_(SCORE)),
        ("stages", pa.list_(STAGE)),
    ]
)
"""A row for each record, by the name of its trial. `record` is JSON of what is one for a trial,
`compared` of what the comparison reads, null of one that failed."""

REPEATED = ("cell", "target", "language", "split", "metric")
KEY = b"xstilts"


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Records as columns, sorted by trial.

    `records` lack what is many for a trial (scores, stages, curves, metrics) and what no table
    shows; `rows` has their score rows and stages as lists, in the same order. `trials` are the
    finished ones of search as the comparison reads them, `fresh` those of confirmation.
    """

    records: list[TrialRecord]
    trials: list[TrialScores]
    fresh: list[TrialScores]
    rows: pa.Table


def record_table(sweep: Sweep, places: Places) -> RecordTable:
    """The records of a sweep's trials; the cache is brought up to date on the way."""
    path = cache_path(places)
    key = sha256_of([FORMAT, __version__, sweep.model_dump(mode="json", by_alias=True)])
    there = dict(_records(places))
    content = _content(path)
    known = _decoded(content, key)
    if known is None or _marks(known) != there:
        content = _renewed(sweep, places, there, _decoded(content, key, is_plain=True), key)
        if content != _content(path):
            with suppress(OSError):  # of a storage that is only read nothing is kept
                write_atomically(path, content, is_durable=False)
        known = _decoded(content, key)
        assert known is not None, "what was just encoded can be read"
    records = [
        typed(from_json(text), TrialRecord, str(path)) for text in known["record"].to_pylist()
    ]
    compared: tuple[list[TrialScores], list[TrialScores]] = ([], [])
    for record, text in zip(records, known["compared"].to_pylist(), strict=True):
        if one := from_json(text):
            compared[record.is_confirming].append(TrialScores(**one))
    return RecordTable(records, *compared, known)


def cache_path(places: Places) -> Path:
    """Where the table of a sweep is kept."""
    return places.storage / CACHES / f"results-{places.name}.parquet"


Mark = tuple[int, int]
"""A record's size, and its time of change in nanoseconds."""


def _records(places: Places) -> Iterable[tuple[str, Mark]]:
    for folder in places.trials.glob("*"):
        with suppress(OSError):  # it has not ended, or is no trial
            facts = (folder / RECORD).stat()
            yield folder.name, (facts.st_size, facts.st_mtime_ns)


def _marks(table: pa.Table) -> dict[str, Mark]:
    names = ("trial", "size", "changed_ns")
    columns = (table[name].to_pylist() for name in names)
    return {trial: (size, changed) for trial, size, changed in zip(*columns, strict=True)}


def _renewed(
    sweep: Sweep, places: Places, there: Mapping[str, Mark], known: pa.Table | None, key: str
) -> bytes:
    """The table of all records that are there; those that have changed are read."""
    marks = {} if known is None else _marks(known)
    kept = SCHEMA.empty_table()
    if known is not None and marks:
        kept = known.filter(pa.array([there.get(trial) == mark for trial, mark in marks.items()]))
    read = _Columns(sweep)
    for trial, mark in there.items():
        if marks.get(trial) != mark:
            record = read_record(places.trials / trial)
            if record is not None:
                read.add(record, mark)
    table = pa.concat_tables([kept, read.table()])
    return _encoded(table.take(pc.sort_indices(table["trial"])), key)


UNSHOWN: dict[str, Any] = {
    "scores": ScoreRows(),
    "stages": [],
    **{name: {} for name in ("metrics", "curves", "recipes", "environment")},
}
"""What the table has elsewhere, or shows nowhere."""


class _Columns:
    """Records column by column: a thousand have a million rows, which are made Arrow's at once."""

    def __init__(self, sweep: Sweep):
        self._sweep = sweep
        self._about: dict[str, list[Any]] = {name: [] for name in SCHEMA.names[:5]}
        self._scores, self._stages = _Lists(SCORE), _Lists(STAGE)

    def add(self, record: TrialRecord, mark: Mark) -> None:
        """Take in a record."""
        bare = replace(record, **UNSHOWN).to_json()
        is_result = record.state == "finished" and not record.is_short
        compared = scores_of(self._sweep, record) if is_result else None
        values = (record.trial, *mark, json.dumps(bare), to_json(compared).decode())
        for column, value in zip(self._about.values(), values, strict=True):
            column.append(value)
        scores = ScoreRows() if record.is_short else record.scores
        self._scores.add(len(scores), scores.columns)
        stages = zip(*map(_ABOUT_STAGE, record.stages), strict=True)
        self._stages.add(len(record.stages), dict(zip(STAGE.names, stages, strict=False)))

    def table(self) -> pa.Table:
        """All that was taken in."""
        lists = {"scores": self._scores.array(), "stages": self._stages.array()}
        return pa.table({**self._about, **lists}, schema=SCHEMA)


_ABOUT_STAGE = attrgetter(*STAGE.names)


class _Lists:
    """Lists of structs, from the columns of each."""

    def __init__(self, sort: pa.StructType):
        self._sort = sort
        self._columns: dict[str, list[Any]] = {field.name: [] for field in sort}
        self._offsets = [0]

    def add(self, length: int, columns: Mapping[str, Sequence[Any]]) -> None:
        """Add one list."""
        if length:
            for name, column in self._columns.items():
                column += columns[name]
        self._offsets.append(self._offsets[-1] + length)

    def array(self) -> pa.ListArray:
        """All lists that were added."""
        columns = [
            pa.array(values, self._sort.field(name).type) for name, values in self._columns.items()
        ]
        values = pa.StructArray.from_arrays(columns, fields=list(self._sort))
        return pa.ListArray.from_arrays(pa.array(self._offsets, pa.int32()), values)


def _encoded(table: pa.Table, key: str) -> bytes:
    stream = pa.BufferOutputStream()
    parquet.write_table(
        table.replace_schema_metadata({KEY: key}),
        stream,
        # One group of rows has one dictionary of each column.
        row_group_size=max(1, table.num_rows),
        compression="lz4",
        write_page_checksum=True,
    )
    return bytes(stream.getvalue())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _decoded(content: bytes, key: str, is_plain: bool = False) -> pa.Table | None:
    """The table of a file's content; None where it is torn, or of another key."""
    if not content:
        return None
    repeated = [] if is_plain else [f"scores.list.element.{name}" for name in REPEATED]
    try:
        # No dataset of Arrow's: its threads may outlive the program, and abort it at its end.
        table = parquet.ParquetFile(
            pa.BufferReader(content), read_dictionary=repeated, page_checksum_verification=True
        ).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        logger.warning("the cache of results is torn, and made again: %s", error)
        return None
    return table if (table.schema.metadata or {}).get(KEY) == key.encode() else None

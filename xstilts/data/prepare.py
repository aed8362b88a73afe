"""Encode rows once: Arrow files under a key of everything that shapes them, memory-mapped after.

Two processes may encode the same rows at once; both write the same bytes and the last rename wins.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa

from xstilts import kinds
from xstilts.data.sources import Folders, load_rows
from xstilts.data.statistics import statistics
from xstilts.files import read_json, sha256_of, write_json
from xstilts.kinds.kind import Encoded
from xstilts.plan.stage import Rows
from xstilts.tasks import lookup

logger = logging.getLogger(__name__)


class Encoder:
    """Rows of data sets as one tokenizer encodes them, kept under `<storage>/encoded`."""

    def __init__(self, storage: Path, folders: Folders, tokenizer: Any, tokenizer_sha: str):
        self._folder = storage / "encoded"
        self._cache = storage / "cache"
        self._folders = folders
        self._tokenizer = tokenizer
        self._tokenizer_sha = tokenizer_sha
        self._open: dict[str, Encoded] = {}

    def encoded(self, rows: Rows, language: str) -> Encoded:
        """The rows of one language.

        Raises:
            DataError: they cannot be read.
        """
        key = self._key(rows, language)
        if key not in self._open:
            encoded = self._read(key) or self._write(key, rows, self._load(rows, language))
            self._open[key] = encoded
        return self._open[key]

    def is_ready(self, rows: Rows, language: str) -> bool:
        """Whether the rows are encoded already."""
        return all(path.exists() for path in self._paths(self._key(rows, language)))

    def statistics(self, rows: Rows, language: str) -> dict[str, float]:
        """Figures of the encoded rows (see `xstilts.data.statistics`), kept beside them.

        Raises:
            DataError: the rows cannot be read.
        """
        key = self._key(rows, language)
        path = self._folder / f"{key}.json"
        if not path.exists():
            columns = self._load(rows, language)
            encoded = self._read(key) or self._write(key, rows, columns)
            task = lookup(rows.task)
            told = statistics(columns, task, self._tokenizer, rows.max_length, encoded)
            write_json(path, told)
        figures: dict[str, float] = read_json(path)
        return figures

    def _key(self, rows: Rows, language: str) -> str:
        return sha256_of(
            {
                "rows": [rows.task, rows.use, rows.source, rows.task_version, list(rows.labels)],
                "language": language,
                "encoding": rows.encoding_version,
                "max_length": rows.max_length,
                "limit": rows.limit,
                "tokenizer": self._tokenizer_sha,
            }
        )[:24]

    def _paths(self, key: str) -> list[Path]:
        return [self._folder / f"{key}.{part}.arrow" for part in ("features", "examples")]

    def _read(self, key: str) -> Encoded | None:
        paths = self._paths(key)
        if not all(path.exists() for path in paths):
            return None
        return Encoded(*(pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths))

    def _load(self, rows: Rows, language: str) -> dict[str, list[Any]]:
        task, limit = lookup(rows.task), rows.limit
        return load_rows(self._folders, task, rows.use, language, rows.source, self._cache, limit)

    def _write(self, key: str, rows: Rows, columns: dict[str, list[Any]]) -> Encoded:
        task = lookup(rows.task)
        encoded = kinds.get(task.kind).encode(columns, task, self._tokenizer, rows.max_length)
        self._folder.mkdir(parents=True, exist_ok=True)
        tables = (encoded.features, encoded.examples)
        for path, table in zip(self._paths(key), tables, strict=True):
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
            with (
                pa.OSFile(str(temporary), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as out,
            ):
                out.write_table(table)
            temporary.replace(path)
        logger.info("encoded %s %s: %d", rows.task, rows.use, encoded.features.num_rows)
        return encoded

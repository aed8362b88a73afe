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
from xstilts.data.sources import load_rows
from xstilts.files import sha256_of
from xstilts.kinds.kind import Encoded
from xstilts.plan.stage import Rows
from xstilts.tasks import lookup

logger = logging.getLogger(__name__)


class Encoder:
    """Rows of a data root as one tokenizer encodes them, kept under `<storage>/encoded`."""

    def __init__(self, storage: Path, root: Path, tokenizer: Any, tokenizer_sha: str):
        self._folder = storage / "encoded"
        self._cache = storage / "cache"
        self._root = root
        self._tokenizer = tokenizer
        self._tokenizer_sha = tokenizer_sha
        self._open: dict[str, Encoded] = {}

    def encoded(self, rows: Rows, language: str) -> Encoded:
        """The rows of one language.

        Raises:
            DataError: they cannot be read.
        """
        key = sha256_of(
            {
                "rows": [rows.task, rows.use, rows.source, rows.task_version, list(rows.labels)],
                "language": language,
                "encoding": rows.encoding_version,
                "max_length": rows.max_length,
                "tokenizer": self._tokenizer_sha,
            }
        )[:24]
        if key not in self._open:
            self._open[key] = self._read(key) or self._write(key, rows, language)
        return self._open[key]

    def _read(self, key: str) -> Encoded | None:
        paths = [self._folder / f"{key}.{part}.arrow" for part in ("features", "examples")]
        if not all(path.exists() for path in paths):
            return None
        return Encoded(*(pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths))

    def _write(self, key: str, rows: Rows, language: str) -> Encoded:
        task = lookup(rows.task)
        columns = load_rows(self._root, task, rows.use, language, rows.source, self._cache)
        kind = kinds.get(task.kind)
        encoded = kind.encode(columns, task, self._tokenizer, rows.max_length)
        self._folder.mkdir(parents=True, exist_ok=True)
        for part in ("features", "examples"):
            path = self._folder / f"{key}.{part}.arrow"
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
            table = getattr(encoded, part)
            with (
                pa.OSFile(str(temporary), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as out,
            ):
                out.write_table(table)
            temporary.replace(path)
        logger.info("encoded %s %s %s: %d", rows.task, rows.use, language, len(encoded.features))
        return encoded

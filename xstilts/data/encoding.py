"""Encode rows once: Arrow files under a key of everything that shapes them, memory-mapped after.

Two processes may encode the same rows at once; both write the same bytes and the last rename wins.
What is read is compared with sizes and digests that were written last.
"""

from __future__ import annotations

import logging
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xstilts import kinds
from xstilts.data.items import item_keys, joined
from xstilts.data.natural import read
from xstilts.data.sources import Folders, has_column
from xstilts.data.statistics import statistics
from xstilts.data.token_cache import PARTS, CacheEntry
from xstilts.files import read_json_if_whole, sync, write_json
from xstilts.kinds.kind import Encoded
from xstilts.plan.stage import Rows

logger = logging.getLogger(__name__)

JOINED_VERSION = 1
"""Raise it when `joined` gives something else of the same values."""

NAMED = 20
"""Questions that are named one by one."""


class TokenCache:
    """Rows of data sets as one tokenizer encodes them, kept under `<storage>/encoded`."""

    def __init__(self, storage: Path, folders: Folders, tokenizer: Any, tokenizer_sha: str):
        self._storage = storage
        self._folders = folders
        self._tokenizer = tokenizer
        self._tokenizer_sha = tokenizer_sha
        self._open: dict[str, Encoded] = {}
        self._keys: dict[tuple[Rows, str], list[str | None]] = {}

    def encoded(self, rows: Rows, language: str) -> Encoded:
        """The rows of one language.

        Raises:
            DataError: they cannot be read.
        """
        files = CacheEntry(self._storage, rows, language, self._tokenizer_sha)
        if files.key not in self._open:
            tables = files.read()
            self._open[files.key] = Encoded(*tables) if tables else self._write(files)
        return self._open[files.key]

    def figures(self, rows: Rows, language: str) -> dict[str, float]:
        """What encoding tells of the rows of one language; see `xstilts.data.statistics`.

        Raises:
            DataError: they cannot be read.
        """
        self.encoded(rows, language)
        figures = CacheEntry(self._storage, rows, language, self._tokenizer_sha).figures()
        assert figures is not None, "what was just encoded has its figures"
        return figures

    def item_keys(self, rows: Rows, language: str) -> list[str | None]:
        """What makes the rows of one language items that others have too; see `item_keys`.

        Raises:
            DataError: they cannot be read.
        """
        if (rows, language) not in self._keys:
            ids = self.encoded(rows, language).examples["id"].to_pylist()
            joined_by = partial(self._joined_by, rows, language, len(ids))
            self._keys[rows, language] = item_keys(rows, ids, joined_by)
        return self._keys[rows, language]

    def _joined_by(self, rows: Rows, language: str, count: int, by: str) -> list[str | None] | None:
        """What a column joins the rows by. It is kept beside them: to read the rows of dozens of
        languages for it would take longer than to evaluate them."""
        path = CacheEntry(self._storage, rows, language, self._tokenizer_sha).path("joined.json")
        kept = read_json_if_whole(path, dict) or {}
        if kept.get("by") == [by, JOINED_VERSION]:
            known: list[str | None] | None = kept["joined"]
            if known is None or len(known) == count:
                return known
        found = None
        if has_column(self._folders, rows.entry, rows.use, language, by):
            found = joined(by, read(self._folders, rows, language, rows.limit)[by])
        write_json(path, {"by": [by, JOINED_VERSION], "joined": found}, None, is_durable=False)
        return found

    def _write(self, files: CacheEntry) -> Encoded:
        """Encode rows; beside them lie their figures (see `xstilts.data.statistics`)."""
        rows, task = files.rows, files.rows.entry
        columns = read(self._folders, rows, files.language, rows.limit)
        encoded = kinds.get(task.kind).encode(columns, task, self._tokenizer, rows.max_length)
        figures = statistics(columns, task, self._tokenizer, rows.max_length, encoded)
        for part, table in zip(PARTS, (encoded.features, encoded.examples), strict=True):
            path = files.path(part)
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
            try:
                with (
                    pa.OSFile(str(temporary), "wb") as sink,
                    pa.ipc.new_file(sink, table.schema) as out,
                ):
                    out.write_table(table)
                sync(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        files.seal(figures)
        logger.info("encoded %s %s: %d", rows.task, rows.use, encoded.features.num_rows)
        if figures["unanswerable"] and rows.use == "train":
            logger.warning("%s", _left_out(files, encoded.examples))
        return encoded


def _left_out(files: CacheEntry, examples: pa.Table) -> str:
    """Which questions train nothing, for their answers are not the text of any tokens."""
    names = examples.filter(pc.field("unanswerable"))["id"].to_pylist()
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f"{files.rows.task} {files.language}: the tokenizer does not know where the answers of "
        f"{len(names)} questions begin or end; they are left out of training: "
        f"{', '.join(names[:NAMED])}{more}"
    )

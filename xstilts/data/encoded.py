"""Encoded rows on disk: where they lie, what is told of them. Reports read this without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from xstilts.files import read_json, sha256_of
from xstilts.plan.stage import Rows

PARTS = ("features.arrow", "examples.arrow")


@dataclass(frozen=True, slots=True)
class EncodedFiles:
    """The files of one language's rows as one tokenizer encodes them."""

    storage: Path
    rows: Rows
    language: str
    tokenizer_sha: str

    @property
    def key(self) -> str:
        """Names the files: a hash of everything that shapes what is in them."""
        rows = self.rows
        return sha256_of(
            {
                "rows": [rows.task, rows.use, rows.source, rows.task_version, list(rows.labels)],
                "language": self.language,
                "encoding": rows.encoding_version,
                "max_length": rows.max_length,
                "limit": rows.limit,
                "variant": [rows.translated, rows.where],
                "tokenizer": self.tokenizer_sha,
            }
        )[:24]

    def path(self, part: str) -> Path:
        """Where a part lies: one of `PARTS`, or `json` for the figures."""
        return self.storage / "encoded" / f"{self.key}.{part}"

    def read(self) -> tuple[pa.Table, pa.Table] | None:
        """Features and examples, memory-mapped; None where the rows are not encoded."""
        if not self.are_there:
            return None
        features, examples = (
            pa.ipc.open_file(pa.memory_map(str(self.path(part)))).read_all() for part in PARTS
        )
        return features, examples

    def figures(self) -> dict[str, float] | None:
        """What encoding told of the rows; None where they are not encoded."""
        if not self.are_there:
            return None
        figures: dict[str, float] = read_json(self.path("json"))
        return figures

    @property
    def are_there(self) -> bool:
        """Whether the rows are encoded."""
        return all(self.path(part).exists() for part in (*PARTS, "json"))

"""Encoded rows on disk: where they lie, whether they are whole, what is told of them.

Reports read this without torch. The figures are written last, with the sizes and digests of the
rows: sizes are compared on every read, digests at a process's first; what does not agree is put
aside, and the rows are encoded again.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from xstilts.files import CARE, read_json_if_whole, sha256_of, sha256_of_file, write_json
from xstilts.plan.stage import Rows, encoded_key

logger = logging.getLogger(__name__)

PARTS = ("features.arrow", "examples.arrow")

TORN = "torn-"

_verified: set[Path] = set()
"""Figures of rows whose digests this process has compared, or made."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The files of one language's rows as one tokenizer encodes them."""

    storage: Path
    rows: Rows
    language: str
    tokenizer_sha: str

    @property
    def key(self) -> str:
        """Names the files: a hash of everything that shapes what is in them."""
        own = {"language": self.language, "tokenizer": self.tokenizer_sha}
        return sha256_of({**encoded_key(self.rows), **own})[:24]

    def path(self, part: str) -> Path:
        """Where a part lies: one of `PARTS`, `json` for the figures, `joined.json` for what joins
        the rows with those of other languages."""
        return self.storage / "encoded" / f"{self.key}.{part}"

    def read(self) -> tuple[pa.Table, pa.Table] | None:
        """Features and examples, memory-mapped; None where the rows are not encoded."""
        if not self.are_there or not self._are_verified():
            return None
        features, examples = (
            pa.ipc.open_file(pa.memory_map(str(self.path(part)))).read_all() for part in PARTS
        )
        return features, examples

    def seal(self, figures: dict[str, float]) -> None:
        """Complete rows that lie there: their figures, with sizes and digests."""
        with CARE.taken():
            files = {part: _facts(self.path(part)) for part in PARTS}
        write_json(self.path("json"), {"figures": figures, "files": files})
        _verified.add(self.path("json"))

    def figures(self) -> dict[str, float] | None:
        """What encoding told of the rows; None where they are not encoded."""
        told = self._told()
        return None if told is None else told["figures"]

    @property
    def are_there(self) -> bool:
        """Whether the rows are encoded, by the sizes of their files."""
        return self._told() is not None

    def _told(self) -> dict[str, Any] | None:
        told = read_json_if_whole(self.path("json"), dict)
        if told is None or not all(self.path(part).exists() for part in PARTS):
            return None
        if "files" not in told:  # written by a version that had no digests
            self.seal(told)
            return self._told()
        for part, (size, _) in told["files"].items():
            found = self.path(part).stat().st_size
            if found != size:
                self._put_aside(f"{self.path(part).name} has {found:,} bytes, not {size:,}")
                return None
        return told

    def _are_verified(self) -> bool:
        told = self._told()
        if told is None:
            return False
        if self.path("json") not in _verified:
            with CARE.taken():
                changed = [part for part in PARTS if _facts(self.path(part)) != told["files"][part]]
            if changed:
                self._put_aside(f"{self.path(changed[0]).name} has been changed")
                return False
            _verified.add(self.path("json"))
        return True

    def _put_aside(self, reason: str) -> None:
        """Rename the files out of the way, the figures first: without them no rows are there."""
        aside = f"{TORN}{uuid.uuid4().hex[:8]}-"
        for part in ("json", *PARTS):
            path = self.path(part)
            with suppress(FileNotFoundError):  # another process may have been first
                path.rename(path.with_name(f"{aside}{path.name}"))
        _verified.discard(self.path("json"))
        logger.warning("%s: put aside as %s*, and encoded again", reason, aside)


def _facts(path: Path) -> list[Any]:
    return [path.stat().st_size, sha256_of_file(path)]

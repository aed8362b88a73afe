"""JSON files read value by value, so that a file of tens of megabytes is never whole in memory.

Published JSON files are one object on one line: of articles under `data`, or of records under
numbers. What is held at once is one article or record, of bounded size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from xstilts.errors import DataError

MAX_VALUE = 8 * 2**20
"""The longest value in characters; an article of SQuAD has less than a million."""

PIECE = 2**20
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_CUT = 10
"""So near to the end of what was read a value may be broken, or over, for no other reason."""


def read_object(path: Path, listed: str = "") -> Iterator[tuple[str, Any]]:
    """The members of the object that a JSON file holds, in their order.

    Args:
        listed: the key of a long list; each of its elements is given by itself, with that key.

    Raises:
        DataError: the file holds no JSON object, or a value that is too long.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        text = _Text(path, stream)
        try:
            text.take("{", "the file must hold an object")
            mark = text.take("}", "") if text.peek() == "}" else ","
            while mark != "}":
                key = text.value()
                if not isinstance(key, str):
                    text.fail("a key must be a text")
                text.take(":", "a key must have a value")
                if key == listed and text.peek() == "[":
                    yield from ((key, element) for element in text.elements())
                else:
                    yield key, text.value()
                mark = text.take(",}", "members must be separated by commas")
            if text.peek():
                text.fail("nothing must follow the object")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: the file must be UTF-8; got {error}") from error


def read_list(path: Path) -> Iterator[Any]:
    """The elements of the list that a JSON file holds.

    Raises:
        DataError: the file holds no JSON list, or an element that is too long.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        text = _Text(path, stream)
        try:
            if text.peek() != "[":
                text.fail("the file must hold a list")
            yield from text.elements()
            if text.peek():
                text.fail("nothing must follow the list")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: the file must be UTF-8; got {error}") from error


class _Text:
    """A text of which a part is held: what was read and not yet taken."""

    def __init__(self, path: Path, stream: IO[str]):
        self._path, self._stream = path, stream
        self._held, self._at, self._taken = "", 0, 0
        self._is_over = False

    def _read_more(self) -> None:
        self._taken += self._at
        rest = len(self._held) - self._at
        piece = self._stream.read(min(max(PIECE, rest), MAX_VALUE + PIECE - rest))
        self._held, self._at = self._held[self._at :] + piece, 0
        self._is_over = not piece

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            match = _BLANK.match(self._held, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._held):
                return self._held[self._at]
            if self._is_over:
                return ""
            self._read_more()

    def take(self, marks: str, rule: str) -> str:
        """The next character, which must be one of some marks."""
        mark = self.peek()
        if not mark or mark not in marks:
            self.fail(rule)
        self._at += 1
        return mark

    def value(self) -> Any:
        """The next value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or (
                    error.pos >= len(self._held) - _CUT
                )
                if self._is_over or not is_cut:
                    self._at = error.pos
                    self.fail(error.msg)
            except RecursionError:
                self.fail("a value must not be nested so deep")
            else:
                # A number near the end may go on.
                if end + _CUT < len(self._held) or self._is_over:
                    self._at = end
                    return value
            if len(self._held) - self._at > MAX_VALUE:
                self.fail(f"a value must have at most {MAX_VALUE} characters")
            self._read_more()

    def elements(self) -> Iterator[Any]:
        """The elements of the list that comes next."""
        self.take("[", "")
        mark = self.take("]", "") if self.peek() == "]" else ","
        while mark != "]":
            yield self.value()
            mark = self.take(",]", "elements must be separated by commas")

    def fail(self, rule: str) -> NoReturn:
        place = f"{self._path}: the file must be JSON; at character {self._taken + self._at + 1}: "
        got = self._held[self._at : self._at + 40]
        raise DataError(f"{place}{rule}; got {got!r}")

"""What an importer is: file names that it knows, and a reader that gives the splits they hold.

The readers of text formats are here too, with the line numbers that errors need. An importer
changes no text: what its authors published is what stands in the mirror.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from xstilts.data.hub_layout import Split
from xstilts.errors import DataError, Problem

MAX_LINE_BYTES = 4 * 2**20
"""Of published formats with a record a line the longest lines have some ten thousand bytes."""

MAX_FILE_BYTES = 4 * 2**30
"""The largest published file, MultiNLI's training set, has less than half a GiB; of a file the rows
are all in memory at once."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One split that an original file holds, and the data set it belongs to in the mirror.

    Attributes:
        together: the configurations whose rows refer to each other, empty if a file stands for
            itself; all that are taken are of the same `part`.
        part: the name of the part that the file is of.
        without: rows of the file that are not in the split, by the reason.
        is_piece: whether all files of the split are joined, in the order of their own names.
    """

    hub_id: str
    split: Split
    together: tuple[str, ...] = ()
    part: str = ""
    without: Mapping[str, int] = field(default_factory=dict)
    is_piece: bool = False


Reader = Callable[[Path, re.Match[str]], Iterable[Imported]]


@dataclass(frozen=True, slots=True)
class Importer:
    """Reads one published format.

    `pattern` must match the end of a file's path below the folder that is imported, with `/`
    between its parts; the match, with its groups, goes to `read`.
    """

    name: str
    pattern: str
    read: Reader

    def match(self, path: str) -> re.Match[str] | None:
        """Whether the importer knows the file of that name."""
        return re.search(rf"(?:^|/){self.pattern}$", path)


def check_size(path: Path) -> None:
    """Refuse a file that is larger than any that was published.

    Raises:
        DataError: it is.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        rule = f"a file must have at most {MAX_FILE_BYTES >> 30} GiB"
        raise DataError(str(Problem(str(path), rule, f"{size / 2**30:.1f} GiB", "split it")))


def refuse(path: Path, row: int, rule: str, got: object, repair: str = "") -> DataError:
    """The error for one broken row; `row` counts lines, or records of a JSON file, from 1."""
    return DataError(str(Problem(f"{path}:{row}", rule, repr(got)[:80], repair)))


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines without their ends, numbered from 1; only LF and CR LF end a line.

    Raises:
        DataError: the file is not UTF-8, or a line is too long.
    """
    for number, line in _read_whole_lines(path):
        yield number, line.removesuffix("\n").removesuffix("\r")


def _read_whole_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their ends. A byte order mark before the first is no text."""
    with path.open("rb") as stream:
        for number in count(1):
            line = stream.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            if len(line) > MAX_LINE_BYTES:
                raise _too_long(path, number, line[:40].decode("utf-8", "replace"))
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise refuse(path, number, "the file must be UTF-8", str(error)) from error


def _too_long(path: Path, number: int, start: str) -> DataError:
    rule = f"a line must have at most {MAX_LINE_BYTES >> 20} MiB"
    return refuse(path, number, rule, start, "is it in the published form, a record a line?")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON-lines file, numbered by line; blank lines are skipped.

    Raises:
        DataError: a line is no JSON object.
    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise refuse(path, number, "the line must be JSON", line) from error
        if not isinstance(record, dict):
            raise refuse(path, number, "the line must be a JSON object", line)
        yield number, record


def read_table(path: Path, *, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """The rows of a delimited file, numbered by their last line.

    Args:
        quoted: whether `"` wraps fields, as Python's csv writer does; else it is a letter.

    Raises:
        DataError: the file is not UTF-8, a line is too long or a quoted field does not end.
    """
    if not quoted:
        for number, line in read_lines(path):
            yield number, line.split(delimiter)
        return
    # Quoted fields may hold line ends, so the csv module must see them as they are.
    lines = (line for _, line in _read_whole_lines(path))
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise refuse(path, rows.line_num, "the row must be readable", str(error)) from error


def field_of(path: Path, row: int, record: dict[str, Any], name: str) -> Any:
    """One field of a record.

    Raises:
        DataError: the record lacks it.
    """
    if name not in record:
        raise refuse(path, row, f"the record must have {name!r}", sorted(record))
    return record[name]

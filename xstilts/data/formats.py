"""Files of one's own: a table of formats, each with its endings and a reader.

A reader gives the rows of a file, by the names that the file has, each with the number of its line
(of a record, in formats that have no lines). What a row means is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xstilts.data.importers.conllu import Block, blocks, surface_words
from xstilts.data.importers.original import (
    check_size,
    read_jsonl,
    read_lines,
    read_table,
    refuse,
)
from xstilts.data.importers.span import read_questions
from xstilts.errors import DataError, Problem

Record = dict[str, Any]
Records = Iterator[tuple[int, Record]]


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `kind` is set where files of it hold rows of one kind alone, under the names
    that it reads."""

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, str], Records]
    kind: str = ""


def _delimited(path: Path, language: str, *, delimiter: str) -> Records:
    """Rows under a header; a field with the delimiter, a quote or a line end is quoted."""
    rows = read_table(path, delimiter=delimiter, quoted=True)
    _, header = next(rows, (1, []))
    _check_columns(path, header)
    for line, row in rows:
        if not row:  # a blank line
            continue
        if len(row) != len(header):
            rule = f"a row must have the {len(header)} fields of the header"
            raise refuse(path, line, rule, row, "is it cut, or a delimiter unquoted?")
        yield line, dict(zip(header, row, strict=True))


def _check_columns(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise refuse(path, 1, "a column stands once", twice[0], "rename one of them")


def _json_lines(path: Path, language: str) -> Records:
    return read_jsonl(path)


def _parquet(path: Path, language: str) -> Records:
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (OSError, pa.ArrowException) as error:
        raise DataError(str(Problem(str(path), "is no Parquet file", str(error)))) from error


def _squad(path: Path, language: str) -> Records:
    return enumerate(read_questions(path, "never"), 1)


def _conll(path: Path, language: str) -> Records:
    """A word a line, first the word and last its tag, a blank line between sentences."""
    for block in blocks(read_lines(path), lambda line: not line.strip()):
        if block[0][1].startswith("-DOCSTART-"):
            continue
        words = [_word(path, row, line) for row, line in block]
        tokens, tags = zip(*words, strict=True)
        yield block[0][0], {"tokens": list(tokens), "tags": list(tags)}


def _word(path: Path, row: int, line: str) -> tuple[str, str]:
    columns = line.split("\t") if "\t" in line else line.split()
    if len(columns) < 2 or not columns[0] or not columns[-1].strip():
        raise refuse(path, row, "a word must have its tag, behind a tab or a blank", line)
    return columns[0], columns[-1].strip()


def _conllu(path: Path, language: str) -> Records:
    """Words of the surface text with their universal parts of speech, as XTREME reads them."""
    for block in blocks(read_lines(path)):
        words = surface_words(path, block, language)
        if words:
            row = _first_word(block)
            yield row, {"tokens": [w.form for w in words], "tags": [w.tag for w in words]}


def _first_word(block: Block) -> int:
    return next((row for row, line in block if not line.startswith("#")), block[0][0])


FORMATS: tuple[Format, ...] = (
    Format("CoNLL", (".conll", ".bio", ".iob2", ".tsv", ".txt"), _conll, "tagging"),
    Format("CoNLL-U", (".conllu",), _conllu, "tagging"),
    Format("SQuAD", (".json",), _squad, "span"),
    Format("CSV", (".csv",), partial(_delimited, delimiter=",")),
    Format("TSV", (".tsv",), partial(_delimited, delimiter="\t")),
    Format("JSON lines", (".jsonl", ".ndjson"), _json_lines),
    Format("Parquet", (".parquet",), _parquet),
)
"""The first that has a file's ending and goes with the kind reads it."""


def format_of(path: Path, kind: str) -> Format:
    """The format of a file that holds rows of a kind.

    Raises:
        DataError: none has its ending.
    """
    known = [one for one in FORMATS if one.kind in ("", kind)]
    for one in known:
        if path.suffix.lower() in one.endings:
            return one
    rule = f"has an ending of a format that a task of kind {kind} is read from"
    endings = ", ".join(dict.fromkeys(ending for one in known for ending in one.endings))
    got = f'"{path.suffix}"'
    raise DataError(str(Problem(str(path), rule, got, f"known: {endings}")))


def read_file(path: Path, kind: str, language: str) -> Records:
    """The rows of a file with the numbers of their lines.

    Raises:
        DataError: it is of no format that goes with the kind, empty, or not what its ending says.
    """
    form = format_of(path, kind)
    check_size(path)
    if not path.stat().st_size:
        raise DataError(str(Problem(f"{path}:1", "the file is empty")))
    yield from form.read(path, language)

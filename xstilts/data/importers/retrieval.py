"""Retrieval: Tatoeba's pairs of files, and BUCC 2018 with its pools and gold pairs.

Line i of one Tatoeba file translates line i of the other; XTREME's copy, whose English side is
sorted, goes by other file names and is not read. BUCC's gold may come without its pools.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from xstilts.data.hub_layout import STRING, Row, Split
from xstilts.data.importers.original import Imported, Importer, read_lines, refuse
from xstilts.errors import DataError, Problem

_PAIRS = ("source_sentence", "target_sentence", "source_lang", "target_lang")
_BUCC_SPLITS = {"sample": "validation", "dev": "validation", "training": "test", "test": "test"}
"""XTREME's names and those of the shared task: it develops on the sample, tests on training."""


def _read_tatoeba(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    partner = _partner(path, "eng")
    language = match["lang"]
    rows: list[Row] = []
    sides = zip_longest(read_lines(path), read_lines(partner))
    for number, (source, target) in enumerate(sides, 1):
        if source is None or target is None:
            short, long = (path, partner) if source is None else (partner, path)
            rule = f"every line must have its translation in {short.name}"
            raise refuse(long, number, rule, f"{number - 1} lines there")
        rows.append(dict(zip(_PAIRS, (source[1], target[1], language, "eng"), strict=True)))
    features = dict.fromkeys(_PAIRS, STRING)
    whole = Split(f"tatoeba.{language}", "validation", features, rows)
    yield Imported("google/xtreme", whole)


def _check_partner(path: Path, match: re.Match[str]) -> Iterable[Imported]:
    """The English side is read with the other; alone it is a mistake."""
    _partner(path, match["lang"])
    return ()


def _partner(path: Path, language: str) -> Path:
    """The other file of a Tatoeba pair.

    Raises:
        DataError: it is not there.
    """
    partner = path.with_name(f"{path.name.rpartition('.')[0]}.{language}")
    if not partner.is_file():
        rule = f"its other half {partner.name} must lie beside it"
        raise DataError(str(Problem(str(path), rule)))
    return partner


def _read_bucc(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    language, side = match["lang"], match["side"]
    columns = ("source_id", "target_id") if side == "gold" else ("id", "sentence")
    rows: list[Row] = []
    for number, line in read_lines(path):
        first, tab, second = line.partition("\t")
        if not first or not tab or (side == "gold" and (not second or "\t" in second)):
            raise refuse(path, number, f"the row must be {columns[0]}, tab, {columns[1]}", line)
        rows.append(dict(zip(columns, (first, second), strict=True)))
    config = language if side == language else f"{language}.{side}"
    split = _BUCC_SPLITS[match["split"]]
    # The lines of one part's pools are not those of another's, and its gold names them.
    together = (language, f"{language}.en", f"{language}.gold")
    whole = Split(config, split, dict.fromkeys(columns, STRING), rows)
    yield Imported("xtreme/bucc2018", whole, together, match["split"])


IMPORTERS: tuple[Importer, ...] = (
    Importer("Tatoeba", r"tatoeba\.(?P<lang>(?!eng)[a-z]{3})-eng\.(?P=lang)", _read_tatoeba),
    Importer("Tatoeba's English", r"tatoeba\.(?P<lang>[a-z]{3})-eng\.eng", _check_partner),
    Importer(
        "BUCC 2018",
        r"bucc2018/(?:[^/]+/)*(?P<lang>[a-z]{2})-en"
        r"\.(?P<split>dev|sample|test|training)\.(?P<side>(?P=lang)|en|gold)",
        _read_bucc,
    ),
)

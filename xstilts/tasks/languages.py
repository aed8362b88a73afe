"""The languages of the tasks: what is known of each, by which scores can be grouped.

`languages.csv` beside this module has a row a language, `language_columns.csv` says of each column
what it is and where it is from. What no source has is empty there and None here, and no group and
no mean stands on it. The miniature benchmark's constructed languages are a family of their own.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Value = str | int | float | None

UNKNOWN = "not known"

SHOWN = (
    *("code", "name", "family", "script", "joshi_class", "cc100", "word_order", "c_wals"),
    "syntax_distance",
)
"""The columns that a terminal shows."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: texts, numbers, or classes, which are numbers of few values."""

    name: str
    values: Literal["text", "class", "number"]
    about: str
    source: str

    @property
    def is_ordered(self) -> bool:
        """Whether a rank correlation with it means anything."""
        return self.values != "text"

    def read(self, text: str) -> Value:
        """A cell of the file; None where it is empty."""
        if not text or self.values == "text":
            return text or None
        return int(text) if text.isdecimal() else float(text)


@dataclass(frozen=True, slots=True)
class Language:
    """A language; `code` is the one that scores have, `values` are all its columns."""

    code: str
    name: str
    family: str
    script: str
    values: Mapping[str, Value]


def _rows(name: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


COLUMNS: dict[str, Column] = {
    row["name"]: Column(**row)  # type: ignore[arg-type]
    for row in _rows("language_columns.csv")
}
"""What every column is, in the order of the table."""


def _language(row: Mapping[str, str]) -> Language:
    values = {name: column.read(row[name]) for name, column in COLUMNS.items()}
    return Language(row["code"], row["name"], row["family"], row["script"], values)


LANGUAGES = {row["code"]: _language(row) for row in _rows("languages.csv")}
"""The languages of the tasks that the package brings, by code."""

_NOTHING: Mapping[str, Value] = dict.fromkeys(COLUMNS)


def language(code: str) -> Language:
    """The language of a code; of one that is not known the code itself is the name."""
    known = LANGUAGES.get(code)
    return known or Language(code, code, UNKNOWN, UNKNOWN, {**_NOTHING, "code": code, "name": code})


_CC100 = ("xlm-roberta-base", "xlm-roberta-large")


def has_seen(model: str, code: str) -> bool | None:
    """Whether an encoder's pretraining data has a language; None where that is not known.

    It is of XLM-R, by its table of CC-100, and of the miniature benchmark's encoder, which read all
    languages of its world; other encoders' data are in no source that this table has.

    Args:
        model: what a sweep file names: `FacebookAI/xlm-roberta-base`, `builtin:mini`, a folder.
    """
    if model == "builtin:mini":
        one = LANGUAGES.get(code)
        return one is not None and (code == "en" or one.family == "Constructed")
    if Path(model).name in _CC100:
        listed = language(code).values["cc100"]
        return None if listed is None else listed == "yes"
    return None

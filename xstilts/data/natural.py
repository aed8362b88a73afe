"""Natural text from text that was split into tokens, as the translations of MNLI are.

Moses's detokenizer puts back what its tokenizer parted. What it does not know - scripts without
blanks, the marks of other scripts, signs that were parted from their letters, suffixes after an
apostrophe - is mended by rules of the language, before it or after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from xstilts.data.shared_items import positions
from xstilts.data.sources import Folders, load_rows
from xstilts.plan.stage import Rows

TEXTS = ("premise", "hypothesis")
"""The columns that are text: translated rows are pairs."""

_HAN = "\u3001-\u3011\u3014-\u301f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff65“”‘’…"
_THAI = "\u0e01-\u0e3a\u0e40-\u0e5b"
_LETTER, _SIGN, _VIRAMA = "\u0904-\u0939\u0958-\u0961", "\u0901-\u0903\u093c-\u094d", "\u094d"

Rule = tuple[re.Pattern[str], str]

_BEFORE: dict[str, tuple[Rule, ...]] = {
    # Between tokens stands one blank; a blank of the text is a token itself, which makes three.
    "th": ((re.compile(f"(?<=[{_THAI}]) (?=[{_THAI}])"), ""),),
    # After a nukta a word may end as well as go on with a letter: there the blank stays.
    "hi": ((re.compile(f" (?=[{_SIGN}])|(?<={_VIRAMA}) (?=[{_LETTER}])"), ""),),
    # Suffixes of names and numbers; quotations seldom stand in single marks.
    "tr": ((re.compile(r"(\b[A-ZÇĞİÖŞÜ0-9][\w.]*) (['’]) ?(?=[a-zçğıöşü]{1,8}\b)"), r"\1\2"),),
    "fr": ((re.compile(r"(?<=\w) ’ ?(?=\w)"), "’"),),
    "de": ((re.compile(r"(?<=\w) ' ?(?=s\b)"), "'"),),
    "sw": ((re.compile(r"(?i)(?<=ng) ' ?(?=[aeiou])"), "'"),),
}
_AFTER: dict[str, tuple[Rule, ...]] = {
    # Not even numbers and Latin letters are parted from Chinese ones, nor one mark from another.
    "zh": ((re.compile(f"(?<=[{_HAN}]) +| +(?=[{_HAN}])|(?<=[,.:;?!]) +(?=[\"'(])"), ""),),
}
_MARKS: tuple[Rule, ...] = (
    (re.compile(r" +(?=[،؛؟۔।॥…”»])"), ""),
    (re.compile(r"(?<=[“«¿¡]) +"), ""),
    (re.compile(r"(?<=\d) : (?=\d\d\b)"), ":"),
)


def read(folders: Folders, rows: Rows, language: str, limit: int | None) -> dict[str, list[Any]]:
    """Planned rows of one language, at most `limit`, as natural text where they are to be that.

    Raises:
        DataError: they cannot be read.
    """
    task, chosen = rows.entry, None
    if rows.items is not None:
        chosen = positions(folders, task, language, rows.items, limit)
    columns = load_rows(folders, task, rows.use, language, limit, chosen)
    return natural(columns, rows.normaliser[0], language) if rows.normaliser else columns


def natural(columns: dict[str, list[Any]], normaliser: str, language: str) -> dict[str, list[Any]]:
    """Pairs with their text as one of `xstilts.tasks.task.NORMALISERS` makes it."""
    rewrite = {"detokenise": detokenise}[normaliser]
    texts = {name: [rewrite(text, language) for text in columns[name]] for name in TEXTS}
    return {**columns, **texts}


def detokenise(text: str, language: str) -> str:
    """Text whose tokens stand between blanks, as it is written in its language.

    Marks stay what they are: a comma that was made ASCII is no Chinese one again.
    """
    text = _applied(text, (*_BEFORE.get(language, ()), *_MARKS))
    return _applied(_moses(language).detokenize(text.split()), _AFTER.get(language, ()))


def _applied(text: str, rules: Iterable[Rule]) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


@cache
def _moses(language: str) -> Any:
    from sacremoses import MosesDetokenizer  # imported late: few sweeps read translated rows

    return MosesDetokenizer(language)

"""Forms: rows of a kind made of rows that have other columns, row by row.

A source says that it has one (`Source.form`). Its columns are named as the kind's first, so that
what is missing is said as of any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from xstilts.data.sentences import sentence_breaks

Columns = dict[str, list[Any]]

DIGITS = 16
"""Hex digits of a candidate's sha256 that name it."""


def formed(columns: Columns, form: str) -> Columns:
    """Rows in the form that a kind reads; as they are where no form is named."""
    return FORMS[form](columns) if form else columns


def key_of(candidate: str) -> str:
    """What names a candidate that has no id: equal texts are one."""
    return sha256(candidate.encode()).hexdigest()[:DIGITS]


def answer_text(sentence: str, paragraph: str) -> str:
    """A sentence as LAReQA encodes it: itself, then its paragraph, without line ends."""
    return (sentence + paragraph).replace("\n", "")


def sentence_at(breaks: Sequence[Sequence[int]], start: int) -> int | None:
    """The number of the sentence that an answer begins in; None where it begins in none."""
    return next((i for i, (first, end) in enumerate(breaks) if first <= start < end), None)


def _answer_sentences(columns: Columns) -> Columns:
    """Questions on paragraphs as questions and the sentence that their first answer begins in.

    Paragraphs stand under `candidate`, answers under `keys`. One that begins in no sentence leaves
    the question without a candidate, and it is nowhere.
    """
    breaks: dict[str, list[tuple[int, int]]] = {}
    candidates: list[str] = []
    keys: list[list[str]] = []
    for paragraph, answers in zip(columns["candidate"], columns["keys"], strict=True):
        if paragraph not in breaks:
            breaks[paragraph] = sentence_breaks(paragraph)
        starts = answers["answer_start"]
        number = sentence_at(breaks[paragraph], starts[0]) if starts else None
        if number is None:
            candidates.append("")
            keys.append([])
            continue
        first, end = breaks[paragraph][number]
        candidates.append(answer_text(paragraph[first:end], paragraph))
        keys.append([key_of(candidates[-1])])
    return {**columns, "candidate": candidates, "keys": keys}


FORMS: Mapping[str, Callable[[Columns], Columns]] = {"answer_sentences": _answer_sentences}
"""What makes the rows, by name. A change of what comes out raises the version of the tasks that
have it."""

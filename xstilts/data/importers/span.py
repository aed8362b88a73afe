"""Span QA: every file in SQuAD's form, and the labelled TyDiQA tests whose offsets count bytes.

Each answer must stand in its context at its offset. Contexts keep the spaces they begin with,
since offsets count them. Answers that XTREME blanked give empty lists, as unanswerable questions
do in SQuAD 2.0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from xstilts.data.hub_layout import ANSWERS, STRING, Features, Row, Split
from xstilts.data.importers.json_stream import read_object
from xstilts.data.importers.original import (
    Imported,
    Importer,
    field_of,
    read_jsonl,
    refuse,
)

FEATURES: Features = {
    **dict.fromkeys(("id", "title", "context", "question"), STRING),
    "answers": ANSWERS,
}
LANGUAGES = {
    "arabic": "ar",
    "bengali": "bn",
    "english": "en",
    "finnish": "fi",
    "indonesian": "id",
    "korean": "ko",
    "russian": "ru",
    "swahili": "sw",
    "telugu": "te",
}
"""TyDiQA's languages, as its question ids begin, and their codes."""

_SPLITS = {"train": "train", "dev": "validation", "test": "test", "cs224n_dev": "train"}
"""CS224n's half of SQuAD 2.0's dev set shares no article with the other: it stands in for train."""

# When a question may be without answers: never, where it says `is_impossible`, or where a whole
# file has XTREME's blank answer in every question.
Without = Literal["never", "impossible", "blanked"]

_TYDIQA = "xtreme/tydiqa"


@dataclass(frozen=True, slots=True)
class _DataSet:
    """Where the rows of one SQuAD-style file go; `config` is filled from the file's name."""

    hub_id: str
    config: str
    without: Without


def _read_squad(
    path: Path, match: re.Match[str], *, data_set: _DataSet, split: str | None = None
) -> Iterator[Imported]:
    """One split of one configuration."""
    rows = read_questions(path, data_set.without)
    config = data_set.config.format(**match.groupdict())
    yield _imported(data_set.hub_id, config, split or _SPLITS[match["split"]], rows)


def _read_translated(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """SQuAD in one language, translated by machine. Where an answer was not found again in the
    translation, or not at the place that is given, the question is left out and counted."""
    rows: list[Row] = []
    lost = 0
    for number, (title, context, question) in enumerate(_questions(path), 1):
        where = _Place(path, number)
        answers = [
            (start, text)
            for answer in where.records(question, "answers")
            if (text := where.text(answer, "text"))
            and isinstance(start := answer.get("answer_start"), int)
            and context[start : start + len(text)] == text
        ]
        lost += not answers
        if answers:
            own = where.text(question, "id"), title, context, where.text(question, "question")
            rows.append(_row(where, *own, answers))
    if not rows:
        raise refuse(path, 1, "a question must have its answer in its context", f"{lost} have none")
    split = Split(match["lang"], "train", FEATURES, rows)
    without = {"questions whose answer is not where the file says": lost} if lost else {}
    yield Imported("xstilts/squad_translated", split, without=without)


def _read_tydiqa_of_xtreme(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """One language. XTREME cut the ids of the training set, so that they repeat."""
    rows = _with_unique_ids(read_questions(path, "blanked"))
    yield _imported(_TYDIQA, match["lang"], _SPLITS[match["split"]], rows)


def _read_tydiqa(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """All languages of the original file, one split each."""
    languages: dict[str, list[Row]] = {}
    for number, row in enumerate(read_questions(path, "never"), 1):
        name = row["id"].partition("-")[0]
        languages.setdefault(_language(path, number, name), []).append(row)
    for code, rows in languages.items():
        yield _imported(_TYDIQA, code, _SPLITS[match["split"]], rows)


def _read_labelled_tydiqa(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """One language, a question a line; the ids get back the language that the original has."""
    rows: list[Row] = []
    for number, record in read_jsonl(path):
        where = _Place(path, number)
        _language(path, number, match["language"])
        question_id = f"{match['language']}-{where.text(record, 'id')}"
        context = where.text(record, "passage_text")
        answers = []
        for answer in where.records(record, "answers"):
            start_byte = field_of(path, number, answer, "start_byte")
            start = _offset(where, context, start_byte, question_id)
            answers.append((start, where.text(answer, "text")))
        if not answers:
            raise refuse(path, number, "the question must have an answer", question_id)
        title = where.text(record, "document_title", absent="")
        question = where.text(record, "question_text")
        rows.append(_row(where, question_id, title, context, question, answers))
    yield _imported(_TYDIQA, LANGUAGES[match["language"]], "validation", rows)


@dataclass(frozen=True, slots=True)
class _Place:
    """A record's file and number, to read its fields with."""

    path: Path
    row: int

    def text(self, record: dict[str, Any], name: str, absent: str | None = None) -> str:
        """A string; `absent`, if given, stands for a field that is not there."""
        if absent is not None and name not in record:
            return absent
        value = field_of(self.path, self.row, record, name)
        if not isinstance(value, str):
            raise refuse(self.path, self.row, f"{name!r} must be a text", value)
        return value

    def records(self, record: dict[str, Any], name: str) -> list[dict[str, Any]]:
        """A list of records."""
        value = field_of(self.path, self.row, record, name)
        if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
            raise refuse(self.path, self.row, f"{name!r} must be a list of objects", value)
        return value


def read_questions(path: Path, without: Without) -> list[Row]:
    """The questions of a SQuAD-style file, numbered from 1 in what is refused.

    Raises:
        DataError: the file is not in that form, or an answer does not stand where it says.
    """
    rows: list[Row] = []
    for title, context, question in _questions(path):
        where = _Place(path, len(rows) + 1)
        question_id = where.text(question, "id")
        answers = [
            (field_of(path, where.row, answer, "answer_start"), where.text(answer, "text"))
            for answer in where.records(question, "answers")
        ]
        if without == "blanked" and answers == [(0, "")]:
            answers = []
        elif without == "impossible":
            if bool(answers) == field_of(path, where.row, question, "is_impossible"):
                rule = "a question must either have answers or be impossible"
                raise refuse(path, where.row, rule, question_id)
        elif not answers:
            raise refuse(path, where.row, "the question must have an answer", question_id)
        text = where.text(question, "question")
        rows.append(_row(where, question_id, title, context, text, answers))
    if without == "blanked":
        blank = [i for i, row in enumerate(rows, 1) if not row["answers"]["text"]]
        if blank and len(blank) < len(rows):
            rule = "either every question of a file has an answer or none"
            raise refuse(path, blank[0], rule, rows[blank[0] - 1]["id"])
    return rows


def _questions(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Title, context and question, in the file's order."""
    number, names = 1, set[str]()
    for name, article in read_object(path, listed="data"):
        names.add(name)
        if name != "data":
            continue
        where = _Place(path, number)
        if not isinstance(article, dict):
            raise refuse(path, number, "'data' must be a list of objects", article)
        title = where.text(article, "title", absent="")
        for paragraph in where.records(article, "paragraphs"):
            where = _Place(path, number)
            context = where.text(paragraph, "context")
            for question in where.records(paragraph, "qas"):
                yield title, context, question
                number += 1
    if "data" not in names:
        field_of(path, 1, dict.fromkeys(names), "data")


def _row(
    where: _Place,
    question_id: str,
    title: str,
    context: str,
    question: str,
    answers: Iterable[tuple[int, str]],
) -> Row:
    """A row whose answers were found in the context at their offsets."""
    texts: list[str] = []
    starts: list[int] = []
    for start, text in answers:
        held = isinstance(start, int) and start >= 0 and text != ""
        if not held or context[start : start + len(text)] != text:
            rule = f"question {question_id}: the context must hold the answer at its offset"
            raise refuse(where.path, where.row, rule, (start, text))
        texts.append(text)
        starts.append(start)
    return {
        "id": question_id,
        "title": title,
        "context": context,
        "question": question,
        "answers": {"text": texts, "answer_start": starts},
    }


def _offset(where: _Place, context: str, start_byte: Any, question_id: str) -> int:
    """A character offset for one in bytes of UTF-8."""
    try:
        return len(context.encode()[:start_byte].decode())
    except (TypeError, UnicodeDecodeError) as error:
        rule = f"question {question_id}: start_byte must be where a character begins"
        raise refuse(where.path, where.row, rule, start_byte) from error


def _with_unique_ids(rows: list[Row]) -> list[Row]:
    """Ids that repeat get `#` and their occurrence from 1; the others stay as they are."""
    counts = Counter(row["id"] for row in rows)
    seen: Counter[str] = Counter()
    unique: list[Row] = []
    for row in rows:
        question_id = row["id"]
        seen[question_id] += 1
        repeats = counts[question_id] > 1
        unique.append({**row, "id": f"{question_id}#{seen[question_id]}"} if repeats else row)
    return unique


def _language(path: Path, row: int, name: str) -> str:
    if name not in LANGUAGES:
        raise refuse(path, row, f"the language must be one of {', '.join(LANGUAGES)}", name)
    return LANGUAGES[name]


def _imported(hub_id: str, config: str, split: str, rows: list[Row]) -> Imported:
    return Imported(hub_id, Split(config, split, FEATURES, rows))


_SQUAD = _DataSet("rajpurkar/squad", "plain_text", "never")
_SQUAD_V2 = _DataSet("rajpurkar/squad_v2", "squad_v2", "impossible")
_XQUAD = _DataSet("google/xquad", "xquad.{lang}", "blanked")
_MLQA = _DataSet("google/xtreme", "MLQA.{context}.{question}", "blanked")

IMPORTERS: tuple[Importer, ...] = (
    Importer(
        "SQuAD 1.1",
        r"(?P<split>train|dev)-v1\.1\.json",
        partial(_read_squad, data_set=_SQUAD),
    ),
    Importer(
        "SQuAD 2.0",
        r"(?P<split>train|dev|cs224n_dev)-v2\.0\.json",
        partial(_read_squad, data_set=_SQUAD_V2),
    ),
    Importer(
        "SQuAD 1.1, translated by machine",
        r"squad\.translate\.train\.en-(?P<lang>[a-z]{2})\.json",
        _read_translated,
    ),
    Importer(
        "XQuAD",
        r"xquad\.(?P<lang>[a-z]{2})\.json",
        partial(_read_squad, data_set=_XQUAD, split="validation"),
    ),
    Importer(
        "MLQA",
        r"(?P<split>dev|test)-context-(?P<context>[a-z]{2})-question-(?P<question>[a-z]{2})\.json",
        partial(_read_squad, data_set=_MLQA),
    ),
    Importer(
        "TyDiQA-GoldP of XTREME",
        r"tydiqa\.goldp\.(?P<lang>[a-z]{2})\.(?P<split>train|dev)\.json",
        _read_tydiqa_of_xtreme,
    ),
    # The dev set is published whole and, under the second name, by language.
    Importer(
        "TyDiQA-GoldP",
        r"tydiqa-goldp-(?:v1\.1-)?(?P<split>train|dev)(?:-[a-z]+)?\.json",
        _read_tydiqa,
    ),
    Importer(
        "TyDiQA-GoldP tests with labels",
        r"labelled_dev/(?P<language>[a-z]+)-dev\.jsonl",
        _read_labelled_tydiqa,
    ),
)

"""Queries and pools of candidates: LAReQA's paragraphs with their sentences, and Mewsli-X.

What a dual encoder reads is written as XTREME-R's baselines build it: of a paragraph its sentences,
each with the paragraph behind it; of a mention its sentence, with the mention marked; of an entity
the sentences of its description.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import md5
from pathlib import Path
from typing import Any

from xstilts.data.forms import answer_text, sentence_at
from xstilts.data.hub_layout import STRING, STRINGS, Features, Row, Split
from xstilts.data.importers.json_stream import read_object
from xstilts.data.importers.original import Imported, Importer, field_of, read_jsonl, refuse

FEATURES: Features = {**dict.fromkeys(("id", "query", "candidate"), STRING), "keys": STRINGS}

LAREQA, MEWSLIX = "xtreme/lareqa", "xtreme/mewslix"
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}

Spans = list[tuple[int, int]]


def _read_lareqa(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """The questions of one language, and its part of the pool: every sentence of every paragraph.

    A question's key is its id, which all languages share. Right for it is each sentence of its
    paragraph that reads as the one in which the answer begins.
    """
    language = match["lang"]
    questions: list[Row] = []
    candidates: list[Row] = []
    lost, number = 0, 0
    for name, article in read_object(path, listed="data"):
        if name != "data":
            continue
        for paragraph in _records(path, number + 1, article, "paragraphs"):
            number += 1
            context = _text(path, number, paragraph, "context")
            breaks = _spans(path, number, paragraph, "sentence_breaks", context)
            sentences = [context[start:end] for start, end in breaks]
            keys: list[list[str]] = [[] for _ in sentences]
            for question in _records(path, number, paragraph, "qas"):
                own = _text(path, number, question, "id")
                answers = _records(path, number, question, "answers")
                if not answers:
                    raise refuse(path, number, "a question must have an answer", own)
                at = sentence_at(breaks, field_of(path, number, answers[0], "answer_start"))
                if at is None:
                    lost += 1
                    continue
                text = _text(path, number, question, "question")
                row = _row(f"{own}_{language}", query=text, key=own)
                questions.append({**row, "item": own})
                for sentence, its in zip(sentences, keys, strict=True):
                    if sentence == sentences[at]:
                        its.append(own)
            for i, sentence in enumerate(sentences):
                candidate = answer_text(sentence, context)
                row = _row(f"{language}_{number}_{i}", candidate=candidate)
                candidates.append({**row, "keys": keys[i]})
    without = {"questions whose answer begins in no sentence": lost} if lost else {}
    features = {**FEATURES, "item": STRING}
    yield Imported(LAREQA, Split(language, "test", features, questions), without=without)
    yield Imported(LAREQA, Split(language, "pool", FEATURES, candidates))


def _read_mentions(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """Mentions of WikiNews by language; where the entities are blanked, they have no key."""
    rows: dict[str, list[Row]] = {}
    lost: Counter[str] = Counter()
    for number, record in read_jsonl(path):
        context = _record(path, number, record, "context")
        language = _text(path, number, context, "language")
        for mention in _records(path, number, record, "mentions"):
            query = _query(path, number, context, mention)
            if not query:
                lost[language] += 1
                continue
            entity = _text(path, number, mention, "entity_id")
            own = _text(path, number, mention, "example_id")
            rows.setdefault(language, []).append(_row(own, query=query, key=entity))
    for language, own_rows in rows.items():
        count = lost[language]
        without = {"mentions that cross sentences": count} if count else {}
        split = Split(language, _SPLITS[match["split"]], FEATURES, own_rows)
        yield Imported(MEWSLIX, split, without=without)


def _read_pairs(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """Mentions of Wikipedia, each with its entity."""
    rows: list[Row] = []
    lost = 0
    for number, record in read_jsonl(path):
        both = _record(path, number, record, "contextual_mention")
        mention = _record(path, number, both, "mention")
        query = _query(path, number, _record(path, number, both, "context"), mention)
        if not query:
            lost += 1
            continue
        entity = _record(path, number, record, "entity")
        key = _text(path, number, entity, "entity_id")
        own = _text(path, number, mention, "example_id")
        rows.append(_row(own, query=query, candidate=_entity(path, number, entity), key=key))
    without = {"mentions that cross sentences": lost} if lost else {}
    split = Split("wikipedia_pairs", _SPLITS[match["split"]], FEATURES, rows)
    yield Imported(MEWSLIX, split, without=without)


def _read_entities(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """The pool of entities."""
    rows: list[Row] = []
    for number, entity in read_jsonl(path):
        key = _text(path, number, entity, "entity_id")
        rows.append(_row(key, candidate=_entity(path, number, entity), key=key))
    yield Imported(MEWSLIX, Split("entities", "pool", FEATURES, rows))


def _row(own: str, query: str = "", candidate: str = "", key: str = "") -> Row:
    return {"id": own, "query": query, "candidate": candidate, "keys": [key] if key else []}


def _query(path: Path, number: int, context: dict[str, Any], mention: dict[str, Any]) -> str:
    """The sentence of a mention, as the baseline reads it; empty where it stands in no one."""
    text = _text(path, number, context, "text")
    if not text:
        repair = "fill it in with the authors' script (get-mewsli-x.sh)"
        raise refuse(path, number, "the article must have its text", text, repair)
    digest = mention.get("metadata", {}).get("text_md5", "")
    if digest and md5(text.encode(), usedforsecurity=False).hexdigest() != digest:
        raise refuse(path, number, "the text must be the one that its text_md5 is of", text[:40])
    span = _record(path, number, mention, "mention_span")
    start, end = (field_of(path, number, span, name) for name in ("start", "end"))
    if text[start:end] != field_of(path, number, span, "text"):
        raise refuse(path, number, "the text must hold the mention at its offsets", span)
    for first, last in _spans(path, number, context, "sentence_spans", text):
        if first <= start and end <= last:
            left, right = (_without_marks(x) for x in (text[first:start], text[end:last]))
            own = _without_marks(text[start:end])
            return _on_one_line(f"{own}: {left} {{ {own} }} {right}")
    return ""


def _entity(path: Path, number: int, entity: dict[str, Any]) -> str:
    """The sentences of an entity's description."""
    text = _text(path, number, entity, "description")
    spans = _spans(path, number, entity, "sentence_spans", text)
    return _on_one_line(" ".join(text[start:end] for start, end in spans))


def _without_marks(text: str) -> str:
    return text.replace("{", "(").replace("}", ")")


def _on_one_line(text: str) -> str:
    """Each two blanks become one, once: of three stay two, as the baseline has it."""
    return text.replace("\n", " ").replace("  ", " ").strip()


def _spans(path: Path, number: int, record: dict[str, Any], name: str, text: str) -> Spans:
    """Start and end of sentences, as pairs or as objects, each within the text."""
    spans: Spans = []
    for span in field_of(path, number, record, name):
        pair = (span.get("start"), span.get("end")) if isinstance(span, Mapping) else tuple(span)
        if len(pair) != 2 or not all(type(x) is int for x in pair):
            raise refuse(path, number, f"{name!r} must be pairs of whole numbers", span)
        start, end = pair
        if not 0 <= start <= end <= len(text):
            raise refuse(path, number, f"{name!r} must lie within the text", span)
        spans.append((start, end))
    return spans


def _text(path: Path, number: int, record: dict[str, Any], name: str) -> str:
    value = field_of(path, number, record, name)
    if not isinstance(value, str):
        raise refuse(path, number, f"{name!r} must be a text", value)
    return value


def _record(path: Path, number: int, record: dict[str, Any], name: str) -> dict[str, Any]:
    value = field_of(path, number, record, name)
    if not isinstance(value, dict):
        raise refuse(path, number, f"{name!r} must be an object", value)
    return value


def _records(path: Path, number: int, record: Any, name: str) -> list[dict[str, Any]]:
    value = field_of(path, number, record, name) if isinstance(record, dict) else None
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise refuse(path, number, f"{name!r} must be a list of objects", value)
    return value


IMPORTERS: tuple[Importer, ...] = (
    Importer("LAReQA", r"xquad-r/(?P<lang>[a-z]{2})\.json", _read_lareqa),
    Importer(
        "Mewsli-X mentions",
        r"wikinews_mentions[-/](?P<split>dev|test)(?:-[a-z]{2})?\.jsonl",
        _read_mentions,
    ),
    Importer("Mewsli-X pairs", r"wikipedia_pairs-(?P<split>train|dev)\.jsonl", _read_pairs),
    Importer("Mewsli-X entities", r"candidate_set_entities\.jsonl", _read_entities),
)

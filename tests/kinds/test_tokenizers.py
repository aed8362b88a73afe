"""Words without tokens, words longer than the model's limit, and the characters of answers: under
tokenizers of every sort that encoders have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kinds.test_span import ANSWERS, FILLER, SPAN, asked, gold_scores
from tests.kinds.test_span import TASK as SPAN_TASK
from tests.kinds.test_tagging import TAGGING, TASK, tagged
from tests.sorts_of_tokenizers import SORTS
from xstilts.kinds.windows import documents
from xstilts.training.model import load_tokenizer

LANGUAGES = ("en", "ar", "el", "hi", "th", "zh")
VOID = ["", " ", "　", "\x00", "\u200b", "\ufeff", "\u00ad", "\n", "\u0301"]


def questions_of(data: Path, language: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Real contexts with their questions and answers, one of each paragraph."""
    for article in json.loads((data / f"xquad/xquad.{language}.json").read_text())["data"][:12]:
        paragraph = article["paragraphs"][0]
        yield paragraph["context"], (asked := paragraph["qas"][0])["question"], asked["answers"][0]


@pytest.fixture(scope="module")
def rows(data: Path) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    return {language: list(questions_of(data, language)) for language in LANGUAGES}


@pytest.fixture(scope="module", params=SORTS)
def tokenizer(
    request: pytest.FixtureRequest,
    rows: dict[str, list[tuple[str, str, dict[str, Any]]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """As the product reads it from its files."""
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = [context for own in rows.values() for context, _, _ in own]
    SORTS[request.param].train(texts).save_pretrained(folder)
    return load_tokenizer(folder)


@pytest.mark.parametrize("void", VOID)
@pytest.mark.parametrize("limit", [12, 48])
def test_every_word_has_a_token_of_its_own(tokenizer: Any, void: str, limit: int) -> None:
    """Also those that a tokenizer drops; and words that are written as its special tokens."""
    given = tagged([void, "cat", void, void, "tea", void] * 3, [void], tokenizer.all_special_tokens)
    encoded = TAGGING.encode(given, TASK, tokenizer, limit)
    features = encoded.features.to_pylist()
    assert all(len(feature["input_ids"]) <= limit for feature in features)
    for feature in features:
        positions = feature["positions"]
        assert len(positions) == len(set(positions)) == len(feature["labels"])
        assert positions == sorted(positions) and positions[0] > 0, "the first token is special"
    assert TAGGING.decode([f["labels"] for f in features], encoded, TASK) == given["tags"]


def test_a_word_longer_than_the_limit_keeps_its_first_token(tokenizer: Any) -> None:
    given = tagged(["tea", "ionst" * 18, "cat"])
    encoded = TAGGING.encode(given, TASK, tokenizer, 16)
    first, long, last = encoded.features.to_pylist()
    assert len(long["input_ids"]) == 16 > max(len(first["input_ids"]), len(last["input_ids"]))
    assert [len(feature["positions"]) for feature in (first, long, last)] == [1, 1, 1]
    assert (
        TAGGING.decode([f["labels"] for f in (first, long, last)], encoded, TASK) == given["tags"]
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("limit", [96, 384])
def test_an_answers_tokens_are_those_that_have_its_characters(
    tokenizer: Any,
    language: str,
    limit: int,
    rows: dict[str, list[tuple[str, str, dict[str, Any]]]],
) -> None:
    """Whether a token begins at the blank before it or behind it: what is cut out of the
    context is the answer, and beside it no more than the rest of its first and last token."""
    contexts, questions, answers = zip(*rows[language], strict=True)
    room = [question[:40] for question in questions]
    for document, answer in zip(
        documents(room, list(contexts), tokenizer, limit), answers, strict=True
    ):
        begin = answer["answer_start"]
        found = document.tokens_of(begin, begin + len(answer["text"]))
        assert found is not None
        text = document.text_of(*found)
        assert answer["text"].strip() in text
        blanks = len(text.split()) - len(answer["text"].split())
        assert blanks == 0, "no word of the context beside it"


# Burmese is three bytes a letter, so that its answer is above the most tokens of an answer.
@pytest.mark.parametrize("code", [code for code in FILLER if code != "my"])
def test_answers_come_back_as_they_are(tokenizer: Any, code: str) -> None:
    answer, filler = ANSWERS[code], FILLER[code]
    given = asked(
        (f"{filler} {answer} {filler}", answer),
        (f"   {answer} {filler}", answer),
        (f"{filler}\n\t {answer}", answer),
        (f"{filler}　{answer} {filler}" * 4, answer),
    )
    encoded = SPAN.encode(given, SPAN_TASK, tokenizer, 96)
    assert SPAN.decode(gold_scores(encoded), encoded, SPAN_TASK) == [answer] * 4

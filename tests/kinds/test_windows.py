"""Windows of contexts: as many as the rule gives, each token counted once, no letter lost."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from xstilts import kinds
from xstilts.kinds.kind import IGNORED
from xstilts.kinds.windows import MAX_ANSWER_TOKENS, STRIDE, documents, most_context, step_of
from xstilts.tasks import Source, Task

from ..conftest import RECORDS, require

SPAN = kinds.get("span")
TASK = Task("toy", "span", Source("toy/toy"), ("en",), {}, ("exact_match", "f1"))
MLQA = "mlqa/MLQA_V1/dev/dev-context-{0}-question-{0}.json"


def read(name: str) -> dict[str, list[Any]]:
    """A file of real records in SQuAD's form."""
    path = RECORDS / name
    require("records", path.is_file(), f"no real records at {path}")
    rows: dict[str, list[Any]] = {"id": [], "context": [], "question": [], "answers": []}
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question["answers"]
                rows["id"].append(question["id"])
                rows["context"].append(paragraph["context"])
                rows["question"].append(question["question"])
                rows["answers"].append(
                    {key: [a[key] for a in answers] for key in ("text", "answer_start")}
                )
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xquad/xquad.en.json", MLQA.format("en"), MLQA.format("de")])
def test_a_window_begins_every_128_tokens_and_tokens_count_where_most_is_around_them(
    minilm_tokenizer: Any, name: str
) -> None:
    """The rules written down again, for sequences of 384: windows, and where each token counts."""
    rows = read(name)
    encoded = SPAN.encode(rows, TASK, minilm_tokenizer, 384)
    features = encoded.features.to_pylist()
    sizes = [
        [len(ids) for ids in minilm_tokenizer(rows[column], add_special_tokens=False)["input_ids"]]
        for column in ("question", "context")
    ]
    number = 0
    for row, (question, context) in enumerate(zip(*sizes, strict=True)):
        room = 384 - 3 - min(64, question)
        spans = [(0, min(room, context))]
        while spans[-1][1] < context:
            start = spans[-1][0] + 128
            spans.append((start, min(start + room, context)))
        context_of = {
            (i, token): min(token - start, end - 1 - token) + 0.01 * (end - start)
            for i, (start, end) in enumerate(spans)
            for token in range(start, end)
        }
        best = {
            token: max(
                (i for i, (start, end) in enumerate(spans) if start <= token < end),
                key=lambda i: (context_of[i, token], -i),
            )
            for token in range(context)
        }
        for i, (start, end) in enumerate(spans):
            feature = features[number]
            inside = [j for j, begin in enumerate(feature["begins"]) if begin >= 0]
            assert feature["example"] == row and len(inside) == end - start
            counted = [j for j, most in enumerate(feature["most_context"]) if most]
            assert counted == [inside[t - start] for t in range(start, end) if best[t] == i]
            number += 1
    assert number == encoded.features.num_rows > len(rows["id"])


@pytest.mark.slow
@pytest.mark.parametrize(("language", "least"), [("ar", 100), ("hi", 99.5), ("th", 92)])
def test_answers_come_back_with_the_marks_that_the_tokenizer_drops(
    minilm_tokenizer: Any, language: str, least: float
) -> None:
    """Of XQuAD's answers those that do not have an unknown token at an edge; they are told."""
    rows = read(f"xquad/xquad.{language}.json")
    encoded = SPAN.encode(rows, TASK, minilm_tokenizer, 384)
    outputs, short = [], set()
    found: dict[int, str] = {}
    for feature in encoded.features.to_pylist():
        row, start, end = (feature[name] for name in ("example", "start", "end"))
        scores = np.zeros((len(feature["input_ids"]), 2), dtype=np.float32)
        if start > 0:
            scores[start, 0] = scores[end, 1] = 5.0
            begins, ends = feature["begins"], feature["ends"]
            found[row] = rows["context"][row][begins[start] : ends[end]].strip()
            if end - start < MAX_ANSWER_TOKENS:
                short.add(row)
        outputs.append(scores)
    gold = [answers["text"][0].strip() for answers in rows["answers"]]
    right = {row for row, text in enumerate(gold) if found.get(row) == text}
    assert 100 * len(right) / len(gold) >= least
    unanswerable = encoded.examples["unanswerable"].to_pylist()
    assert not right & {row for row, is_lost in enumerate(unanswerable) if is_lost}
    # What is neither right nor told has a token that holds the answer's edge and more.
    for row, text in enumerate(gold):
        if row not in right and not unanswerable[row]:
            assert text in found[row] and len(found[row]) <= len(text) + 2
    decoded = SPAN.decode(outputs, encoded, TASK)
    assert len(short) > 0.85 * len(right)
    assert all(decoded[row] == gold[row] for row in short & right)


def test_a_token_counts_in_one_window() -> None:
    """Of 500 tokens in windows of 300 every 128, and of equal contexts the first window's."""
    starts, lengths = [0, 128, 256], [300, 300, 244]
    counts = most_context(starts, lengths)
    seen = np.zeros(500, dtype=int)
    for start, own in zip(starts, counts, strict=True):
        seen[start : start + len(own)] += own
    assert (seen == 1).all()
    # 213 has 86 tokens on its right in the first, 85 on its left in the second.
    assert [counts[0][213], counts[1][85]] == [True, False]
    assert [counts[0][214], counts[1][86]] == [False, True]
    (first, second) = most_context([0, 2], [5, 5])
    assert first.tolist() == [True] * 4 + [False]
    assert second.tolist() == [False, False, True, True, True]


def test_the_step_shrinks_with_short_windows_alone() -> None:
    assert [step_of(room) for room in (381, 317, STRIDE + MAX_ANSWER_TOKENS)] == [STRIDE] * 3
    assert [step_of(room) for room in (157, 60, 41, 2, 1)] == [127, 30, 20, 1, 1]


def test_windows_of_questions_of_unequal_length_begin_at_the_same_steps(
    tiny_tokenizer: Any,
) -> None:
    context = "The train to the city leaves at noon . " * 20
    questions = ["tea?", "Do you want to drink tea on the old chair?", "tea?"]
    found = documents(questions, [context, context, "tea"], tiny_tokenizer, 96)
    for document in found:
        steps = np.diff([window.start for window in document.windows])
        assert len(set(steps.tolist())) <= 1
        assert [document.text_of(i, i) for i in range(len(document.ids))] == [
            document.context[b:e].strip()
            for b, e in zip(document.begins, document.ends, strict=True)
        ]
    assert (found[0].ids == found[1].ids).all() and found[2].context == "tea"
    assert len(found[0].windows) <= len(found[1].windows) and len(found[2].windows) == 1


def rows_of(*pairs: tuple[str, str]) -> dict[str, list[Any]]:
    """Rows of (context, answer), the answer where it first occurs."""
    return {
        "id": [f"q{i}" for i in range(len(pairs))],
        "context": [context for context, _ in pairs],
        "question": ["tea?"] * len(pairs),
        "answers": [{"text": [a], "answer_start": [context.index(a)]} for context, a in pairs],
    }


@pytest.fixture(scope="session")
def dropping_tokenizer() -> Any:
    """Lowers letters and drops marks, as BERT's uncased tokenizers; its alphabet is small."""
    from transformers import BertTokenizer

    letters = "abcdeghilnorstuकनमरसह"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "?", ".", *letters]
    pieces += [f"##{letter}" for letter in letters]
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, do_lower_case=True)


def test_dropped_marks_belong_to_the_token_before(dropping_tokenizer: Any) -> None:
    rows = rows_of(
        ("tea in cafe\u0301 .", "cafe\u0301"),  # an accent that stands alone
        ("tea e\u0301 o\u0308\u0301 .", "o\u0308\u0301"),  # two of them
        ("नमस\u0947 कर\u0941 .", "नमस\u0947"),  # a vowel sign at the end
        ("नमस\u0947 कर\u0941", "कर\u0941"),  # at the end of all
        ("tea\u200b ton .", "tea\u200b"),  # a character of no width
    )
    encoded = SPAN.encode(rows, TASK, dropping_tokenizer, 64)
    outputs = []
    for feature in encoded.features.to_pylist():
        scores = np.zeros((len(feature["input_ids"]), 2), dtype=np.float32)
        scores[feature["start"], 0] = scores[feature["end"], 1] = 5.0
        outputs.append(scores)
    assert SPAN.decode(outputs, encoded, TASK) == [a["text"][0] for a in rows["answers"]]
    assert not any(encoded.examples["unanswerable"].to_pylist())


def test_blanks_belong_to_no_token(dropping_tokenizer: Any) -> None:
    """Nor does a mark that stands alone between two."""
    (document,) = documents(["tea"], ["tea\u0301 \u0301 on"], dropping_tokenizer, 32)
    texts = [document.context[b:e] for b, e in zip(document.begins, document.ends, strict=True)]
    assert texts == ["t", "e", "a\u0301", "o", "n"]


def test_an_answer_that_no_tokens_give_is_left_out_of_training(dropping_tokenizer: Any) -> None:
    """In a word that is unknown as a whole; where another gold answer can be given, that is it."""
    rows = rows_of(
        ("tea xyzzytea .", "tea"),  # the first is a token
        ("on xyzzytea .", "tea"),  # within an unknown word
        ("on xyzzy .", "xyzzy"),  # an unknown word, but all of it
        ("on \u200b .", "\u200b"),  # no token has it
        ("roses .", "rose"),  # within a known word: the nearest text
        ("on xyzzytea in .", "tea"),
    )
    rows["answers"][5] = {"text": ["tea", "in"], "answer_start": [8, 12]}
    encoded = SPAN.encode(rows, TASK, dropping_tokenizer, 64)
    assert encoded.examples["unanswerable"].to_pylist() == [False, True, False, True, False, False]
    features = encoded.features.to_pylist()
    starts = Counter(feature["start"] for feature in features)
    assert starts[IGNORED] == 2 and starts[0] == 0
    last = features[5]
    assert rows["context"][5][last["begins"][last["start"]] : last["ends"][last["end"]]] == "in"

"""Span QA: answers by offsets into the original text, over windows, of bounded length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from xstilts import kinds
from xstilts.kinds import span
from xstilts.kinds.kind import Encoded, Vocabulary
from xstilts.kinds.span import MAX_ANSWER_TOKENS, MAX_QUERY_TOKENS
from xstilts.tasks import Source, Task

SPAN = kinds.get("span")
TASK = Task("toy", "span", Source("toy/toy"), ("en",), {}, ("exact_match", "f1"))
ABSTAINING = Task(
    "toy", "span", Source("toy/toy"), ("en",), {}, ("exact_match", "f1"), can_abstain=True
)

FILLER = {
    "en": "The train to the city leaves at noon . ",
    "th": "รถไฟเข้าเมือง ออกตอนเที่ยง ",
    "zh": "进城的火车中午出发 。 ",
    "ar": "يغادر القطار إلى المدينة ظهرا . ",
    "my": "မြို့သွားရထားက နေ့လယ်မှာ ထွက်တယ် ။ ",
}
ANSWERS = {"en": "Berlin 1968", "th": "เบอร์ลิน", "zh": "柏林 1968", "ar": "برلين", "my": "ဘာလင်မြို့မှာ"}


@pytest.fixture(params=["tiny_tokenizer", "tiny_bert_tokenizer"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def asked(*pairs: tuple[str, str], question: str = "tea?") -> dict[str, list[Any]]:
    """Rows of (context, answer); the answer is where it first occurs."""
    return {
        "id": [str(i) for i in range(len(pairs))],
        "context": [context for context, _ in pairs],
        "question": [question] * len(pairs),
        "answers": [{"text": [a], "answer_start": [context.index(a)]} for context, a in pairs],
    }


def gold_scores(encoded: Encoded) -> list[np.ndarray]:
    """Scores that point at every window's answer, and mildly elsewhere where there is none."""
    outputs = []
    for feature in encoded.features.to_pylist():
        scores = np.zeros((len(feature["input_ids"]), 2), dtype=np.float32)
        if feature["end"] > 0:
            scores[feature["start"], 0] = scores[feature["end"], 1] = 5.0
        outputs.append(scores)
    return outputs


@pytest.mark.parametrize("code", FILLER)
@pytest.mark.parametrize("spaces", ["", "   ", "\n\t ", "　"])
def test_answers_stand_at_their_offsets(tokenizer: Any, code: str, spaces: str) -> None:
    answer, filler = ANSWERS[code], FILLER[code]
    rows = asked(
        (f"{spaces}{filler} {answer} {filler}", answer),
        (f"{spaces}{answer} {filler}", answer),
        (f"{spaces}{filler}{spaces} {answer}", answer),
    )
    encoded = SPAN.encode(rows, TASK, tokenizer, 128)
    assert encoded.features.num_rows == 3
    assert all(end > 0 for end in encoded.features["end"].to_pylist())
    assert SPAN.decode(gold_scores(encoded), encoded, TASK) == [answer] * 3


@pytest.mark.parametrize("max_length", [48, 64, 96])
@pytest.mark.parametrize("code", FILLER)
def test_the_answer_is_found_over_several_windows(
    tokenizer: Any, code: str, max_length: int
) -> None:
    answer, filler = ANSWERS[code], FILLER[code]
    context = filler * 9 + answer + " " + filler * 10
    rows = asked((context, answer), (answer + " " + filler * 19, answer), ("tea", "tea"))
    encoded = SPAN.encode(rows, TASK, tokenizer, max_length)
    features = encoded.features.to_pylist()
    assert all(len(feature["input_ids"]) <= max_length for feature in features)
    for i, row in enumerate(rows["context"][:2]):
        windows = [feature for feature in features if feature["example"] == i]
        assert len(windows) > 2
        start = row.index(answer)
        for window in windows:
            inside = [j for j, begin in enumerate(window["begins"]) if begin >= 0]
            covers = window["begins"][inside[0]] <= start and (
                window["ends"][inside[-1]] >= start + len(answer)
            )
            if covers:
                begin, end = window["begins"][window["start"]], window["ends"][window["end"]]
                assert row[begin:end].strip() == answer
            else:
                assert (window["start"], window["end"]) == (0, 0)
        assert any(window["end"] for window in windows)
        assert not all(window["end"] for window in windows)
        # Together the windows show the whole context.
        shown = {
            position
            for window in windows
            for begin, end in zip(window["begins"], window["ends"], strict=True)
            if begin >= 0
            for position in range(begin, end)
        }
        assert {j for j, letter in enumerate(row) if not letter.isspace()} <= shown
    assert SPAN.decode(gold_scores(encoded), encoded, TASK) == [answer, answer, "tea"]


def test_answers_are_short_and_inside_the_context(tiny_tokenizer: Any) -> None:
    rows = asked(("a b c d e f g h i j " * 5, "b"), question="Berlin Berlin")
    encoded = SPAN.encode(rows, TASK, tiny_tokenizer, 128)
    (feature,) = encoded.features.to_pylist()
    length = len(feature["input_ids"])
    inside = [i for i, begin in enumerate(feature["begins"]) if begin >= 0]
    scores = np.zeros((length, 2))
    scores[0] = 100.0  # the first token, which stands for no answer
    scores[inside[0] - 4, 0] = 90.0  # the question
    scores[inside[2], 0] = scores[inside[-1], 1] = 50.0  # too far apart
    scores[inside[40], 0] = scores[inside[35], 1] = 40.0  # the end before the start
    scores[inside[2] + MAX_ANSWER_TOKENS - 1, 1] = 9.0
    scores[inside[2] + MAX_ANSWER_TOKENS, 1] = 20.0  # one too far
    (text,) = SPAN.decode([scores], encoded, TASK)
    first, last = inside[2], inside[2] + MAX_ANSWER_TOKENS - 1
    context = rows["context"][0]
    # Of 59, the longest allowed answer, and 50, the last token alone.
    assert text == context[feature["begins"][first] : feature["ends"][last]].strip()


def test_a_question_is_cut(tokenizer: Any) -> None:
    rows = asked((FILLER["en"] + "Berlin", "Berlin"), question="tea " * 200)
    encoded = SPAN.encode(rows, TASK, tokenizer, 128)
    feature = encoded.features.to_pylist()[0]
    inside = [i for i, begin in enumerate(feature["begins"]) if begin >= 0]
    assert MAX_QUERY_TOKENS - 2 <= inside[0] <= MAX_QUERY_TOKENS + 4
    assert SPAN.decode(gold_scores(encoded), encoded, TASK) == ["Berlin"]


@pytest.mark.parametrize("max_length", [16, 48, 66])
def test_a_long_question_fits_into_a_short_limit(tiny_tokenizer: Any, max_length: int) -> None:
    rows = asked((FILLER["en"] + "tea", "tea"), question="Berlin " * 60)
    encoded = SPAN.encode(rows, TASK, tiny_tokenizer, max_length)
    lengths = [len(ids) for ids in encoded.features["input_ids"].to_pylist()]
    assert max(lengths) <= max_length
    assert SPAN.decode(gold_scores(encoded), encoded, TASK) == ["tea"]


def test_a_row_without_answers_points_to_the_first_token(tiny_tokenizer: Any) -> None:
    rows = asked((FILLER["en"], "noon"))
    rows["answers"] = [{"text": [], "answer_start": []}]
    encoded = SPAN.encode(rows, TASK, tiny_tokenizer, 64)
    assert encoded.features.select(["start", "end"]).to_pylist()[0] == {"start": 0, "end": 0}


def test_the_best_gold_answer_counts(tiny_tokenizer: Any) -> None:
    rows = asked((FILLER["en"], "noon"))
    rows["answers"][0]["text"].append("the city")
    examples = SPAN.encode(rows, TASK, tiny_tokenizer, 64).examples
    assert SPAN.score(["City"], examples, TASK, "en") == {"exact_match": 100.0, "f1": 100.0}
    half = SPAN.score(["city at"], examples, TASK, "en")
    assert half == {"exact_match": 0.0, "f1": pytest.approx(200 / 3)}


def test_padding_never_wins(tiny_tokenizer: Any) -> None:
    rows = asked(("tea", "tea"), (FILLER["en"] * 2, "noon"))
    encoded = SPAN.encode(rows, TASK, tiny_tokenizer, 64)
    columns = encoded.features.to_pydict()
    batch = SPAN.collate(columns, Vocabulary.of(tiny_tokenizer), np.random.default_rng(0))
    head = SPAN.build_head(4, TASK, 0.0)
    hidden = torch.randn(*batch.inputs["input_ids"].shape, 4)
    padded = batch.inputs["attention_mask"] == 0
    expected = SPAN.loss(head, hidden, batch)
    hidden[padded] = 1e4
    assert torch.equal(SPAN.loss(head, hidden, batch), expected)
    lengths = [len(ids) for ids in columns["input_ids"]]
    with torch.no_grad():
        assert [len(scores) for scores in SPAN.outputs(head, hidden, batch)] == lengths


def best_span(scores: np.ndarray, starts: list[bool], ends: list[bool]) -> tuple[float, int, int]:
    """The rules one span after the other: narrow ones first, and only a better one is taken."""
    best = (-np.inf, 0, 0)
    for width in range(MAX_ANSWER_TOKENS):
        for first in range(len(scores) - width):
            last = first + width
            if starts[first] and ends[last]:
                value = float(scores[first, 0] + scores[last, 1])
                if value > best[0]:
                    best = (value, first, last)
    return best


def answers(outputs: list[np.ndarray], encoded: Encoded) -> list[list[Any]]:
    """Text and margin of no answer for every example, one window after the other."""
    contexts = encoded.examples["context"].to_pylist()
    found = [["", -np.inf, np.inf] for _ in contexts]
    for scores, feature in zip(outputs, encoded.features.to_pylist(), strict=True):
        begins, ends, answer = feature["begins"], feature["ends"], found[feature["example"]]
        inside = [begin >= 0 for begin in begins]
        value, first, last = best_span(scores, feature["most_context"], inside)
        if value > answer[1]:
            answer[:2] = contexts[feature["example"]][begins[first] : ends[last]].strip(), value
        answer[2] = min(answer[2], float(scores[0, 0] + scores[0, 1]))
    return [[text, null - value] for text, value, null in found]


def windows_of(random: np.random.Generator, lengths: list[int], share: float) -> Encoded:
    """Windows in any order over the contexts of three examples; the tokens are letters of which
    some lie outside the basic plane, and `share` of them may be answered with."""
    contexts = ["".join(random.choice(list("a é𝒳🙂"), 90)) for _ in range(3)]
    begins, ends, most = [], [], []
    for length in lengths:
        tokens = random.integers(0, 90 - length) + np.arange(length)
        inside = random.random(length) < share
        inside[random.integers(length)] = True
        begins.append(np.where(inside, tokens, -1))
        ends.append(np.where(inside, tokens + 1, -1))
        most.append(inside & (random.random(length) < 0.8))
    rows = random.integers(0, 3, len(lengths))
    features = pa.table({"example": rows, "begins": begins, "ends": ends, "most_context": most})
    # As a selection of rows leaves them: in pieces that do not begin where their values do.
    half = len(lengths) // 2
    features = pa.concat_tables([features[:half], features[half:]])
    return Encoded(features, pa.table({"context": contexts}))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["one token", "holes", "all"])
@pytest.mark.parametrize("levels", [2, 5, None], ids=["many ties", "ties", "no ties"])
@pytest.mark.parametrize("longest", [4, 29, 30, 31, 80])
def test_the_answers_are_those_of_the_rules_one_span_after_the_other(
    share: float, levels: int | None, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng([int(2 * share), levels or 0, longest])
    monkeypatch.setattr(span, "BLOCK_WINDOWS", 5)
    for _ in range(5):
        lengths = random.integers(1, longest + 1, 12).tolist()
        encoded = windows_of(random, lengths, share)
        outputs = [random.normal(size=(length, 2)).astype(np.float32) for length in lengths]
        if levels:
            outputs = [np.floor(levels * scores % levels) for scores in outputs]
        expected = answers(outputs, encoded)
        assert SPAN.decode(outputs, encoded, ABSTAINING) == expected
        assert SPAN.decode(outputs, encoded, TASK) == [text for text, _ in expected]
        begins = encoded.features["begins"].to_pylist()
        most = encoded.features["most_context"].to_pylist()
        spans = span._best_spans(outputs, np.concatenate(most), np.concatenate(begins) >= 0)
        seen = np.cumsum([0, *lengths])
        for scores, own, starts, before, (value, first, last, _) in zip(
            outputs, begins, most, seen, spans, strict=False
        ):
            place = best_span(scores, starts, [begin >= 0 for begin in own])
            assert value == place[0]
            if value > -np.inf:
                assert (first - before, last - before) == place[1:]


def test_rounding_may_make_spans_equal() -> None:
    """1 and 1 + 2**-23 added to 2**10 are the same in float32: the narrower span counts."""
    scores = np.full((6, 2), -(2.0**10), np.float32)
    scores[1, 0], scores[2, 1], scores[4, 1] = 2**10, 1, 1 + 2**-23
    ((value, *place, _),) = span._best_spans([scores], *np.ones((2, 6), bool))
    assert (value, *place) == best_span(scores, *[[True] * 6] * 2) == (2**10 + 1, 1, 2)


def test_scores_that_are_no_numbers_give_no_answer() -> None:
    encoded = windows_of(np.random.default_rng(0), [9] * 6, 1.0)
    outputs = [np.full((9, 2), np.nan, np.float32)] * 6
    assert SPAN.decode(outputs, encoded, TASK) == [""] * 3


def test_an_example_without_windows_has_no_answer() -> None:
    encoded = windows_of(np.random.default_rng(0), [9], 1.0)
    nothing = Encoded(encoded.features[:0], encoded.examples)
    assert SPAN.decode([], nothing, TASK) == [""] * 3

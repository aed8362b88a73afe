"""The official metrics, against values by hand and against XTREME's own scorer."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from xstilts.scores.metrics import (
    accuracy,
    chunk_f1,
    chunks,
    exact_match,
    normalize_answer,
    token_f1,
)

MOCK = Path(__file__).parents[2].parent / "shared" / "conformance" / "xtreme_mock"
needs_mock = pytest.mark.skipif(not MOCK.is_dir(), reason=f"XTREME's mock data is not at {MOCK}")


def expected_scores(task: str) -> dict[str, float]:
    """The averages over languages that XTREME's `evaluate_test.py` expects."""
    text = (MOCK / "expected_scores.json").read_text(encoding="utf-8")
    scores: dict[str, float] = json.loads(text)["TASK2AVG_SCORES"][task]
    return scores


def pairs_of(task: str, suffix: str) -> list[tuple[Path, Path]]:
    """Label and prediction file of every language."""
    labels = sorted((MOCK / "labels" / task).glob(f"*{suffix}"))
    assert labels
    return [(path, MOCK / "predictions" / task / path.name) for path in labels]


def sentences(path: Path) -> list[list[str]]:
    """Tags of a file with one tag a line and blank lines between sentences."""
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    return [block.split() for block in blocks]


def test_accuracy_is_the_share_of_equal_items() -> None:
    assert accuracy([0, 1, 2, 2], [0, 1, 2, 1]) == 75
    assert accuracy(["yes"], ["no"]) == 0


@pytest.mark.parametrize(("gold", "predicted"), [([1], [1, 2]), ([], [])])
def test_accuracy_refuses_what_cannot_be_scored(gold: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError):
        accuracy(gold, predicted)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
        ("B-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("B-PER I-LOC", [("PER", 0, 0), ("LOC", 1, 1)]),
        ("I-PER I-PER", [("PER", 0, 1)]),
        ("O I-PER O", [("PER", 1, 1)]),
        ("S-PER I-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        # Tags without a prefix: what a tag starts with is read as one.
        ("NOUN NOUN VERB", [("NOUN", 0, 1), ("VERB", 2, 2)]),
        ("SYM SYM SCONJ", [("SYM", 0, 0), ("SYM", 1, 1), ("SCONJ", 2, 2)]),
        ("", []),
    ],
)
def test_chunks_of_a_sentence(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert list(chunks(tags.split())) == expected


def test_chunk_f1_counts_over_all_sentences() -> None:
    gold = [["B-PER", "I-PER", "O"], ["B-LOC", "O", "B-ORG"]]
    predicted = [["B-PER", "I-PER", "O"], ["B-ORG", "O", "O"]]
    # One of three gold and of two predicted chunks: precision 1/2, recall 1/3.
    assert chunk_f1(gold, predicted) == pytest.approx(40)
    assert chunk_f1(gold, gold) == 100
    assert chunk_f1(gold, [["O"] * 3, ["O"] * 3]) == 0
    assert chunk_f1([["O"]], [["O"]]) == 0


def test_chunk_f1_does_not_join_sentences() -> None:
    assert chunk_f1([["B-X"], ["I-X"]], [["B-X"], ["B-X"]]) == 100


@pytest.mark.parametrize("predicted", [[["O"]], [["O", "O"], ["O"]]])
def test_chunk_f1_refuses_other_lengths(predicted: list[list[str]]) -> None:
    with pytest.raises(ValueError):
        chunk_f1([["O"], ["O"]], predicted)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Quick, brown\tfox!", "quick brown fox"),
        ("a an the", ""),
        ("Panthers' 24–10", "panthers 24–10"),
        ("theatre and another", "theatre and another"),
        ("the-end", "theend"),
        ("«Die» Ägypter。", "«die» ägypter。"),
        ("A.B.", "ab"),
        ("x a y", "x y"),
    ],
)
def test_answers_are_normalized_as_squad_does(text: str, normal: str) -> None:
    assert normalize_answer(text) == normal


def test_exact_match_takes_any_gold_answer() -> None:
    assert exact_match("The Panthers.", ["Broncos", "panthers"]) == 100
    assert exact_match("Panther", ["Broncos", "panthers"]) == 0
    assert exact_match("the", [""]) == 100
    assert exact_match("x", []) == 0


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("blue car", ["the blue car"], 100),
        ("big blue car", ["blue car"], 80),
        ("car car", ["car"], 200 / 3),
        ("car", ["car car"], 200 / 3),
        ("red", ["blue", "red car"], 200 / 3),
        ("red", ["blue"], 0),
        ("", [""], 0),
        ("red", [], 0),
    ],
)
def test_token_f1_is_the_best_overlap_of_bags(answer: str, gold: list[str], f1: float) -> None:
    assert token_f1(answer, gold) == pytest.approx(f1)


@needs_mock
@pytest.mark.parametrize(("task", "num_languages"), [("udpos", 33), ("panx", 40)])
def test_tagging_equals_the_official_scores(task: str, num_languages: int) -> None:
    scores = [
        chunk_f1(sentences(labels), sentences(predictions))
        for labels, predictions in pairs_of(task, ".tsv")
    ]
    assert len(scores) == num_languages
    assert fmean(scores) == pytest.approx(expected_scores(task)["avg_f1"], rel=1e-12)


@needs_mock
@pytest.mark.parametrize("task", ["xnli", "pawsx"])
def test_classification_equals_the_official_scores(task: str) -> None:
    scores = [
        accuracy(labels.read_text().split(), predictions.read_text().split())
        for labels, predictions in pairs_of(task, ".tsv")
    ]
    assert fmean(scores) == pytest.approx(expected_scores(task)["avg_accuracy"], rel=1e-12)


@needs_mock
@pytest.mark.parametrize("task", ["xquad", "tydiqa"])
def test_answers_equal_the_official_scores(task: str) -> None:
    matches, overlaps = [], []
    for labels, predictions in pairs_of(task, ".json"):
        questions: list[dict[str, Any]] = [
            question
            for article in json.loads(labels.read_text(encoding="utf-8"))["data"]
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
        answers = json.loads(predictions.read_text(encoding="utf-8"))
        gold = {q["id"]: [answer["text"] for answer in q["answers"]] for q in questions}
        matches.append(fmean(exact_match(answers[i], texts) for i, texts in gold.items()))
        overlaps.append(fmean(token_f1(answers[i], texts) for i, texts in gold.items()))
    expected = expected_scores(task)
    assert fmean(matches) == pytest.approx(expected["avg_exact_match"], rel=1e-12)
    assert fmean(overlaps) == pytest.approx(expected["avg_f1"], rel=1e-12)

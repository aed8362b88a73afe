"""The official metrics, against values by hand and against XTREME's own scorer."""

from __future__ import annotations

import pytest

from xstilts.scores.metrics import (
    accuracy,
    answer_scores,
    average_precision,
    binary_f1,
    chunk_scores,
    chunks,
    normalize_mlqa,
    normalize_squad,
    overlap_scores,
    reciprocal_rank,
)


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


def chunk_f1(gold: list[list[str]], predicted: list[list[str]]) -> float:
    return chunk_scores(gold, predicted)["f1"]


def test_chunk_scores_count_over_all_sentences() -> None:
    gold = [["B-PER", "I-PER", "O"], ["B-LOC", "O", "B-ORG"]]
    predicted = [["B-PER", "I-PER", "O"], ["B-ORG", "O", "O"]]
    # One of three gold and of two predicted chunks.
    assert chunk_scores(gold, predicted) == pytest.approx(
        {"f1": 40, "precision": 50, "recall": 100 / 3}
    )
    assert chunk_f1(gold, gold) == 100
    assert chunk_f1(gold, [["O"] * 3, ["O"] * 3]) == 0
    assert chunk_f1([["O"]], [["O"]]) == 0


def test_chunks_do_not_join_sentences() -> None:
    assert chunk_f1([["B-X"], ["I-X"]], [["B-X"], ["B-X"]]) == 100


def test_a_longer_sentence_shifts_what_follows() -> None:
    """The official scorer compares positions in the whole file, and gives a number."""
    assert chunk_f1([["B-X"], ["B-Y"]], [["B-X", "O"], ["B-Y"]]) == pytest.approx(50)


def test_chunk_scores_refuse_other_numbers_of_sentences() -> None:
    with pytest.raises(ValueError):
        chunk_f1([["O"], ["O"]], [["O"]])


def test_overlap_of_sets() -> None:
    scores = overlap_scores({1, 2, 3, 4}, {3, 4, 5})
    assert scores == pytest.approx({"f1": 400 / 7, "precision": 200 / 3, "recall": 50})
    assert overlap_scores(set(), {1}) == {"f1": 0, "precision": 0, "recall": 0}
    assert binary_f1("yynn", "ynyn", "y") == 50


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
    assert normalize_squad(text) == normal


@pytest.mark.parametrize(
    ("language", "text", "normal"),
    [
        ("en", "The Quick-fox!", "quickfox"),
        ("de", "Der Hund und das «Haus»", "hund und haus"),
        ("es", "¿La casa de los niños?", "casa de niños"),
        ("vi", "cái bàn là của tôi", "bàn tôi"),
        ("hi", "भारत। है", "भारत है"),
        # The official rule cuts the article wherever its letters stand.
        ("ar", "الرجال", "رج"),
        ("zh", "北京abc大学 in 1998。", "北 京 abc 大 学 in 1998"),
    ],
)
def test_mlqa_normalizes_by_language(language: str, text: str, normal: str) -> None:
    assert normalize_mlqa(text, language) == normal


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1"),
    [
        ("The Panthers.", ["Broncos", "panthers"], 100, 100),
        ("blue car", ["the blue car"], 100, 100),
        ("big blue car", ["blue car"], 0, 80),
        ("car car", ["car"], 0, 200 / 3),
        ("red", ["blue", "red car"], 0, 200 / 3),
        ("red", ["blue"], 0, 0),
        # Both are nothing after normalisation: equal, without a common word.
        ("the", [""], 100, 0),
        (None, ["blue"], 0, 0),
    ],
)
def test_answers_take_the_best_gold(
    answer: str | None, gold: list[str], exact: float, f1: float
) -> None:
    assert answer_scores([gold], [answer]) == pytest.approx({"exact_match": exact, "f1": f1})


@pytest.mark.parametrize(("gold", "predicted"), [([], []), ([["a"]], []), ([[]], ["a"])])
def test_answers_refuse_what_cannot_be_scored(gold: list[list[str]], predicted: list[str]) -> None:
    with pytest.raises(ValueError):
        answer_scores(gold, predicted)


@pytest.mark.parametrize(
    ("gold", "ranking", "expected"),
    [
        ({0, 1, 2}, [9, 0, 8, 1, 7, 2], 50),
        # One that stands there twice hits once and takes two ranks.
        ({1, 2}, [1, 1, 2], 100 * (1 + 2 / 3) / 2),
        ({1}, [*range(2, 21), 1], 5),
        ({1}, [*range(2, 22), 1], 0),
        ({1}, [], 0),
        # No more than 20 can be hit.
        (set(range(25)), list(range(25)), 100),
        (set(range(25)), list(range(24, 14, -1)), 50),
    ],
)
def test_average_precision_within_the_first_twenty(
    gold: set[int], ranking: list[int], expected: float
) -> None:
    assert average_precision(gold, ranking) == pytest.approx(expected)
    assert len(gold) in (1, 2, 3, 25), "what was given stays"


def test_average_precision_wants_a_gold_candidate() -> None:
    with pytest.raises(ValueError, match="no gold candidate"):
        average_precision([], ["a"])


def test_reciprocal_rank_within_the_first_twenty() -> None:
    found = ["x", "y", "gold", "gold"]
    assert reciprocal_rank("x", found) == 100
    assert reciprocal_rank("gold", found) == pytest.approx(100 / 3)
    assert reciprocal_rank("z", found) == reciprocal_rank("z", []) == 0
    assert reciprocal_rank(19, range(30)) == 5 and reciprocal_rank(20, range(30)) == 0

"""SQuAD's questions as questions and answer sentences."""

from __future__ import annotations

from pathlib import Path

from xstilts.data.forms import formed, key_of
from xstilts.data.sources import load_rows
from xstilts.tasks import lookup

PARAGRAPH = "The mill stands by the river.\nIt grinds rye. The river is cold."


def test_a_candidate_is_the_answers_sentence_and_its_paragraph() -> None:
    """Of several answers the first counts; line ends go, and nothing stands between."""
    answers = [
        {"text": ["rye", "mill"], "answer_start": [40, 4]},
        {"text": ["cold"], "answer_start": [58]},
        {"text": [" It"], "answer_start": [29]},
        {"text": [], "answer_start": []},
    ]
    columns = {
        "id": ["a", "b", "c", "d"],
        "query": ["what?"] * 4,
        "candidate": [PARAGRAPH] * 4,
        "keys": answers,
    }
    rows = formed(columns, "answer_sentences")
    whole = "The mill stands by the river.It grinds rye. The river is cold."
    assert rows["candidate"] == [f"It grinds rye.{whole}", f"The river is cold.{whole}", "", ""]
    assert rows["keys"] == [[key_of(text)] if text else [] for text in rows["candidate"]]
    assert rows["id"] == columns["id"] and formed(columns, "") is columns


def test_lareqa_is_trained_on_the_questions_of_squad(records: dict[str, Path]) -> None:
    """Every question of the records has its sentence, and no paragraph of XQuAD is read."""
    folders = records
    rows = load_rows(folders, lookup("lareqa"), "train", "en")
    questions = load_rows(folders, lookup("xquad"), "train", "en")
    assert len(rows["query"]) == len(questions["id"]) > 1_000
    assert rows["query"] == questions["question"]
    for candidate, context, answers in zip(
        rows["candidate"], questions["context"], questions["answers"], strict=True
    ):
        paragraph = context.replace("\n", "")
        sentence = candidate.removesuffix(paragraph)
        assert sentence and sentence in paragraph
        assert answers["text"][0].split()[0] in sentence

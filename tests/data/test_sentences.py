"""Sentence breaks against those of LAReQA's own breaker, and by rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xstilts.data.sentences import sentence_breaks

CONFORMANCE = Path(__file__).parents[3] / "shared" / "conformance" / "xtreme_r_mock" / "extra"


def paragraphs(path: Path) -> list[dict[str, object]]:
    articles = json.loads(path.read_text())["data"]
    return [paragraph for article in articles for paragraph in article["paragraphs"]]


def test_the_breaks_are_nearly_always_the_official_ones(data: Path) -> None:
    """In 68 of 69 paragraphs of SQuAD, and in all English ones of XQuAD-R; the other has the
    initials "I.A." before a name, which the official breaker takes for an end."""
    path = CONFORMANCE / "lareqa" / "squad_sentence_breaks.json"
    expected = json.loads(path.read_text())
    agree, sentences, found = [], 0, 0
    for part in ("train", "dev"):
        texts = paragraphs(data / "squad" / f"{part}-v1.1.json")
        for own in expected[part]:
            got = sentence_breaks(str(texts[own["paragraph"]]["context"]))
            agree.append([list(pair) for pair in got] == own["breaks"])
            sentences += len(own["breaks"])
            found += len({*got} & {tuple(pair) for pair in own["breaks"]})
    assert (sum(agree), len(agree), found, sentences) == (68, 69, 361, 363)
    for paragraph in paragraphs(data / "lareqa" / "xquad-r" / "en.json"):
        got = [list(pair) for pair in sentence_breaks(str(paragraph["context"]))]
        assert got == paragraph["sentence_breaks"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two.", ["One.", "Two."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Dr. Who met J. B. Priestley.", ["Dr. Who met J. B. Priestley."]),
        ("It rose in the U.S. The fall came.", ["It rose in the U.S.", "The fall came."]),
        ("The U.S. Army came.", ["The U.S. Army came."]),
        ("It was 99.4. Newton led.", ["It was 99.4.", "Newton led."]),
        ("In 1999? In 2000!  (Yes.)", ["In 1999?", "In 2000!", "(Yes.)"]),
        ("a lower. case goes on", ["a lower. case goes on"]),
        ("Lines\nend. \n Here.\n", ["Lines\nend.", "Here."]),
        ("", []),
        ("  ", []),
    ],
)
def test_where_a_sentence_ends(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_breaks(text)] == sentences

"""Tagged words keep the form they have in running text, whatever the tokenizer's sort.

The tokenizers are trained on real sentences in six scripts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sorts_of_tokenizers import SORTS, Sort
from xstilts import kinds
from xstilts.data.sources import Folders, load_rows
from xstilts.data.statistics import statistics
from xstilts.tasks import lookup
from xstilts.training.model import load_tokenizer

SOURCES = {
    "en": ("udpos", "train"),
    "th": ("udpos", "test"),
    "zh": ("udpos", "validation"),
    "ar": ("udpos", "validation"),
    "el": ("udpos", "validation"),
    "my": ("panx", "validation"),
}


@pytest.fixture(scope="module")
def sentences(records: Folders) -> dict[str, list[list[str]]]:
    """200 sentences of every language, as words."""
    return {
        language: load_rows(records, lookup(task), use, language, 200)["tokens"]
        for language, (task, use) in SOURCES.items()
    }


@pytest.fixture(scope="module", params=SORTS)
def sort(
    request: pytest.FixtureRequest,
    sentences: dict[str, list[list[str]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, Sort]:
    """A tokenizer as the product reads it from its files, and what is known of its sort."""
    made = SORTS[request.param]
    texts = [" ".join(words) for lines in sentences.values() for words in lines]
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    made.train(texts).save_pretrained(folder)
    return load_tokenizer(folder), made


@pytest.mark.parametrize("language", SOURCES)
def test_every_word_begins_with_the_piece_that_begins_words(
    language: str, sort: tuple[Any, Sort], sentences: dict[str, list[list[str]]]
) -> None:
    tokenizer, made = sort
    task, words = lookup(SOURCES[language][0]), sentences[language]
    rows = {"tokens": words, "tags": [[task.labels[0]] * len(row) for row in words]}
    encoded = kinds.get("tagging").encode(rows, task, tokenizer, 64)
    found: list[list[str]] = [[] for _ in words]
    for feature in encoded.features.to_pylist():
        pieces = tokenizer.convert_ids_to_tokens(feature["input_ids"])
        found[feature["example"]] += [pieces[position] for position in feature["positions"]]
    assert [len(row) for row in found] == [len(row) for row in words]
    unknown = tokenizer.unk_token
    wrong = [
        piece for row in found for piece in row if not made.begins_word(piece) and piece != unknown
    ]
    assert wrong == []


@pytest.mark.parametrize("language", ["en", "ar", "el"])
def test_words_become_what_they_are_in_running_text(
    language: str, sort: tuple[Any, Sort], sentences: dict[str, list[list[str]]]
) -> None:
    """Where blanks part the words, tokens of a sentence and of its words are the same."""
    tokenizer, _ = sort
    task = lookup("udpos")
    # BERT's rules part punctuation from the word it stands at, in a word as in a sentence.
    words = sentences[language]
    rows = {"tokens": words, "tags": [["X"] * len(row) for row in words]}
    encoded = kinds.get("tagging").encode(rows, task, tokenizer, 512)
    running = tokenizer([" " + " ".join(row) for row in words])["input_ids"]
    assert encoded.features["input_ids"].to_pylist() == running


def test_figures_tell_a_foreign_script(
    sort: tuple[Any, Sort], sentences: dict[str, list[list[str]]]
) -> None:
    """Letters that no training text had are unknown, or many bytes a word."""
    tokenizer, _ = sort
    kind, task = kinds.get("tagging"), lookup("udpos")

    def figures(words: list[list[str]], limit: int) -> dict[str, float]:
        rows = {"tokens": words, "tags": [["X"] * len(row) for row in words]}
        return statistics(rows, task, tokenizer, limit, kind.encode(rows, task, tokenizer, limit))

    english = figures(sentences["en"], 64)
    tibetan = figures([["བོད་ཡིག", "བཀྲ་ཤིས་བདེ་ལེགས"]], 64)
    assert english["unknown"] < 1 < english["fertility"] < 2.5 and english["cut_words"] == 0
    assert tibetan["unknown"] > 0 or tibetan["fertility"] > 5
    long = figures([["of", "of" * 40, "the"]], 16)
    assert long["cut_words"] == 1 and long["cut"] == 100

"""Tagging: the first sub-token speaks for its word; splitting and joining lose no word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from xstilts import kinds
from xstilts.kinds.kind import IGNORED, Vocabulary
from xstilts.tasks import Source, Task

TAGGING = kinds.get("tagging")
TAGS = ("O", "B-PER", "I-PER", "B-LOC")
TASK = Task("toy", "tagging", Source("toy/toy"), ("en",), {}, ("f1",), labels=TAGS)


def tagged(*sentences: list[str]) -> dict[str, list[list[str]]]:
    tags = [[TAGS[(i + len(words)) % 4] for i in range(len(words))] for words in sentences]
    return {"tokens": [list(words) for words in sentences], "tags": tags}


@pytest.fixture(params=["tiny_tokenizer", "tiny_bert_tokenizer"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_the_first_subtoken_carries_the_label(tokenizer: Any) -> None:
    rows = tagged(["Katze", "fährt", "อยู่บน", "柏林", "ကုလားထိုင်", "."])
    (feature,) = TAGGING.encode(rows, TASK, tokenizer, 96).features.to_pylist()
    encoding = tokenizer(rows["tokens"], is_split_into_words=True)
    words = encoding.word_ids(0)
    assert feature["input_ids"] == encoding["input_ids"][0]
    assert len(words) > len(rows["tokens"][0]) + 2, "no word has several sub-tokens"
    assert feature["positions"] == [words.index(i) for i in range(6)]
    assert [TAGS[label] for label in feature["labels"]] == rows["tags"][0]


def test_long_sentences_are_split_between_words_and_joined(tokenizer: Any) -> None:
    sentence = ["Berlin", "und", "柏林", "อยู่", "ဘာလင်မြို့မှာ"] * 12
    rows = tagged(sentence, ["tea"], sentence[:31])
    encoded = TAGGING.encode(rows, TASK, tokenizer, 32)
    features = encoded.features.to_pylist()
    assert len(features) > 6
    assert all(len(feature["input_ids"]) <= 32 for feature in features)
    # No word is divided: every sub-token of the sentence stands in a piece, and no other.
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    for i, words in enumerate(rows["tokens"]):
        pieces = [f["input_ids"] for f in features if f["example"] == i]
        joined = [token for ids in pieces for token in ids if token not in special]
        whole = tokenizer(words, is_split_into_words=True, add_special_tokens=False)
        assert joined == whole["input_ids"]
    outputs = [feature["labels"] for feature in features]
    assert TAGGING.decode(outputs, encoded, TASK) == rows["tags"]


@pytest.mark.parametrize("void", ["", " ", "　", "\x00", "\u200b", "\ufeff"])
def test_words_that_the_tokenizer_drops_get_a_tag(tokenizer: Any, void: str) -> None:
    rows = tagged([void, "cat", void, void, "tea", void])
    encoded = TAGGING.encode(rows, TASK, tokenizer, 32)
    (feature,) = encoded.features.to_pylist()
    positions = feature["positions"]
    assert len(positions) == len(set(positions)) == 6
    assert positions == sorted(positions) and max(positions) < len(feature["input_ids"]) - 1
    assert TAGGING.decode([feature["labels"]], encoded, TASK) == rows["tags"]


@pytest.mark.parametrize("limit", [8, 12, 32])
def test_many_dropped_words_lose_none(tokenizer: Any, limit: int) -> None:
    rows = tagged(["", "cat", ""] * 15, [""] * 40)
    encoded = TAGGING.encode(rows, TASK, tokenizer, limit)
    features = encoded.features.to_pylist()
    assert all(len(feature["input_ids"]) <= limit for feature in features)
    assert all(len(f["positions"]) == len(f["labels"]) for f in features)
    assert TAGGING.decode([f["labels"] for f in features], encoded, TASK) == rows["tags"]


def test_a_word_longer_than_the_limit_keeps_its_tag(tokenizer: Any) -> None:
    rows = tagged(["tea", "ကုလားထိုင်" * 6, "cat"])
    encoded = TAGGING.encode(rows, TASK, tokenizer, 16)
    features = encoded.features.to_pylist()
    assert [len(feature["positions"]) for feature in features] == [1, 1, 1]
    assert TAGGING.decode([f["labels"] for f in features], encoded, TASK) == rows["tags"]


def test_padding_of_words_gives_no_loss(tiny_tokenizer: Any) -> None:
    rows = tagged(["tea", "cat", "chair"], ["tea"])
    encoded = TAGGING.encode(rows, TASK, tiny_tokenizer, 32)
    columns = encoded.features.to_pydict()
    batch = TAGGING.collate(columns, Vocabulary.of(tiny_tokenizer), np.random.default_rng(0))
    assert batch.targets["labels"][1].tolist()[1:] == [IGNORED, IGNORED]
    head = TAGGING.build_head(8, TASK, 0.0)
    hidden = torch.randn(2, batch.inputs["input_ids"].shape[1], 8)
    scores = [
        head(hidden[row, position])
        for row, feature in enumerate(encoded.features.to_pylist())
        for position in feature["positions"]
    ]
    gold = torch.tensor([i for labels in columns["labels"] for i in labels])
    expected = torch.nn.functional.cross_entropy(torch.stack(scores), gold)
    assert torch.allclose(TAGGING.loss(head, hidden, batch), expected)
    assert [len(tags) for tags in TAGGING.outputs(head, hidden, batch)] == [3, 1]


def test_an_empty_sentence_has_no_tags(tiny_tokenizer: Any) -> None:
    rows = tagged([], ["tea"])
    encoded = TAGGING.encode(rows, TASK, tiny_tokenizer, 32)
    outputs = [feature["labels"] for feature in encoded.features.to_pylist()]
    assert TAGGING.decode(outputs, encoded, TASK) == rows["tags"]

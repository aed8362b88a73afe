"""Figures of encoded rows: exact on rows that can be counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from xstilts import kinds
from xstilts.data.statistics import statistics
from xstilts.tasks import Source, Task


def figures(
    kind: str, columns: dict[str, list[Any]], tokenizer: Any, limit: int
) -> dict[str, float]:
    task = Task("toy", kind, Source("toy/toy"), ("en",), {}, ("f1",), labels=("X", "Y"))
    encoded = kinds.get(kind).encode(columns, task, tokenizer, limit)
    return statistics(columns, task, tokenizer, limit, encoded)


def test_pairs(tiny_tokenizer: Any, texts: dict[str, tuple[str, ...]]) -> None:
    english = list(texts["en"])
    columns = {"premise": english, "hypothesis": english, "label": ["X"] * len(english)}
    lengths = [len(tiny_tokenizer(text, add_special_tokens=False)["input_ids"]) for text in english]
    words = sum(len(text.split()) for text in english)
    got = figures("pair", columns, tiny_tokenizer, 128)
    assert got["rows"] == got["sequences"] == len(english)
    assert got["tokens"] == 2 * sum(lengths) + 4 * len(english)
    assert got["fertility"] == pytest.approx(sum(lengths) / words)
    assert got["unknown"] == got["cut"] == 0
    # A limit that all but the shortest pair exceeds.
    limit = 2 * sorted(lengths)[0] + 4
    over = sum(2 * length + 4 > limit for length in lengths)
    assert figures("pair", columns, tiny_tokenizer, limit)["cut"] == pytest.approx(
        100 * over / len(english)
    )


def test_words_of_tagged_rows_are_their_tokens(tiny_tokenizer: Any) -> None:
    columns = {"tokens": [["The", "cat", "sleeps"], ["tea"]], "tags": [["X"] * 3, ["Y"]]}
    got = figures("tagging", columns, tiny_tokenizer, 32)
    ids = tiny_tokenizer(columns["tokens"], is_split_into_words=True, add_special_tokens=False)
    assert got["fertility"] == pytest.approx(sum(map(len, ids["input_ids"])) / 4)
    assert got["cut"] == 0


def test_what_the_vocabulary_lacks_is_unknown(tiny_tokenizer: Any) -> None:
    columns = {"text": ["Ω", "tea"]}
    got = figures("mlm", columns, tiny_tokenizer, 32)
    ids = [
        i
        for text in columns["text"]
        for i in tiny_tokenizer(text, add_special_tokens=False)["input_ids"]
    ]
    assert figures("mlm", {"text": ["tea " * 40]}, tiny_tokenizer, 32)["cut"] == 0, "in windows"
    unknown = ids.count(tiny_tokenizer.unk_token_id)
    assert unknown and got["unknown"] == pytest.approx(100 * unknown / len(ids))

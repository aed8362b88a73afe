"""Figures of encoded rows: exact on rows that can be counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from xstilts import kinds
from xstilts.data.statistics import percent_unknown, statistics
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


def test_words_without_tokens_are_unknown_and_nothing_is_no_number(
    tiny_bert_tokenizer: Any,
) -> None:
    words = {"tokens": [["tea", "\u200b", "\u200b"], ["\u200b"]], "tags": [["X"] * 3, ["Y"]]}
    alone = tiny_bert_tokenizer(["tea"], is_split_into_words=True, add_special_tokens=False)
    tea = len(alone["input_ids"])
    got = figures("tagging", words, tiny_bert_tokenizer, 32)
    assert got["unknown"] == pytest.approx(100 * 3 / (tea + 3))
    assert figures("mlm", {"text": ["\u200b \u200b"]}, tiny_bert_tokenizer, 32)["unknown"] == 100
    for text in ("", " "):
        got = figures("mlm", {"text": [text]}, tiny_bert_tokenizer, 32)
        assert got["unknown"] == got["fertility"] == got["cut"] == 0
    assert percent_unknown([], tiny_bert_tokenizer) == 0


def test_words_that_are_cut_are_counted_whatever_their_bytes(tiny_tokenizer: Any) -> None:
    """U+FDFA, of three bytes, is a phrase of 18 letters to a tokenizer that normalises it."""
    learnt = Tokenizer.from_str(tiny_tokenizer.backend_tokenizer.to_str())
    learnt.normalizer = normalizers.NFKC()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learnt, unk_token="<unk>")
    words = ["\ufdfa", "tea", "a" * 200]
    alone = [tokenizer([w], is_split_into_words=True, add_special_tokens=False) for w in words]
    sizes = [len(one["input_ids"]) for one in alone]
    limit = sizes[0] - 1 + tokenizer.num_special_tokens_to_add()
    assert sizes[1] < limit < sizes[2] and len(words[0].encode()) < limit
    columns = {"tokens": [words], "tags": [["X"] * 3]}
    assert figures("tagging", columns, tokenizer, limit)["cut_words"] == 2

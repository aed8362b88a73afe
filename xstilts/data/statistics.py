"""What a tokenizer makes of rows: tokens a word, unknown ones, rows cut or without a way to answer.

A language that needs many tokens a word, or has unknown ones, is one the encoder hardly read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xstilts.data.samples import sample
from xstilts.kinds.kind import Encoded, Rows, word_forms
from xstilts.tasks import Task

_SAMPLE = 1000

MOST_PER_BYTE = 11
"""Tokens that a byte may become: U+FDFA, of three bytes, is a phrase of 33 after NFKC."""


def statistics(
    columns: Rows, task: Task, tokenizer: Any, max_length: int, encoded: Encoded
) -> dict[str, float]:
    """Figures of encoded rows.

    `rows`, `sequences` and `tokens` count all. On a sample of 1,000 rows: `fertility`, tokens a
    word, words being what blanks separate (so it says little where a script has none, as in
    Chinese and Thai) or a tagged row's tokens; `unknown`, percent of the tokens, one for every word
    of which there are none; `cut`, percent of the rows that lose tokens at `max_length`.
    `cut_words` counts, in all tagged rows, words that are longer than that on their own: they keep
    their first tokens. `unanswerable` counts questions none of whose answers is the text of any
    tokens.
    """
    names = task.kind_spec.texts
    chosen = sample(len(columns[names[0]]), _SAMPLE)
    counts = [_counts([columns[name][i] for i in chosen], tokenizer) for name in names]
    # Texts that are sequences of their own are cut each.
    longest = max if task.kind_spec.sequences == len(names) else sum
    num_tokens = [longest([row.tokens for row in rows]) for rows in zip(*counts, strict=True)]
    all_counts = [row for rows in counts for row in rows]
    total = sum(row.tokens for row in all_counts)
    room = max_length - tokenizer.num_special_tokens_to_add(pair=longest is sum)
    num_cut = sum(count > room for count in num_tokens) if task.kind_spec.is_cut else 0
    cut_words = 0
    if task.kind == "tagging":
        sentences = word_forms(columns["tokens"], tokenizer)
        cuts = [_num_cut_words(words, tokenizer, room) for words in sentences]
        cut_words, num_cut = sum(cuts), sum(cuts[i] > 0 for i in chosen)
    return {
        "rows": encoded.examples.num_rows,
        "sequences": encoded.features.num_rows,
        "tokens": _num_tokens(encoded.features["input_ids"]),
        "fertility": total / max(sum(row.words for row in all_counts), 1),
        "unknown": _percent_unknown(all_counts),
        "cut": 100 * num_cut / max(len(chosen), 1),
        "cut_words": cut_words,
        "unanswerable": sum(encoded.examples["unanswerable"].to_pylist())
        if task.kind == "span"
        else 0,
    }


def joined(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """`fertility` and `unknown` over rows of several sets, each of which counts by its tokens."""
    tokens = sum(each["tokens"] for each in figures)
    words = sum(each["tokens"] / each["fertility"] for each in figures if each["fertility"])
    unknown = sum(each["tokens"] * each["unknown"] for each in figures)
    return {"fertility": tokens / max(words, 1), "unknown": unknown / max(tokens, 1)}


def texts_of(columns: Rows, task: Task) -> list[Any]:
    """The texts of rows in the language of the rows; of tagged rows lists of words."""
    return [text for name in task.kind_spec.texts for text in columns[name]]


def percent_unknown(texts: Sequence[Any], tokenizer: Any) -> float:
    """Percent of the tokens of texts that are unknown; a word that gives no token counts as one."""
    return _percent_unknown(_counts(texts, tokenizer))


@dataclass(frozen=True, slots=True)
class _Count:
    """What a tokenizer makes of one text: `void` words have no token at all."""

    tokens: int
    words: int
    unknown: int
    void: int


def _percent_unknown(counts: Sequence[_Count]) -> float:
    strange = sum(row.unknown + row.void for row in counts)
    return 100 * strange / max(sum(row.tokens + row.void for row in counts), 1)


def _counts(given: Sequence[Any], tokenizer: Any) -> list[_Count]:
    """The counts of every text, or list of words."""
    if not given:
        return []
    are_words = not isinstance(given[0], str)
    texts = word_forms(given, tokenizer) if are_words else list(given)
    encoding = tokenizer(texts, add_special_tokens=False, is_split_into_words=are_words)
    counts = []
    for i, (text, ids) in enumerate(zip(given, encoding["input_ids"], strict=True)):
        words = len(text if are_words else text.split())
        if are_words:
            void = words - len({word for word in encoding.word_ids(i) if word is not None})
        else:  # words of a running text are the tokenizer's own to find
            void = 0 if ids else words
        unknown = sum(token == tokenizer.unk_token_id for token in ids)
        counts.append(_Count(len(ids), words, unknown, void))
    return counts


def _num_cut_words(words: Sequence[str], tokenizer: Any, room: int) -> int:
    """Words of more than `room` tokens; only words of many bytes can be."""
    long = [word for word in words if len(word.encode()) * MOST_PER_BYTE > room]
    if not long:
        return 0
    encoding = tokenizer(long, is_split_into_words=True, add_special_tokens=False)
    sizes = Counter(word for word in encoding.word_ids() if word is not None)
    return sum(size > room for size in sizes.values())


def _num_tokens(sequences: pa.ChunkedArray) -> int:
    """Tokens in a column of sequences, or of groups of sequences."""
    if pa.types.is_list(sequences.type.value_type):
        sequences = pc.list_flatten(sequences)
    return int(pc.sum(pc.list_value_length(sequences)).as_py() or 0)

"""What a tokenizer makes of rows: tokens a word, unknown ones, rows cut or without a way to answer.

A language that needs many tokens a word, or has unknown ones, is one the encoder hardly read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xstilts.data.sources import sample
from xstilts.kinds.kind import Encoded, Rows, word_forms
from xstilts.tasks import Task

# The columns whose text is in the language of the rows, by kind; Tatoeba's targets are English.
_TEXTS = {
    "pair": ("premise", "hypothesis"),
    "choice": ("prompt",),
    "tagging": ("tokens",),
    "span": ("question", "context"),
    "retrieval": ("source_sentence",),
    "mining": ("sentence",),
    "mlm": ("text",),
}
# Kinds whose sequences lose what is over the limit; the others are split into pieces or windows.
_CUT = frozenset({"pair", "choice", "retrieval", "mining", "mlm"})
_SAMPLE = 1000


def statistics(
    columns: Rows, task: Task, tokenizer: Any, max_length: int, encoded: Encoded
) -> dict[str, float]:
    """Figures of encoded rows.

    `rows`, `sequences` and `tokens` count all. On a sample of 1,000 rows: `fertility`, tokens a
    word, words being what blanks separate (so it says little where a script has none, as in
    Chinese and Thai) or a tagged row's tokens; `unknown`, percent of the tokens; `cut`, percent of
    the rows that lose tokens at `max_length`. `cut_words` counts, in all tagged rows, words that
    are longer than that on their own: they keep their first tokens. `unanswerable` counts questions
    none of whose answers is the text of any tokens.
    """
    names = _TEXTS[task.kind]
    chosen = sample(len(columns[names[0]]), _SAMPLE)
    num_tokens = [0] * len(chosen)
    num_words = num_unknown = 0
    for name in names:
        texts = [columns[name][i] for i in chosen]
        for i, (ids, words) in enumerate(_tokenise(texts, tokenizer)):
            num_tokens[i] += len(ids)
            num_words += words
            num_unknown += sum(token == tokenizer.unk_token_id for token in ids)
    total = sum(num_tokens)
    room = max_length - tokenizer.num_special_tokens_to_add(pair=len(names) > 1)
    num_cut = sum(count > room for count in num_tokens) if task.kind in _CUT else 0
    cut_words = 0
    if task.kind == "tagging":
        sentences = word_forms(columns["tokens"], tokenizer)
        counts = [_num_cut_words(words, tokenizer, room) for words in sentences]
        cut_words, num_cut = sum(counts), sum(counts[i] > 0 for i in chosen)
    return {
        "rows": encoded.examples.num_rows,
        "sequences": encoded.features.num_rows,
        "tokens": _num_tokens(encoded.features["input_ids"]),
        "fertility": total / max(num_words, 1),
        "unknown": 100 * num_unknown / max(total, 1),
        "cut": 100 * num_cut / max(len(chosen), 1),
        "cut_words": cut_words,
        "unanswerable": sum(encoded.examples["unanswerable"].to_pylist())
        if task.kind == "span"
        else 0,
    }


def _tokenise(given: Sequence[Any], tokenizer: Any) -> list[tuple[list[int], int]]:
    """The token ids and the number of words of each text, or list of words."""
    if not given:
        return []
    are_words = not isinstance(given[0], str)
    texts = word_forms(given, tokenizer) if are_words else list(given)
    ids = tokenizer(texts, add_special_tokens=False, is_split_into_words=are_words)["input_ids"]
    sizes = [len(text if are_words else text.split()) for text in given]
    return list(zip(ids, sizes, strict=True))


def _num_cut_words(words: Sequence[str], tokenizer: Any, room: int) -> int:
    """Words of more than `room` tokens; only words of many letters can be."""
    long = [word for word in words if len(word.encode()) >= room]
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

"""Windows: what a model reads of a context that is longer than its input.

The rules are those of the original BERT's and XTREME's `run_squad`: a window begins every `STRIDE`
tokens, and of several windows that show a token the one with most context around it counts. Every
character of the context but blanks belongs to a token, also those that the tokenizer drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xstilts.kinds.kind import num_special, sequence_columns

STRIDE = 128
MAX_ANSWER_TOKENS = 30
"""XTREME's values (its run_squad scripts)."""


@dataclass(frozen=True, slots=True)
class Window:
    """One input: the question and a stretch of the context.

    `columns` are what the encoder reads. The context's tokens from the `start`-th on stand from
    position `offset` on; (tokens in the window,): `most_context` says whether this is the window
    in which a token may begin an answer.
    """

    columns: dict[str, list[int]]
    offset: int
    start: int
    most_context: np.ndarray


@dataclass(frozen=True, slots=True)
class Document:
    """A context and its windows. (tokens of the context,): `ids`, and the characters `begins` to
    `ends` that are each token's."""

    context: str
    ids: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    windows: Sequence[Window]

    def tokens_of(self, begin: int, end: int) -> tuple[int, int] | None:
        """The first and the last token that have any of these characters."""
        found = np.flatnonzero((self.ends > begin) & (self.begins < end))
        return (int(found[0]), int(found[-1])) if len(found) else None

    def text_of(self, first: int, last: int) -> str:
        """The text of some tokens, without blanks around it."""
        return self.context[self.begins[first] : self.ends[last]].strip()


def step_of(room: int) -> int:
    """The tokens from one window's beginning to the next one's, of windows with `room` for context.

    Windows hardly longer than the stride overlap by the longest answer, short ones by half.
    """
    return max(1, min(STRIDE, max(room - MAX_ANSWER_TOKENS, room // 2)))


def documents(
    questions: Sequence[str], contexts: Sequence[str], tokenizer: Any, max_length: int
) -> list[Document]:
    """Every row's context, in windows of at most `max_length` tokens, the question among them."""
    lengths = [len(ids) for ids in tokenizer(questions, add_special_tokens=False)["input_ids"]]
    found: dict[int, Document] = {}
    # The tokenizer takes one overlap for all of a call, and the step is what is the same for all.
    for length in sorted(set(lengths)):
        rows = [row for row, own in enumerate(lengths) if own == length]
        room = max_length - num_special(tokenizer) - length
        step = step_of(room)
        encoding = tokenizer(
            [questions[row] for row in rows],
            [contexts[row] for row in rows],
            truncation="only_second",
            max_length=max_length,
            stride=room - step,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        owners = np.asarray(encoding["overflow_to_sample_mapping"])
        ends = np.searchsorted(owners, np.arange(len(rows)), side="right")
        first = 0
        for row, end in zip(rows, ends.tolist(), strict=True):
            found[row] = _document(contexts[row], encoding, range(first, end), step)
            first = end
    return [found[row] for row in range(len(contexts))]


def most_context(starts: Sequence[int], lengths: Sequence[int]) -> list[np.ndarray]:
    """For each window the tokens that have most context in it: (tokens in the window,), bool.

    A token's context is the smaller of those on its left and on its right, and 0.01 of the
    window's length; of equal windows the first counts.
    """
    best = np.full(max(map(sum, zip(starts, lengths, strict=True)), default=0), -1.0)
    scores = []
    for start, length in zip(starts, lengths, strict=True):
        places = np.arange(length)
        score = np.minimum(places, length - 1 - places) + 0.01 * length
        scores.append(score)
        np.maximum(best[start : start + length], score, out=best[start : start + length])
    taken = np.zeros(len(best), dtype=bool)
    counts = []
    for start, score in zip(starts, scores, strict=True):
        own = slice(start, start + len(score))
        counts.append((score == best[own]) & ~taken[own])
        taken[own] |= counts[-1]
    return counts


def _document(context: str, encoding: Any, numbers: Sequence[int], step: int) -> Document:
    """The context of one row and its windows, which have these numbers in an encoding."""
    insides = [
        np.flatnonzero([sequence == 1 for sequence in encoding.sequence_ids(i)]) for i in numbers
    ]
    lengths = [len(inside) for inside in insides]
    starts = [number * step for number in range(len(numbers))]
    characters = np.zeros((starts[-1] + lengths[-1], 2), dtype=np.int64)
    ids = np.zeros(len(characters), dtype=np.int64)
    windows = []
    for i, inside, start, most in zip(
        numbers, insides, starts, most_context(starts, lengths), strict=True
    ):
        own = slice(start, start + len(inside))
        characters[own] = np.asarray(encoding["offset_mapping"][i])[inside]
        ids[own] = np.asarray(encoding["input_ids"][i])[inside]
        columns = {name: column[i] for name, column in sequence_columns(encoding).items()}
        offset = int(inside[0]) if len(inside) else len(columns["input_ids"])
        windows.append(Window(columns, offset, start, most))
    begins, ends = characters.T
    return Document(context, ids, begins, _with_dropped(context, begins, ends), windows)


def _with_dropped(context: str, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The ends of tokens, each with the characters behind it that no token covers, up to a blank.

    Tokenizers drop accents, and with them the vowel signs of Indic scripts and Thai: without them
    an answer would lack its last letters.
    """
    ends, following = ends.copy(), np.append(begins[1:], len(context))
    for i in np.flatnonzero(ends < following):
        dropped = context[ends[i] : following[i]]
        if not dropped[0].isspace():
            ends[i] += len(dropped.split(maxsplit=1)[0])
    return ends

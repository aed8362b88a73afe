"""Span QA: the answer is a span of the context, cut from the original text by offsets.

Long contexts become overlapping windows (`xstilts.kinds.windows`); one without the answer points
to the first token.
Decoding never answers null, whatever an encoder learnt before, except where the task can abstain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from xstilts.kinds.kind import (
    IGNORED,
    Batch,
    Encoded,
    Rows,
    TokenHead,
    Vocabulary,
    cut,
    labels_in,
    num_special,
    pad_inputs,
)
from xstilts.kinds.smoothing import cross_entropy
from xstilts.kinds.windows import MAX_ANSWER_TOKENS, Document, Window, documents
from xstilts.scores import metrics
from xstilts.scores.chance import entropy
from xstilts.scores.outcomes import Outcomes
from xstilts.tasks import Task

MAX_QUERY_TOKENS = 64
"""XTREME's value (its run_squad scripts)."""

FEATURES = ("example", "input_ids", "begins", "ends", "most_context", "start", "end")
"""Columns of the features, beside `token_type_ids` where a tokenizer gives them."""

BLOCK_WINDOWS = 256
"""Windows searched at once: enough to make calls rare, few enough to stay in the cache."""


class Span:
    """Reads `id`, `context`, `question`, `answers` (`text` and `answer_start` lists)."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """A feature for every window: the characters that its tokens cover, -1 where a token is
        not of the context, the tokens with most context in it, and the answer's tokens, which are
        `IGNORED` where the tokenizer leaves no way to answer."""
        room = max_length - num_special(tokenizer)
        questions = cut(rows["question"], tokenizer, min(MAX_QUERY_TOKENS, room // 2))
        features: dict[str, list[Any]] = {name: [] for name in FEATURES}
        unanswerable = []
        for row, document in enumerate(
            documents(questions, list(rows["context"]), tokenizer, max_length)
        ):
            gold = rows["answers"][row]
            answer = _answer_tokens(document, gold, tokenizer.unk_token_id)
            unanswerable.append(answer is None and bool(gold["text"]))
            for window in document.windows:
                length = len(window.columns["input_ids"])
                inside = slice(window.offset, window.offset + len(window.most_context))
                own = slice(window.start, window.start + len(window.most_context))
                begins, ends = np.full((2, length), -1)
                most = np.zeros(length, dtype=bool)
                begins[inside], ends[inside] = document.begins[own], document.ends[own]
                most[inside] = window.most_context
                start, end = (IGNORED, IGNORED) if unanswerable[row] else _place(answer, window)
                found = {"example": row, **window.columns, "start": start, "end": end}
                found |= {"begins": begins, "ends": ends, "most_context": most}
                for name, value in found.items():
                    features.setdefault(name, []).append(value)
        examples = {
            "id": list(rows["id"]),
            "context": list(rows["context"]),
            "answers": [list(answers["text"]) for answers in rows["answers"]],
            "unanswerable": unanswerable,
        }
        return Encoded(pa.table(features), pa.table(examples))

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """`targets["start"]`, `["end"]`: (sequences,), int64."""
        targets = {name: torch.tensor(features[name]) for name in ("start", "end")}
        return Batch(pad_inputs(features, vocabulary), targets)

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """Two outputs a token: start and end."""
        return TokenHead(hidden_size, 2, dropout)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Mean of the start's and the end's cross-entropy over the tokens."""
        scores = _scores(head, hidden, batch)
        start, end = (
            cross_entropy(scores[..., i], batch.targets[name], batch.smoothing)
            for i, name in enumerate(("start", "end"))
        )
        return (start + end) / 2

    def num_units(self, batch: Batch) -> int:
        """Windows that train."""
        return int((batch.targets["start"] != IGNORED).sum())

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """(length, 2) start and end scores of a window, without its padding."""
        assert head is not None
        scores = _scores(head, hidden, batch).cpu().numpy()
        lengths = batch.inputs["attention_mask"].sum(-1).tolist()
        return [row[:length] for row, length in zip(scores, lengths, strict=True)]

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """The best span over all windows of every example, as text; it begins in the window where
        its first token has most context. Beside it, in a task that can abstain, how much better no
        answer looks: the first token in the window where it is worst."""
        features = encoded.features
        begins, ends, most = (
            pc.list_flatten(features[name]).to_numpy()
            for name in ("begins", "ends", "most_context")
        )
        contexts = encoded.examples["context"].to_pylist()
        best = [(-np.inf, 0, 0)] * len(contexts)
        none = [np.inf] * len(contexts)
        spans = _best_spans(outputs, most, begins >= 0)
        for row, (value, first, last, null) in zip(
            features["example"].to_pylist(), spans, strict=True
        ):
            if value > best[row][0]:
                best[row] = (value, first, last)
            none[row] = min(none[row], null)
        texts = [
            context[begins[first] : ends[last]].strip() if value > -np.inf else ""
            for context, (value, first, last) in zip(contexts, best, strict=True)
        ]
        if task.can_abstain:
            found = zip(texts, best, none, strict=True)
            return [[text, null - value] for text, (value, _, _), null in found]
        return texts

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """Exact match and F1, means over the questions."""
        gold = examples["answers"].to_pylist()
        if task.can_abstain:
            return metrics.abstaining_scores(gold, predictions)
        return metrics.answer_scores(
            gold, predictions, metrics.normalizer(task.normalization, language)
        )

    def label_entropy(self, encoded: Sequence[Encoded]) -> float:
        """Of the positions where answers start and end, the mean of both."""
        return (entropy(labels_in(encoded, "start")) + entropy(labels_in(encoded, "end"))) / 2

    def is_constant(self, predictions: Sequence[Any], task: Task) -> bool:
        """Nothing but empty answers."""
        texts = [each[0] for each in predictions] if task.can_abstain else predictions
        return not any(map(metrics.normalize_squad, texts))

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """A question's exact match and F1."""
        gold = examples["answers"].to_pylist()
        if task.can_abstain:
            values, _ = metrics.abstaining_values(gold, predictions)
        else:
            rule = metrics.normalizer(task.normalization, language)
            values = metrics.answer_values(gold, predictions, rule)
        ones = np.ones(len(values))
        of = {name: np.array([value[name] for value in values]) / 100 for name in task.metrics}
        return Outcomes.of({name: [(own, ones, ones)] for name, own in of.items()})

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The whole context: the best that knows nothing of the question."""
        contexts: list[Any] = examples["context"].to_pylist()
        return [[text, 0.0] for text in contexts] if task.can_abstain else contexts


def _answer_tokens(
    document: Document, gold: Mapping[str, Any], unknown: int | None
) -> tuple[int, int] | None:
    """First and last token of the first gold answer that tokens can give; None where there is none.

    An answer may end within a token: the token's text then is the nearest that can be given. An
    unknown token, though, may stand for any length of text, and says nothing of what is in it.
    """
    for text, begin in zip(gold["text"], gold["answer_start"], strict=True):
        tokens = document.tokens_of(begin, begin + len(text))
        if tokens is None:
            continue
        is_known = unknown not in (document.ids[tokens[0]], document.ids[tokens[1]])
        if is_known or document.text_of(*tokens) == text.strip():
            return tokens
    return None


def _place(answer: tuple[int, int] | None, window: Window) -> tuple[int, int]:
    """Where an answer stands in a window; (0, 0) if the window does not hold it."""
    if answer is None:
        return 0, 0
    first, last = (token - window.start for token in answer)
    if first < 0 or last >= len(window.most_context):
        return 0, 0
    return window.offset + first, window.offset + last


def _scores(head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
    """(sequences, length, 2), float32, minus infinity at padding."""
    scores: Tensor = head(hidden).float()
    padded = batch.inputs["attention_mask"][..., None] == 0
    return scores.masked_fill(padded, float("-inf"))


def _best_spans(
    outputs: Sequence[np.ndarray], starts: np.ndarray, ends: np.ndarray
) -> Iterator[tuple[float, int, int, float]]:
    """For each window the value of its best allowed span, its first and last token, and the value
    of the first token, which stands for no answer.

    Args:
        outputs: (length, 2) start and end scores of each window.
        starts: (tokens,), bool: the tokens that a span may begin with. Tokens are those of all
            windows, one window after the other; spans are given by the same count.
        ends: alike, those that it may end with.
    """
    seen = 0
    for window in range(0, len(outputs), BLOCK_WINDOWS):
        block = outputs[window : window + BLOCK_WINDOWS]
        lengths = np.array([len(scores) for scores in block])
        scores = np.concatenate(block)
        stop = seen + len(scores)
        values, firsts, lasts = _search(scores, starts[seen:stop], ends[seen:stop], lengths)
        nulls = scores[np.cumsum(lengths) - lengths].sum(1)
        found = (values, firsts + seen, lasts + seen, nulls)
        yield from zip(*(column.tolist() for column in found), strict=True)
        seen = stop


def _search(
    scores: np.ndarray, starts: np.ndarray, ends: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best allowed span of at most `MAX_ANSWER_TOKENS` tokens in every window: value, first
    and last token. Of equal spans the narrowest counts, of these the first.

    Args:
        scores: (tokens, 2), the windows one after the other.
        starts: (tokens,), bool. A window without an allowed span has the value minus infinity.
        ends: (tokens,), bool.
        lengths: (windows,), tokens of each window.
    """
    # A gap as long as a span can reach keeps spans from crossing into the next window.
    gap = MAX_ANSWER_TOKENS - 1
    owners = np.repeat(np.arange(len(lengths)), lengths + gap)
    offsets = np.cumsum(lengths + gap) - (lengths + gap)
    places = np.arange(len(scores)) + gap * np.repeat(np.arange(len(lengths)), lengths)
    start, end = np.full((2, len(owners)), -np.inf, scores.dtype)
    start[places[starts]], end[places[ends]] = scores[starts, 0], scores[ends, 1]

    # Rounding keeps order: the largest sum of a start is the one with its largest end.
    furthest = _sliding_max(end, MAX_ANSWER_TOKENS)
    sums = start[: len(furthest)] + furthest
    values = np.maximum.reduceat(sums, offsets)

    # Few starts reach their window's value; only of these the width is looked for.
    hits = np.flatnonzero((sums == values[owners[: len(sums)]]) & (sums > -np.inf))
    windows = owners[hits]
    reach = start[hits, None] + end[hits[:, None] + np.arange(MAX_ANSWER_TOKENS)]
    widths = (reach == values[windows, None]).argmax(1)
    order = np.lexsort((hits, widths, windows))
    windows, chosen = np.unique(windows[order], return_index=True)
    firsts, lasts = np.zeros((2, len(lengths)), int)
    firsts[windows] = hits[order[chosen]] - gap * windows
    lasts[windows] = firsts[windows] + widths[order[chosen]]
    return values, firsts, lasts


def _sliding_max(values: np.ndarray, width: int) -> np.ndarray:
    """The maximum of each `width` adjacent values: (values - width + 1,)."""
    reach = 1
    while reach < width:
        step = min(reach, width - reach)
        values = np.maximum(values[:-step], values[step:])
        reach += step
    return values

"""The protocol that every kind keeps, and what kinds share: encoded rows, batches, heads.

A kind turns rows into features, features into batches, hidden states into a loss or predictions,
predictions into scores. It knows no files, no YAML and no trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from xstilts.kinds.neighbours import Search
from xstilts.scores.outcomes import Outcomes
from xstilts.tasks import Task

Rows = Mapping[str, Sequence[Any]]
"""Columns of one data set: the names that the kind reads, values as the Hub has them; labels as
names."""

IGNORED = -100
"""The label of positions that give no loss."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as a model reads them.

    `features` has a row for every input sequence (or, for multiple choice, group of sequences):
    `example` (position in `examples`), `input_ids`, and what the kind adds. `examples` has a row
    for every scored item: `id`, the gold, and what decoding needs.
    """

    features: pa.Table
    examples: pa.Table


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one step: `inputs` for the encoder, `targets` for the kind.

    `inputs["input_ids"]`: (sequences, length), int64; `attention_mask` alike, 1 where not padded.
    Targets have a row for every sequence, or group of them; those `by_token` a column for every
    token. `units`: what `Kind.num_units` counted before the tensors went to a device, None if it
    has not. `read`: (sequences, length), bool, on the host: the positions whose hidden states the
    kind reads; None: all. Others may hold anything. `smoothing`: the share of a label that all
    labels have evenly, of kinds whose loss has it.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    by_token: frozenset[str] = frozenset()
    units: int | None = None
    read: Tensor | None = None
    smoothing: float = 0.0

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return replace(
            self,
            inputs={name: x.to(device, non_blocking=True) for name, x in self.inputs.items()},
            targets={name: x.to(device, non_blocking=True) for name, x in self.targets.items()},
        )


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What collating needs of a tokenizer. `special_ids` are never masked."""

    pad_id: int
    mask_id: int
    size: int
    special_ids: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """The vocabulary of a transformers tokenizer."""
        return cls(
            pad_id=tokenizer.pad_token_id,
            mask_id=-1 if tokenizer.mask_token_id is None else tokenizer.mask_token_id,
            size=len(tokenizer),
            special_ids=tuple(sorted(tokenizer.all_special_ids)),
        )


class Kind(Protocol):
    """The behaviour of a sort of task. One that is scored on a benchmark is `Itemised` too."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """Turn rows into features and examples; sequences are at most `max_length` long."""

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """Pad features to the longest and stack them; all randomness is the generator's."""

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """A head, not yet initialised."""

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch; `hidden`: (sequences, length, hidden size).

        With `batch.units` it looks at no value, so that nothing waits for a device.
        """

    def num_units(self, batch: Batch) -> int:
        """How many losses the batch's loss is the mean of: rows, words or masked tokens."""

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """What decoding needs of each feature, on the host."""

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """A JSON-able prediction for every example, in their order."""

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """The kind's metrics, 0-100; QA answers are compared by the rules of their language."""

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """The predictions of a majority class, which a trained model must beat."""


@runtime_checkable
class Itemised(Kind, Protocol):
    """A kind whose scores come from what every item gave."""

    def outcomes(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> Outcomes:
        """What every item gave, by the metrics of the task; `score` is what they sum up to."""


@runtime_checkable
class Supervised(Itemised, Protocol):
    """A kind that is trained on labels and has a dev set that tells whether it learnt them."""

    def label_entropy(self, encoded: Sequence[Encoded]) -> float:
        """The entropy of the labels' frequencies, in nats: the least mean loss of a head that reads
        nothing."""

    def is_constant(self, predictions: Sequence[Any], task: Task) -> bool:
        """Whether the predictions say one thing, whatever they are asked."""


@runtime_checkable
class Calibrated(Kind, Protocol):
    """A kind whose predictions a threshold decides, fitted on labels that are not scored."""

    def calibrate(
        self,
        predictions: Sequence[Any],
        examples: pa.Table,
        fitted: tuple[Sequence[Any], pa.Table] | None,
    ) -> list[Any]:
        """The predictions that count; `fitted` are predictions and examples of the other labels,
        None where there are none."""

    def at_golds_threshold(
        self, predictions: Sequence[Any], examples: pa.Table
    ) -> dict[str, float]:
        """What the threshold that is best on the scored labels themselves would give, by metric:
        no score, for it has seen them, but what published figures often are."""


@runtime_checkable
class Joint(Kind, Protocol):
    """A kind that compares the rows of a batch with each other: its loss is of all of them, and no
    mean of losses that parts of the batch have."""

    def vectors_of(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """All that the loss reads of each sequence: (sequences, size)."""

    def joint_loss(self, head: nn.Module, vectors: Tensor, batch: Batch) -> Tensor:
        """The loss of a whole batch from the vectors of all its sequences, in their order."""


@runtime_checkable
class Ranking(Itemised, Protocol):
    """A kind that ranks the candidates of a pool, which are too many to be held at once."""

    def search(self, queries: np.ndarray) -> Search:
        """A search for the nearest of candidates that come in parts; `queries`: (queries, size)."""


@runtime_checkable
class Layered(Kind, Protocol):
    """A kind that reads all hidden states in one pass: one of them predicts, all are compared."""

    def layer_outputs(self, states: Sequence[Tensor], batch: Batch) -> list[Any]:
        """(hidden states, hidden size) for each feature, float32, on the host; state 0 is the
        embeddings."""

    def profile(
        self, outputs: Sequence[Any], layer: int, encoded: Encoded, task: Task
    ) -> dict[str, float]:
        """What the layers tell beside the score, by metric."""


@runtime_checkable
class Probed(Kind, Protocol):
    """A kind whose features have classes, which a probe of an encoder tells apart."""

    def vectors(self, states: Sequence[Tensor], batch: Batch) -> list[np.ndarray]:
        """What stands for a feature, or for each of its parts, in every hidden state: (parts,
        hidden states, hidden size) for each feature, float32, on the host."""

    def classes(self, features: pa.Table) -> np.ndarray:
        """The class of every part of all features in their order, `IGNORED` where not known:
        (parts of all features,)."""


def mean_vectors(hidden: Tensor, batch: Batch) -> list[Any]:
    """Means over the attention mask, special tokens included: (hidden size,) each, float32."""
    mask = batch.inputs["attention_mask"][..., None].to(hidden.dtype)
    vectors = (hidden * mask).sum(1) / mask.sum(1)
    return list(vectors.float().cpu().numpy())


def pad(sequences: Sequence[Sequence[int] | np.ndarray], value: int) -> Tensor:
    """Stack sequences of unequal length: (sequences, longest and at least 1), int64."""
    longest = max(1, *map(len, sequences))
    array = np.full((len(sequences), longest), value, dtype=np.int64)
    for row, sequence in zip(array, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(array)


def pad_inputs(features: Rows, vocabulary: Vocabulary) -> dict[str, Tensor]:
    """The encoder's inputs of features that hold one sequence each.

    A text of no tokens, of a tokenizer without special ones, is one padding token that is read:
    attention to nothing, and a mean over nothing, are not numbers.
    """
    lengths = torch.tensor([max(1, len(ids)) for ids in features["input_ids"]])
    inputs = {"input_ids": pad(features["input_ids"], vocabulary.pad_id)}
    positions = torch.arange(inputs["input_ids"].shape[1])
    inputs["attention_mask"] = (positions < lengths[:, None]).long()
    if "token_type_ids" in features:
        inputs["token_type_ids"] = pad(features["token_type_ids"], 0)
    return inputs


def first_positions(inputs: Mapping[str, Tensor]) -> Tensor:
    """That the first token of every sequence is read: (sequences, length), bool."""
    read = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    read[:, 0] = True
    return read


def sequence_columns(encoding: Mapping[str, Any]) -> dict[str, list[list[int]]]:
    """The columns of a tokenizer's output that the encoder reads, and no others."""
    names = ("input_ids", "token_type_ids")
    return {name: list(encoding[name]) for name in names if name in encoding}


def num_special(tokenizer: Any) -> int:
    """Special tokens of a pair of texts."""
    return int(tokenizer.num_special_tokens_to_add(pair=True))


def cut(texts: Sequence[str], tokenizer: Any, limit: int) -> list[str]:
    """Texts of at most `limit` tokens."""
    encoding = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
    shorter = [
        text[: offsets[limit - 1][1]] if len(offsets) > limit else text
        for text, offsets in zip(texts, encoding["offset_mapping"], strict=True)
    ]
    # The rest of a word that was cut may become more tokens than the word had there.
    return shorter if shorter == list(texts) else cut(shorter, tokenizer, limit)


def word_forms(sentences: Sequence[Sequence[str]], tokenizer: Any) -> list[list[str]]:
    """Words as the tokenizer wants them when it gets them one by one.

    Byte-level BPE marks a word by the blank before it, and where its file does not add that blank
    (RoBERTa, ModernBERT), words given alone would become pieces from the middle of words.
    """
    probe = "of"  # short enough to be one token in any vocabulary, in both forms
    running = tokenizer(f"{probe} {probe}", add_special_tokens=False)["input_ids"]
    alone = tokenizer([probe, probe], is_split_into_words=True, add_special_tokens=False)
    with_blank = tokenizer([probe, f" {probe}"], is_split_into_words=True, add_special_tokens=False)
    if alone["input_ids"] != running and with_blank["input_ids"] == running:
        return [[f" {word}" for word in words] for words in sentences]
    return [list(words) for words in sentences]


def label_ids(rows: Rows, task: Task) -> list[int]:
    """Labels by their name, as positions in `task.labels`."""
    positions = {label: i for i, label in enumerate(task.labels)}
    return [positions.get(label, IGNORED) for label in rows["label"]]


def is_labelled(examples: pa.Table) -> bool:
    """Whether the gold of any example was published; test sets often come without theirs.

    A blank label is "" or `IGNORED`, a blank answer an empty list, and so are several labels where
    no row has any; retrieval's gold is the order.
    """
    for name in ("label", "labels", "tags", "answers", "keys"):
        if name in examples.column_names:
            values = examples[name].to_pylist()
            if any(isinstance(value, list) for value in values):
                values = [item for value in values for item in value]
            return any(value not in ("", IGNORED) for value in values)
    return True


class Pooler(nn.Module):
    """Tanh of a dense layer, as transformers' BertPooler. `is_carried` says whether it goes on to
    the next stage with the encoder."""

    def __init__(self, hidden_size: int, is_carried: bool = False):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.is_carried = is_carried

    def forward(self, first: Tensor) -> Tensor:
        """(sequences, hidden size) to the same, between -1 and 1."""
        return torch.tanh(self.dense(first))


class SequenceHead(nn.Module):
    """Dropout, dense, tanh, dropout, linear on the first token, as jiant's classification head.

    What it reads may have gone through a `pooler`, which the heads of a stage share.
    """

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, num_outputs)
        self.dropout = nn.Dropout(dropout)
        self.pooler: Pooler | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """(sequences, length, hidden size) to (sequences, outputs)."""
        first = hidden[:, 0]
        if self.pooler is not None:
            first = self.pooler(first)
        first = self.dropout(first)
        scores: Tensor = self.output(self.dropout(torch.tanh(self.dense(first))))
        return scores


class TokenHead(nn.Module):
    """Dropout and linear on every token."""

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float):
        super().__init__()
        self.output = nn.Linear(hidden_size, num_outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """(sequences, length, hidden size) to (sequences, length, outputs)."""
        scores: Tensor = self.output(self.dropout(hidden))
        return scores


CONSTANT_SHARE = 0.99
"""From this share of all predictions on one label is given to everything."""


def is_one_label(predictions: Sequence[Any]) -> bool:
    """Whether nearly all predictions are one label."""
    label = most_frequent(predictions)
    num_equal = sum(1 for value in predictions if value == label)
    return num_equal >= CONSTANT_SHARE * len(predictions)


def labels_in(encoded: Sequence[Encoded], name: str) -> list[int]:
    """The labels in a column of features, those alone that are trained on."""
    columns = (rows.features[name].combine_chunks() for rows in encoded)
    flat = (pc.list_flatten(c) if pa.types.is_list(c.type) else c for c in columns)
    return [label for column in flat for label in column.to_pylist() if label != IGNORED]


def majority(values: Sequence[Any]) -> list[Any]:
    """The most frequent value, as often as there are values."""
    return [most_frequent(values)] * len(values)


def most_frequent(values: Sequence[Any]) -> Any:
    """The value that occurs most often; ties go to the one that occurs first."""
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return max(counts, key=lambda value: counts[value])

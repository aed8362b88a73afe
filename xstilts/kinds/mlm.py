"""Masked-language modelling (MLM), as a part of mixtures: 15 % of the tokens, 80/10/10.

Devlin et al. 2019 (arXiv 1810.04805, section 3.1). What goes in is text, a window of an article at
a draw; the loss is over the masked positions. The head is the pretrained one, which the model
computes there only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional

from xstilts.kinds.kind import IGNORED, Batch, Encoded, Rows, Vocabulary, pad, pad_inputs
from xstilts.tasks import Task

MASK_RATE = 0.15

BLOCK_TEXTS = 1000
"""Texts tokenised at once: a tokenizer's lists take far more memory than the table that is kept."""

# A language's Wikipedia has more tokens than an ordinary list's offsets reach.
_FEATURES = pa.schema({"example": pa.int64(), "input_ids": pa.large_list(pa.int32())})


class Mlm:
    """Reads `text`."""

    def encode(self, rows: Rows, task: Task, tokenizer: Any, max_length: int) -> Encoded:
        """A feature for every window of a text, one after the other; each draw reads one."""
        texts = rows["text"]
        tables = [_FEATURES.empty_table()]
        for begin in range(0, len(texts), BLOCK_TEXTS):
            encoding = tokenizer(
                list(texts[begin : begin + BLOCK_TEXTS]),
                truncation=True,
                max_length=max_length,
                return_overflowing_tokens=True,
            )
            owners = begin + np.array(encoding["overflow_to_sample_mapping"])
            columns = {"example": owners, "input_ids": encoding["input_ids"]}
            tables.append(pa.table(columns, schema=_FEATURES))
        examples = pa.table({"id": [str(i) for i in range(len(texts))]})
        return Encoded(pa.concat_tables(tables), examples)

    def collate(
        self, features: Rows, vocabulary: Vocabulary, generator: np.random.Generator
    ) -> Batch:
        """Mask dynamically; `targets["label"]`: (sequences, length), int64, the original tokens at
        masked positions and `IGNORED` elsewhere."""
        masked, labels = [], []
        for ids in features["input_ids"]:
            original = np.asarray(ids, dtype=np.int64)
            draws = generator.random((2, len(original)))
            others = generator.integers(0, vocabulary.size, len(original))
            open_ = ~np.isin(original, vocabulary.special_ids)
            chosen = open_ & (draws[0] < MASK_RATE)
            if open_.any() and not chosen.any():
                # A sequence without a masked token would give no loss: mask its luckiest one.
                chosen[np.where(open_, draws[0], 2.0).argmin()] = True
            replaced = np.where(draws[1] < 0.8, vocabulary.mask_id, original)
            replaced = np.where(draws[1] >= 0.9, others, replaced)
            masked.append(np.where(chosen, replaced, original))
            labels.append(np.where(chosen, original, IGNORED))
        inputs, label = pad_inputs({"input_ids": masked}, vocabulary), pad(labels, IGNORED)
        return Batch(inputs, {"label": label}, frozenset({"label"}), read=label != IGNORED)

    def build_head(self, hidden_size: int, task: Task, dropout: float) -> nn.Module:
        """The LM head comes from the checkpoint; asking for a fresh one is a bug."""
        raise TypeError("the LM head is the pretrained one")

    def loss(self, head: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy over the vocabulary at masked positions."""
        labels = batch.targets["label"].flatten()
        count = self.num_units(batch) if batch.units is None else batch.units
        chosen = torch.nonzero_static(labels != IGNORED, size=count).squeeze(1)
        scores = head(hidden.flatten(0, 1)[chosen]).float()
        # The sum over none is 0 where the mean is not a number.
        return functional.cross_entropy(scores, labels[chosen], reduction="sum") / max(count, 1)

    def num_units(self, batch: Batch) -> int:
        """Masked tokens."""
        return int((batch.targets["label"] != IGNORED).sum())

    def outputs(self, head: nn.Module | None, hidden: Tensor, batch: Batch) -> list[Any]:
        """The number of masked tokens and their summed loss."""
        assert head is not None
        count = int((batch.targets["label"] != IGNORED).sum())
        total = float(self.loss(head, hidden, batch)) * count
        rows = len(batch.targets["label"])
        return [(total / rows, count / rows)] * rows

    def decode(self, outputs: Sequence[Any], encoded: Encoded, task: Task) -> list[Any]:
        """Summed losses and counts of every text, over its windows."""
        sums = [[0.0, 0.0] for _ in range(encoded.examples.num_rows)]
        for row, (loss, count) in zip(
            encoded.features["example"].to_pylist(), outputs, strict=True
        ):
            sums[row][0] += loss
            sums[row][1] += count
        return sums

    def score(
        self, predictions: Sequence[Any], examples: pa.Table, task: Task, language: str
    ) -> dict[str, float]:
        """Mean loss of a masked token, in nats."""
        total = sum(loss for loss, _ in predictions)
        return {"loss": total / (sum(count for _, count in predictions) or 1)}

    def constant(self, examples: pa.Table, task: Task) -> list[Any]:
        """MLM has no majority class; asking for one is a bug."""
        raise TypeError("MLM is not selected by score")

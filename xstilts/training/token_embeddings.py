"""Token embeddings in training: the rows that a stage reads, and their sparse gradient.

XLM-R's table has 250,002 rows, more than half of Base's weights. A stage reads some ten thousand of
them, a step a thousand. Of the others AdamW's moments stay zero and the gradient is zero: they do
nothing but decay, all alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from xstilts.config.recipe import StageRecipe
from xstilts.kinds.kind import Vocabulary
from xstilts.training.feed import PartData
from xstilts.training.model import LmHead, Model
from xstilts.training.optimizer import learning_rate


class EmbeddingRows:
    """Puts the rows that a stage reads in the place of an encoder's table, for the time of it.

    The optimiser, gradients, checkpoints and what processes send each other are as much smaller.

    Args:
        ids: (rows,), the tokens that may be read.
    """

    def __init__(self, encoder: PreTrainedModel, ids: np.ndarray):
        self._encoder = encoder
        self._whole = encoder.get_input_embeddings()
        weight = self._whole.weight.detach()
        self._device = weight.device
        self._ids = torch.from_numpy(ids).to(self._device)
        # What stands at other tokens leads out of the table.
        places = torch.full((len(weight),), len(ids), device=self._device)
        places[self._ids] = torch.arange(len(ids), device=self._device)
        self._rows = _Rows(weight[self._ids], places, self._whole.padding_idx)
        self._rows.weight.requires_grad_(self._whole.weight.requires_grad)
        encoder.set_input_embeddings(self._rows)
        self._whole.to("cpu")

    @classmethod
    def of(
        cls, model: Model, data: Sequence[PartData], vocabulary: Vocabulary
    ) -> EmbeddingRows | None:
        """The rows that a stage may read, None where those may be any: masking draws from all
        tokens, and a language-modelling head reads the whole table."""
        table = model.encoder.get_input_embeddings()
        has_lm_head = any(isinstance(head, LmHead) for head in model.heads.values())
        if type(table) is not nn.Embedding or has_lm_head:
            return None
        encoded = [
            rows
            for part in data
            for rows in (*part.train, part.dev, *part.pivots.values())
            if rows is not None
        ]
        padding = [vocabulary.pad_id]
        if table.padding_idx is not None:
            padding.append(table.padding_idx)
        return cls(model.encoder, tokens_of((rows.features for rows in encoded), padding))

    def of_whole(self, table: Tensor) -> Tensor:
        """Of a table like the whole one, (tokens, size), the rows that are read."""
        return table[self._ids.to(table.device)]

    def put_back(self, decay: float) -> None:
        """The whole table again: its rows as they were trained, the others times `decay`; one that
        is frozen is what it was."""
        self._whole.to(self._device)
        if self._whole.weight.requires_grad:
            with torch.no_grad():
                self._whole.weight.mul_(decay)
                self._whole.weight[self._ids] = self._rows.weight
        self._encoder.set_input_embeddings(self._whole)


class _Rows(nn.Embedding):
    """Some rows of a token table, looked up by the ids of the whole.

    Args:
        weight: (rows, size).
        places: (tokens of the whole,), the row of each.
        padding: the token whose row gets no gradient.
    """

    places: Tensor

    def __init__(self, weight: Tensor, places: Tensor, padding: int | None):
        own = None if padding is None else int(places[padding])
        count, size = weight.shape
        super().__init__(count, size, padding_idx=own, _weight=weight)
        self.register_buffer("places", places, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(...) ids to (..., size)."""
        return super().forward(self.places[input])


def tokens_of(tables: Iterable[pa.Table], others: Iterable[int]) -> np.ndarray:
    """All tokens of encoded rows, and others: (tokens,), ascending."""
    found = [np.fromiter(others, dtype=np.int64)]
    for table in tables:
        column = table["input_ids"]
        while pa.types.is_list(column.type):
            column = pc.list_flatten(column)
        found.append(pc.unique(column).to_numpy(zero_copy_only=False))
    tokens: np.ndarray = np.unique(np.concatenate(found))
    return tokens


def decay_after(recipe: StageRecipe, steps: int, num_steps: int, scale: float = 1.0) -> float:
    """What AdamW has multiplied a weight by, after some steps, that never had a gradient and has a
    share `scale` of the learning rate."""
    rates = (learning_rate(recipe, step, num_steps) * scale for step in range(steps))
    return math.prod(1 - rate * recipe.weight_decay for rate in rates)


class EmbeddingGradient:
    """Turns the table's sparse gradient of a step into a dense one, always in the same memory.

    Torch's dense gradient is new memory in every pass, which a CPU's system hands out page by page;
    a GPU's allocator keeps its memory.

    Where it is not to be `is_sparse`, everything is left to torch; where it `is_shared`, others add
    to it, to any row: other processes, or a penalty.
    """

    def __init__(self, encoder: PreTrainedModel, is_sparse: bool, is_shared: bool):
        self._weight: Tensor | None = None
        self._kept: Tensor | None = None
        self._rows: Tensor | None = None
        self._is_shared = is_shared
        embeddings = encoder.get_input_embeddings()
        if is_sparse and isinstance(embeddings, nn.Embedding):
            embeddings.sparse = True
            self._weight = embeddings.weight

    def fill(self) -> None:
        """Before gradients are added up and clipped. Where a language-modelling head shares the
        table, its gradient is dense already."""
        if self._weight is None or self._weight.grad is None or not self._weight.grad.is_sparse:
            return
        grad = self._weight.grad
        if self._kept is None:
            self._kept = torch.zeros_like(self._weight)
        self._rows = grad._indices()[0]
        self._kept.index_add_(0, self._rows, grad._values())
        self._weight.grad = self._kept

    def clear(self) -> None:
        """After the update."""
        if self._kept is None or self._rows is None:
            return
        if self._is_shared:
            self._kept.zero_()
        else:
            self._kept.index_fill_(0, self._rows, 0.0)

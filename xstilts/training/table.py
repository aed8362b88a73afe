"""The gradient of the token table on a CPU: of the rows that were read, in memory that stays.

XLM-R's table has 250,002 rows, of which a step reads a thousand. Torch's dense gradient of it is
new memory in every pass, 768 MB at the size of Base, which the system hands out page by page: a
tenth of a step. A GPU's allocator keeps its memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


class TokenTable:
    """Turns the table's sparse gradient of a step into a dense one, always in the same memory.

    Where it is not to be `is_sparse`, everything is left to torch; where it `is_shared`, other
    processes add to it.
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

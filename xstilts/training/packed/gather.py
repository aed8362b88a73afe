"""Gather: rows by an index, with gradients that are gathered or copied, never added up.

The backward of `index_select` adds rows one by one, on a GPU with atomic additions, which queue up
where padding picks one row again and again. Where every row that counts is picked once, nothing
needs to be added.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def regather(values: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """`values[index]`, where row i counts in place `inverse[i]` alone, from which its gradient is
    picked."""
    picked: Tensor = _Regathered.apply(values, index, inverse)  # type: ignore[no-untyped-call]
    return picked


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """`values[index]` for an index that names no row twice; the gradient of others is zero."""
    picked: Tensor = _Gathered.apply(values, index)  # type: ignore[no-untyped-call]
    return picked


class _Regathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grads[0].index_select(0, inverse), None, None


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.count = len(values)
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        (index,) = ctx.saved_tensors
        whole = grad.new_zeros(ctx.count, *grad.shape[1:])
        return whole.index_copy_(0, index, grad), None

"""Rotary positions: queries and keys turned by an angle for every place (Su et al. 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rotate(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """The vectors of all heads, turned: pairs are a unit of the first half and one of the second.

    Args:
        vectors: (tokens, heads x size).
        cosines: (1, tokens, size), the second half of `size` as the first; so `sines`.

    Returns:
        (tokens, heads x size) in the type of the vectors; float32 on the way.
    """
    half = cosines.shape[-1] // 2
    angles = (x[0, :, None, :half] for x in (cosines, sines))
    turned: Tensor = _Rotated.apply(vectors, *angles)  # type: ignore[no-untyped-call]
    return turned


class _Rotated(torch.autograd.Function):
    """With its gradient written out, which is turned back: nothing is kept but the angles."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        ctx.save_for_backward(cosines, sines)
        return _turned(vectors, cosines, sines, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        return _turned(grads[0], cosines, sines, -1), None, None


def _turned(vectors: Tensor, cosines: Tensor, sines: Tensor, sign: int) -> Tensor:
    tokens, half = cosines.shape[0], cosines.shape[-1]
    pairs = vectors.float().view(tokens, -1, 2, half)
    first, second = pairs.unbind(2)
    turned = pairs * cosines[:, :, None]
    turned[:, :, 0].addcmul_(second, sines, value=-sign)
    turned[:, :, 1].addcmul_(first, sines, value=sign)
    return turned.view(tokens, -1).to(vectors.dtype)

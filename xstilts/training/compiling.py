"""The encoder's training passes compiled: few large kernels instead of many small ones.

With the batches of a recipe a GPU computes a kernel faster than Python launches the next, thousands
a step. torch.compile joins them, with sizes left open: a graph serves all batches that have as many
blocks of attention. Prediction, in large batches, stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

MODULES = ("torch._dynamo", "torch._inductor")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled when it is called."""
    return torch.compile(function, dynamic=True)


def reason(error: BaseException) -> str | None:
    """What the compiler says went wrong, in one line; None of any other error."""
    if not type(error).__module__.startswith(MODULES):
        return None
    first, *rest = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Where a part of the compiler is named, what happened there follows.
    return f"{first} {rest[0]}" if first.endswith(":") and rest else first


def forget() -> None:
    """Give up what was compiled, which holds on to a model that is trained no more."""
    torch.compiler.reset()

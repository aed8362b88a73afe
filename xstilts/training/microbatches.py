"""Divide a batch into micro-batches of similar lengths: the same gradient with little padding.

The optimiser still sees the whole batch, drawn at random; its sequences are only computed beside
those of their length. How many parts pay off depends on the cost of a token against that of
another pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from xstilts.kinds.kind import Batch


@dataclass(frozen=True, slots=True)
class Speed:
    """Roughly what a device does: the seconds that a pass costs beside its arithmetic, operations
    and bytes a second. A wrong guess costs a little speed and changes no result."""

    pass_s: float
    flops: float
    bytes_per_s: float


SPEEDS = {"cpu": Speed(1e-2, 5e10, 1e10), "cuda": Speed(1e-2, 3e14, 3e12)}


def pass_tokens(encoder: nn.Module, device: torch.device) -> float:
    """The tokens whose arithmetic takes as long as the overhead of one pass.

    A token costs about six operations a weight, forward and backward. Every pass also fills and
    adds up a dense gradient of the embeddings, which are looked up.
    """
    speed = SPEEDS[device.type]
    embeddings = encoder.get_input_embeddings()  # type: ignore[operator]
    looked_up = sum(int(parameter.numel()) for parameter in embeddings.parameters())
    weights = sum(int(parameter.numel()) for parameter in encoder.parameters()) - looked_up
    overhead_s = speed.pass_s + 3 * 4 * looked_up / speed.bytes_per_s
    return overhead_s * speed.flops / (6.0 * max(weights, 1))


def split(batch: Batch, pass_cost: float) -> list[Batch]:
    """The micro-batches of a batch, those with the longest sequences first.

    Args:
        pass_cost: tokens that another micro-batch must save, see `pass_tokens`.
    """
    lengths = batch.inputs["attention_mask"].sum(1)
    num_rows = len(next(iter(batch.targets.values())))
    # Multiple choice has several sequences a row, which stay together.
    width = len(lengths) // num_rows
    rows = lengths.view(num_rows, width).amax(1)
    order = torch.argsort(rows, descending=True, stable=True)
    ends = partition([width * length for length in rows[order].tolist()], pass_cost)
    if len(ends) == 1:
        return [batch]
    parts = []
    for start, end in pairwise([0, *ends]):
        chosen = order[start:end]
        sequences = (chosen[:, None] * width + torch.arange(width)).flatten()
        longest = int(rows[order[start]])
        inputs = {name: tensor[sequences, :longest] for name, tensor in batch.inputs.items()}
        targets = {
            name: tensor[chosen, :longest] if name in batch.by_token else tensor[chosen]
            for name, tensor in batch.targets.items()
        }
        parts.append(Batch(inputs, targets, batch.by_token))
    return parts


def partition(lengths: Sequence[int], pass_cost: float) -> list[int]:
    """Where to cut falling lengths so that padded tokens plus passes cost the least: the ends."""
    best = [0.0]
    cut = [0]
    for end in range(1, len(lengths) + 1):
        costs = [best[start] + pass_cost + lengths[start] * (end - start) for start in range(end)]
        start = min(range(end), key=costs.__getitem__)
        best.append(costs[start])
        cut.append(start)
    ends = []
    end = len(lengths)
    while end:
        ends.append(end)
        end = cut[end]
    return ends[::-1]

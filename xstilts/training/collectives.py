"""Collectives: the all-reduce of gradients, and the little else that processes tell each other.

The processes that train one stage together compute a share of every batch each (data parallelism).
Gradients go in and come out as their sums over all processes; alone, everything is a no-op, so that
the training loop is written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

BUCKET_BYTES = 2**26
"""The size of a bucket: small gradients are flattened together and summed in one message."""


@dataclass(frozen=True, slots=True)
class Collective:
    """This process's number and how many there are; alone, nothing is sent. `objects` is the group
    over which Python objects go."""

    rank: int = 0
    world: int = 1
    objects: dist.ProcessGroup | None = None

    @property
    def share(self) -> tuple[int, int]:
        """The share of a batch that this process computes."""
        return self.rank, self.world

    def all_reduce(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes; all call it with tensors alike."""
        if self.world == 1:
            return
        bucket: list[Tensor] = []
        size = 0
        for tensor in tensors:
            bucket.append(tensor)
            size += tensor.numel() * tensor.element_size()
            if size >= BUCKET_BYTES:
                _all_reduce(bucket)
                bucket, size = [], 0
        if bucket:
            _all_reduce(bucket)

    def all_gather(self, value: Any) -> list[Any]:
        """The value of every process, in their order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value, group=self.objects)
        return values


ALONE = Collective()


def _all_reduce(tensors: Sequence[Tensor]) -> None:
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    start = 0
    for tensor in tensors:
        end = start + tensor.numel()
        tensor.copy_(flat[start:end].view_as(tensor))
        start = end

"""The gradient of a batch, added up over its micro-batches.

A loss that is a mean over rows is one of micro-batches too. One that compares the rows of a batch
(`xstilts.kinds.kind.Joint`) is not: there gradients are cached (Gao et al. 2021, arXiv 2101.06983).
A first pass without a graph gives all vectors, the loss of them all its gradient by each of them,
and a second pass takes that back to the weights, micro-batch by micro-batch: the gradient of the
whole batch, in the memory of a micro-batch, for one forward pass more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xstilts.files import derive_seed
from xstilts.kinds.kind import Batch, Joint
from xstilts.training.bf16_weights import BF16Weights
from xstilts.training.collectives import Collective
from xstilts.training.dropout import streams
from xstilts.training.feed import Feed
from xstilts.training.heads import reads_all
from xstilts.training.memory import is_out_of_memory
from xstilts.training.micro_batches import MicroBatch, MicroBatcher
from xstilts.training.model import Model


@dataclass(frozen=True, slots=True)
class Prepared:
    """A step's batch, whole and divided: `units` are the losses that its loss is the mean of."""

    batch: Batch
    units: int
    tokens: int
    micro_batches: Sequence[MicroBatch]
    micro_batcher: MicroBatcher


class Accumulation:
    """Adds up the gradient of a stage's batches in the model's parameters.

    Args:
        working: the copies of weights that have gradients of their own.
        precision: that of the encoder.
        seed: of all dropout.
        uses_masks: whether dropout is drawn from a stream for every sequence.
    """

    def __init__(
        self,
        model: Model,
        working: BF16Weights,
        collective: Collective,
        precision: str,
        seed: int,
        uses_masks: bool,
    ):
        self._model, self._working, self._collective = model, working, collective
        self._precision, self._seed, self._uses_masks = precision, seed, uses_masks
        self._device = next(model.parameters()).device
        # Which parameters each task trains; agreed on by all processes in its first step.
        self._trained: dict[str, list[bool]] = {}

    def prepare(self, feed: Feed, number: int, micro_batcher: MicroBatcher) -> Prepared:
        """A batch of a part, by its number."""
        batch = feed.batch(number)
        if reads_all(self._model.heads[feed.task.name]):
            batch = replace(batch, read=None)
        tokens, units = int(batch.inputs["attention_mask"].sum()), feed.kind.num_units(batch)
        divided = self.divide(feed, batch, micro_batcher)
        return Prepared(batch, units, tokens, divided, micro_batcher)

    def divide(self, feed: Feed, batch: Batch, micro_batcher: MicroBatcher) -> list[MicroBatch]:
        """This process's micro-batches, their units counted before they go to the device."""
        return [
            replace(work, batch=replace(work.batch, units=feed.kind.num_units(work.batch)))
            for work in micro_batcher.divide(batch, self._collective.share)
        ]

    def add(self, feed: Feed, prepared: Prepared, micro_batcher: MicroBatcher, step: int) -> Tensor:
        """Add up the gradient of a step's batch; its mean loss (this process's share of it).

        Raises:
            RuntimeError, MemoryError: memory has ended; some of the gradient is there.
        """
        micro_batches = prepared.micro_batches
        if prepared.micro_batcher is not micro_batcher:  # memory ended since it was made
            micro_batches = self.divide(feed, prepared.batch, micro_batcher)
        is_divided = len(micro_batches) > 1 or self._collective.world > 1
        if isinstance(feed.kind, Joint) and is_divided:
            total = self._add_jointly(feed, feed.kind, prepared, micro_batches, step)
        else:
            total = self._add_means(feed, prepared, micro_batches, step)
        if prepared.units and self._collective.world > 1:
            self._fill_gradients(feed.task.name)
        return total

    def _add_means(
        self, feed: Feed, prepared: Prepared, micro_batches: Sequence[MicroBatch], step: int
    ) -> Tensor:
        total = torch.zeros((), device=self._device)
        head = self._model.heads[feed.task.name]
        if not self._uses_masks:
            torch.manual_seed(derive_seed(self._seed, str(step), str(self._collective.rank)))
        for work in self._each(prepared, micro_batches, step):
            hidden = self._model.hidden(work, precision=self._precision)
            mean = feed.kind.loss(head, hidden, work.batch)
            # Weighted by what each has to learn from: the mean of means would weigh rows of short
            # micro-batches more, and results would depend on the memory of the machine.
            share = mean * ((work.batch.units or 0) / prepared.units)
            torch.autograd.backward(share)
            self._working.give_gradients()
            total += share.detach()
        return total

    def _add_jointly(
        self,
        feed: Feed,
        kind: Joint,
        prepared: Prepared,
        micro_batches: Sequence[MicroBatch],
        step: int,
    ) -> Tensor:
        """By cached gradients. Every process takes the loss of the whole batch, so that a row is
        compared with the same others however many processes there are."""
        head, first = self._model.heads[feed.task.name], self._collective.rank == 0

        def passed() -> Iterator[tuple[MicroBatch, Tensor]]:
            """Each micro-batch and its vectors; dropout is the same in both passes."""
            for number, work in enumerate(self._each(prepared, micro_batches, step)):
                if not self._uses_masks:
                    own = str(self._collective.rank), str(number)
                    torch.manual_seed(derive_seed(self._seed, str(step), *own))
                hidden = self._model.hidden(work, precision=self._precision)
                yield work, kind.vectors_of(head, hidden, work.batch)

        with torch.no_grad():
            found = [(work.sequences, vectors.cpu()) for work, vectors in passed()]
        whole = torch.empty(0)
        for places, vectors in (part for own in self._collective.all_gather(found) for part in own):
            if not len(whole):
                whole = vectors.new_empty(
                    len(prepared.batch.inputs["input_ids"]), *vectors.shape[1:]
                )
            whole[torch.from_numpy(places)] = vectors
        whole = whole.to(self._device).requires_grad_()
        loss = kind.joint_loss(head, whole, prepared.batch.to(self._device))
        # What the head has beside the vectors counts once.
        if first:
            torch.autograd.backward(loss)
            gradient = whole.grad
        else:
            (gradient,) = torch.autograd.grad(loss, whole)
        assert gradient is not None
        is_out = False
        try:
            for work, vectors in passed():
                places = torch.from_numpy(work.sequences).to(self._device)
                torch.autograd.backward(vectors, gradient[places])
                self._working.give_gradients()
        except (RuntimeError, MemoryError) as error:
            if self._collective.world == 1 or not is_out_of_memory(error):
                raise
            is_out = True
        # All processes begin a step again together: vectors are gathered anew.
        if any(self._collective.all_gather(is_out)):
            raise MemoryError("out of memory in one of the processes")
        return loss.detach() if first else torch.zeros((), device=self._device)

    def _each(
        self, prepared: Prepared, micro_batches: Sequence[MicroBatch], step: int
    ) -> Iterator[MicroBatch]:
        """The micro-batches that have something to learn from, on the device, while the model drops
        what it is to drop in them."""
        own = []
        if self._uses_masks:
            own = streams(self._seed, step, len(prepared.batch.inputs["input_ids"]))
        for work in micro_batches:
            if not work.batch.units:  # the mean of nothing is not a number
                continue
            if self._uses_masks:
                self._model.masks = work.masks(own, (self._seed, step))
            yield work.to(self._device)
            self._model.masks = None  # they would stay through the dev checks

    def _fill_gradients(self, task: str) -> None:
        """Zeros where this process's share of the batch had nothing to learn from."""
        parameters = list(self._model.parameters())
        if task not in self._trained:
            own = [parameter.grad is not None for parameter in parameters]
            gathered = zip(*self._collective.all_gather(own), strict=True)
            self._trained[task] = [any(column) for column in gathered]
        for parameter, is_trained in zip(parameters, self._trained[task], strict=True):
            if is_trained and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

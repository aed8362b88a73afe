"""The training loop: one for intermediate and target stages, single tasks and mixtures.

AdamW without decay on biases and LayerNorm, linear warm-up and decay, clipped gradients; checks
at equal distances on a fixed sample of every dev set, of which the recipe says what is kept.
Nothing in a step waits for the device. All randomness of a step is a function of the stage's seed
and the step's number, so a stage goes on from a checkpoint as if it had not stopped.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from xstilts.data.batches import numbers_within, schedule
from xstilts.errors import Diverged, Preempted, StageError
from xstilts.files import derive_seed
from xstilts.kinds.kind import Vocabulary
from xstilts.plan.stage import Train
from xstilts.records import Outcome
from xstilts.training.accumulation import Accumulation, Prepared
from xstilts.training.bf16_weights import BF16Weights
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.checkpoint_tensors import fits, restore, tensors_of
from xstilts.training.collectives import ALONE, Collective
from xstilts.training.compiling import reason
from xstilts.training.dev_checks import DevChecks, lowest_losses, mean_losses
from xstilts.training.feed import Feed, PartData
from xstilts.training.kept import Kept
from xstilts.training.l2_sp import penalty_of
from xstilts.training.layers import freeze
from xstilts.training.memory import give_back, is_out_of_memory
from xstilts.training.micro_batches import MicroBatcher
from xstilts.training.model import Model
from xstilts.training.optimizer import (
    build_optimizer,
    check_steps,
    embedding_scale,
    learning_rate,
)
from xstilts.training.outcome import DEFAULTS, Options, State
from xstilts.training.packed.self_attention import kernels_for_any_shape
from xstilts.training.token_embeddings import EmbeddingGradient, EmbeddingRows

logger = logging.getLogger(__name__)

Progress = Callable[[float], None]
"""Called after every step with the share of the stage that is done, 0-1."""

STOP_EVERY = 10
"""Steps after which several processes ask each other whether to stop."""


def train(
    model: Model,
    stage: Train,
    data: Sequence[PartData],
    vocabulary: Vocabulary,
    progress: Progress = lambda share: None,
    *,
    options: Options = DEFAULTS,
    checkpoints: Checkpoints | None = None,
    collective: Collective = ALONE,
) -> Outcome:
    """Train a model in place; at the end it holds the weights that its recipe keeps.

    Raises:
        Diverged: the loss is not finite.
        Preempted: the checkpoints were told to stop; the last one lies on disk.
        StageError: not even one row fits into memory.
    """
    with kernels_for_any_shape():
        return _Training(model, stage, data, vocabulary, options, checkpoints, collective).run(
            progress
        )


class _Training:
    """One stage on its way."""

    def __init__(
        self,
        model: Model,
        stage: Train,
        data: Sequence[PartData],
        vocabulary: Vocabulary,
        options: Options,
        checkpoints: Checkpoints | None,
        collective: Collective,
    ):
        self._started = time.perf_counter()
        self.model = model
        self.stage = stage
        self.device = next(model.parameters()).device
        self.feeds = [
            Feed(part, rows, stage, vocabulary)
            for part, rows in zip(stage.parts, data, strict=True)
        ]
        self.steps = schedule(stage)
        self.numbers = numbers_within(self.steps)
        self.dev_checks = DevChecks(stage, data, vocabulary, collective)
        self.check_after = check_steps(len(self.steps), stage.recipe)
        self.kept = Kept(stage.recipe, len(self.steps), self.check_after)
        self.rows = EmbeddingRows.of(model, data, vocabulary)
        freeze(model.encoder, stage.recipe)
        self.penalty = penalty_of(model, stage, self.rows)
        self.optimizer = build_optimizer(model, stage.recipe)
        # What a CPU computes faster by itself, a compiler would have to leave out.
        by_hand = self.device.type == "cpu" and not options.compiled
        self.embedding_gradient = EmbeddingGradient(
            model.encoder, by_hand, is_shared=collective.world > 1 or self.penalty is not None
        )
        self.working = BF16Weights(model.encoder, stage.precision == "bf16")
        self.checkpoints = checkpoints
        self.collective = collective
        self.micro_batcher = MicroBatcher.of(model.encoder, self.device, stage.precision)
        self.usual_tokens = self.micro_batcher.max_tokens
        if options.max_tokens is not None:
            self.micro_batcher = replace(self.micro_batcher, max_tokens=options.max_tokens)
        uses_masks = by_hand and self.micro_batcher.config is not None
        if options.gradient_checkpointing:
            model.encoder.activation_checkpointing_enable()
        if options.compiled:
            model.compile_training()
        self.state = State(max_tokens=self.micro_batcher.max_tokens)
        self.losses: list[Tensor] = []
        seed = derive_seed(stage.seed, stage.phase, "dropout")
        self.accumulation = Accumulation(
            model, self.working, collective, stage.precision, seed, uses_masks
        )

    def run(self, progress: Progress) -> Outcome:
        self._resume()
        state, recipe = self.state, self.stage.recipe
        self.model.train()
        # One thread makes the next batch while this one is computed.
        with ThreadPoolExecutor(1, "batches") as pool:
            for prepared in self._batches(pool):
                begun = time.perf_counter()
                self._step(prepared)
                state.model_s += time.perf_counter() - begun
                state.step += 1
                state.tokens += prepared.tokens
                if state.step in self.check_after:
                    self._check()
                    give_back(self.device)
                    self.model.train()
                    if recipe.patience and state.checks_since_best >= recipe.patience:
                        break
                progress(state.step / len(self.steps))
                self._checkpoint()
        if self.checkpoints is not None:
            self.checkpoints.wait()  # nothing may be written once the stage is done
        self.working.remove()
        losses = lowest_losses(state.curve, [feed.task.name for feed in self.feeds])
        # Whether it learnt is seen at its end: of many checks the best is above chance by chance.
        last = final = self.dev_checks.whole(self.model, losses)
        if self.kept.put_back(self.model, state):
            final = self.dev_checks.whole(self.model, losses)
        if self.rows is not None:
            scale = embedding_scale(self.model, recipe)
            self.rows.put_back(self.kept.decay(state, scale))
        used = [0] * len(self.feeds)
        for index in self.steps[: state.step]:
            used[index] += 1
        return Outcome(
            dev=final.dev,
            dev_rows=final.dev_rows,
            floor=final.floor,
            curve=state.curve,
            best_step=state.best_step,
            steps=state.step,
            tokens=state.tokens,
            examples={
                feed.task.name: feed.drawn(count)
                for feed, count in zip(self.feeds, used, strict=True)
            },
            model_s=state.model_s,
            wait_s=state.wait_s,
            checkpoint_s=state.checkpoint_s,
            total_s=self._total_s(),
            max_tokens=min(self.collective.all_gather(state.max_tokens)),
            halvings=max(self.collective.all_gather(state.halvings)),
            is_limited=any(self.collective.all_gather(state.max_tokens < self.usual_tokens)),
            collapsed=last.collapsed,
            undecided=last.undecided,
            pivots=final.pivots,
            pivot_rows=final.pivot_rows,
        )

    def _batches(self, pool: ThreadPoolExecutor) -> Iterator[Prepared]:
        """The batches that are left, each made while the one before it is trained."""

        def prepare(step: int) -> Prepared:
            feed = self.feeds[self.steps[step]]
            return self.accumulation.prepare(feed, self.numbers[step], self.micro_batcher)

        first = self.state.step
        coming = pool.submit(prepare, first) if first < len(self.steps) else None
        for step in range(first, len(self.steps)):
            assert coming is not None
            begun = time.perf_counter()
            prepared = coming.result()
            self.state.wait_s += time.perf_counter() - begun
            coming = pool.submit(prepare, step + 1) if step + 1 < len(self.steps) else None
            yield prepared

    def _step(self, prepared: Prepared) -> None:
        """One update; where memory ends, the same update in smaller micro-batches."""
        step = self.state.step
        feed, loss = self.feeds[self.steps[step]], None
        while loss is None:
            try:
                loss = self.accumulation.add(feed, prepared, self.micro_batcher, step)
            except (RuntimeError, MemoryError) as error:
                if why := reason(error):
                    where = f"{self.stage.label}: torch.compile failed"
                    raise StageError(f"{where}: {why}; leave resources.compile out") from error
                if not is_out_of_memory(error):
                    raise
            if loss is None:  # out of the handler, which holds on to the failed pass
                self._halve(prepared)
        # Set for each step, not stepped: a stage that goes on from a checkpoint needs no scheduler.
        rate = learning_rate(self.stage.recipe, step, len(self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.embedding_gradient.fill()
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        self.collective.all_reduce(p.grad for p in parameters if p.grad is not None)
        if self.penalty is not None:
            self.penalty.add_gradient()
            parameters = [p for p in self.model.parameters() if p.grad is not None]
        # After the sum over processes, or each would clip by a norm of its own.
        nn.utils.clip_grad_norm_(parameters, self.stage.recipe.clip_norm, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.working.round()
        self.embedding_gradient.clear()
        self.losses.append(loss)

    def _halve(self, prepared: Prepared) -> None:
        """Smaller micro-batches from now on; the optimiser has seen nothing of the step yet."""
        self.optimizer.zero_grad(set_to_none=True)
        self.working.drop_gradients()
        self.model.masks = None
        longest = int(prepared.batch.inputs["attention_mask"].sum(1).max())
        micro_batches = self.micro_batcher.divide(prepared.batch, self.collective.share)
        if all(work.num_rows == 1 for work in micro_batches):
            raise StageError(
                f"{self.stage.label}: out of memory with one row of {longest} tokens: shorten "
                "max_length, use a smaller model, or set resources.gradient_checkpointing"
            )
        give_back(self.device)
        largest = max(int(work.batch.inputs["attention_mask"].sum()) for work in micro_batches)
        self.state.max_tokens = max(1, min(self.micro_batcher.max_tokens, largest) // 2)
        self.state.halvings += 1
        self.micro_batcher = replace(self.micro_batcher, max_tokens=self.state.max_tokens)
        logger.warning(
            "%s: out of memory; micro-batches of at most %d tokens from here on",
            self.stage.label,
            self.state.max_tokens,
        )

    def _check(self) -> None:
        """Record the mean loss and the dev scores; what is kept is told of them."""
        state = self.state
        losses = torch.stack(self.losses)
        drawn = self.steps[state.step - len(losses) : state.step]
        mean = losses.mean()
        own = mean_losses(losses, drawn, [feed.task.name for feed in self.feeds])
        self.collective.all_reduce([mean, *own.values()])
        loss = float(mean)
        if not math.isfinite(loss):
            raise Diverged(f"{self.stage.label}: the loss is {loss} by step {state.step}")
        value, values = self.dev_checks.sample(self.model)
        point = {"step": float(state.step), "loss": loss}
        point |= {f"loss/{task}": float(value) for task, value in own.items()}
        state.curve.append(point | {f"dev/{task}": score for task, score in values.items()})
        self.losses = []
        self.kept.check(self.model, state, value)

    def _checkpoint(self) -> None:
        """Write one where it is due; the process that was told to stop writes it now."""
        if self.checkpoints is None or self.state.step == len(self.steps):
            return
        # All processes of a stage write, and stop, after the same step.
        if self.collective.world > 1 and self.state.step % STOP_EVERY:
            return
        asked = self.collective.all_gather(
            (self.checkpoints.must_stop(), self.checkpoints.is_due())
        )
        must_stop, is_due = any(stop for stop, _ in asked), asked[0][1]
        if not must_stop and not is_due:
            return
        begun = time.perf_counter()
        tensors = tensors_of(
            self.model, self.optimizer, self.kept.weights, self.losses, self.collective
        )
        if self.collective.rank == 0:
            self.checkpoints.write(tensors, self._plain_state())
            if must_stop:
                self.checkpoints.wait()
        self.state.checkpoint_s += time.perf_counter() - begun
        if must_stop:
            raise Preempted(
                f"{self.stage.label}: stopped after step {self.state.step} of {len(self.steps)}, "
                "with a checkpoint; the same command goes on"
            )

    def _plain_state(self) -> dict[str, Any]:
        values = {name: getattr(self.state, name) for name in State.__slots__}
        return values | {"total_s": self._total_s()}

    def _total_s(self) -> float:
        """Seconds of the stage, those before a checkpoint counted."""
        return self.state.total_s + time.perf_counter() - self._started

    def _resume(self) -> None:
        """Go on from a checkpoint, if there is one that all processes can read."""
        found = self.checkpoints.read() if self.checkpoints is not None else None
        if found is not None and not fits(self.model, found[0]):
            logger.warning(
                "%s: skipped, the stage begins anew: its tensors are not the model's",
                self.checkpoints.path if self.checkpoints else "",
            )
            found = None
        steps = self.collective.all_gather(found[1]["step"] if found else None)
        if found is None or len(set(steps)) > 1:
            return
        tensors, values = found
        self.state = State(**values)
        self.micro_batcher = replace(self.micro_batcher, max_tokens=self.state.max_tokens)
        self.kept.weights, self.losses = restore(
            tensors, self.model, self.optimizer, self.collective
        )
        self.working.round()
        logger.info("%s: goes on after step %d", self.stage.label, self.state.step)

"""The training loop: one for intermediate and target stages, single tasks and mixtures.

AdamW without decay on biases and LayerNorm, linear warm-up and decay, clipped gradients; checks
at equal distances on a fixed sample of every dev set; the best check is kept. Nothing in a step
reads from the device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from xstilts import kinds
from xstilts.config.recipe import StageRecipe
from xstilts.data.batches import batches, example_order, generator, schedule
from xstilts.errors import Diverged
from xstilts.files import derive_seed
from xstilts.kinds.kind import Batch, Encoded, Vocabulary
from xstilts.plan.mixture import allocate
from xstilts.plan.stage import Part, Train
from xstilts.tasks import Task
from xstilts.training.microbatches import pass_tokens, split
from xstilts.training.model import Model
from xstilts.training.predict import autocast, main_score, predict

Progress = Callable[[float], None]
"""Called now and then with the share of the stage that is done, 0-1."""


@dataclass(frozen=True, slots=True)
class PartData:
    """A part's encoded rows: training rows by language in the part's order, dev rows."""

    train: Sequence[Encoded]
    dev: Encoded | None


@dataclass(slots=True)
class Outcome:
    """What a stage reports besides its weights; times in seconds. `examples` are those that were
    drawn, by task and language: a stage that runs out of patience draws fewer than planned."""

    dev: dict[str, dict[str, float]]
    dev_rows: dict[str, int]
    floor: dict[str, float]
    curve: list[dict[str, float]]
    best_step: int
    steps: int
    tokens: int
    examples: dict[str, dict[str, int]]
    model_s: float
    total_s: float = 0.0
    collapsed: list[str] = field(default_factory=list)


class Feed:
    """Serves one part's batches in their order."""

    def __init__(self, part: Part, data: PartData, stage: Train, vocabulary: Vocabulary):
        self.task: Task = part.train.entry
        self.kind = kinds.get(self.task.kind)
        self._vocabulary = vocabulary
        self._features = pa.concat_tables([encoded.features for encoded in data.train])
        self._windows = _windows(data.train)
        self._languages = [language for language, _ in part.train.rows]
        self._ends = np.cumsum([count for _, count in part.train.rows])
        self.drawn = dict.fromkeys(self._languages, 0)
        order = example_order(part, stage.seed, stage.phase)
        self._batches = batches(order, part.batch_size)
        self._random = generator(stage.seed, stage.phase, "mask", self.task.name)

    def next(self) -> tuple[Batch, int]:
        """The next batch and its number of real tokens."""
        rows = next(self._batches)
        for i in np.searchsorted(self._ends, rows, side="right").tolist():
            self.drawn[self._languages[i]] += 1
        positions = np.concatenate([self._windows[row] for row in rows])
        columns = self._features.take(positions).to_pydict()
        batch = self.kind.collate(columns, self._vocabulary, self._random)
        return batch, int(batch.inputs["attention_mask"].sum())


def train(
    model: Model,
    stage: Train,
    data: Sequence[PartData],
    vocabulary: Vocabulary,
    progress: Progress = lambda share: None,
) -> Outcome:
    """Train a model in place; at the end it holds the weights of its best check.

    Raises:
        Diverged: the loss is not finite.
    """
    started = time.perf_counter()
    device = next(model.parameters()).device
    feeds = [
        Feed(part, rows, stage, vocabulary) for part, rows in zip(stage.parts, data, strict=True)
    ]
    steps = schedule(stage)
    optimizer = build_optimizer(model, stage.recipe)
    pass_cost = pass_tokens(model.encoder, device)
    recipe = stage.recipe
    warmup = recipe.warmup_steps or round(len(steps) * recipe.warmup_ratio)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, linear_schedule(len(steps), warmup))
    check_after = check_steps(len(steps), recipe)
    samples = [
        dev_sample(stage, part, rows.dev.examples) if part.dev and rows.dev else []
        for part, rows in zip(stage.parts, data, strict=True)
    ]
    torch.manual_seed(derive_seed(stage.seed, stage.phase, "dropout"))
    best_value, best_step, best_state, checks_since_best = -math.inf, 0, None, 0
    curve: list[dict[str, float]] = []
    losses: list[Tensor] = []
    tokens, model_s = 0, 0.0
    model.train()
    for step, index in enumerate(steps, start=1):
        feed = feeds[index]
        batch, num_tokens = feed.next()
        # Counted before the batch goes to the device, which a step never waits for.
        parts = [(part, feed.kind.num_units(part)) for part in split(batch, pass_cost)]
        num_units = max(1, sum(units for _, units in parts))
        begun = time.perf_counter()
        loss = torch.zeros((), device=device)
        for part, units in parts:
            if not units:  # the mean of nothing is not a number
                continue
            part = part.to(device)
            with autocast(device, stage.precision):
                hidden = model.hidden(part.inputs)
                mean = feed.kind.loss(model.heads[feed.task.name], hidden, part)
            share = mean * (units / num_units)
            share.backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
        nn.utils.clip_grad_norm_(model.parameters(), stage.recipe.clip_norm, foreach=True)
        optimizer.step()
        rates.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss)
        tokens += num_tokens
        model_s += time.perf_counter() - begun
        if step in check_after:
            value = _check(model, stage, data, samples, vocabulary, losses, step, curve)
            checks_since_best += 1
            if value is None or value > best_value or recipe.keep == "last":
                best_value = -math.inf if value is None else value
                best_step, best_state, checks_since_best = step, _snapshot(model), 0
            losses = []
            model.train()
            if recipe.patience and checks_since_best >= recipe.patience:
                break
        if step % 10 == 0 or step == len(steps):
            progress(step / len(steps))
    if best_state is not None:
        model.load_state_dict(best_state)
    outcome = Outcome(
        dev={},
        dev_rows={},
        floor={},
        curve=curve,
        best_step=best_step,
        steps=step,
        tokens=tokens,
        examples={feed.task.name: feed.drawn for feed in feeds},
        model_s=model_s,
    )
    _score_dev(model, stage, data, vocabulary, outcome)
    outcome.total_s = time.perf_counter() - started
    return outcome


def build_optimizer(model: nn.Module, recipe: StageRecipe) -> torch.optim.AdamW:
    """AdamW; biases and normalisation weights do not decay."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        (decayed if parameter.dim() > 1 else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, eps=recipe.adam_epsilon, fused=True)


def linear_schedule(num_steps: int, warmup: int) -> Callable[[int], float]:
    """The factor of the peak learning rate at a step counted from 0: up, then down to 0."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return max(0.0, (num_steps - step) / max(1, num_steps - warmup))

    return factor


def check_steps(num_steps: int, recipe: StageRecipe) -> frozenset[int]:
    """The steps, counted from 1, after which a stage is checked; the last is among them."""
    if recipe.check_every:
        return frozenset([*range(recipe.check_every, num_steps, recipe.check_every), num_steps])
    return frozenset(math.ceil(num_steps * (i + 1) / recipe.checks) for i in range(recipe.checks))


def dev_sample(stage: Train, part: Part, examples: pa.Table) -> list[int]:
    """The dev examples of the checks: the same at every check and in every trial of a seed.

    A stratified sample has as large a share of each label as the whole set; where examples have
    no single label it is drawn from all.
    """
    assert part.dev is not None
    size = min(stage.recipe.dev_examples, examples.num_rows)
    if stage.recipe.dev_sample == "first":
        return list(range(size))
    order = generator(stage.seed, stage.phase, "dev", part.dev.task).permutation(examples.num_rows)
    has_label = "label" in examples.column_names
    labels = examples["label"].to_pylist() if has_label else [None] * examples.num_rows
    strata: dict[Any, list[int]] = {}
    for position in order.tolist():
        strata.setdefault(labels[position], []).append(position)
    # In an order that the draw does not change.
    ranked = sorted(strata.items(), key=lambda pair: str(pair[0]))
    counts = allocate(size, [len(positions) for _, positions in ranked])
    chosen = zip(ranked, counts, strict=True)
    return sorted(i for (_, positions), count in chosen for i in positions[:count])


def _check(
    model: Model,
    stage: Train,
    data: Sequence[PartData],
    samples: Sequence[Sequence[int]],
    vocabulary: Vocabulary,
    losses: list[Tensor],
    step: int,
    curve: list[dict[str, float]],
) -> float | None:
    """Record the mean loss and the dev scores; the mean over tasks, None without a dev set."""
    loss = float(torch.stack(losses).mean())
    if not math.isfinite(loss):
        raise Diverged(f"{stage.label}: the loss is {loss} by step {step}")
    point = {"step": float(step), "loss": loss}
    values = []
    for part, rows, sample in zip(stage.parts, data, samples, strict=True):
        if part.dev is None or rows.dev is None:
            continue
        task = part.dev.entry
        predictions, chosen = predict(
            model, rows.dev, task, vocabulary, precision=stage.precision, rows=sample
        )
        kind = kinds.get(task.kind)
        scores = kind.score(predictions, chosen.examples, task, task.train_language)
        values.append(main_score(scores, task))
        point[f"dev/{task.name}"] = values[-1]
    curve.append(point)
    return fmean(values) if values else None


def _score_dev(
    model: Model,
    stage: Train,
    data: Sequence[PartData],
    vocabulary: Vocabulary,
    outcome: Outcome,
) -> None:
    """Score the full dev set of every part once, and what a constant prediction would get."""
    for part, rows in zip(stage.parts, data, strict=True):
        if part.dev is None or rows.dev is None:
            continue
        task = part.dev.entry
        kind = kinds.get(task.kind)
        predictions, encoded = predict(model, rows.dev, task, vocabulary, precision=stage.precision)
        language = task.train_language
        scores = kind.score(predictions, encoded.examples, task, language)
        constant = kind.constant(encoded.examples, task)
        floor = main_score(kind.score(constant, encoded.examples, task, language), task)
        outcome.dev[task.name] = scores
        outcome.dev_rows[task.name] = encoded.examples.num_rows
        outcome.floor[task.name] = floor
        # Where a constant is nearly right, the margin is half of what is left.
        if main_score(scores, task) < floor + min(COLLAPSE_MARGIN, (100 - floor) / 2):
            outcome.collapsed.append(task.name)


COLLAPSE_MARGIN = 10.0
"""Points over the best constant prediction below which a stage has not learnt its task."""


def _snapshot(model: nn.Module) -> Mapping[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _windows(encoded: Sequence[Encoded]) -> list[np.ndarray]:
    """The positions of every example's features in the joined tables."""
    windows: list[np.ndarray] = []
    offset = 0
    for rows in encoded:
        owners = rows.features["example"].to_numpy()
        order = np.argsort(owners, kind="stable")
        counts = np.bincount(owners, minlength=rows.examples.num_rows)
        windows += np.split(offset + order, np.cumsum(counts)[:-1])
        offset += rows.features.num_rows
    return windows

"""Gradients of batches whose rows are compared with each other: cached, they are the batch's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from xstilts.training.accumulation import Accumulation, Prepared
from xstilts.training.bf16_weights import BF16Weights
from xstilts.training.collectives import ALONE
from xstilts.training.feed import Feed
from xstilts.training.heads import shape
from xstilts.training.micro_batches import MicroBatcher
from xstilts.training.model import Model

Toy = Any  # of conftest.py, which tests cannot import


@pytest.fixture
def stage(toy: Toy) -> Any:
    toy.task("finder", "dual_encoder")
    return toy.stage("finder", batch_size=24, dev_rows=0)


def gradients(
    toy: Toy, stage: Any, max_tokens: int, dtype: torch.dtype = torch.float32
) -> tuple[Prepared, float, dict[str, Tensor]]:
    """Of the first batch, in micro-batches of at most so many tokens."""
    model: Model = toy.model(stage).to(dtype).train()
    for head in model.heads.values():
        shape(head, stage.recipe)
    feed = Feed(stage.parts[0], toy.data(stage)[0], stage, toy.vocabulary)
    micro_batcher = replace(
        MicroBatcher.of(model.encoder, torch.device("cpu")), max_tokens=max_tokens
    )
    working = BF16Weights(model.encoder, False)
    accumulation = Accumulation(model, working, ALONE, "fp32", 7, True)
    prepared = accumulation.prepare(feed, 0, micro_batcher)
    loss = accumulation.add(feed, prepared, micro_batcher, 0)
    found = {
        name: parameter.grad.to_dense()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return prepared, float(loss), found


def farthest(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The largest difference of two gradients."""
    assert found.keys() == exact.keys()
    return max(float((found[name] - own).abs().max()) for name, own in exact.items())


@pytest.mark.parametrize(
    "recipe",
    [{}, {"pooling": "mean"}, {"pooling": "first"}, {"negatives": 3}, {"false_negatives": False}],
    ids=str,
)
def test_cached_gradients_are_those_of_the_whole_batch(
    toy: Toy, stage: Any, recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout: the second pass loses what the first lost, and what one pass would. In float64
    they agree to 1e-10; in float32 they are no farther from those of float64 than the whole batch's
    own are, but for the order of sums."""
    stage = replace(stage, recipe=replace(stage.recipe, **recipe))
    whole, loss, expected = gradients(toy, stage, 10**6)
    parts, same, got = gradients(toy, stage, 60)
    assert len(whole.micro_batches) == 1 and len(parts.micro_batches) > 3
    assert same == pytest.approx(loss, rel=1e-6)
    assert got.keys() == expected.keys() and "heads.finder.scale" in got
    assert all(gradient.any() for gradient in expected.values())
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # heads read states as float32
    _, _, exact = gradients(toy, stage, 10**6, torch.float64)
    _, _, again = gradients(toy, stage, 60, torch.float64)
    assert exact["heads.finder.scale"].dtype == torch.float64
    assert farthest(again, exact) < 1e-10
    rounding = farthest(expected, exact)
    assert rounding > 0
    assert farthest(got, exact) < 2 * rounding


def test_a_mean_of_the_parts_losses_would_be_another(toy: Toy, stage: Any) -> None:
    """What the kind of a batch's loss decides: in parts alone a row has fewer negatives."""
    _, loss, _ = gradients(toy, stage, 10**6)
    _, fewer, _ = gradients(toy, replace(stage, recipe=replace(stage.recipe, negatives=3)), 10**6)
    assert fewer < loss - 0.5


def test_both_passes_drop_alike_where_dropout_is_torchs(toy: Toy, stage: Any) -> None:
    """The gradient is that of the loss that was computed: a small step along it says so."""
    model: Model = toy.model(stage).train()
    feed = Feed(stage.parts[0], toy.data(stage)[0], stage, toy.vocabulary)
    micro_batcher = replace(MicroBatcher.of(model.encoder, torch.device("cpu")), max_tokens=60)
    working = BF16Weights(model.encoder, False)
    accumulation = Accumulation(model, working, ALONE, "fp32", 7, False)
    prepared = accumulation.prepare(feed, 0, micro_batcher)
    before = float(accumulation.add(feed, prepared, micro_batcher, 0))
    moved = [p for p in model.parameters() if p.grad is not None]
    squared = sum(float(p.grad.to_dense().square().sum()) for p in moved)
    rate = 1e-3 / squared
    with torch.no_grad():
        for parameter in moved:
            parameter -= rate * parameter.grad.to_dense()
    after = float(accumulation.add(feed, prepared, micro_batcher, 0))
    assert before - after == pytest.approx(1e-3, rel=0.1)

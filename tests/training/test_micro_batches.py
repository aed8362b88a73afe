"""Passes: the same gradient however a batch is divided, hardly any padding, no lost row."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from xstilts import kinds
from xstilts.kinds.kind import IGNORED, Batch, Encoded, Vocabulary
from xstilts.tasks import Source, Task
from xstilts.training.dropout import Dropout, streams
from xstilts.training.feed import Feed, PartData
from xstilts.training.loop import train
from xstilts.training.micro_batches import MicroBatch, MicroBatcher, overhead_tokens
from xstilts.training.model import Model
from xstilts.training.outcome import Options
from xstilts.training.packed.layout import partition

Toy = Any  # of conftest.py, which tests cannot import

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("lengths", "cost", "expected"),
    [
        ([10, 10, 10], 1, [3]),
        ([100, 10, 10], 1, [1, 3]),
        ([100, 10, 10], 1000, [3]),
        ([90, 88, 40, 39, 12, 12], 5, [2, 4, 6]),
        ([7], 1, [1]),
        ([], 1, []),
    ],
)
def test_cuts_cost_the_least(lengths: list[int], cost: float, expected: list[int]) -> None:
    assert partition(lengths, cost) == expected


def test_no_other_cuts_cost_less() -> None:
    random = torch.Generator().manual_seed(0)
    lengths = sorted(torch.randint(3, 80, (9,), generator=random).tolist(), reverse=True)

    def cost(ends: list[int]) -> float:
        return sum(20 + lengths[a] * (b - a) for a, b in pairwise([0, *ends]))

    every = [[*(i for i in range(1, 9) if mask >> i & 1), 9] for mask in range(0, 2**9, 2)]
    assert cost(partition(lengths, 20)) == min(map(cost, every))


def gradients(
    model: Model, feed: Feed, batch: Batch, passes: list[MicroBatch], dropout: bool
) -> list[torch.Tensor]:
    """Of the batch's mean loss, pass by pass, as the loop has it."""
    model.train(dropout)
    model.zero_grad()
    own = streams(7, 3, len(batch.inputs["input_ids"]))
    units = feed.kind.num_units(batch)
    for work in passes:
        model.masks = None
        if dropout:
            model.masks = work.masks(own)
        loss = feed.kind.loss(model.heads["toy_x"], model.hidden(work), work.batch)
        (loss * feed.kind.num_units(work.batch) / units).backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("kind", ["pair", "tagging", "mlm"])
def test_however_divided_the_gradient_is_the_batchs(toy: Toy, kind: str, dropout: bool) -> None:
    """Packed, in small passes, dealt among processes, with the same units dropped; and without
    packing."""
    toy.task("toy_x", kind)
    stage = toy.stage("toy_x", batch_size=24)
    model = toy.model(stage)
    for module in model.modules():
        if isinstance(module, Dropout):  # attention weights among them
            module.p = 0.1
    (data,) = toy.data(stage)
    feed = Feed(stage.parts[0], data, stage, toy.vocabulary)
    batch = feed.batch(0)
    packed = MicroBatcher.of(model.encoder, CPU)
    whole = gradients(model, feed, batch, [packed.whole(batch)], dropout)
    assert len(packed.divide(batch)) == 1
    small = replace(packed, max_tokens=40)
    assert len(small.divide(batch)) > 2
    dealt = [work for rank in range(3) for work in packed.divide(batch, (rank, 3))]
    ways = [small.divide(batch), dealt]
    if not dropout:
        padded = replace(packed, config=None, overhead=2.0)
        assert len(padded.divide(batch)) > 1
        ways += [padded.divide(batch), [padded.whole(batch)]]
    for passes in ways:
        places = np.concatenate([work.sequences for work in passes])
        assert sorted(places) == list(range(24))
        for one, other in zip(whole, gradients(model, feed, batch, passes, dropout), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_micro_batches_have_hardly_any_padding(toy: Toy) -> None:
    toy.task("toy_x")
    stage = toy.stage("toy_x", batch_size=24)
    (data,) = toy.data(stage)
    batch = Feed(stage.parts[0], data, stage, toy.vocabulary).batch(0)
    tokens = int(batch.inputs["attention_mask"].sum())
    passes = MicroBatcher(None, "cpu", 2.0, 10_000).divide(batch)
    assert sum(int(work.batch.inputs["attention_mask"].sum()) for work in passes) == tokens
    padded = sum(work.inputs["input_ids"].numel() for work in passes)
    assert padded <= 1.1 * tokens < batch.inputs["input_ids"].numel()


@pytest.mark.parametrize("max_tokens", [1, 9, 30, 100])
@pytest.mark.parametrize("is_packed", [True, False])
def test_passes_are_as_small_as_memory_wants(toy: Toy, max_tokens: int, is_packed: bool) -> None:
    """But a row is never cut."""
    toy.task("toy_x")
    stage = toy.stage("toy_x", batch_size=24)
    model = toy.model(stage)
    (data,) = toy.data(stage)
    batch = Feed(stage.parts[0], data, stage, toy.vocabulary).batch(0)
    micro_batcher = replace(MicroBatcher.of(model.encoder, CPU), max_tokens=max_tokens)
    if not is_packed:
        micro_batcher = replace(micro_batcher, config=None)
    passes = micro_batcher.divide(batch)
    assert sum(len(work.sequences) for work in passes) == 24
    for work in passes:
        assert len(work.sequences) == 1 or work.inputs["input_ids"].numel() <= max_tokens


def test_choices_of_a_row_stay_together(tiny_tokenizer: Any, texts: Any) -> None:
    task = Task("toy", "choice", Source("toy/toy"), ("en",), {}, ("accuracy",))
    long = " ".join(texts["en"][:2])
    rows = {
        "prompt": ["a", long, "b", long],
        "choices": [["x", "y", "z"], ["x", long, "z"], ["u", "v", "w"], [long, "y", "z"]],
        "label": [0, 1, 2, 0],
    }
    kind = kinds.get("choice")
    encoded = kind.encode(rows, task, tiny_tokenizer, 96)
    vocabulary = Vocabulary.of(tiny_tokenizer)
    columns = encoded.features.to_pydict()
    batch = kind.collate(columns, vocabulary, np.random.default_rng(0))
    first, second = (work.batch for work in MicroBatcher(None, "cpu", 10.0, 10_000).divide(batch))
    assert first.targets["label"].tolist() == [1, 0] and second.targets["label"].tolist() == [0, 2]
    assert second.inputs["input_ids"].shape[0] == 6
    assert second.inputs["input_ids"].shape[1] < first.inputs["input_ids"].shape[1]
    expected = [ids for group in columns["input_ids"][0::2] for ids in group]
    for got, ids in zip(second.inputs["input_ids"].tolist(), expected, strict=True):
        assert got[: len(ids)] == ids


def test_a_pass_without_any_label_takes_no_part(toy: Toy) -> None:
    toy.task("toy_x", "tagging")
    stage = toy.stage("toy_x", examples=16, batch_size=16, checks=1, dev_rows=0)
    (data,) = toy.data(stage)
    lengths = [len(ids) for ids in data.train[0].features["input_ids"].to_pylist()]
    blank = [[IGNORED] if length > 4 else [0] for length in lengths]
    features = data.train[0].features
    index = features.schema.get_field_index("labels")
    rows = Encoded(features.set_column(index, "labels", [blank]), data.train[0].examples)
    model = toy.model(stage)
    before = model.heads["toy_x"].output.weight.detach().clone()
    outcome = train(
        model, stage, [PartData([rows], None)], toy.vocabulary, options=Options(max_tokens=12)
    )
    assert np.isfinite(outcome.curve[-1]["loss"])
    assert not before.equal(model.heads["toy_x"].output.weight)


def test_an_overhead_is_worth_more_tokens_of_a_small_model(toy: Toy) -> None:
    toy.task("toy_x")
    model = toy.model(toy.stage("toy_x"))
    encoder = model.encoder
    weights = sum(p.numel() for p in encoder.parameters())
    assert overhead_tokens(encoder, CPU) > 1e-2 * 5e10 / (6 * weights)
    assert overhead_tokens(encoder, torch.device("cuda")) > overhead_tokens(encoder, CPU)

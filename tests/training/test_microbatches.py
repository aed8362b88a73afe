"""Micro-batches: the same gradient, hardly any padding, as many passes as pay off."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from xstilts import kinds
from xstilts.kinds.kind import IGNORED, Batch, Encoded
from xstilts.training import loop
from xstilts.training.loop import Feed, PartData
from xstilts.training.microbatches import partition, pass_tokens, split

Toy = Any  # of conftest.py, which tests cannot import


@pytest.mark.parametrize(
    ("lengths", "cost", "expected"),
    [
        ([10, 10, 10], 1, [3]),
        ([100, 10, 10], 1, [1, 3]),
        ([100, 10, 10], 1000, [3]),
        ([90, 88, 40, 39, 12, 12], 5, [2, 4, 6]),
        ([7], 1, [1]),
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


@pytest.mark.parametrize("kind", ["pair", "tagging", "mlm"])
def test_the_gradient_is_that_of_the_whole_batch(toy: Toy, kind: str) -> None:
    toy.task("toy_x", kind)
    stage = toy.stage("toy_x", batch_size=24)
    model = toy.model(stage)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    (data,) = toy.data(stage)
    feed = Feed(stage.parts[0], data, stage, toy.vocabulary)
    batch, num_tokens = feed.next()
    parts = split(batch, 2.0)
    assert len(parts) > 1
    assert sum(int(part.inputs["attention_mask"].sum()) for part in parts) == num_tokens
    padded = sum(part.inputs["input_ids"].numel() for part in parts)
    assert padded <= 1.1 * num_tokens < batch.inputs["input_ids"].numel()

    def gradients(batches: list[Batch]) -> list[torch.Tensor]:
        model.zero_grad()
        units = [feed.kind.num_units(part) for part in batches]
        for part, count in zip(batches, units, strict=True):
            loss = feed.kind.loss(model.heads["toy_x"], model.hidden(part.inputs), part)
            (loss * count / sum(units)).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    for whole, divided in zip(gradients([batch]), gradients(parts), strict=True):
        assert torch.allclose(whole, divided, atol=1e-5)


def test_choices_of_a_row_stay_together(tiny_tokenizer: Any, texts: Any) -> None:
    import numpy as np

    from xstilts.kinds.kind import Vocabulary
    from xstilts.tasks import Source, Task

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
    first, second = split(batch, 10.0)
    assert first.targets["label"].tolist() == [1, 0] and second.targets["label"].tolist() == [0, 2]
    assert second.inputs["input_ids"].shape[0] == 6
    assert second.inputs["input_ids"].shape[1] < first.inputs["input_ids"].shape[1]
    expected = [ids for group in columns["input_ids"][0::2] for ids in group]
    for got, ids in zip(second.inputs["input_ids"].tolist(), expected, strict=True):
        assert got[: len(ids)] == ids


def test_a_larger_model_makes_another_pass_worth_less(toy: Toy) -> None:
    toy.task("toy_x", "pair")
    encoder = toy.model(toy.stage("toy_x")).encoder
    cpu, gpu = (pass_tokens(encoder, torch.device(name)) for name in ("cpu", "cuda"))
    assert 0 < cpu < gpu


def test_rows_without_a_label_leave_the_weights_finite(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A micro-batch of such rows alone has no loss, and takes no part."""
    toy.task("toy_x", "pair")
    original = toy.rows("pair", 128, seed=0)
    labels = original.features["label"].to_pylist()
    lengths = [len(ids) for ids in original.features["input_ids"].to_pylist()]
    kept = [IGNORED if n > 6 else label for n, label in zip(lengths, labels, strict=True)]
    index = original.features.schema.get_field_index("label")
    features = original.features.set_column(index, "label", [kept])
    stage = toy.stage("toy_x", examples=64)
    data = [PartData([Encoded(features, original.examples)], toy.data(stage)[0].dev)]
    monkeypatch.setattr(loop, "pass_tokens", lambda *_: 1.0)
    model = toy.model(stage)
    loop.train(model, stage, data, toy.vocabulary)
    assert all(parameter.isfinite().all() for parameter in model.parameters())

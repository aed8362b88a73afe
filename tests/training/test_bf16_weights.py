"""Weights rounded once a step: training in bfloat16 as autocast computes it, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from xstilts.errors import Preempted
from xstilts.training import loop
from xstilts.training.accumulation import Accumulation
from xstilts.training.bf16_weights import BF16Weights
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.loop import train
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import Model, load_encoder
from xstilts.training.outcome import Options
from xstilts.training.packed import self_attention

Toy = Any  # of conftest.py, which tests cannot import


class Unused(BF16Weights):
    """Leaves it to autocast."""

    def __init__(self, encoder: Any, is_used: bool):
        super().__init__(encoder, False)


def weights(model: Model) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


@pytest.fixture
def stage(toy: Toy) -> Any:
    for name, kind in (("first", "pair"), ("second", "tagging"), ("third", "mlm")):
        toy.task(name, kind)
    return toy.stage("first", "second", "third", examples=80, precision="bf16")


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("options", [{}, {"max_tokens": 40}, {"gradient_checkpointing": True}])
def test_it_trains_to_the_bits_of_autocast(
    toy: Toy, stage: Any, options: dict[str, Any], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one pass a step and in several, over a mixture with masked-language modelling; with the
    attention of a CPU and that of a GPU, whose dropout is torch's."""
    products: list[Any] = []
    if device == "gpu":
        monkeypatch.setattr(self_attention, "by_hand", lambda *_: False)
        project = self_attention._projection

        def watched(module: Any) -> tuple[torch.Tensor, torch.Tensor]:
            products.append(getattr(module, "working", None) if module.training else None)
            return project(module)

        monkeypatch.setattr(self_attention, "_projection", watched)

    def trained() -> tuple[Model, list[dict[str, float]]]:
        torch.manual_seed(0)
        model = toy.model(stage)
        outcome = train(model, stage, toy.data(stage), toy.vocabulary, options=Options(**options))
        return model, outcome.curve

    model, curve = trained()
    used = [product for product in products if product is not None]
    assert bool(used) == (device == "gpu") and all(len(bias) == 96 for _, bias in used)
    monkeypatch.setattr(loop, "BF16Weights", Unused)
    plain, expected = trained()
    assert weights(model).equal(weights(plain)) and curve == expected
    # Nothing is left of them.
    assert not [layer for layer in model.modules() if hasattr(layer, "working")]


@pytest.mark.parametrize("name", ["modernbert", "eurobert", "gte"])
def test_families_of_one_product_and_without_biases_have_them_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The states and gradients of a training pass, as autocast has them."""
    monkeypatch.setattr(self_attention, "by_hand", lambda *_: False)
    sizes = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 1}
    own = {"num_key_value_heads": 2} if name == "eurobert" else {}
    config = AutoConfig.for_model(
        name, **sizes, **own, num_attention_heads=4, intermediate_size=40, hidden_dropout_prob=0.0
    )
    torch.manual_seed(0)
    encoder = AutoModel.from_config(config)
    model = Model(encoder, {}).train()
    ids = torch.arange(5, 65).view(4, 15)
    work = one_micro_batch(encoder, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    found = []
    for is_used in (False, True):
        encoder.zero_grad()
        working = BF16Weights(encoder, is_used)
        attention = encoder.layers[0].attn if name == "modernbert" else encoder.layers[0].self_attn
        assert hasattr(attention, "working") == is_used
        working.round()
        hidden = model.hidden(work, precision="bf16")
        hidden.pow(2).mean().backward()
        working.give_gradients()
        working.remove()
        found.append((hidden, *(p.grad for p in encoder.parameters() if p.grad is not None)))
    assert all(one.equal(other) for one, other in zip(*found, strict=True))


def test_it_goes_on_to_the_same_bits(toy: Toy, stage: Any, tmp_path: Path) -> None:
    def trained(checkpoints: Checkpoints | None = None) -> torch.Tensor:
        model = toy.model(stage)
        train(model, stage, toy.data(stage), toy.vocabulary, checkpoints=checkpoints)
        return weights(model)

    whole = trained()
    path, asked = tmp_path / "checkpoint", iter([False] * 6)
    with pytest.raises(Preempted, match="after step 7 of 15"):
        trained(Checkpoints(path, "stage", 1e9, lambda: next(asked, True)))
    assert trained(Checkpoints(path, "stage", 1e9)).equal(whole)


def test_a_pass_that_failed_leaves_no_gradient(
    toy: Toy, stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory ends behind the backward pass, before its gradients are given: the step begins anew,
    in smaller passes."""
    give, calls = BF16Weights.give_gradients, []

    def failing(self: BF16Weights) -> None:
        calls.append(self)
        if len(calls) == 5:
            raise MemoryError
        give(self)

    add, clean = Accumulation.add, []

    def watched(self: Any, *arguments: Any) -> torch.Tensor:
        clean.append(all(copied.grad is None for copied, _ in self._working._copies))
        return add(self, *arguments)

    monkeypatch.setattr(Accumulation, "add", watched)
    monkeypatch.setattr(BF16Weights, "give_gradients", failing)
    model = toy.model(stage)
    outcome = train(model, stage, toy.data(stage), toy.vocabulary)
    assert outcome.halvings == 1
    assert len(clean) == outcome.steps + 1 and all(clean)


def test_evaluation_takes_the_weights_themselves(tiny_model: Path) -> None:
    encoder = load_encoder(tiny_model)
    working = BF16Weights(encoder, True)
    layer = encoder.encoder.layer[0].output.dense
    values = torch.randn(2, layer.in_features)
    bias = layer.bias.expand(2, -1)
    with torch.no_grad():
        layer.weight.zero_()
        assert layer.eval()(values).equal(bias)
        assert not layer.train()(values.bfloat16()).float().allclose(bias, atol=1e-2)
        working.round()
        assert layer(values.bfloat16()).equal(bias.bfloat16())

"""Rotary families packed: windows as transformers has them, shared keys, dropout, every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from xstilts.kinds.kind import Batch
from xstilts.training.dropout import streams
from xstilts.training.loop import train
from xstilts.training.micro_batches import MicroBatcher, one_micro_batch
from xstilts.training.model import Model
from xstilts.training.outcome import Options
from xstilts.training.packed import layout as layout_module
from xstilts.training.packed import self_attention as attention_module
from xstilts.training.packed.rotary import rotate

Toy = Any  # of conftest.py, which tests cannot import

SIZES = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
OWN: dict[str, dict[str, Any]] = {
    "ModernBert": {"local_attention": 16, "attention_dropout": 0.2, "mlp_dropout": 0.1},
    "EuroBert": {"num_key_value_heads": 2, "attention_dropout": 0.2},
    "Gte": {"attention_probs_dropout_prob": 0.2},
}
CPU = torch.device("cpu")


def build(family: str, **keys: Any) -> Any:
    """A random encoder of a family."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES | OWN[family] | keys)
    return transformers.AutoModel.from_config(config)


def inputs_of(lengths: list[int]) -> dict[str, torch.Tensor]:
    """Padded rows of random ids."""
    random = torch.Generator().manual_seed(1)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(4, 400, mask.shape, generator=random)
    return {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("attention", ["own", "fused"])
@pytest.mark.parametrize("local", [2, 16, 17, 126, 128])
def test_a_window_is_transformers_own(
    local: int, attention: str, implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In lengths around its edges, and where no text lies in the window of what is padding."""
    monkeypatch.setitem(layout_module.BUCKET_COSTS, "cpu", 400.0)
    if attention == "fused":
        monkeypatch.setattr(attention_module, "by_hand", lambda *_: False)
    half = local // 2
    encoder = build("ModernBert", local_attention=local, attn_implementation=implementation).eval()
    longest = min(64, 5 * half + 3)
    near = (half - 1, half, half + 1, half + 2, 2 * half, 2 * half + 1, 2 * half + 2, longest)
    inputs = inputs_of([n for n in near if 0 < n <= longest] + [1, 3])
    real = inputs["attention_mask"].bool()
    target = torch.randn(32, generator=torch.Generator().manual_seed(2))

    def gradients(hidden: torch.Tensor) -> torch.Tensor:
        encoder.zero_grad()
        (hidden[real] @ target).pow(2).mean().backward()
        return torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])

    expected = encoder(**inputs).last_hidden_state
    of_expected = gradients(expected)
    work = one_micro_batch(encoder, inputs)
    assert work.layout is not None
    is_cut = {longest > half + 1} if len(work.layout.buckets) == 1 else {False, True}
    assert {bucket.window is not None for bucket in work.layout.buckets} == is_cut
    hidden = Model(encoder, {}).eval().hidden(work)
    assert torch.allclose(hidden[real], expected[real], rtol=1e-5, atol=1e-5)
    assert (gradients(hidden) - of_expected).norm() <= 1e-5 * of_expected.norm()


def test_the_last_token_of_a_window_counts_and_the_next_does_not() -> None:
    encoder = build("ModernBert", num_hidden_layers=1, layer_types=["sliding_attention"]).eval()
    model, inputs = Model(encoder, {}).eval(), inputs_of([40, 12])

    def state(changed: int | None) -> torch.Tensor:
        other = {**inputs, "input_ids": inputs["input_ids"].clone()}
        if changed is not None:
            other["input_ids"][0, changed] = 3
        with torch.inference_mode():
            return model.hidden(one_micro_batch(encoder, other))[0, 20]

    same = state(None)
    assert state(11).equal(same) and state(29).equal(same)
    assert not state(12).equal(same) and not state(28).equal(same)


def test_turned_back_is_what_it_was_and_so_is_the_gradient() -> None:
    from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

    vectors = torch.randn(5, 3 * 8, dtype=torch.float64).float().requires_grad_()
    angles = torch.rand(1, 5, 4).repeat(1, 1, 2) * 7
    turned = rotate(vectors, angles.cos(), angles.sin())
    by_head = vectors.view(1, 5, 3, 8).transpose(1, 2)
    expected, _ = apply_rotary_pos_emb(by_head, by_head, angles.cos(), angles.sin())
    expected = expected.transpose(1, 2).reshape(5, 24)
    assert torch.allclose(turned, expected, atol=1e-6)
    outer = torch.randn(5, 24)
    (own,) = torch.autograd.grad(turned, vectors, outer)
    (theirs,) = torch.autograd.grad(expected, vectors, outer)
    assert torch.allclose(own, theirs, atol=1e-6)
    assert torch.allclose(rotate(turned, angles.cos(), -angles.sin()), vectors, atol=1e-6)
    rough = rotate(vectors.bfloat16(), angles.cos(), angles.sin())
    assert rough.dtype == torch.bfloat16 and torch.allclose(rough.float(), turned, atol=0.05)


@pytest.mark.parametrize("family", OWN)
def test_a_sequence_loses_the_same_in_whatever_pass(family: str) -> None:
    """With the masks of the CPU: beside others, alone with half of them, and computed again."""
    encoder = build(family)
    model = Model(encoder, {}).train()
    inputs = inputs_of([40, 5, 23, 9, 18, 31])
    read = inputs["attention_mask"].bool() & (torch.arange(40) % 3 == 0)
    batch = Batch(inputs, {"label": torch.arange(6)}, read=read)
    target = torch.randn(32, generator=torch.Generator().manual_seed(2))

    def gradients(max_tokens: int) -> torch.Tensor:
        own = streams(7, 3, 6)
        encoder.zero_grad()
        batcher = replace(MicroBatcher.of(encoder, CPU), max_tokens=max_tokens)
        works = batcher.divide(batch)
        assert len(works) == (1 if max_tokens > 126 else 4)
        for work in works:
            model.masks = work.masks(own)
            assert work.batch.read is not None
            (model.hidden(work)[work.batch.read] @ target).pow(2).sum().backward()
        return torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])

    whole = gradients(1000)
    assert (gradients(50) - whole).norm() <= 1e-5 * whole.norm()
    encoder.activation_checkpointing_enable()
    assert (gradients(1000) - whole).norm() <= 1e-5 * whole.norm()
    encoder.eval()
    assert (gradients(1000) - whole).norm() >= 1e-2 * whole.norm()


@pytest.mark.parametrize("family", OWN)
def test_attention_weights_are_dropped_at_the_rate(family: str) -> None:
    """Of values that are all 1 the weights that stay add up to 1 in the mean."""
    encoder = build(family)
    model = Model(encoder, {}).train()
    work = one_micro_batch(encoder, inputs_of([60] * 8))
    sums: list[torch.Tensor] = []
    attend = attention_module.attend_by_hand

    def watched(query: Any, key: Any, value: Any, *rest: Any) -> torch.Tensor:
        sums.append(attend(query, key, torch.ones_like(value), *rest))
        return attend(query, key, value, *rest)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(attention_module, "attend_by_hand", watched)
        model.masks = work.masks(streams(7, 3, 8))
        model.hidden(work)
    for own in sums:
        assert own.std() > 0.02 and abs(own.mean() - 1) < 0.02


@pytest.mark.parametrize("family", OWN)
def test_bf16_is_near_fp32(family: str) -> None:
    encoder = build(family)
    model = Model(encoder, {}).eval()
    work = one_micro_batch(encoder, inputs_of([40, 5, 23]))
    exact = model.hidden(work)
    rough = model.hidden(work, precision="bf16")
    rough.pow(2).mean().backward()
    assert torch.allclose(rough, exact, atol=0.15) and not rough.equal(exact)
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize("family", OWN)
def test_every_kind_of_head_learns(family: str, tmp_path: Path, toy: Toy) -> None:
    """Classes, tags and masked tokens in one mixture, with activations computed again."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES | OWN[family])
    getattr(transformers, f"{family}ForMaskedLM")(config).save_pretrained(tmp_path)
    for name, kind in (("first", "pair"), ("second", "tagging"), ("third", "mlm")):
        toy.task(name, kind)
    own = replace(toy, folder=tmp_path)
    final = []
    for is_on in (False, True):
        stage = own.stage("first", "second", "third", examples=96, checks=1)
        model = own.model(stage)
        options = Options(gradient_checkpointing=is_on)
        outcome = train(model, stage, own.data(stage), own.vocabulary, options=options)
        losses = [point["loss"] for point in outcome.curve]
        assert all(0 < loss < 10 for loss in losses)
        final.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.allclose(*final, atol=1e-5)

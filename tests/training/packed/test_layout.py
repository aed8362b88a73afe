"""Packed encoders compute what transformers computes on padded rows; other families run padded."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers

from xstilts.kinds.kind import Batch
from xstilts.training.micro_batches import MicroBatcher, one_micro_batch
from xstilts.training.model import Model
from xstilts.training.packed import attention
from xstilts.training.packed import layout as layout_module
from xstilts.training.packed import self_attention as attention_module
from xstilts.training.packed.anatomy import anatomy_of, can_pack
from xstilts.training.packed.layout import pack

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
    "pad_token_id": 1,
    "initializer_range": 0.1,
}
OLD = ("XLMRoberta", "XLMRobertaXL", "Roberta", "Camembert", "Bert", "Electra")
PACKED = (*OLD, "ModernBert", "EuroBert", "Gte")
PADDED = ("Ernie",)
OWN = {
    "ModernBert": {"local_attention": 16, "global_attn_every_n_layers": 3},
    "EuroBert": {"num_key_value_heads": 2},
}


def build(family: str) -> Any:
    """A random encoder of a family, without dropout."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **OWN.get(family, {}))
    return transformers.AutoModel.from_config(config).eval()


def inputs_of(lengths: list[int], has_types: bool) -> dict[str, torch.Tensor]:
    """Padded rows of random ids; a padding token stands inside one text, as masking may put it."""
    random = torch.Generator().manual_seed(1)
    ids = torch.full((len(lengths), max(lengths)), 1)
    types = torch.zeros_like(ids)
    for row, (own, length) in enumerate(zip(ids, lengths, strict=True)):
        own[:length] = torch.randint(4, 120, (length,), generator=random)
        types[row, length // 2 : length] = int(has_types)
    ids[1, 3] = 1
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    inputs = {"input_ids": ids, "attention_mask": mask}
    return inputs | {"token_type_ids": types} if has_types else inputs


LENGTHS = [5, 70, 9, 31, 9, 66, 2, 30]


@pytest.mark.parametrize("attention", ["own", "fused"])
@pytest.mark.parametrize("family", [*PACKED, *PADDED])
def test_states_and_gradients_are_transformers_own(
    family: str, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the attention that is written out for CPUs and with torch's, in several buckets."""
    monkeypatch.setitem(layout_module.BUCKET_COSTS, "cpu", 60.0)
    if attention == "fused":
        monkeypatch.setattr(attention_module, "by_hand", lambda *_: False)
    encoder = build(family)
    inputs = inputs_of(LENGTHS, has_types=family in ("Bert", "Electra"))
    real = inputs["attention_mask"].bool()
    target = torch.randn(32, generator=torch.Generator().manual_seed(2))

    def gradients(hidden: torch.Tensor) -> list[torch.Tensor]:
        encoder.zero_grad()
        (hidden[real] @ target).pow(2).mean().backward()
        return [p.grad.clone() for p in encoder.parameters() if p.grad is not None]

    expected = encoder(**inputs).last_hidden_state
    expected_gradients = gradients(expected)
    model = Model(encoder, {}).eval()
    assert can_pack(encoder) == (family in PACKED)
    work = one_micro_batch(encoder, inputs)
    assert work.layout is None or len(work.layout.buckets) > 1
    assert work.inputs["input_ids"].numel() == (sum(LENGTHS) if family in PACKED else 8 * 70)
    hidden = model.hidden(work)
    assert torch.allclose(hidden[real], expected[real], rtol=1e-5, atol=1e-5)
    norm = torch.cat([gradient.flatten() for gradient in expected_gradients]).norm()
    for one, other in zip(gradients(hidden), expected_gradients, strict=True):
        assert (one - other).norm() <= 1e-5 * norm
    with torch.inference_mode():
        assert torch.allclose(model.hidden(work)[real], expected[real], rtol=1e-5, atol=1e-5)
        states = encoder(**inputs, output_hidden_states=True).hidden_states
        for layer, (own, state) in enumerate(zip(model.states(work), states, strict=True)):
            assert torch.allclose(own[real], state[real], rtol=1e-5, atol=1e-5)
            single = model.hidden(work, layer)
            assert torch.allclose(single[real], state[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", PACKED)
def test_the_last_layer_computes_what_is_read(family: str) -> None:
    """To the states and gradients of transformers, which computes all; in copies as well."""
    encoder = build(family)
    inputs = inputs_of(LENGTHS, has_types=family in ("Bert", "Electra"))
    read = inputs["attention_mask"].bool()
    read &= torch.rand(read.shape, generator=torch.Generator().manual_seed(3)) < 0.3
    read[4] = False  # nothing of a sequence
    target = torch.randn(32, generator=torch.Generator().manual_seed(2))

    def gradients(encoder: Any, hidden: torch.Tensor) -> list[torch.Tensor]:
        encoder.zero_grad()
        (hidden[read] @ target).pow(2).mean().backward()
        return [p.grad.clone() for p in encoder.parameters() if p.grad is not None]

    states = encoder(**inputs).last_hidden_state
    expected = gradients(encoder, states)
    norm = torch.cat([gradient.flatten() for gradient in expected]).norm()
    model = Model(encoder, {}).eval()
    work = MicroBatcher.of(encoder, torch.device("cpu")).whole(Batch(inputs, {}, read=read))
    assert work.layout is not None and int(work.layout.num_read.sum()) == int(read.sum())
    for own in (model, copy.deepcopy(model)):
        seen: list[torch.Tensor] = []
        last = anatomy_of(own.encoder.config).layers_of(own.encoder)[-1]
        last.register_forward_hook(lambda _, arguments, out, seen=seen: seen.append(out))
        hidden = own.hidden(work)
        assert [tuple(states.shape) for states in seen] == [(1, int(read.sum()), 32)]
        assert torch.allclose(hidden[read], states[read], rtol=1e-5, atol=1e-5)
        for one, other in zip(gradients(own.encoder, hidden), expected, strict=True):
            assert (one - other).norm() <= 1e-5 * norm


@pytest.mark.parametrize("family", ["XLMRoberta", "ModernBert", "EuroBert"])
def test_a_middle_layer_is_reached_without_those_above(family: str) -> None:
    encoder = build(family)
    model = Model(encoder, {}).eval()
    work = one_micro_batch(encoder, inputs_of(LENGTHS, has_types=False))
    calls: list[int] = []
    for number, layer in enumerate(anatomy_of(encoder.config).layers_of(encoder)):
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    for layer in range(4):
        calls.clear()
        model.hidden(work, layer)
        assert calls == list(range(layer))


def test_a_pass_of_which_nothing_is_read_has_all_states() -> None:
    encoder = build("Bert")
    inputs = inputs_of(LENGTHS, has_types=True)
    nothing = torch.zeros_like(inputs["attention_mask"], dtype=torch.bool)
    _, layout = pack(inputs, encoder.config, read=nothing)
    assert layout.read is None and layout.num_read.tolist() == layout.lengths.tolist()


@pytest.mark.parametrize("lengths", [[7], [4, 4, 4], [1, 80 - 2, 1]])
def test_rows_of_one_length_and_single_rows(lengths: list[int]) -> None:
    encoder = build("XLMRoberta")
    ids = torch.full((len(lengths), max(lengths)), 1)
    for own, length in zip(ids, lengths, strict=True):
        own[:length] = torch.arange(5, 5 + length)
    inputs = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    real = inputs["attention_mask"].bool()
    with torch.inference_mode():
        expected = encoder(**inputs).last_hidden_state
        hidden = Model(encoder, {}).eval().hidden(one_micro_batch(encoder, inputs))
    assert torch.allclose(hidden[real], expected[real], atol=1e-5)


def test_blocks_hold_every_token_once() -> None:
    encoder = build("Bert")
    inputs = inputs_of(LENGTHS * 9, has_types=True)
    packed, layout = pack(inputs, encoder.config)
    assert layout.lengths.tolist() == sorted(LENGTHS * 9, reverse=True)
    assert packed["input_ids"].shape == packed["position_ids"].shape == (1, sum(LENGTHS) * 9)
    assert len(layout.buckets) > 1
    assert sum(bucket.count for bucket in layout.buckets) == len(LENGTHS) * 9
    slots = [bucket.tokens for bucket in layout.buckets]
    heads = [bucket.heads for bucket in layout.buckets]
    for own in (*slots, *heads):
        assert own is not None
        assert own.to_padded[own.to_packed].tolist() == list(range(len(own.to_packed)))
    assert sum(len(own.to_packed) for own in slots) == sum(LENGTHS) * 9
    assert [len(own.to_packed) for own in heads if own] == [len(p.to_packed) * 4 for p in slots]
    assert sum(len(own.to_padded) for own in slots) <= 1.2 * sum(LENGTHS) * 9
    # Rows of a bias begin where fused kernels take them from.
    for bucket in layout.buckets:
        bias = bucket.bias_for(torch.bfloat16)
        assert bias is not None and bias.shape == (bucket.count, 1, 1, bucket.longest)
        assert all(stride % 8 == 0 for stride in bias.stride()[:-1])
    # A GPU needs no more than where the tokens are.
    _, layout = pack(inputs, encoder.config, "cuda")
    assert not any(bucket.heads for bucket in layout.buckets)


def test_bf16_is_near_fp32() -> None:
    encoder = build("XLMRoberta")
    inputs = inputs_of(LENGTHS, has_types=False)
    model = Model(encoder, {}).eval()
    work = one_micro_batch(encoder, inputs)
    exact = model.hidden(work)
    rough = model.hidden(work, precision="bf16")
    rough.pow(2).mean().backward()
    assert torch.allclose(rough, exact, atol=0.15) and not rough.equal(exact)
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def test_attention_without_gradients_is_computed_in_pieces_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(build("XLMRoberta"), {}).eval()
    work = one_micro_batch(model.encoder, inputs_of(LENGTHS, has_types=False))
    assert work.layout is not None
    buckets = len(work.layout.buckets)
    expected = model.hidden(work)
    softmax = torch.softmax
    calls: list[int] = []

    def counted(*arguments: Any) -> torch.Tensor:
        calls.append(len(arguments[0]))
        return softmax(*arguments)

    monkeypatch.setattr(torch, "softmax", counted)
    model.hidden(work)
    assert len(calls) == 3 * buckets, "gradients want the weights whole"
    monkeypatch.setattr(attention, "PIECE_BYTES", 2 * 4 * 4 * 70**2)
    calls.clear()
    with torch.inference_mode():
        found = model.hidden(work)
    assert len(calls) > 3 * buckets and sum(calls) == 3 * len(LENGTHS)
    assert (found == expected).all()

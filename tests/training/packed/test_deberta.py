"""DeBERTa computes packed what transformers computes padded, by any configuration."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, DebertaV2Config, DebertaV2ForMaskedLM

from xstilts.errors import StageError
from xstilts.kinds.kind import Batch
from xstilts.training.dropout import Dropout, Masks, scale, streams
from xstilts.training.micro_batches import MicroBatcher, one_micro_batch
from xstilts.training.model import Model, load_encoder_with_lm_head
from xstilts.training.packed import deberta, disentangled
from xstilts.training.packed import layout as layout_module

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
    "pad_token_id": 1,
    "type_vocab_size": 0,
    "initializer_range": 0.2,
}
V3 = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": "p2c|c2p",
    "share_att_key": True,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
}
"""As in DeBERTa-v3 and mDeBERTa-v3, but for the sizes: distances below 8 have a row each."""

VARIANTS: dict[str, dict[str, Any]] = {
    "v3": {},
    "c2p": {"pos_att_type": "c2p"},
    "p2c": {"pos_att_type": ["p2c"]},
    "neither": {"pos_att_type": []},
    "keys of their own": {"share_att_key": False},
    "c2p with keys of its own": {"share_att_key": False, "pos_att_type": ["c2p"]},
    "p2c with keys of its own": {"share_att_key": False, "pos_att_type": ["p2c"]},
    "no buckets": {"position_buckets": -1},
    "few distances": {"position_buckets": -1, "max_relative_positions": 20},
    "no norm": {"norm_rel_ebd": "none"},
    "absolute places too": {"position_biased_input": True, "type_vocab_size": 2},
    "absolute places alone": {"relative_attention": False, "position_biased_input": True},
    "a convolution": {"conv_kernel_size": 3, "conv_act": "gelu", "position_buckets": 16},
    "a wide convolution": {"conv_kernel_size": 7, "conv_groups": 4},
    "small embeddings": {"embedding_size": 16},
}
LENGTHS = [5, 70, 9, 31, 9, 66, 1, 2, 30]


def build(**options: Any) -> Any:
    """A random DeBERTa, in evaluation."""
    torch.manual_seed(0)
    return AutoModel.from_config(DebertaV2Config(**{**SIZES, **V3, **options})).eval()


def inputs_of(lengths: list[int], num_types: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 120, (len(lengths), max(lengths)), generator=random)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    inputs = {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}
    if num_types:
        inputs["token_type_ids"] = (torch.arange(max(lengths)) > 3).long() * mask
    return inputs


def gradients(encoder: Any, hidden: torch.Tensor) -> list[torch.Tensor]:
    """Of a loss of some states: (states, hidden size)."""
    target = torch.randn(32, generator=torch.Generator().manual_seed(2))
    encoder.zero_grad()
    (hidden @ target).pow(2).mean().backward()
    return [p.grad.clone() for p in encoder.parameters() if p.grad is not None]


def agree(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    norm = torch.cat([gradient.flatten() for gradient in other]).norm()
    for own, expected in zip(one, other, strict=True):
        assert (own - expected).norm() <= 1e-5 * norm


@pytest.mark.parametrize("attention", ["own", "fused"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_states_and_gradients_are_transformers_own(
    variant: str, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(layout_module.BUCKET_COSTS, "cpu", 60.0)
    monkeypatch.setattr(disentangled, "PIECE_BYTES", 4 * 3 * 70**2)
    monkeypatch.setattr(disentangled, "BLOCK", 24)
    if attention == "fused":
        monkeypatch.setattr(deberta, "by_hand", lambda *_: False)
    encoder = build(**VARIANTS[variant])
    inputs = inputs_of(LENGTHS, encoder.config.type_vocab_size)
    real = inputs["attention_mask"].bool()
    expected = encoder(**inputs).last_hidden_state
    expected_gradients = gradients(encoder, expected[real])
    model = Model(encoder, {}).eval()
    work = one_micro_batch(encoder, inputs)
    assert work.layout is not None and len(work.layout.buckets) > 1
    assert work.inputs["input_ids"].numel() == sum(LENGTHS)
    hidden = model.hidden(work)
    assert torch.allclose(hidden[real], expected[real], rtol=1e-5, atol=1e-5)
    agree(gradients(encoder, hidden[real]), expected_gradients)
    with torch.inference_mode():
        assert torch.allclose(model.hidden(work)[real], expected[real], rtol=1e-5, atol=1e-5)
        states = encoder(**inputs, output_hidden_states=True).hidden_states
        for layer, (own, state) in enumerate(zip(model.states(work), states, strict=True)):
            assert torch.allclose(own[real], state[real], rtol=1e-5, atol=1e-5)
            single = model.hidden(work, layer)
            assert torch.allclose(single[real], state[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", ["v3", "a convolution", "one layer and a convolution"])
def test_the_last_layer_computes_what_is_read(variant: str) -> None:
    """To the states and gradients of transformers, which computes all; in copies as well."""
    options = VARIANTS.get(variant, {"num_hidden_layers": 1, "conv_kernel_size": 3})
    encoder = build(**options)
    inputs = inputs_of(LENGTHS)
    read = inputs["attention_mask"].bool()
    read &= torch.rand(read.shape, generator=torch.Generator().manual_seed(3)) < 0.3
    read[4] = False  # nothing of a sequence
    states = encoder(**inputs).last_hidden_state
    expected = gradients(encoder, states[read])
    model = Model(encoder, {}).eval()
    work = MicroBatcher.of(encoder, torch.device("cpu")).whole(Batch(inputs, {}, read=read))
    for own in (model, copy.deepcopy(model)):
        seen: list[torch.Tensor] = []
        last = own.encoder.encoder.layer[-1].output
        last.register_forward_hook(lambda _, arguments, out, seen=seen: seen.append(out))
        hidden = own.hidden(work)
        assert [tuple(out.shape) for out in seen] == [(1, int(read.sum()), 32)]
        assert torch.allclose(hidden[read], states[read], rtol=1e-5, atol=1e-5)
        agree(gradients(own.encoder, hidden[read]), expected)


@pytest.mark.parametrize("lengths", [[1], [1, 1], [7], [4, 4, 4], [1, 78, 1]])
def test_rows_of_one_length_and_single_rows(lengths: list[int]) -> None:
    encoder, inputs = build(), inputs_of(lengths)
    real = inputs["attention_mask"].bool()
    expected = encoder(**inputs).last_hidden_state[real]
    own = gradients(encoder, expected)
    hidden = Model(encoder, {}).eval().hidden(one_micro_batch(encoder, inputs))[real]
    assert torch.allclose(hidden, expected, atol=1e-5)
    agree(gradients(encoder, hidden), own)


def test_a_middle_layer_is_reached_without_those_above() -> None:
    encoder = build()
    model, calls = Model(encoder, {}).eval(), []
    work = one_micro_batch(encoder, inputs_of(LENGTHS))
    for number, layer in enumerate(encoder.encoder.layer):
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    for layer in range(4):
        calls.clear()
        model.hidden(work, layer)
        assert calls == list(range(layer))


def test_padded_rows_are_still_taken() -> None:
    """As of a model's class: the check of an LM head gives them."""
    encoder, inputs = build(), inputs_of(LENGTHS)
    real = inputs["attention_mask"].bool()
    expected = encoder(**inputs, output_hidden_states=True)
    Model(encoder, {})
    found = encoder(**inputs, output_hidden_states=True)
    assert found.last_hidden_state[real].equal(expected.last_hidden_state[real])
    assert len(found.hidden_states) == len(expected.hidden_states) == 4


def test_bf16_is_near_fp32() -> None:
    encoder = build(initializer_range=0.05)
    model = Model(encoder, {}).eval()
    work = one_micro_batch(encoder, inputs_of(LENGTHS))
    exact = model.hidden(work)
    rough = model.hidden(work, precision="bf16")
    rough.pow(2).mean().backward()
    assert torch.allclose(rough, exact, atol=0.15) and not rough.equal(exact)
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize("variant", ["v3", "keys of their own", "a convolution"])
def test_dropout_is_where_the_class_has_it(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class loses the same units in rows of one length, given what the masks draw."""
    rates = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}
    encoder = build(**VARIANTS[variant], **rates)
    inputs = inputs_of([33, 33, 33])
    model = Model(encoder, {}).train()
    work = one_micro_batch(encoder, inputs)
    found = []
    for is_packed in (True, False):
        model.masks = work.masks(streams(5, 2, 3), (5, 2))
        if is_packed:
            hidden = model.hidden(work)
        else:
            for layer in encoder.encoder.layer:
                own = layer.attention.self.pos_dropout
                monkeypatch.setattr(own, "forward", partial(of_table, own, model.masks))
            hidden = encoder(**inputs).last_hidden_state
        found.append((hidden.detach(), gradients(encoder, hidden.flatten(0, 1))))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    agree(found[0][1], found[1][1])
    assert not torch.allclose(model.eval().hidden(work), found[0][0], atol=0.1)


def of_table(own: Dropout, masks: Masks, table: torch.Tensor) -> torch.Tensor:
    """The whole table of relative places less what is dropped."""
    keep = masks.keep_rows(0, *table.shape, own.p, table.dtype, id(own))
    return table * keep * scale(own.p)


def test_however_a_batch_is_divided_the_same_is_dropped() -> None:
    """Of the table, of which a pass of short sequences uses less, too."""
    encoder = build(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
    batch = Batch(inputs_of(LENGTHS), {"label": torch.zeros(len(LENGTHS))})
    model = Model(encoder, {}).train()
    packed = MicroBatcher.of(encoder, torch.device("cpu"))
    found = []
    for passes in (packed.divide(batch), replace(packed, max_tokens=75).divide(batch)):
        own = streams(5, 2, len(LENGTHS))
        states: dict[int, torch.Tensor] = {}
        for work in passes:
            model.masks = work.masks(own, (5, 2))
            states |= dict(zip(work.sequences.tolist(), model.hidden(work), strict=True))
        rows = [states[row][:length] for row, length in enumerate(LENGTHS)]
        found.append((torch.cat(rows).detach(), gradients(encoder, torch.cat(rows))))
    assert len(passes) > 2
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    agree(found[0][1], found[1][1])


def test_without_masks_torch_draws_the_dropout() -> None:
    encoder = build(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
    model = Model(encoder, {}).train()
    work = one_micro_batch(encoder, inputs_of(LENGTHS))
    real = work.batch.inputs["attention_mask"].bool()
    torch.manual_seed(3)
    one, other = (model.hidden(work)[real] for _ in range(2))
    gradients(encoder, one)
    assert not torch.allclose(one, other, atol=0.1)
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def test_the_lm_head_is_the_checkpoints_or_refused_in_a_line(tmp_path: Path) -> None:
    for legacy in (True, False):
        torch.manual_seed(0)
        full = DebertaV2ForMaskedLM(DebertaV2Config(**SIZES, **V3, legacy=legacy)).eval()
        full.save_pretrained(tmp_path / str(legacy))
    encoder, head = load_encoder_with_lm_head(tmp_path / "True")
    inputs = inputs_of(LENGTHS)
    real = inputs["attention_mask"].bool()
    full = DebertaV2ForMaskedLM.from_pretrained(tmp_path / "True").eval()
    found = head(Model(encoder, {}).eval().hidden(one_micro_batch(encoder, inputs)))
    assert torch.allclose(found[real], full(**inputs).logits[real], atol=1e-5)
    with pytest.raises(StageError, match="the LM head of DebertaV2ForMaskedLM has an unknown form"):
        load_encoder_with_lm_head(tmp_path / "False")

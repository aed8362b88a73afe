"""Predictions: in the rows' order, the same from one thread as from several."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers

from xstilts import kinds
from xstilts.kinds.kind import Batch, Encoded, Vocabulary
from xstilts.tasks import lookup
from xstilts.training import predict
from xstilts.training.model import Model, load_encoder_with_lm_head
from xstilts.training.packed.anatomy import can_pack
from xstilts.training.predict import Predictor, replicas

Toy = Any  # of conftest.py, which tests cannot import


@pytest.fixture
def trained(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Encoded]:
    """A model with a head, and rows that fill many batches."""
    toy.task("first")
    stage = toy.stage("first", train_rows=300)
    monkeypatch.setitem(predict.MAX_TOKENS, "cpu", 64)
    return toy.model(stage), toy.data(stage)[0].train[0]


def test_outputs_stand_in_the_rows_order(toy: Toy, trained: tuple[Model, Encoded]) -> None:
    model, rows = trained
    task = lookup("mini_tatoeba")
    found = Predictor([model, model], toy.vocabulary).layer_outputs(rows.features, task)
    by_one = Predictor([model], toy.vocabulary)
    for i in range(0, 300, 7):
        (alone,) = by_one.layer_outputs(rows.features.slice(i, 1), task)
        assert np.allclose(found[i], alone, atol=1e-5)
    assert len({vectors.tobytes() for vectors in found}) > 200, "rows do not differ"


@pytest.mark.parametrize("name", ["Bert", "ModernBert", "Albert"])
def test_log_probabilities_are_those_of_a_sequence_alone(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed, with local attention too, and padded; sequences of many lengths in few batches."""
    size = {"num_hidden_layers": 2, "intermediate_size": 32, "embedding_size": 12}
    config = getattr(transformers, f"{name}Config")(
        vocab_size=90, hidden_size=16, num_attention_heads=2, pad_token_id=0, **size
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForMaskedLM")(config).eval()
    model.save_pretrained(tmp_path)
    random = np.random.default_rng(0)
    ids = [random.integers(5, 90, length).tolist() for length in random.integers(3, 40, 60)]
    places = [int(random.integers(0, len(one))) for one in ids]
    encoder, head = load_encoder_with_lm_head(tmp_path)
    assert can_pack(encoder) is (name != "Albert")
    vocabulary = Vocabulary(pad_id=0, mask_id=4, size=90, special_ids=(0, 4))
    monkeypatch.setattr(predict, "SCORED_AT_ONCE", 7)
    predictor = Predictor([Model(encoder, {"mlm": head})], vocabulary)
    features = pa.table({"example": range(60), "input_ids": ids, "place": places})
    found = predictor.log_probabilities(features)
    for own, place, value in zip(ids, places, found, strict=True):
        given = torch.tensor([[*own[:place], 4, *own[place + 1 :]]])
        with torch.no_grad():
            scores = model(input_ids=given).logits[0, place]
        assert value == pytest.approx(float(scores.log_softmax(0)[own[place]]), abs=1e-4)


@pytest.mark.parametrize("kind", ["pair", "tagging"])
def test_heads_compute_in_float32_while_the_encoder_computes_in_bf16(toy: Toy, kind: str) -> None:
    """In training, in its checks and in evaluation: of the scores hardly any is a number of eight
    bits, so that they do not tie."""
    toy.task("first", kind)
    stage = toy.stage("first", precision="bf16", examples=64)
    model = toy.model(stage)
    head, encoder = model.heads["first"], model.encoder
    seen: list[torch.Tensor] = []
    products: list[torch.dtype] = []
    head.register_forward_hook(lambda module, given, scores: seen.append(scores.detach()))
    linear = encoder.encoder.layer[0].intermediate.dense
    linear.register_forward_hook(lambda module, given, product: products.append(product.dtype))
    toy.train(stage, model)
    in_training = len(seen)
    predictor = Predictor([model], toy.vocabulary, "bf16")
    predictor.outputs(toy.data(stage)[0].train[0].features, lookup("first"))
    assert 4 < in_training < len(seen)
    assert set(products) == {torch.bfloat16}
    for scores in seen:
        assert scores.dtype == torch.float32
        assert (scores == scores.bfloat16().float()).float().mean() < 0.1


def test_vectors_are_pooled_in_float32(toy: Toy, trained: tuple[Model, Encoded]) -> None:
    model, rows = trained
    rough, exact = (
        np.stack(
            Predictor([model], toy.vocabulary, precision).layer_outputs(
                rows.features, lookup("mini_tatoeba")
            )
        )
        for precision in ("bf16", "fp32")
    )
    assert rough.dtype == np.float32 and not np.allclose(rough[:, -1], exact[:, -1], atol=1e-5)
    assert np.allclose(rough, exact, atol=0.2)


@pytest.mark.parametrize("count", [2, 3])
def test_several_threads_give_the_bits_of_one(
    toy: Toy, trained: tuple[Model, Encoded], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    model, rows = trained
    seen: set[str] = set()
    threads: set[int] = set()
    real, all_there = Model.states, threading.Barrier(count)

    def noted(self: Model, work: Any, precision: str) -> Any:
        name = threading.current_thread().name
        if name not in seen and name != "MainThread":
            seen.add(name)
            all_there.wait(60)  # each has a batch before any has two
        seen.add(name)
        threads.add(torch.get_num_threads())
        return real(self, work, precision)

    monkeypatch.setattr(Model, "states", noted)
    arguments = (rows.features, lookup("mini_tatoeba"))
    one = Predictor([model], toy.vocabulary).layer_outputs(*arguments)
    assert seen == {"MainThread"}
    several = Predictor(replicas(model, count), toy.vocabulary).layer_outputs(*arguments)
    assert len(seen) == 1 + count
    assert threads == {torch.get_num_threads()}
    assert all((left == right).all() for left, right in zip(one, several, strict=True))


def test_what_fails_in_a_thread_is_raised_and_the_rest_left(
    toy: Toy, trained: tuple[Model, Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = trained
    computed: list[int] = []

    def fail(head: Any, hidden: torch.Tensor, batch: Batch) -> list[Any]:
        computed.append(len(hidden))
        time.sleep(0.05)  # long enough for the first failure to be heard of
        raise torch.OutOfMemoryError("no memory is left")

    monkeypatch.setattr(kinds.get("pair"), "outputs", fail)
    with pytest.raises(torch.OutOfMemoryError, match="no memory is left"):
        Predictor([model, model], toy.vocabulary).outputs(rows.features, lookup("first"))
    assert 0 < sum(computed) < 100


def test_no_rows_give_no_outputs(toy: Toy, trained: tuple[Model, Encoded]) -> None:
    model, rows = trained
    none: pa.Table = rows.features.slice(0, 0)
    assert Predictor([model, model], toy.vocabulary).outputs(none, lookup("first")) == []

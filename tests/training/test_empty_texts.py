"""Texts and words of no tokens: every sum over them is a number, in packed and in padded rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, processors
from transformers import MPNetConfig, MPNetModel, PreTrainedTokenizerFast

from xstilts import kinds
from xstilts.data.batches import columns_of
from xstilts.kinds.kind import Vocabulary
from xstilts.tasks import Source, Task
from xstilts.training.heads import build_heads
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import Model, load_encoder, settings

ROWS: dict[str, dict[str, list[Any]]] = {
    "pair": {"premise": ["", "tea"], "hypothesis": ["", ""], "label": ["X", "Y"]},
    "choice": {"prompt": ["", "tea"], "choices": [["", ""], ["", "a"]], "label": ["0", "1"]},
    "tagging": {"tokens": [[""], ["tea", ""], []], "tags": [["X"], ["X", "Y"], []]},
    "retrieval": {"source_sentence": ["", "tea"], "target_sentence": ["", "cat"]},
    "mlm": {"text": ["", "tea"]},
}


@pytest.fixture
def bare(tiny_tokenizer: Any) -> Any:
    """A tokenizer that adds no special tokens, so that an empty text is no token."""
    made = Tokenizer.from_str(tiny_tokenizer.backend_tokenizer.to_str())
    made.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $B", special_tokens=[]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", mask_token="<mask>"
    )


@pytest.fixture(params=["packed", "padded"])
def encoder(request: pytest.FixtureRequest, tiny_model: Any) -> Any:
    if request.param == "packed":
        return load_encoder(tiny_model)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return MPNetModel(MPNetConfig(vocab_size=500, intermediate_size=64, **shape))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(None)], ids=["empty alone", "among others"])
@pytest.mark.parametrize("name", ROWS)
def test_nothing_is_not_a_number(name: str, rows: slice, encoder: Any, bare: Any) -> None:
    kind = kinds.get(name)
    labels = {"choice": (), "retrieval": (), "mlm": ()}.get(name, ("X", "Y"))
    task = Task("toy", name, Source("toy/toy"), ("en",), {}, (), labels=labels)
    encoded = kind.encode({key: v[rows] for key, v in ROWS[name].items()}, task, bare, 16)
    vocabulary = Vocabulary.of(bare)
    batch = kind.collate(columns_of(encoded.features), vocabulary, np.random.default_rng(0))
    assert batch.inputs["attention_mask"].sum(1).min() == 1
    heads = {}
    if name in ("pair", "choice", "tagging"):
        heads = build_heads({"toy": task}, *settings(encoder), 0, "target")
    model = Model(encoder, heads)
    hidden = model.hidden(one_micro_batch(encoder, batch.inputs))
    assert hidden.isfinite().all()
    if heads and kind.num_units(batch):
        loss = kind.loss(model.heads["toy"], hidden, batch)
        loss.backward()
        assert loss.isfinite()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert grads and all(grad.isfinite().all() for grad in grads)
    if name == "retrieval":
        outputs = kind.outputs(None, hidden.detach(), batch)
        assert all(np.isfinite(vector).all() for vector in outputs)
        assert len(kind.decode(outputs, encoded, task)) == encoded.examples.num_rows


def test_a_tokenizer_without_an_unknown_token_has_a_word_for_nothing(bare: Any) -> None:
    """As those of bytes: every word has a place of which its tag is read."""
    bare.unk_token = None
    task = Task("toy", "tagging", Source("toy/toy"), ("en",), {}, (), labels=("X", "Y"))
    rows = {"tokens": [["tea", "", "tea"]], "tags": [["X", "Y", "X"]]}
    encoded = kinds.get("tagging").encode(rows, task, bare, 16)
    (positions,) = encoded.features["positions"].to_pylist()
    assert len(set(positions)) == 3


def test_a_loss_over_no_masked_token_is_a_number() -> None:
    task = Task("toy", "mlm", Source("toy/toy"), ("en",), {}, ())
    assert kinds.get("mlm").score([[0.0, 0.0]], None, task, "en") == {"loss": 0.0}  # type: ignore[arg-type]

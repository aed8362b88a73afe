"""A stage's folder becomes a transformers model that computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from xstilts.tasks import Source, Task
from xstilts.tasks.kinds import IN_TRANSFORMERS
from xstilts.training.heads import build_heads
from xstilts.training.huggingface import to_transformers
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import Model, load_encoder, save, settings

CLASSES: dict[str, Any] = {
    "sentence": AutoModelForSequenceClassification,
    "pair": AutoModelForSequenceClassification,
    "multilabel": AutoModelForSequenceClassification,
    "tagging": AutoModelForTokenClassification,
    "span": AutoModelForQuestionAnswering,
}


@pytest.mark.parametrize("name", ["tiny_model", "tiny_bert"])
@pytest.mark.parametrize("kind", IN_TRANSFORMERS)
def test_the_exported_model_computes_the_same(
    kind: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    task = Task("toy", kind, Source("toy/toy"), ("en",), {}, ("f1",), labels=("no", "yes", "?"))
    encoder = load_encoder(request.getfixturevalue(name))
    size, _, std = settings(encoder)
    model = Model(encoder, build_heads({"toy": task}, size, 0.0, std, 0, "target")).eval()
    (tmp_path / "stage").mkdir()
    save(model, tmp_path / "stage")
    to_transformers(tmp_path / "stage", task).save_pretrained(tmp_path / "out")
    loaded, info = CLASSES[kind].from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["missing_keys"]
    batch = {"input_ids": torch.randint(5, 90, (3, 9)), "attention_mask": torch.ones(3, 9).long()}
    with torch.inference_mode():
        expected = model.heads["toy"](model.hidden(one_micro_batch(encoder, batch)))
        got = loaded.eval()(**batch)
    scores = torch.stack([got.start_logits, got.end_logits], -1) if kind == "span" else got.logits
    assert torch.allclose(expected, scores, atol=1e-5)
    if kind != "span":
        assert loaded.config.id2label == {0: "no", 1: "yes", 2: "?"}
    is_several = loaded.config.problem_type == "multi_label_classification"
    assert is_several == (kind == "multilabel"), "what transformers' own loss would be"

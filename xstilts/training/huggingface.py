"""Export: a trained stage as a model of transformers.

What goes in is the encoder and the head of a stage; what comes out is a folder that
`from_pretrained` and pipelines load anywhere, without this package, and that computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from xstilts.config.recipe import StageRecipe
from xstilts.errors import StageError
from xstilts.tasks import Task
from xstilts.training.heads import load_heads
from xstilts.training.lora import merge_adapters
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import LOADING_ERRORS, SAFELY, Model, first_line, load_encoder, settings

_CLASSES: dict[str, Any] = {
    "sentence": AutoModelForSequenceClassification,
    "pair": AutoModelForSequenceClassification,
    "multilabel": AutoModelForSequenceClassification,
    "tagging": AutoModelForTokenClassification,
    "span": AutoModelForQuestionAnswering,
}


def check_form(task: Task, recipe: StageRecipe) -> None:
    """See that a stage's head has a form in transformers, before its weights are asked for.

    Raises:
        StageError: it has none.
    """
    if "pooler" in task.kind_spec.recipe_fields and recipe.pooler != "none":
        raise StageError(
            f"{task.name}: was trained with a pooler before its classifier, which no class of "
            "transformers has; export a trial of a recipe without one (`pooler: none`)"
        )


def to_transformers(
    stage: Path, task: Task, base: Path | None = None, adapters: Sequence[Path] = ()
) -> Any:
    """The encoder and head of a target stage's folder as one transformers model.

    Args:
        base, adapters: where its encoder is not whole: what it is made of, as in
            `xstilts.training.model.load_encoder`.

    Raises:
        StageError: the model's class has a head of another form.
    """
    folder = base or stage / "encoder"
    encoder = load_encoder(folder, adapters=adapters)
    hidden_size, _, _ = settings(encoder)
    head = load_heads(stage, {task.head: task}, hidden_size)[task.head]
    labels: dict[str, Any] = {}
    if task.kind_spec.declares_labels:
        labels["id2label"] = dict(enumerate(task.labels))
        labels["label2id"] = {label: i for i, label in enumerate(task.labels)}
    if task.kind_spec.prediction == "labels":
        labels["problem_type"] = "multi_label_classification"
    auto = _CLASSES[task.kind]
    try:
        full = auto.from_pretrained(folder, **SAFELY, dtype=torch.float32, **labels)
    except LOADING_ERRORS as error:
        wanted = auto.__name__.removeprefix("AutoModel")
        model_type, reason = encoder.config.model_type, first_line(error)
        raise StageError(f"transformers has no {model_type} model {wanted}: {reason}") from error
    probe = {"input_ids": torch.tensor([[0, 3, 4, 5, 2]])}
    probe["attention_mask"] = torch.ones_like(probe["input_ids"])
    for one in adapters:
        merge_adapters(full.base_model, one)
    own = Model(encoder, {task.head: head}).eval()
    with torch.inference_mode():
        expected = head(own.hidden(one_micro_batch(encoder, probe)))
    try:
        _copy_head(head, full, task)
        with torch.inference_mode():
            got = full.eval()(**probe)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        # Another name of a part, another shape, or inputs that only a decoder needs.
        raise StageError(f"{type(full).__name__} has a head of another form") from error
    scores = torch.stack([got.start_logits, got.end_logits], -1) if "start_logits" in got else None
    scores = got.logits if scores is None else scores
    if scores.shape != expected.shape or not torch.allclose(expected, scores, atol=1e-4):
        raise StageError(f"{type(full).__name__} computes its head in another way")
    return full


def _copy_head(head: Any, full: Any, task: Task) -> None:
    if task.kind == "span":
        pairs = [(head.output, full.qa_outputs)]
    elif task.kind == "tagging":
        pairs = [(head.output, full.classifier)]
    elif hasattr(full.classifier, "out_proj"):  # XLM-R and RoBERTa
        pairs = [(head.dense, full.classifier.dense), (head.output, full.classifier.out_proj)]
    elif hasattr(getattr(full.base_model, "pooler", None), "dense"):  # BERT
        pairs = [(head.dense, full.base_model.pooler.dense), (head.output, full.classifier)]
    else:
        raise AttributeError("neither a dense layer in the classifier nor a pooler")
    for source, target in pairs:
        target.load_state_dict(source.state_dict())

"""Small and odd inputs: a correct run, or one clear line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xstilts import kinds
from xstilts.errors import StageError
from xstilts.kinds.kind import Vocabulary
from xstilts.tasks import lookup
from xstilts.training import matmul
from xstilts.training.model import check_vocabulary, load_tokenizer
from xstilts.training.predict import Predictor

Toy = Any  # of conftest.py, which tests cannot import


def test_a_mixture_with_a_task_of_one_example(toy: Toy) -> None:
    toy.task("toy_a")
    toy.task("toy_t", "tagging")
    stage = toy.stage("toy_a", "toy_t", examples=64)
    one = replace(
        stage.parts[1], train=replace(stage.parts[1].train, rows=(("en", 1),)), examples=3
    )
    stage = replace(stage, parts=(stage.parts[0], one))
    _, outcome = toy.train(stage)
    assert outcome.examples["toy_t"] == {"en": 3} and outcome.steps == 5


def test_a_batch_larger_than_the_data(toy: Toy) -> None:
    toy.task("toy_a")
    _, outcome = toy.train(toy.stage("toy_a", examples=6, train_rows=3, batch_size=50, checks=4))
    assert outcome.steps == 1 and outcome.examples == {"toy_a": {"en": 6}}
    assert len(outcome.curve) == 1 and outcome.best_step == 1


@pytest.mark.parametrize("task", ["mnli", "squad_v1", "hellaswag", "udpos", "tatoeba"])
def test_empty_texts(toy: Toy, tiny_tokenizer: Any, task: str) -> None:
    """They become special tokens alone and are predicted like others."""
    rows: dict[str, Any] = {
        "mnli": {"premise": ["", "a b"], "hypothesis": ["", ""], "label": ["entailment"] * 2},
        "squad_v1": {
            "id": ["1", "2"],
            "context": ["a b", "a"],
            "question": ["", "what"],
            "answers": [{"text": ["a"], "answer_start": [0]}] * 2,
        },
        "hellaswag": {"prompt": ["", "a"], "choices": [["", "x", "", "y"]] * 2, "label": [0, 1]},
        "udpos": {"tokens": [["", "a"], ["b"]], "tags": [["NOUN", "X"], ["X"]]},
        "tatoeba": {"source_sentence": ["", "a"], "target_sentence": ["b", ""]},
    }[task]
    entry = lookup(task)
    kind = kinds.get(entry.kind)
    encoded = kind.encode(rows, entry, tiny_tokenizer, 32)
    stage = toy.stage("mnli")
    model = toy.model(stage)
    if entry.kind not in ("retrieval",):
        model.heads[task] = kind.build_head(32, entry, 0.0)
    predictions, _ = Predictor([model], toy.vocabulary).predict(encoded, entry)
    assert len(predictions) == encoded.examples.num_rows
    if task == "udpos":
        assert [len(tags) for tags in predictions] == [2, 1], "no word vanishes"
    elif task == "squad_v1":
        assert all(
            answer in context for answer, context in zip(predictions, rows["context"], strict=True)
        )
    elif task == "mnli":
        assert set(predictions) <= set(entry.labels)


def test_a_vocabulary_larger_than_the_weights_is_refused(toy: Toy) -> None:
    model = toy.model(toy.stage("mnli"))
    rows = model.encoder.get_input_embeddings().num_embeddings
    check_vocabulary(model, replace(toy.vocabulary, size=rows), toy.folder)
    with pytest.raises(StageError, match=f"weights have {rows} token vectors, the tokenizer 9999"):
        check_vocabulary(model, replace(toy.vocabulary, size=9999), toy.folder)


def test_a_tokenizer_without_a_pad_token_pads_with_another(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": None}))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    tokenizer = load_tokenizer(folder)
    vocabulary = Vocabulary.of(tokenizer)
    assert 0 <= vocabulary.pad_id < vocabulary.size


def test_bf16_is_refused_where_the_device_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul.check_precision("bf16", torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(StageError, match="Tesla T4 has no bfloat16; use a GPU from Ampere"):
        matmul.check_precision("bf16", torch.device("cuda"))
    matmul.check_precision("fp32", torch.device("cuda"))


def test_only_amd_gets_other_products_and_only_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[str] = []
    # On an AMD machine an earlier test of this process has chosen already.
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "highest")
    monkeypatch.setattr(torch, "set_float32_matmul_precision", set_to.append)
    for maker, error, expected in (
        ("GenuineIntel", 0.0, []),
        ("AuthenticAMD", 1e-7, ["medium"]),
        ("AuthenticAMD", 1e-3, ["medium", "highest"]),
    ):
        set_to.clear()
        matmul.choose_matmul.cache_clear()
        monkeypatch.setattr(matmul, "_cpu_maker", lambda maker=maker: maker)
        monkeypatch.setattr(matmul, "product_error", lambda error=error: error)
        matmul.choose_matmul("cpu")
        assert set_to == expected
        matmul.choose_matmul("cuda")
        assert set_to == expected
    matmul.choose_matmul.cache_clear()
    monkeypatch.undo()
    assert matmul.product_error() < matmul.TOLERANCE

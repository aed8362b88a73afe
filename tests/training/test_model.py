"""Models: encoders carry over, heads do not; the LM head is the pretrained one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import AutoModel, AutoModelForMaskedLM

from xstilts.config.recipe import StageRecipe
from xstilts.config.schema import ResourcesSpec
from xstilts.data.inventory import Hashes, data_identity, model_facts
from xstilts.errors import StageError
from xstilts.plan.inventory import Inventory
from xstilts.plan.stage import Evaluate, Part, Pretrained, Rows, Train
from xstilts.run.storage import open_storage
from xstilts.run.store import Store
from xstilts.run.workshop import Workshop
from xstilts.tasks import Source, Task
from xstilts.training.heads import HEADS_FILE, build_heads, load_heads
from xstilts.training.micro_batches import one_micro_batch
from xstilts.training.model import (
    Model,
    build_model,
    load_encoder,
    load_encoder_with_lm_head,
    load_tokenizer,
    save,
    settings,
)
from xstilts.training.pooling import read_pooler

Toy = Any  # of conftest.py, which tests cannot import


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


@pytest.fixture(params=["tiny_model", "tiny_bert"])
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def pooled(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a pooler and without an LM head."""
    place = tmp_path_factory.mktemp("pooled")
    AutoModel.from_pretrained(tiny_model, add_pooling_layer=True).save_pretrained(place)
    return place


def test_the_encoder_has_no_pooler(folder: Path, pooled: Path) -> None:
    for place in (folder, pooled):
        encoder = load_encoder(place)
        assert not [name for name, _ in encoder.named_parameters() if "pooler" in name]
    stored = safetensors.torch.load_file(pooled / "model.safetensors")
    assert [name for name in stored if "pooler" in name], "the checkpoint had none to begin with"


def test_lm_logits_are_those_of_the_checkpoint(folder: Path) -> None:
    encoder, head = load_encoder_with_lm_head(folder)
    full = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="sdpa").eval()
    model = Model(encoder, {"toy": head}).eval()
    ids = torch.randint(5, 300, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    with torch.inference_mode():
        got = head(
            model.hidden(one_micro_batch(encoder, {"input_ids": ids, "attention_mask": mask}))
        )
        expected = full(input_ids=ids, attention_mask=mask).logits
    real = mask.bool()
    assert torch.allclose(got[real], expected[real], atol=1e-5)


def test_the_output_matrix_is_the_embeddings(folder: Path) -> None:
    encoder, head = load_encoder_with_lm_head(folder)
    embeddings = encoder.get_input_embeddings().weight
    assert any(parameter is embeddings for parameter in head.parameters())
    # The matrix is one parameter of the model, so that it is optimised once.
    model = Model(encoder, {"toy": head})
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    assert shapes.count(tuple(embeddings.shape)) == 1


def test_the_tie_survives_training(toy: Toy) -> None:
    toy.task("toy_m", "mlm")
    model, outcome = toy.train(toy.stage("toy_m", examples=64))
    embeddings = model.encoder.get_input_embeddings().weight
    assert any(parameter is embeddings for parameter in model.heads["toy_m"].parameters())
    losses = [point["loss"] for point in outcome.curve]
    assert losses[-1] < losses[0]


def test_mlm_needs_a_pretrained_head(pooled: Path) -> None:
    with pytest.raises(StageError, match=r"needs a pretrained LM head; the weights lack lm_head"):
        load_encoder_with_lm_head(pooled)


@pytest.mark.parametrize("load", [load_encoder, load_encoder_with_lm_head])
def test_a_checkpoint_that_lacks_encoder_weights_is_refused(
    tiny_model: Path, tmp_path: Path, load: Callable[[Path, str], Any]
) -> None:
    """Else they would be random, and nobody would know."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    stored = safetensors.torch.load_file(copy / "model.safetensors")
    kept = {name: tensor for name, tensor in stored.items() if "encoder.layer.1." not in name}
    assert len(kept) < len(stored)
    safetensors.torch.save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StageError, match=r"layer\.1"):
        load(copy)


def test_what_cannot_be_loaded_is_a_stage_error(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    shutil.copy(tiny_model / "config.json", tmp_path / "broken")
    (tmp_path / "broken/model.safetensors").write_bytes(b"damaged")
    for place in (tmp_path / "none", tmp_path / "broken"):
        with pytest.raises(StageError, match=str(place)):
            load_encoder(place)
        with pytest.raises(StageError, match=str(place)):
            load_encoder_with_lm_head(place)
    with pytest.raises(StageError, match="tokenizer"):
        load_tokenizer(tmp_path / "none")


def test_heads_come_from_seed_phase_and_task_alone(toy: Toy) -> None:
    tasks = {name: toy.task(name) for name in ("toy_a", "toy_b")}
    both = build_heads(tasks, 32, 0.1, 0.02, 0, "target")
    alone = build_heads({"toy_b": tasks["toy_b"]}, 32, 0.1, 0.02, 0, "target")
    assert same(both["toy_b"], alone["toy_b"])
    weight = both["toy_a"].dense.weight
    assert (
        weight.std().item() == pytest.approx(0.02, rel=0.1) and not both["toy_a"].dense.bias.any()
    )
    for other in (
        both["toy_b"],
        build_heads(tasks, 32, 0.1, 0.02, 1, "target")["toy_a"],
        build_heads(tasks, 32, 0.1, 0.02, 0, "intermediate")["toy_a"],
    ):
        assert not weight.equal(other.dense.weight)


def test_saved_stages_load_bit_for_bit(toy: Toy, tmp_path: Path) -> None:
    tasks = {"toy_a": toy.task("toy_a"), "toy_t": toy.task("toy_t", "tagging")}
    toy.task("toy_m", "mlm")
    stage = toy.stage("toy_a", "toy_t", "toy_m", examples=32)
    before = toy.model(stage).encoder.get_input_embeddings().weight
    model, _ = toy.train(stage)
    save(model, tmp_path)
    encoder = load_encoder(tmp_path / "encoder")
    assert same(encoder, model.encoder)
    assert not encoder.get_input_embeddings().weight.equal(before)
    heads = load_heads(tmp_path, tasks, 32)
    assert all(same(heads[name], model.heads[name]) for name in tasks)
    stored = safetensors.torch.load_file(tmp_path / HEADS_FILE)
    assert {name.partition(".")[0] for name in stored} == {"toy_a", "toy_t"}


def test_a_stage_of_mlm_alone_is_saved_without_heads(toy: Toy, tmp_path: Path) -> None:
    toy.task("toy_m", "mlm")
    model, _ = toy.train(toy.stage("toy_m", examples=16))
    save(model, tmp_path)
    assert same(load_encoder(tmp_path / "encoder"), model.encoder)
    assert load_heads(tmp_path, {}, 32) == {}


def test_hidden_states_by_layer(tiny_model: Path) -> None:
    encoder = load_encoder(tiny_model).eval()
    model = Model(encoder, {})
    ids = torch.tensor([[0, 10, 11, 2]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        states = encoder(**inputs, output_hidden_states=True).hidden_states
        assert len(states) == 3
        work = one_micro_batch(encoder, inputs)
        for layer in range(3):
            assert torch.allclose(model.hidden(work, layer), states[layer], atol=1e-6)
        assert model.hidden(work).equal(model.hidden(work, 2))
        assert not model.hidden(work, 0).equal(model.hidden(work, 1))
    assert settings(encoder) == (32, 0.1, 0.1)


def test_only_the_encoder_carries_over(
    tiny_model: Path,
    tmp_path: Path,
    write_dataset: Callable[..., Path],
    declare: Callable[[Task], Task],
) -> None:
    """Through the store, as a trial does: intermediate, target, evaluation."""
    task = declare(
        Task(
            name="toy",
            kind="pair",
            source=Source("toy/pairs"),
            languages=("en",),
            splits={"train": "train", "dev": "dev", "test": "dev"},
            metrics=("accuracy",),
            labels=("tea", "cat"),
            group="classification",
        )
    )
    words = ["tea", "cat"] * 8
    columns = {"premise": words, "hypothesis": ["old"] * 16, "label": words}
    write_dataset(tmp_path, "toy/pairs", {"default": {"train": columns, "dev": columns}})
    hashes = Hashes(tmp_path / "hashes.json")
    facts = model_facts(tiny_model, "models.tiny.path", hashes)
    content = data_identity(tmp_path / "toy/pairs", hashes)
    inventory = Inventory(
        {"tiny": facts}, {"toy/pairs": str(tmp_path / "toy/pairs")}, {"toy/pairs": content}, {}
    )
    open_storage(tmp_path)
    workshop = Workshop(tmp_path, Store(tmp_path), inventory, ResourcesSpec())

    def rows(use: str) -> Rows:
        return Rows("toy", use, content, (("en", 16),), 1, 1, task.labels, 32)

    recipe = StageRecipe(learning_rate=1e-3, batch_size=8, epochs=1, max_length=32, checks=1)
    part = Part(rows("train"), rows("dev"), 16, 8, (1.0,))
    pretrained = Pretrained("tiny", str(tiny_model), facts.weights, facts.tokenizer)
    first = Train(pretrained, "intermediate", "toy", (part,), recipe, 0)
    second = Train(first, "target", "toy", (part,), recipe, 0)
    evaluation = Evaluate(second, rows("test"), "test", None)
    found = workshop.run(first, "test", lambda share: None)
    stored = load_encoder(found.folder / "encoder")
    trained_head = load_heads(found.folder, {"toy": task}, 32)["toy"]

    fresh = build_model(second, found.folder / "encoder", torch.device("cpu"))
    assert same(fresh.encoder, stored)
    assert not same(fresh.encoder, load_encoder(tiny_model))
    expected = build_heads({"toy": task}, *settings(stored), 0, "target")["toy"]
    assert same(fresh.heads["toy"], expected)
    assert not same(fresh.heads["toy"], trained_head)

    outcome = workshop.run(second, "test", lambda share: None).manifest.trained
    scored = workshop.run(evaluation, "test", lambda share: None).manifest
    # The evaluation reads what the stage saved, so it finds what the stage found.
    assert scored.scores == {"en": outcome.dev["toy"]} and scored.rows == {"en": 16}
    assert workshop.run(second, "test", lambda share: None).is_reused


@pytest.mark.parametrize("pooler", ["none", "fresh", "carried"])
def test_a_link_goes_on_with_the_head_of_the_one_before(
    toy: Toy, tmp_path: Path, pooler: str
) -> None:
    """Its own weights under another name, with the pooler, and dropout for training."""
    toy.task("toy_a")
    toy.task("toy_b")
    before = toy.stage("toy_a", examples=16, pooler=pooler)
    model = build_model(before, toy.folder, torch.device("cpu"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    save(model, tmp_path)
    after = toy.stage("toy_b", examples=16, pooler=pooler)
    link = replace(after, parent=before, carries_head=True)
    device = torch.device("cpu")
    begun = build_model(link, tmp_path / "encoder", device)
    assert same(begun.heads["toy_b"], model.heads["toy_a"]) and same(begun.encoder, model.encoder)
    assert (begun.heads["toy_b"].pooler is None) == (pooler == "none")
    assert begun.heads["toy_b"].dropout.p == begun.encoder.config.hidden_dropout_prob > 0
    fresh = build_model(replace(link, carries_head=False), tmp_path / "encoder", device)
    assert not same(fresh.heads["toy_b"], model.heads["toy_a"])
    # What goes on from it finds its pooler where that of any stage would be.
    save(begun, tmp_path / "next")
    assert bool(read_pooler(tmp_path / "next" / "encoder")) == (pooler == "carried")

"""The pooler before classifiers: whose it is, what it computes, and where it goes on to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, BertModel
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaPooler

from xstilts.errors import StageError
from xstilts.plan.stage import Pretrained
from xstilts.training.heads import load_heads
from xstilts.training.huggingface import check_form, to_transformers
from xstilts.training.model import Model, build_model, load_encoder, save
from xstilts.training.pooling import read_pooler

Toy = Any  # of conftest.py, which tests cannot import

CPU = torch.device("cpu")


def pooler_of(model: Model, name: str = "toy_a") -> torch.nn.Module:
    return model.heads[name].pooler


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(a.equal(b) for a, b in pairs)


@pytest.fixture
def stage(toy: Toy) -> Any:
    """A stage of two classifiers and a tagger, whose recipe carries the pooler."""
    toy.task("toy_a")
    toy.task("toy_b")
    toy.task("toy_t", "tagging")
    return toy.stage("toy_a", "toy_b", "toy_t", examples=32, phase="intermediate", pooler="carried")


def test_without_one_a_classifier_reads_the_first_token(toy: Toy) -> None:
    toy.task("toy_a")
    stage = toy.stage("toy_a", pooler="none")
    assert pooler_of(build_model(stage, toy.folder, CPU)) is None


@pytest.mark.parametrize("pooler", ["fresh", "carried"])
def test_classifiers_share_one_that_computes_what_transformers_does(
    toy: Toy, stage: Any, pooler: str
) -> None:
    stage = replace(stage, recipe=replace(stage.recipe, pooler=pooler))
    model = build_model(stage, toy.folder, CPU).eval()
    own = pooler_of(model)
    assert own is pooler_of(model, "toy_b") and not hasattr(model.heads["toy_t"], "pooler")
    assert own.dense.weight.std().item() == pytest.approx(0.1, rel=0.1)
    assert not own.dense.bias.any()
    theirs = XLMRobertaPooler(model.encoder.config)
    theirs.load_state_dict(own.state_dict())
    hidden = torch.randn(3, 5, 32)
    head = model.heads["toy_a"]
    with torch.inference_mode():
        got, pooled = head(hidden), theirs(hidden)
        head.pooler = None
        assert got.allclose(head(pooled[:, None]), atol=1e-6) and not got.equal(head(hidden))
    again = build_model(stage, toy.folder, CPU)
    other = build_model(replace(stage, seed=1), toy.folder, CPU)
    assert same(pooler_of(again), own) and not same(pooler_of(other), own)


def test_the_target_starts_from_what_the_intermediate_trained(
    toy: Toy, stage: Any, tmp_path: Path
) -> None:
    model = build_model(stage, toy.folder, CPU)
    before = pooler_of(model).dense.weight.detach().clone()
    toy.train(stage, model)
    save(model, tmp_path)
    trained = pooler_of(model)
    assert not trained.dense.weight.equal(before)
    # It is a part of the saved encoder, as transformers names it.
    whole, info = AutoModel.from_pretrained(tmp_path / "encoder", output_loading_info=True)
    assert same(whole.pooler, trained) and not info["missing_keys"]
    assert same(load_encoder(tmp_path / "encoder"), model.encoder)

    target = replace(toy.stage("toy_a", pooler="carried"), parent=stage)
    built = build_model(target, tmp_path / "encoder", CPU)
    assert same(pooler_of(built), trained)
    assert not same(built.heads["toy_a"].dense, model.heads["toy_a"].dense)
    fresh = replace(target, recipe=replace(target.recipe, pooler="fresh"))
    assert not same(pooler_of(build_model(fresh, tmp_path / "encoder", CPU)), trained)


def test_a_fresh_one_ends_with_its_stage(toy: Toy, stage: Any, tmp_path: Path) -> None:
    fresh = replace(stage, recipe=replace(stage.recipe, pooler="fresh"))
    save(build_model(fresh, toy.folder, CPU), tmp_path)
    assert read_pooler(tmp_path / "encoder") == {}


def test_an_evaluation_computes_with_the_pooler_of_its_stage(
    toy: Toy, stage: Any, tmp_path: Path
) -> None:
    model = build_model(stage, toy.folder, CPU).eval()
    save(model, tmp_path)
    tasks = {part.train.task: part.train.entry for part in stage.parts}
    heads = load_heads(tmp_path, tasks, 32)
    hidden = torch.randn(3, 5, 32)
    with torch.inference_mode():
        for name in ("toy_a", "toy_b", "toy_t"):
            assert heads[name].eval()(hidden).equal(model.heads[name](hidden))


def test_a_pretrained_one_is_the_checkpoints(
    toy: Toy, stage: Any, tiny_bert: Path, tmp_path: Path
) -> None:
    """Also behind an intermediate without a classifier, which has none of its own."""
    recipe = replace(stage.recipe, pooler="pretrained")
    lacking = replace(stage, recipe=recipe, parent=Pretrained("b", str(tiny_bert), "w", "t"))
    with pytest.raises(StageError, match="its weights have no pooler; take `carried`"):
        build_model(lacking, tiny_bert, CPU)
    torch.manual_seed(5)
    BertModel.from_pretrained(tiny_bert).save_pretrained(tmp_path / "bert")
    expected = BertModel.from_pretrained(tmp_path / "bert").pooler
    checkpoint = Pretrained("b", str(tmp_path / "bert"), "w", "t")
    for pooler in ("pretrained", "carried"):
        own = replace(stage, recipe=replace(recipe, pooler=pooler), parent=checkpoint)
        assert same(pooler_of(build_model(own, tmp_path / "bert", CPU)), expected)
    tagging = replace(toy.stage("toy_t", phase="intermediate"), parent=checkpoint, recipe=recipe)
    save(build_model(tagging, tmp_path / "bert", CPU), tmp_path)
    target = replace(stage, recipe=recipe, parent=tagging)
    assert same(pooler_of(build_model(target, tmp_path / "encoder", CPU)), expected)


def test_what_transformers_has_no_class_for_is_not_exported(
    toy: Toy, stage: Any, tmp_path: Path
) -> None:
    model = build_model(stage, toy.folder, CPU).eval()
    save(model, tmp_path)
    tasks = {part.train.task: part.train.entry for part in stage.parts}
    with pytest.raises(StageError, match="toy_a: was trained with a pooler before its classifier"):
        check_form(tasks["toy_a"], stage.recipe)
    with pytest.raises(StageError, match="computes its head in another way"):
        to_transformers(tmp_path, tasks["toy_a"])
    for task, pooler in (("toy_a", "none"), ("toy_t", "carried")):
        check_form(tasks[task], replace(stage.recipe, pooler=pooler))
    # The tagger of the same encoder is; `to_transformers` compares what both compute.
    assert to_transformers(tmp_path, tasks["toy_t"]).config.id2label[0] == "red"


@pytest.mark.parametrize(("span_dropout", "rate"), [(True, 0.1), (False, 0.0)])
def test_states_are_dropped_before_the_span_head_where_the_recipe_says_so(
    toy: Toy, span_dropout: bool, rate: float
) -> None:
    toy.task("toy_q", "span")
    toy.task("toy_t", "tagging")
    stage = toy.stage("toy_q", "toy_t", span_dropout=span_dropout)
    model = build_model(stage, toy.folder, CPU)
    assert (model.heads["toy_q"].dropout.p, model.heads["toy_t"].dropout.p) == (rate, 0.1)


@pytest.mark.parametrize("pooling", ["pooler", "mean", "first"])
def test_a_dual_encoder_is_evaluated_as_it_was_trained(
    toy: Toy, tmp_path: Path, pooling: str
) -> None:
    toy.task("finder", "dual_encoder")
    stage = toy.stage("finder", pooling=pooling)
    model = build_model(stage, toy.folder, CPU).eval()
    with torch.no_grad():
        model.heads["finder"].scale.fill_(3)
    save(model, tmp_path)
    task = stage.parts[0].train.entry
    head = load_heads(tmp_path, {"finder": task}, 32, stage.recipe)["finder"]
    hidden, mask = torch.randn(4, 5, 32), torch.ones(4, 5)
    with torch.inference_mode():
        assert head(hidden, mask).equal(model.heads["finder"](hidden, mask))
    assert head.scale.item() == 3 and (head.pooler is not None) == (pooling == "pooler")


def test_a_dual_encoder_has_the_checkpoints_pooler_or_a_drawn_one(
    toy: Toy, tiny_bert: Path, tmp_path: Path
) -> None:
    """As `from_pretrained` gives them: BERT's weights hold one, XLM-R's do not."""
    toy.task("finder", "dual_encoder")
    stage = toy.stage("finder")
    drawn = build_model(stage, toy.folder, CPU).heads["finder"].pooler
    assert same(build_model(stage, toy.folder, CPU).heads["finder"].pooler, drawn)
    assert drawn.dense.weight.std().item() > 0
    BertModel.from_pretrained(tiny_bert).save_pretrained(tmp_path / "bert")
    expected = BertModel.from_pretrained(tmp_path / "bert").pooler
    own = replace(stage, parent=Pretrained("b", str(tmp_path / "bert"), "w", "t"))
    assert same(build_model(own, tmp_path / "bert", CPU).heads["finder"].pooler, expected)

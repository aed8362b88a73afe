"""Stages that keep adapters alone: what they share, what is trained again, what is exported; and
what is said of adapters that a model cannot have, before anything is trained."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from xstilts.config.families import RUNNING
from xstilts.errors import ConfigError
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train, stage_name
from xstilts.run.adapters import WITHOUT
from xstilts.run.arms import check_arms
from xstilts.run.export import export_encoder, export_model
from xstilts.run.inputs import take_inventory
from xstilts.run.kept_weights import with_bases
from xstilts.run.reopen import workshop_of
from xstilts.run.store import encoder_files
from xstilts.run.trial import run_trial
from xstilts.search.proposals import target_points
from xstilts.training.lora import ADAPTERS_FILE, linear_layers, queries_and_values
from xstilts.training.model import empty_encoder, load_encoder

from ..conftest import make_places, make_sweep

LORA = {"lora": {"rank": 4, "alpha": 8, "modules": ["query", "value"]}}
POINT = {"model": "m", "intermediate": "nli"}


def sweep_of(data: Path, **adapt: Any) -> Any:
    return make_sweep(
        recipe={"name": "mini", "adapt": adapt, "checks": 1},
        data={"root": str(data)},
        intermediates={"nli": {"tasks": ["mini_nli"], "budget": {"examples": 64}}},
        targets=["mini_xnli"],
        languages=["en", "qaa"],
        evaluation={"examples": 30},
        search={"encoder": {"space": {"target.epochs": {"choice": [0.03]}}}},
    )


def test_a_stage_of_adapters_stands_on_what_it_went_on_from(
    tmp_path: Path, shared_mini: Path
) -> None:
    """Its base's file is shared, comes back where it was dropped, and is merged where it leaves the
    storage; the exported model predicts what the trial predicted."""
    sweep, places = sweep_of(shared_mini, intermediate=LORA, target=LORA), make_places(tmp_path)
    inventory = take_inventory(sweep, places)
    planner = Planner(sweep, inventory, target_points(sweep))
    plan, workshop = planner.plan(POINT, 0), workshop_of(planner, places)
    folder = places.trials / plan.trial_id
    record = run_trial(plan, planner, workshop, folder)
    assert record.state == "finished", record.error
    (cell,) = plan.target_sets[0].cells
    store, target, encoder = workshop.store, cell.stage, plan.encoder
    assert isinstance(encoder, Train)
    for stage in (target, encoder):
        files = sorted(path.name for path in store.weights(stage).rglob("*.safetensors"))
        assert files == [ADAPTERS_FILE, "heads.safetensors"]
    base = with_bases(places.storage, [stage_name(target)])
    assert base == {stage_name(target), stage_name(encoder)}
    whole, adapters = encoder_files(store, target)
    assert whole == Path(inventory.models["m"].path)
    assert [path.parents[1].name for path in adapters] == [stage_name(encoder), stage_name(target)]

    lines: list[str] = []
    export_model(record, planner, workshop, "mini_xnli", tmp_path / "out", lines.append)
    exported = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    merged = load_encoder(whole, adapters=adapters).state_dict()
    own = exported.base_model.state_dict()
    assert all(own[name].equal(tensor) for name, tensor in merged.items())
    assert AutoTokenizer.from_pretrained(tmp_path / "out").is_fast
    evaluation = planner.evaluation(plan, "mini_xnli", cell)
    predicted = store.path(evaluation) / "result-1" / "predictions" / "mini_xnli" / "test-qaa.tsv"
    token_cache, _ = workshop.token_cache_of(inventory.models["m"])
    rows = token_cache.encoded(evaluation.rows, "qaa").features["input_ids"].to_pylist()
    with torch.inference_mode():
        found = [int(exported(torch.tensor([ids])).logits.argmax()) for ids in rows]
    names = [exported.config.id2label[label] for label in found]
    assert names == predicted.read_text().split() and len(set(names)) > 1

    # Adapters without their base are of no use to an evaluation: it is trained again, they are not.
    digest = (store.weights(encoder) / "encoder" / ADAPTERS_FILE).read_bytes()
    store.drop_weights(stage_name(encoder))
    assert workshop.lacking(target) == [encoder]
    shutil.rmtree(store.path(evaluation))
    assert run_trial(plan, planner, workshop, folder).scores == record.scores
    assert (store.weights(encoder) / "encoder" / ADAPTERS_FILE).read_bytes() == digest
    assert store.path(encoder).joinpath("result-2").exists()
    assert not store.path(target).joinpath("result-2").exists()

    for stage in (encoder, target):
        store.drop_weights(stage_name(stage))
    export_model(record, planner, workshop, "mini_xnli", tmp_path / "again", lines.append)
    told = "its weights were dropped, it is trained again"
    assert lines == [f"{stage_name(stage)}: {told}" for stage in (encoder, target)]
    weights = "model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (tmp_path / "out" / weights).read_bytes()
    export_encoder(record, planner, workshop, tmp_path / "encoder", lines.append)
    loaded = AutoModel.from_pretrained(tmp_path / "encoder", add_pooling_layer=False).state_dict()
    whole, adapters = encoder_files(store, encoder)
    merged = load_encoder(whole, adapters=adapters).state_dict()
    assert all(loaded[name].equal(tensor) for name, tensor in merged.items())


def told(tmp_path: Path, data: Path, model: Path, **lora: Any) -> str:
    sweep = sweep_of(data, target={"lora": lora})
    sweep = sweep.model_copy(
        update={"models": {"m": sweep.models["m"].model_copy(update={"path": str(model)})}}
    )
    root = tmp_path / "-".join(lora)
    root.mkdir()
    with pytest.raises(ConfigError) as caught:
        take_inventory(sweep, make_places(root))
    (problem,) = caught.value.problems
    return str(problem)


def test_adapters_that_a_model_cannot_have_are_told_before_work(
    tmp_path: Path, shared_mini: Path, tiny_model: Path
) -> None:
    absent = told(tmp_path, shared_mini, tiny_model, modules=["query", "values"])
    assert "lora.modules are linear layers of models.m" in absent
    assert 'did you mean "value"? known: dense, key, query, value' in absent
    large = told(tmp_path, shared_mini, tiny_model, rank=33)
    assert "lora.rank is at most the smaller side of query in models.m, 32" in large
    for line in (absent, large):
        assert line.startswith("recipe.adapt.target") and "\n" not in line
    with pytest.raises(ConfigError, match=r"recipe\.adapt\.target\.lora\.rank"):
        sweep_of(shared_mini, target={"lora": {"rank": -1}})


def test_families_that_cannot_have_them_are_told_with_those_that_can(
    tmp_path: Path, shared_mini: Path, tiny_model: Path
) -> None:
    sweep = sweep_of(shared_mini, target=LORA)
    inventory = take_inventory(sweep, make_places(tmp_path))
    AutoConfig.for_model("squeezebert").save_pretrained(tmp_path / "model")
    facts = replace(inventory.models["m"], path=str(tmp_path / "model"))
    (problem,) = check_arms(sweep, {"m": facts})
    assert "lora needs linear layers for queries and values" in str(problem)
    assert "these can: albert, bart" in str(problem) and "ibert," not in str(problem)
    assert list(check_arms(sweep_of(shared_mini), {"m": facts})) == []


FUSED = {"modernbert": ("Wqkv",), "deberta-v2": ("query_proj", "value_proj"), "mt5": ("q", "v")}


@pytest.mark.parametrize(
    "names",
    [(*WITHOUT, *FUSED, "xlm-roberta"), pytest.param(RUNNING, marks=pytest.mark.soak)],
    ids=["some", "all"],
)
def test_where_families_have_their_queries_and_values(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    for name in names:
        AutoConfig.for_model(name).save_pretrained(tmp_path / name)
        found = queries_and_values(linear_layers(empty_encoder(tmp_path / name)))
        assert (not found) == (name in WITHOUT), name
        assert found == FUSED.get(name, found)

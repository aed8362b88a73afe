"""Probes as stages: read off encoders, stored once, equal to what transformers gives one by one."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForMaskedLM

from xstilts import mini
from xstilts.config.load import parse_sweep
from xstilts.errors import ConfigError, StageError
from xstilts.kinds.kind import Vocabulary
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Pretrained, Signal, Train, fingerprint, stage_name
from xstilts.plan.trial_plan import TrialPlan, retried
from xstilts.records import TrialRecord
from xstilts.run import probes
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.probes import lm_head, mask_each
from xstilts.run.records import is_probed, read_record
from xstilts.run.reopen import workshop_of
from xstilts.run.store import encoder_files
from xstilts.run.trial import run_trial
from xstilts.run.workshop import Workshop
from xstilts.scores.probes import Name
from xstilts.search.proposals import target_points

from ..conftest import make_places

READ = ["fertility", "anisotropy", "alignment", "language_identity", "pseudo_perplexity"]
LANGUAGES = ("qab", "qae")
COUNT = 12


def make_planner(data: Path, places: Places, **changes: Any) -> Planner:
    asked = {"read": READ, "parallel": "mini_parallel", "languages": LANGUAGES, "sentences": COUNT}
    sweep = parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": str(data)},
            "intermediates": {"nli": {"tasks": ["mini_nli"], "budget": {"examples": 64}}},
            "targets": ["mini_xnli", "mini_tatoeba"],
            "languages": ["en", "qaa"],
            "probes": asked,
            "seeds": [0, 1],
            "search": {"encoder": {"space": {"target.epochs": {"choice": [0.01]}}}},
            **changes,
        },
        "test",
    )
    return Planner(sweep, take_inventory(sweep, places), target_points(sweep))


def point_of(intermediate: str) -> dict[str, Any]:
    return {"model": "mini", "intermediate": intermediate, "target.epochs": 0.01}


class Probed:
    """A planner whose trials of `none` and `nli` have run, with what is needed to look closer."""

    def __init__(self, places: Places, data: Path):
        self.places, self.planner = places, make_planner(data, places)
        self.workshop: Workshop = workshop_of(self.planner, places)
        self.plans = {name: self.planner.plan(point_of(name), 0) for name in ("none", "nli")}
        self.records: dict[str, TrialRecord] = {}
        for name, plan in self.plans.items():
            folder = places.trials / plan.trial_id
            run_trial(plan, self.planner, self.workshop, folder)
            record = read_record(folder)
            assert record is not None and record.state == "finished", record
            self.records[name] = record

    def sentences(self, language: str) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids of a language's sentences and of their translations, row by row."""
        facts = self.planner.inventory.models["mini"]
        rows = self.plans["none"].probes[-1].rows
        encoded = self.workshop.token_cache_of(facts)[0].encoded(rows, language)
        ids = encoded.features["input_ids"].to_pylist()
        gold = encoded.examples["gold"].to_pylist()
        assert len(gold) == COUNT and len(ids) == 2 * COUNT
        english = dict(zip(gold, ids[COUNT:], strict=True))
        return ids[:COUNT], [english[i] for i in range(COUNT)]

    def encoder(self, name: str) -> Any:
        folder, _ = encoder_files(self.workshop.store, self.plans[name].encoder)
        return AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory, shared_mini: Path) -> Iterator[Probed]:
    yield Probed(make_places(tmp_path_factory.mktemp("probed")), shared_mini)


def one_by_one(model: Any, sentences: list[list[int]], mask: int, special: set[int]) -> float:
    total, count = 0.0, 0
    for ids in sentences:
        for place, token in enumerate(ids):
            if token not in special:
                given = torch.tensor([[*ids[:place], mask, *ids[place + 1 :]]])
                with torch.no_grad():
                    scores = model(input_ids=given).logits[0, place].double()
                total += float(torch.log_softmax(scores, 0)[token])
                count += 1
    return math.exp(-total / count)


@pytest.mark.parametrize("name", ["none", "nli"])
def test_pseudo_perplexity_is_that_of_masking_one_by_one(probed: Probed, name: str) -> None:
    """After an intermediate with the head of the pretrained model, its output matrix too."""
    model = AutoModelForMaskedLM.from_pretrained(mini.encoder_path()).eval()
    model.roberta = probed.encoder(name)
    _, vocabulary = probed.workshop.token_cache_of(probed.planner.inventory.models["mini"])
    special, record = {*vocabulary.special_ids}, probed.records[name]
    texts = {language: probed.sentences(language)[0] for language in LANGUAGES}
    texts["en"] = probed.sentences(LANGUAGES[0])[1]
    for language, own in texts.items():
        expected = one_by_one(model, own, vocabulary.mask_id, special)
        assert record.probes[f"pseudo_perplexity/{language}"] == pytest.approx(expected, rel=1e-4)
    assert 1 < record.probes["pseudo_perplexity/en"] < 100


def means(model: Any, sentences: list[list[int]]) -> np.ndarray:
    """(sentences, hidden states, hidden size), one sentence after the other."""
    found = []
    for ids in sentences:
        with torch.no_grad():
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        found.append(np.stack([state[0].mean(0).numpy() for state in states]))
    return np.stack(found)


def test_vectors_by_layer_are_those_of_transformers(probed: Probed) -> None:
    model, told = probed.encoder("nli"), probed.records["nli"].probes
    layer = probed.plans["nli"].probes[2].layer
    assert layer == 2
    for language in LANGUAGES:
        sources, english = (means(model, side) for side in probed.sentences(language))
        for i in range(5):
            a, b = (
                side[:, i] / np.linalg.norm(side[:, i], axis=1)[:, None]
                for side in (sources, english)
            )
            table, is_own = b @ a.T, np.eye(COUNT, dtype=bool)
            margin = 100 * (table[is_own].mean() - table[~is_own].mean())
            assert told[f"alignment/{language}/{i:02d}"] == pytest.approx(margin, abs=1e-3)
            assert told[f"retrieval/{language}/{i:02d}"] == 100 * np.mean(
                table.argmax(1) == np.arange(COUNT)
            )
            cosines = (a @ a.T)[~is_own]
            anisotropy = told[f"anisotropy/{language}/{i:02d}"]
            assert anisotropy == pytest.approx(100 * cosines.mean(), abs=1e-3)
        for probe in ("alignment", "retrieval", "anisotropy", "language_identity"):
            assert told[f"{probe}/{language}"] == told[f"{probe}/{language}/{layer:02d}"]
    assert {Name.of(key).language for key in told} == {"en", "qaa", *LANGUAGES}
    assert "alignment/en" not in told and "anisotropy/en" in told
    assert told["language_identity/qab"] > 50


def test_fertility_is_of_what_is_scored_and_of_the_tokenizer_alone(probed: Probed) -> None:
    found = {name: probed.records[name].probes["fertility/qaa"] for name in ("none", "nli")}
    assert found["none"] == found["nli"] and 1 <= found["none"] < 3
    stages = [probe for plan in probed.plans.values() for probe in plan.probes[:2]]
    assert len({*map(fingerprint, stages)}) == 2 and isinstance(stages[3].parent, Pretrained)
    own = [
        probed.workshop.run(stage, "test", lambda share: None).manifest.values
        for stage in stages[:2]
    ]
    assert [x["fertility/qaa"] < 3 for x in own] == [True, True] and "fertility/en" not in own[1]
    tokens = [x["tokens/qaa"] for x in own]
    words = sum(count / x["fertility/qaa"] for count, x in zip(tokens, own, strict=True))
    assert found["nli"] == pytest.approx(sum(tokens) / words)
    assert not any("tokens" in key for key in probed.records["nli"].probes)


def test_a_probe_is_read_once_for_all_trials_and_seeds(probed: Probed) -> None:
    plan, planner = probed.plans["nli"], probed.planner
    assert [probe.signal for probe in plan.probes] == ["fertility", *READ]
    # A probe of the pretrained encoder is that of every seed's baseline.
    other = planner.plan(point_of("none"), 1)
    assert [*map(stage_name, other.probes)] == [*map(stage_name, probed.plans["none"].probes)]
    again = run_trial(other, planner, probed.workshop, probed.places.trials / other.trial_id)
    assert all(stage.is_reused for stage in again.stages if stage.name.startswith("signal-"))
    assert again.probes == probed.records["none"].probes
    assert planner.plan(point_of("nli"), 1).probes[2] != plan.probes[2]
    assert not planner.plan(point_of("nli"), 0, confirms={"mini_xnli": {}}).probes
    assert not planner.plan(point_of("nli"), 0, rung=0.5).probes
    assert isinstance(plan.encoder, Train)
    moved = planner.with_encoder(plan, retried(plan.encoder, 1))
    assert moved.probes[0] == plan.probes[0] and moved.probes[2].parent is moved.encoder
    assert {probe.rows for probe in plan.probes} <= {*planner.rows_needed("mini")}


def test_a_sweep_may_ask_for_probes_later(probed: Probed, shared_mini: Path) -> None:
    plain = make_planner(shared_mini, probed.places, probes=None)
    for name, plan in probed.plans.items():
        own: TrialPlan = plain.plan(point_of(name), 0)
        assert own == replace(plan, probes=())
        record = probed.records[name]
        assert is_probed(record, own, 0) and is_probed(record, plan, 0)
        few = replace(record, stages=[x for x in record.stages if "alignment" not in x.name])
        assert not is_probed(few, plan, 0)
    plan = probed.plans["nli"]
    assert isinstance(plan.encoder, Train)
    moved = probed.planner.with_encoder(plan, retried(plan.encoder, 1))
    stages = [
        replace(stage, name=stage_name(probe))
        for stage, probe in zip(probed.records["nli"].stages, moved.probes, strict=False)
    ]
    tried = replace(probed.records["nli"], stages=stages)
    assert is_probed(tried, plan, 1) and not is_probed(tried, plan, 0)


def model_without(folder: Path, names: str) -> Path:
    """The miniature encoder without the weights of these beginnings."""
    shutil.copytree(mini.encoder_path(), folder)
    (path,) = folder.glob("*.safetensors")
    kept = {name: value for name, value in load_file(path).items() if not name.startswith(names)}
    save_file(kept, path, metadata={"format": "pt"})
    return folder


def test_a_model_without_a_head_is_refused_or_a_hole_that_says_why(
    tmp_path: Path, shared_mini: Path
) -> None:
    places = make_places(tmp_path)
    asked = {"read": ["pseudo_perplexity"], "parallel": "mini_parallel", "sentences": COUNT}
    none = model_without(tmp_path / "none", "lm_head")
    with pytest.raises(ConfigError) as caught:
        make_planner(shared_mini, places, models={"mini": {"path": str(none)}}, probes=asked)
    (line,) = map(str, caught.value.problems)
    assert line.startswith('probes.read: "pseudo_perplexity" needs a model with its pretrained LM')
    # One whose head is not whole is seen when it is loaded.
    torn = model_without(tmp_path / "torn", "lm_head.dense")
    planner = make_planner(shared_mini, places, models={"mini": {"path": str(torn)}}, probes=asked)
    plan = planner.plan(point_of("none"), 0)
    folder = places.trials / plan.trial_id
    record = run_trial(plan, planner, workshop_of(planner, places), folder)
    assert record.state == "finished" and record.probes == {}
    (told,) = record.probe_holes.values()
    assert "lm_head.dense.bias" in told and str(torn) not in told
    with pytest.raises(StageError, match="no mask token"):
        lm_head(torn, Vocabulary(0, -1, 10, ()))


def test_of_long_sentences_a_sample_of_tokens_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MOST_MASKED", 3)
    ids = [[0, 5, 6, 2], [0, 2], [0, 4, 5, 6, 7, 8, 2]]
    features = pa.table({"example": [7, 8, 9], "input_ids": ids})
    masked, lengths = mask_each(features, (0, 2))
    assert lengths == {0: 2, 1: 0, 2: 5}
    assert masked["example"].to_pylist() == [0, 0, 2, 2, 2]
    assert masked["input_ids"].to_pylist() == [ids[i] for i in (0, 0, 2, 2, 2)]
    places = masked["place"].to_pylist()
    assert places[:2] == [1, 2] and len({*places[2:]}) == 3 and {*places[2:]} <= {1, 2, 3, 4, 5}


def test_what_a_probe_is_known_by(probed: Probed) -> None:
    probe: Signal = probed.plans["nli"].probes[3]
    assert stage_name(probe).startswith("signal-alignment-mini_parallel-")
    changed = [
        replace(probe, signal="anisotropy"),
        replace(probe, rows=replace(probe.rows, limit=COUNT + 1)),
        replace(probe, layer=1),
        replace(probe, parent=probed.plans["none"].encoder),
    ]
    assert len({fingerprint(one) for one in (probe, *changed)}) == 5

"""Targets that are trained in chains: the head goes on, a shared link is trained once, and a trial
that was stopped between its links ends as one that was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from xstilts import mini
from xstilts.config.load import parse_sweep
from xstilts.config.own_tasks import find_task
from xstilts.errors import Preempted
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train, class_of, stage_name, stage_title
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.run.export import chosen_stage
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.rehearsal import MAX_STEPS, scenes
from xstilts.run.reopen import workshop_of
from xstilts.run.trial import run_trial
from xstilts.run.workshop import Workshop
from xstilts.search.proposals import target_points
from xstilts.training.heads import HEADS_FILE
from xstilts.training.model import build_model

from ..conftest import make_places

POINT = {"model": "mini", "intermediate": "none"}


def write_choices(path: Path, first: int, count: int, width: int) -> str:
    """Rows of the miniature multiple choice with fewer endings, the right one among them."""
    (source,) = (mini.data_path() / "xstilts" / "mini_choice").glob("**/train-*.parquet")
    with path.open("w", encoding="utf-8") as file:
        for i, row in enumerate(pq.read_table(source).slice(first, count).to_pylist()):
            right = row["endings"].pop(int(row["label"]))
            endings = row["endings"][: width - 1]
            endings.insert(i % width, right)
            choices = [f"{row['ctx_b']} {ending}" for ending in endings]
            record = {"prompt": row["ctx_a"], "choices": choices, "label": str(i % width)}
            file.write(json.dumps(record) + "\n")
    return str(path)


def document(folder: Path, data: Path, **changes: Any) -> dict[str, Any]:
    """Two targets whose chains begin with the same task of three choices and go on with two."""
    folder.mkdir(exist_ok=True)
    three = write_choices(folder / "three.jsonl", 0, 96, 3)
    two = [write_choices(folder / f"{x}.jsonl", 96 + 64 * i, 64, 2) for i, x in enumerate("abcd")]
    return {
        "name": "s",
        "benchmark": "custom",
        "recipe": {"name": "mini", "checks": 1},
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": str(data)},
        "tasks": {
            "three": {"kind": "choice", "files": {"train": three}},
            "two": {"kind": "choice", "files": {"train": two[0]}},
            "too": {"kind": "choice", "files": {"train": two[1]}},
            "one": {"kind": "choice", "files": {"test": {"en": two[2]}}, "train": ["three", "two"]},
            "other": {
                "kind": "choice",
                "files": {"test": {"en": two[3]}},
                "train": ["three", "too"],
            },
        },
        "targets": ["one", "other"],
        **changes,
    }


class Bench:
    """What running a trial in this process takes."""

    def __init__(self, root: Path, data: Path, **changes: Any):
        self.places: Places = make_places(root)
        self.sweep = parse_sweep(document(root / "files", data, **changes), "test")
        inventory = take_inventory(self.sweep, self.places)
        self.planner = Planner(self.sweep, inventory, target_points(self.sweep))
        self.plan: TrialPlan = self.planner.plan(POINT, 0)
        self.let_go: list[str] = []

    def workshop(self) -> Workshop:
        return workshop_of(self.planner, self.places)

    def run(self, workshop: Workshop | None = None) -> TrialRecord:
        folder = self.places.trials / self.plan.trial_id
        record = run_trial(self.plan, self.planner, workshop or self.workshop(), folder)
        assert record.state == "finished", record.error
        return record


@pytest.fixture
def make_bench(tmp_path: Path, shared_mini: Path) -> Callable[..., Bench]:
    def make(name: str = "first", **changes: Any) -> Bench:
        (tmp_path / name).mkdir()
        return Bench(tmp_path / name, shared_mini, **changes)

    return make


def titles(record: TrialRecord) -> list[str]:
    return [stage_title(stage.name) for stage in record.stages]


def test_a_chain_runs_with_its_first_link_shared_and_its_head_carried(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()
    workshop = bench.workshop()
    dropped: list[str] = []
    monkeypatch.setattr(Workshop, "let_go", lambda self, name: dropped.append(name))
    record = bench.run(workshop)
    assert titles(record) == [
        "target-three",
        "target-two",
        "evaluate-one",
        "target-too",
        "evaluate-other",
    ]
    assert not any(stage.is_reused for stage in record.stages)
    first, *lasts = bench.plan.training_stages
    assert dropped == [stage_name(first)], "once all that goes on from it is trained"
    assert record.chosen["one"].links == (stage_name(first),)
    assert record.chosen["one"].stages == (stage_name(first), stage_name(lasts[0]))
    assert list(record.recipes["target"]) == ["one/three", "one", "other/three", "other"]
    assert record.recipes["target"]["one/three"]["keep"] == "last"
    assert {"one/three", "one", "other"} <= record.curves.keys()
    assert {(x["target"], x["split"]) for x in record.scores} == {
        (target, split) for target in ("one", "other") for split in ("dev", "test")
    }
    # What a link begins with is what the one before it ended with, to the bit.
    weights = workshop.store.weights(first)
    trained = safetensors.torch.load_file(weights / HEADS_FILE)
    begun = build_model(lasts[0], weights / "encoder", torch.device("cpu"))
    carried = begun.heads.state_dict()
    assert {name.replace("two.", "three.") for name in carried} == trained.keys()
    for name, tensor in carried.items():
        assert tensor.equal(trained[name.replace("two.", "three.")])
    fresh = build_model(
        replace(lasts[0], carries_head=False), weights / "encoder", torch.device("cpu")
    )
    assert not fresh.heads["two"].output.weight.equal(begun.heads["two"].output.weight)
    encoder = safetensors.torch.load_file(weights / "encoder" / "model.safetensors")
    assert all(
        encoder[name].equal(tensor) for name, tensor in begun.encoder.state_dict().items()
    ), "and so is the encoder"
    # Its last weights stand, and they have learnt something since.
    ended = safetensors.torch.load_file(workshop.store.weights(lasts[0]) / HEADS_FILE)
    assert not ended["two.output.weight"].equal(trained["three.output.weight"])


def test_a_pooler_goes_on_with_the_head(make_bench: Callable[..., Bench]) -> None:
    for pooler in ("fresh", "carried"):
        bench = make_bench(pooler, recipe={"name": "mini", "checks": 1, "pooler": pooler})
        workshop = bench.workshop()
        first, last, _ = bench.plan.training_stages
        found = workshop.run(first, "s/t", lambda share: None)
        own = safetensors.torch.load_file(found.folder / HEADS_FILE)["three.pooler.dense.weight"]
        begun = build_model(last, found.folder / "encoder", torch.device("cpu"))
        assert begun.heads["two"].pooler.dense.weight.equal(own)
        assert begun.heads["two"].pooler.is_carried == (pooler == "carried")
        workshop.run(last, "s/t", lambda share: None)


def test_points_share_a_link_whose_values_the_file_says(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(
        recipe={"name": "mini", "checks": 1, "targets": {"three": {"learning_rate": 1e-4}}},
        search={
            "target": {"space": {"learning_rate": {"choice": [1e-4, 1e-3]}}, "trials": 2},
        },
        targets=["one"],
    )
    record = bench.run()
    names = titles(record)
    assert names == ["target-three", "target-two", "target-two", "evaluate-one"]
    assert record.retries == {}
    assert record.recipes["target"]["one/three"]["learning_rate"] == 1e-4
    assert record.recipes["target"]["one"]["learning_rate"] == record.chosen["one"].learning_rate
    store = bench.workshop().store
    assert not store.has_weights(bench.plan.training_stages[0])
    chosen = chosen_stage(record, bench.planner, find_task(bench.sweep, "one"))
    assert store.has_weights(chosen) and chosen.carries_head


def test_a_link_that_collapses_is_tried_again_and_the_chain_goes_on_from_the_last_attempt(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(
        retries=1,
        recipe={"name": "mini", "checks": 1, "targets": {"three": {"learning_rate": 1e-12}}},
        search={"target": {"space": {"learning_rate": {"choice": [1e-13, 1e-12]}}, "trials": 2}},
        targets=["one"],
    )
    record = bench.run()
    assert record.retries == {
        "one 1/2, three": 1,
        "one 2/2, three": 1,
        "one 1/2": 1,
        "one 2/2": 1,
    }
    assert titles(record) == [*["target-three"] * 2, *["target-two"] * 4, "evaluate-one"]
    assert record.collapsed == ["one"]
    planned = {stage_name(stage) for stage in bench.plan.training_stages}
    assert not planned & set(record.chosen["one"].stages)
    # Whoever needs it finds it by what the record says.
    chosen = chosen_stage(record, bench.planner, find_task(bench.sweep, "one"))
    assert (*map(stage_name, chosen.links_before), stage_name(chosen)) == record.chosen[
        "one"
    ].stages


def test_a_run_has_collapsed_where_any_link_has_and_is_not_undecided_too(
    make_bench: Callable[..., Bench],
) -> None:
    said = {"learning_rate": 1e-12}
    recipe = {"name": "mini", "checks": 1, "epochs": 3, "targets": {"three": said}}
    bench = make_bench(recipe=recipe, targets=["one"])
    record, workshop = bench.run(), bench.workshop()
    first, last = (
        workshop.run(stage, "s/t", lambda share: None).manifest.trained
        for stage in bench.plan.training_stages
    )
    assert first.collapsed == ["three"] and last.undecided == ["two"]
    assert (record.collapsed, record.undecided) == (["one"], [])


def test_a_trial_that_is_stopped_between_links_ends_as_one_that_is_not(
    make_bench: Callable[..., Bench],
) -> None:
    whole = make_bench("whole").run()
    bench = make_bench("stopped")
    first = bench.plan.training_stages[0]
    stopped = bench.workshop()
    stopped.must_stop = lambda: stopped.store.has(first)
    with pytest.raises(Preempted):
        bench.run(stopped)
    assert read_record(bench.places.trials / bench.plan.trial_id) is None
    record = bench.run()
    assert [stage.fingerprint for stage in record.stages] == [
        stage.fingerprint for stage in whole.stages
    ]
    assert list(record.scores) == list(whole.scores)
    assert record.metrics["cost/interruptions"] == whole.metrics["cost/interruptions"]


def test_a_link_whose_weights_are_gone_is_trained_again_to_the_same(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(targets=["one"])
    record = bench.run()
    workshop = bench.workshop()
    first, last = bench.plan.training_stages
    assert not workshop.store.has_weights(first)
    before = (workshop.store.weights(last) / HEADS_FILE).read_bytes()
    workshop.store.drop_weights(stage_name(last))
    workshop.run(last, "s/t", lambda share: None, with_weights=True)
    assert (workshop.store.weights(last) / HEADS_FILE).read_bytes() == before
    assert record.chosen["one"].stages == (stage_name(first), stage_name(last))


def test_the_rehearsal_shortens_every_link(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(recipe={"name": "mini", "epochs": 50})
    found = {scene.label: scene.train for scene in scenes(bench.planner)}
    assert found.keys() == {"one", "other"}
    last = found["one"]
    assert isinstance(last, Train) and last.carries_head
    assert [stage.num_steps for stage in (*last.links_before, last)] == [MAX_STEPS] * 2
    assert {class_of(stage_name(x)) for x in (*last.links_before, last)} == {"target"}

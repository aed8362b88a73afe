"""One trial without Ray: what collapses is tried again with another seed, as the file allows."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from xstilts.cli import app
from xstilts.config.load import load_sweep, parse_sweep
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import ResourcesSpec
from xstilts.errors import Diverged, LeaseLost, Preempted, StorageGone
from xstilts.files import read_json, sha256_of_file
from xstilts.lease import Lease, claim_path
from xstilts.plan.plan import Planner
from xstilts.plan.stage import stage_name
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import SCHEMA, TrialRecord
from xstilts.run import attempts, evaluation
from xstilts.run.evaluation import Evaluator
from xstilts.run.export import chosen_stage
from xstilts.run.inputs import take_inventory
from xstilts.run.outcomes import read_outcomes
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.reopen import workshop_of
from xstilts.run.storage import identity_of
from xstilts.run.store import Store
from xstilts.run.trial import run_trial
from xstilts.run.workshop import Workshop
from xstilts.search.proposals import target_points
from xstilts.training import processes

from ..conftest import make_places


def run_command(folder: Path, data: Path, rate: float, retries: int, status: int = 0) -> Any:
    folder.mkdir(exist_ok=True)
    sweep = {
        "name": "s",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": str(data)},
        "intermediates": {"nli": {"tasks": ["mini_nli"], "budget": {"examples": 48}}},
        "targets": ["mini_xquad", "mini_tatoeba"],
        "languages": ["en", "qaa"],
        "retries": retries,
        "search": {
            "encoder": {
                "space": {
                    "intermediate.learning_rate": {"choice": [rate]},
                    "target.learning_rate": {"choice": [rate]},
                    "target.epochs": {"choice": [0.02]},
                }
            }
        },
        "storage": str(folder / "runs"),
    }
    (folder / "s.yaml").write_text(yaml.safe_dump(sweep))
    point = ["--point", "{intermediate: nli}", "--json"]
    result = CliRunner().invoke(app, ["run", str(folder / "s.yaml"), *point])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def test_a_stage_that_collapses_is_tried_again_and_still_tagged(
    tmp_path: Path, shared_mini: Path
) -> None:
    record = run_command(tmp_path, shared_mini, rate=1e-12, retries=1)
    assert record["retries"] == {"nli": 1, "mini_xquad 1/1": 1}
    assert record["objective"] == record["metrics"]["dev/avg"], "what a trial knows of dev/weighted"
    assert record["collapsed"] == ["intermediate/mini_nli", "mini_xquad"]
    names = [stage["name"].rpartition("-")[0] for stage in record["stages"]]
    assert names.count("intermediate-mini_nli") == names.count("target-mini_xquad") == 2
    assert len({stage["fingerprint"] for stage in record["stages"]}) == len(names)
    # Whoever needs a stage that was tried again finds it by what the record says.
    sweep = load_sweep(tmp_path / "s.yaml")
    places = Places(tmp_path / "runs", sweep.name)
    planner = Planner(sweep, take_inventory(sweep, places), target_points(sweep))
    kept = read_record(places.trials / record["trial"])
    assert kept is not None and kept.schema == SCHEMA
    plan = planner.plan(kept.point, kept.seed)
    chosen = chosen_stage(kept, planner, find_task(sweep, "mini_xquad"))
    assert stage_name(chosen) == kept.chosen["mini_xquad"].stage
    assert stage_name(chosen) not in {stage_name(stage) for stage in plan.training_stages}
    # Without retries the first attempt is the trial, and its stages are found, not trained anew.
    plain = run_command(tmp_path, shared_mini, rate=1e-12, retries=0)
    assert plain["retries"] == {} and plain["collapsed"] == record["collapsed"]
    first, again = (
        {key: value for key, value in one["stages"][0].items() if key not in ("wait_s", "asked")}
        for one in (record, plain)
    )
    assert first == again


def test_a_stage_that_diverges_fails_the_trial_after_its_retries(
    tmp_path: Path, shared_mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []

    def diverge(net: Any, stage: Any, *_: Any, **options: Any) -> None:
        seeds.append(stage.seed)
        raise Diverged("nli: the loss is nan by step 1")

    monkeypatch.setattr(processes, "train", diverge)
    record = run_command(tmp_path, shared_mini, rate=1e-3, retries=2, status=1)
    assert record["state"] == "failed" and "the loss is nan" in record["error"]
    assert len(set(seeds)) == 3 and seeds[0] == 0
    assert record["diverged"]


@dataclass
class Bench:
    """What running a trial in this process takes."""

    planner: Planner
    plan: TrialPlan
    workshop: Workshop
    places: Places

    @property
    def stages(self) -> Path:
        return self.workshop.store.folder

    def run(self) -> TrialRecord:
        folder = self.places.trials / self.plan.trial_id
        record = run_trial(self.plan, self.planner, self.workshop, folder)
        assert record.state == "finished", record.error
        assert read_record(folder) == record, "what is returned is what was written"
        return record


@pytest.fixture
def bench(tmp_path: Path, shared_mini: Path) -> Bench:
    sweep = parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": str(shared_mini)},
            "targets": ["mini_udpos", "mini_xquad", "mini_tatoeba"],
            "languages": ["en", "qaa"],
            "search": {"encoder": {"space": {"target.epochs": {"choice": [0.02]}}}},
        },
        "test",
    )
    places = make_places(tmp_path)
    inventory = take_inventory(sweep, places)
    planner = Planner(sweep, inventory, target_points(sweep))
    plan = planner.plan({"model": "mini", "intermediate": "none", "target.epochs": 0.02}, 0)
    return Bench(planner, plan, workshop_of(planner, places), places)


def test_what_items_gave_lies_beside_the_predictions(bench: Bench) -> None:
    """Of every language, and sums up to the scores of the record."""
    record = bench.run()
    metrics = {
        "mini_udpos": ("f1",),
        "mini_xquad": ("exact_match", "f1"),
        "mini_tatoeba": ("accuracy",),
    }
    keys: dict[str, list[Sequence[str | None]]] = {}
    for stage in record.stages:
        result = bench.workshop.store.result(stage.name)
        assert result is not None
        for path in result.glob("outcomes/*"):
            found = read_outcomes(result, path.stem)
            assert found is not None
            keys[path.stem] = [own.keys for own in found.values()]
            scores = {
                (row["language"], row["metric"]): row["value"]
                for row in record.scores
                if row["target"] == path.stem and row["split"] == "test"
            }
            for language, own in found.items():
                expected = {name: scores[language, name] for name in metrics[path.stem]}
                assert own.outcomes.scores == pytest.approx(expected)
    assert keys.keys() == metrics.keys()
    # Parallel rows, equal questions and equal English sentences are one item in all languages.
    assert keys["mini_udpos"][0] == keys["mini_udpos"][1] != [None] * len(keys["mini_udpos"][0])
    assert set(keys["mini_xquad"][0]) & set(keys["mini_xquad"][1])
    assert None not in keys["mini_tatoeba"][0]


def test_languages_that_share_a_pass_get_the_predictions_that_they_get_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    real = Evaluator._outputs

    def counted(self: Evaluator, features: Any) -> Any:
        passes.append(features.num_rows)
        return real(self, features)

    monkeypatch.setattr(Evaluator, "_outputs", counted)
    stages = bench.stages
    seen = []
    for limit in (evaluation.MAX_FEATURES, 1):
        monkeypatch.setattr(evaluation, "MAX_FEATURES", limit)
        passes.clear()
        scores = [(row["target"], row["language"], row["value"]) for row in bench.run().scores]
        found = sorted(stages.glob("evaluate-*/result-1/predictions/*/*"))
        texts = {f"{path.parent.name}/{path.name}": path.read_text() for path in found}
        seen.append((scores, texts, len(passes), sum(passes)))
        for folder in stages.glob("evaluate-*"):
            shutil.rmtree(folder)
    together, alone = seen
    assert together[:2] == alone[:2] and together[1]
    # Three targets in two languages, one of them in one.
    assert (together[2], alone[2]) == (3, 5)
    assert together[3] == alone[3]


def test_the_processes_of_a_trial_predict_as_threads(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.run().scores
    for folder in bench.stages.glob("evaluate-*"):
        shutil.rmtree(folder)
    used: list[int] = []
    real = Evaluator._outputs

    def counted(self: Evaluator, features: Any) -> Any:
        used.append(len(self.predictor.models))
        return real(self, features)

    monkeypatch.setattr(Evaluator, "_outputs", counted)
    bench.workshop.resources = ResourcesSpec(cpus_per_trial=2, processes_per_trial=2)
    assert bench.run().scores == before
    assert used == [2, 2, 2]


def test_an_evaluation_that_is_told_to_stop_in_its_last_pass_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    real = Evaluator._outputs

    def told_meanwhile(self: Evaluator, features: Any) -> Any:
        told.append(True)
        return real(self, features)

    monkeypatch.setattr(Evaluator, "_outputs", told_meanwhile)
    bench.workshop.must_stop = lambda: bool(told)
    with pytest.raises(Preempted):
        bench.run()
    # One pass over both languages; the stop came before the next stage's.
    assert len(told) == 1
    assert len(list(bench.stages.glob("evaluate-*/result-1/DONE"))) == 1


def test_what_another_process_trains_is_left_for_last(bench: Bench) -> None:
    """No GPU waits while there is something else to do; the record is in the file's order."""
    (cell,) = bench.plan.target_sets[0].cells
    lease = Lease(bench.workshop.store.path(cell.stage))
    lease.folder.mkdir()
    assert lease.acquire()

    def hold() -> None:
        """As another process would, until all else is done."""
        with lease.held():
            while not list(bench.stages.glob("evaluate-mini_tatoeba-*/result-1/DONE")):
                time.sleep(0.05)

    other = threading.Thread(target=hold)
    other.start()
    record = bench.run()
    other.join()
    names = [stage.name.rpartition("-")[0] for stage in record.stages]
    assert names == [
        "target-mini_xquad",
        "evaluate-mini_xquad",
        "evaluate-mini_tatoeba",
        "target-mini_udpos",
        "evaluate-mini_udpos",
    ]
    targets = list(dict.fromkeys(row["target"] for row in record.scores))
    assert targets == list(bench.planner.sweep.targets) and list(record.chosen) == targets[:2]


def test_a_trial_that_another_process_runs_is_waited_for(bench: Bench) -> None:
    folder = bench.places.trials / bench.plan.trial_id
    folder.mkdir()
    other = Lease(folder)
    assert other.acquire()
    asked: list[bool] = []

    def must_stop() -> bool:
        asked.append(True)
        return len(asked) > 2

    bench.workshop.must_stop = must_stop
    with pytest.raises(Preempted, match="stopped before it began"):
        bench.run()
    assert len(asked) == 3 and attempts.read(folder) == []
    other.release()
    bench.workshop.must_stop = lambda: False
    bench.run()
    assert [path.name for path in attempts.paths(folder)] == ["0002.json"]


def test_a_trial_that_was_taken_over_writes_no_record(bench: Bench) -> None:
    """Its process was stopped at its end, and wakes up when another runs the trial."""
    folder = bench.places.trials / bench.plan.trial_id

    def take_over(record: TrialRecord) -> None:
        claim_path(folder, 2).touch()

    with pytest.raises(LeaseLost, match="taken over"):
        run_trial(bench.plan, bench.planner, bench.workshop, folder, before_record=take_over)
    assert read_record(folder) is None


def test_a_trial_on_a_storage_that_has_vanished_makes_nothing_anew(bench: Bench) -> None:
    """The mount is gone, and its point lies bare."""
    storage = bench.places.storage
    bench.workshop.store = Store(storage, identity=identity_of(storage))
    for path in list(storage.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(OSError, match="No such file"):
        bench.run()
    bench.places.trials.mkdir(parents=True)
    with pytest.raises(StorageGone):
        bench.run()
    assert [path.name for path in storage.iterdir()] == ["sweeps"]


def test_dropped_weights_come_back_to_the_same_bytes_where_they_are_needed(bench: Bench) -> None:
    before = bench.run()
    store = bench.workshop.store
    (cell,) = bench.plan.target_sets[0].cells
    folder = store.path(cell.stage)
    weights = folder / "result-1" / "encoder" / "model.safetensors"
    digest = sha256_of_file(weights)
    store.drop_weights(folder.name)
    assert store.has(cell.stage) and not weights.exists()
    assert bench.run().scores == before.scores
    assert not list(folder.rglob("*.safetensors")), "nobody needed them"
    (lost,) = bench.stages.glob("evaluate-mini_udpos-*")
    shutil.rmtree(lost)
    assert bench.run().scores == before.scores
    assert sha256_of_file(store.weights(cell.stage) / "encoder" / "model.safetensors") == digest
    assert store.read(cell.stage)["lease"] == 1, "what it found out is told by its first result"


def test_a_trial_names_every_stage_before_it_computes_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `gc` must leave alone when the trial is stopped in the middle of it."""
    compute, folder = bench.workshop.run, bench.places.trials / bench.plan.trial_id

    def noted(stage: Any, *arguments: Any, **options: Any) -> Any:
        assert stage_name(stage) in read_json(folder / "stages.json")
        return compute(stage, *arguments, **options)

    monkeypatch.setattr(bench.workshop, "run", noted)
    record = bench.run()
    used = {stage.name for stage in record.stages}
    assert used == set(read_json(folder / "stages.json"))


def test_a_trial_is_given_more_targets_and_loses_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, point = bench.plan, bench.plan.point
    bench.plan = bench.planner.plan(point, 0, targets=["mini_udpos"])
    first = bench.run()
    assert first.targets == ["mini_udpos"] == sorted({row["target"] for row in first.scores})
    made = {path: path.stat().st_mtime_ns for path in bench.stages.glob("*/result-*/DONE")}
    # What it was given later fails: what it had stays, with the reason.
    later = bench.planner.plan(point, 0, targets=["mini_udpos", "mini_tatoeba"])
    folder = bench.places.trials / later.trial_id

    def diverge(*_: Any) -> None:
        raise Diverged("the loss is nan")

    with monkeypatch.context() as patch:
        patch.setattr("xstilts.run.trial.TrialRun._evaluate", diverge)
        assert run_trial(later, bench.planner, bench.workshop, folder).state == "failed"
    kept = read_record(folder)
    assert kept is not None and (kept.state, kept.scores) == ("finished", first.scores)
    assert kept.error == "mini_tatoeba: the loss is nan" and kept.targets == ["mini_udpos"]
    bench.plan = later
    second = bench.run()
    assert second.targets == ["mini_udpos", "mini_tatoeba"] and not second.error
    rows = [row for row in second.scores if row["target"] == "mini_udpos"]
    assert rows == list(first.scores)
    assert {path: path.stat().st_mtime_ns for path in made} == made, "nothing is computed again"
    # The same numbers as in a trial that has all of them at once.
    bench.plan = whole
    every = bench.run()
    assert every.targets is None
    assert [row for row in every.scores if row["target"] != "mini_xquad"] == list(second.scores)

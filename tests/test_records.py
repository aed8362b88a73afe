"""What trials and stages leave on disk comes back typed, whatever version wrote it."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.trial_records import make_record, record_json
from xstilts.errors import StoreError
from xstilts.files import read_json, write_json
from xstilts.records import (
    SCHEMA,
    Attempt,
    Chosen,
    Outcome,
    manifest_of,
    read_if_whole,
)
from xstilts.run.kept_weights import Kept
from xstilts.run.records import is_finished, is_of, read_record, read_status, write_record
from xstilts.run.store import Store
from xstilts.run.trial_states import TrialStates
from xstilts.score_rows import ScoreRows
from xstilts.scores.aggregate import AVERAGE, DEV, Metric
from xstilts.scores.table import ChosenScores
from xstilts.tracking.tracker import metric_name

from .conftest import make_places, make_stage, make_sweep

OUTCOME = Outcome(
    dev={"xnli": {"accuracy": 70.0}},
    dev_rows={"xnli": 100},
    floor={"xnli": 34.0},
    curve=[{"step": 1.0, "loss": 1.1}],
    best_step=1,
    steps=1,
    tokens=100,
    examples={"xnli": {"en": 8}},
    model_s=1.0,
    wait_s=0.1,
    checkpoint_s=0.0,
    total_s=1.2,
    max_tokens=4096,
    halvings=0,
    is_limited=False,
    undecided=["xnli"],
)


def manifest(**changes: Any) -> dict[str, Any]:
    """A training stage's manifest as JSON."""
    value = {
        "name": "target-xnli-1",
        "fingerprint": "1" * 64,
        "lease": 1,
        "schema": SCHEMA,
        "started": 1,
        "seconds": 2.5,
        "computed_by": "s/t",
        "environment": {"device": "cpu", "threads": 1},
        "outcome": asdict(OUTCOME),
        "files": {},
        **changes,
    }
    found: dict[str, Any] = json.loads(json.dumps(value))
    return found


def test_a_manifest_comes_back_typed() -> None:
    read = manifest_of(manifest(), "here")
    assert read.trained == OUTCOME and read.schema == SCHEMA
    assert read.started == 1.0 and read.environment["threads"] == 1
    scored = manifest_of(manifest(outcome=None, scores={"de": {"accuracy": 50}}), "here")
    assert scored.scores == {"de": {"accuracy": 50.0}} and scored.outcome is None


def test_what_version_0_called_collapsed_is_undecided() -> None:
    value = manifest()
    del value["schema"], value["outcome"]["undecided"]
    value["outcome"]["collapsed"] = ["xnli"]
    read = manifest_of(value, "here")
    assert read.schema == 0
    assert read.trained.collapsed == [] and read.trained.undecided == ["xnli"]


def test_what_is_no_manifest_is_refused_with_its_place() -> None:
    with pytest.raises(StoreError, match="here: is no manifest of a stage"):
        manifest_of(manifest(seconds="long"), "here")
    with pytest.raises(StoreError, match="here: a later version of xstilts wrote it"):
        manifest_of(manifest(schema=SCHEMA + 1), "here")


def test_a_file_of_another_form_counts_as_absent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "0001.json"
    assert read_if_whole(path, Attempt) is None
    whole = Attempt(1.0, "host", 2, "a")
    path.write_text(json.dumps(asdict(whole)))
    assert read_if_whole(path, Attempt) == whole
    with caplog.at_level(logging.WARNING):
        path.write_text('{"host": "a"}')
        assert read_if_whole(path, Attempt) is None
    assert str(path) in caplog.text and "counts as absent" in caplog.text


def test_training_knows_the_types_without_pydantic() -> None:
    script = "import sys; sys.modules['pydantic'] = None; import xstilts.training.loop"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


RECORDS = Path(__file__).parent / "records"
"""What `xstilts run` of version 0.1.0 left of three trials, before records said their schema: one
that finished, one whose loss became no number, one whose process was killed. Curves and rows of the
score table are thinned."""


def copied(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(RECORDS / name, folder / name))


def as_json(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDS / name / "record.json").read_text())
    return found


def test_the_record_of_a_finished_trial_comes_back_typed() -> None:
    record = read_record(RECORDS / "finished")
    assert record is not None and record.schema == 0
    assert (record.state, record.error, record.diverged) == ("finished", "", False)
    assert (record.intermediate, record.seed, record.config_id) == ("nli", 0, record.config)
    assert record.point["intermediate.learning_rate"] == 0.001
    assert record.examples == {"mini_nli": {"en": 6000}} and record.rates == {"mini_nli": 1.0}
    tags = record.chosen["mini_udpos"]
    assert tags.values == {"learning_rate": 0.001, "batch_size": 8}
    assert (tags.learning_rate, tags.selected) == (0.001, None)
    assert tags.stage in {stage.name for stage in record.stages}
    encoder, *_, scoring = record.stages
    assert (encoder.steps, encoder.tokens, encoder.is_reused) == (375, 121244, False)
    assert encoder.asked is not None and encoder.started is not None
    assert encoder.asked < encoder.started < encoder.started + encoder.seconds < record.ended
    assert (scoring.name.partition("-")[0], scoring.steps) == ("evaluate", 0)
    assert record.metrics[metric_name(Metric("mini_xnli", language="qaa"))] == 55.833333333333336
    assert record.objective == record.metrics[metric_name(Metric(AVERAGE, DEV))]
    assert is_of(record, ["mini_xnli", "mini_udpos", "mini_tatoeba"], 1, "fp32")
    assert not is_of(record, ["mini_xnli", "mini_xquad"], 1, "fp32")
    assert not is_of(record, ["mini_xnli"], 2, "fp32")
    assert not is_of(record, ["mini_xnli"], 1, "bf16")
    dev = ChosenScores(record.scores).dev_score("mini_xnli", ["accuracy"])
    assert Kept.of(make_sweep(), record).dev == {"mini_xnli": dev}


def test_a_record_is_written_as_it_was_read(tmp_path: Path) -> None:
    for name in ("finished", "failed"):
        record = read_record(RECORDS / name)
        assert record is not None
        write_record(tmp_path, record)
        written = read_json(tmp_path / "record.json")
        assert list(ScoreRows(**written.pop("scores"))) == as_json(name)["scores"]
        assert {**written, "scores": as_json(name)["scores"]} == {
            **as_json(name),
            "phase": "search",
            "confirms": None,
            "targets": None,
            "rung": 1.0,
            "signals": {},
            "probes": {},
            "probe_holes": {},
            "schema": SCHEMA,
        }
        assert read_record(tmp_path) == replace(record, schema=SCHEMA)
        assert record.record == {**written, "scores": as_json(name)["scores"]}


def test_rows_of_scores_are_told_once_where_they_are_the_same(tmp_path: Path) -> None:
    rows = [
        {"trial": "t", "config": "c", "target": "a", "metric": metric, "value": value, "seed": 0}
        for metric, value in (("f1", 1.5), ("exact_match", 2.0), ("f1", 3.0))
    ]
    scores = make_record(scores=rows).scores
    assert scores.once == {"trial": "t", "config": "c", "seed": 0}
    assert scores.columns["value"] == [1.5, 2.0, 3.0] and len(scores) == 3 and list(scores) == rows
    assert list(scores.of_metrics({("a", "f1"), ("b", "exact_match")})) == [rows[0], rows[2]]
    nothing = make_record().scores
    assert not nothing and list(nothing) == list(nothing.of_metrics({("a", "f1")})) == []


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        ({"once": {}, "columns": {"value": [1.0], "n": []}}, "columns of scores are of different"),
        ({"once": {}, "columns": {"value": 1.0}}, "scores.columns.value: Input should be a valid"),
        ([{"value": 1.0}, {"n": 3}], "it holds no rows of scores: 'value'"),
        ([1.0, 2.0], "it holds no rows of scores"),
        ("none", "scores: Input should be"),
    ],
)
def test_a_record_whose_scores_are_none_counts_as_absent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, scores: Any, line: str
) -> None:
    write_json(tmp_path / "record.json", record_json(scores=scores))
    assert read_record(tmp_path) is None
    (told,) = [one.getMessage() for one in caplog.records]
    assert "counts as absent" in told and line in told


def test_the_record_of_a_failed_trial_says_why() -> None:
    record = read_record(RECORDS / "failed")
    assert record is not None and record.diverged and not record.stages
    assert (record.state, record.error) == ("failed", "nli: the loss is nan by step 94")
    assert (record.objective, record.chosen) == (None, {})


def test_a_trial_whose_process_was_killed_has_a_status_and_no_record(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    assert read_record(RECORDS / "running") is None
    status = read_status(RECORDS / "running")
    assert status is not None and (status.stage, status.done) == ("mini_xnli 1/2", 0.125)
    for name in ("finished", "failed", "running"):
        copied(places.trials, name)
    found = {state.trial: state for state in TrialStates(places).look()}
    assert {name: state.state for name, state in found.items()} == {
        name: name for name in ("finished", "failed", "running")
    }
    assert found["finished"].objective == as_json("finished")["objective"]
    assert found["running"].updated == status.updated and not found["running"].is_ended


@pytest.mark.parametrize("tear", [-100, 0, 1], ids=["half", "empty", "a bracket"])
def test_a_torn_record_is_no_finished_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tear: int
) -> None:
    folder = copied(tmp_path, "finished")
    store = Store(tmp_path)
    store.folder.mkdir()
    record = read_record(folder)
    assert record is not None and not is_finished(record, store), "its stages are not there"
    for stage in record.stages:
        make_stage(tmp_path, stage.name, {"a": ""})
    assert is_finished(record, store)
    path = folder / "record.json"
    path.write_bytes(path.read_bytes()[:tear])
    with caplog.at_level(logging.WARNING):
        assert read_record(folder) is None and not is_finished(None, store)
    assert f"{path}: cannot be read, and counts as absent" in caplog.text


def test_a_record_that_lacks_what_all_have_counts_as_absent_and_says_what(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    value = as_json("finished")
    del value["stages"][1]["seconds"]
    write_json(tmp_path / "record.json", value)
    assert read_record(tmp_path) is None
    (line,) = [one.getMessage() for one in caplog.records]
    assert line.endswith("counts as absent: stages.1.seconds: Field required")
    write_json(tmp_path / "record.json", {**as_json("finished"), "schema": SCHEMA + 1})
    with pytest.raises(StoreError, match="a later version of xstilts wrote it"):
        read_record(tmp_path)


LATER = ("attempt", "diverged", "examples", "recipes", "retries", "processes", "precision")
"""What records of the first versions did not say; of their stages the same."""

LATER_OF_STAGES = ("asked", "started", "threads", "steps", "loader_s", "checkpoint_s", "max_tokens")


def test_records_of_the_first_versions_are_read(tmp_path: Path) -> None:
    value = as_json("finished")
    value["collapsed"] = ["mini_xnli"]
    del value["undecided"]
    for name in LATER:
        del value[name]
    for stage, name in product(value["stages"], LATER_OF_STAGES):
        del stage[name]
    write_json(tmp_path / "record.json", value)
    record = read_record(tmp_path)
    assert record is not None
    assert record.collapsed == [] and record.undecided == ["mini_xnli"]
    assert is_of(record, ["mini_xnli"], 4, "bf16"), "of before it could change"
    assert (record.retries, record.recipes, record.examples) == ({}, {}, {})
    assert {stage.steps for stage in record.stages} == {None}
    whole = read_record(RECORDS / "finished")
    assert whole is not None
    assert [stage.seconds for stage in record.stages] == [stage.seconds for stage in whole.stages]


def test_what_a_final_stage_replaced_is_told_beside_the_values() -> None:
    final = {"learning_rate": 0.1, "stage": "final-x", "selected": "target-x", "best_step": 3}
    record = make_record(chosen={"x": final})
    assert record.chosen["x"] == Chosen("final-x", {"learning_rate": 0.1}, "target-x", 3)
    assert record.chosen["x"].stages == ("target-x", "final-x")
    assert record.record["chosen"] == {"x": final}

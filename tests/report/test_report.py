"""Reports from records: best by dev, the baseline beside it, pictures, all four forms."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from tests.trial_records import entry_json
from xstilts.config.derive import reads
from xstilts.config.load import parse_sweep
from xstilts.errors import ConfigError, TrackingError
from xstilts.files import write_atomically, write_json
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.report.documents import as_json, as_markdown
from xstilts.report.frames import best_frame, trials_frame
from xstilts.report.live import TrialView, time_left, trial_views
from xstilts.report.mirror import Mirror
from xstilts.report.page import page
from xstilts.report.publish import publish_sweep, try_publish, write_report
from xstilts.report.record_table import record_table
from xstilts.report.results import Results, launched, load_results
from xstilts.report.tables import (
    collapsed_table,
    equal_table,
    grid_table,
    languages_table,
    search_table,
    tables,
)
from xstilts.report.trial_files import trial_artifacts
from xstilts.report.verdict_table import verdict_lines
from xstilts.report.verdicts import target_verdicts
from xstilts.run.places import INVENTORY, SWEEP, SWEEP_FILE, TARGET_POINTS, Places
from xstilts.run.trial_states import TrialStates
from xstilts.tracking.tracker import TrackedExperiment, TrackedRun

from ..conftest import make_places, make_stage

PNG = b"\x89PNG"


def make_record(
    trial: str, intermediate: str, config: str, seed: int, dev: float, score: float, **changes: Any
) -> dict[str, Any]:
    metrics = {"dev/mini_xnli": dev, "dev/avg": dev, "cost/hours": 0.1}
    cells = [("mini_xnli", "en", "dev", dev)]
    for target in ("mini_xnli", "mini_tatoeba"):
        metrics[f"{target}/avg"] = score
        metrics |= {f"{target}/{language}": score for language in ("en", "qaa")}
        cells += [(target, language, "test", score) for language in ("en", "qaa")]
    rows = [
        {
            "trial": trial, "config": config, "cell": "", "intermediate": intermediate,
            "model": "m", "target": target, "language": language, "split": split,
            "metric": "accuracy", "value": value, "n": 300, "seed": seed, "is_chosen": True,
        }
        for target, language, split, value in cells
    ]  # fmt: skip
    return {
        "trial": trial, "config": config, "sweep": "s", "state": "finished", "error": "",
        "point": {"intermediate": intermediate}, "seed": seed, "model": "m",
        "intermediate": intermediate, "rates": {}, "learning_rate": None, "metrics": metrics,
        "chosen": {"mini_xnli": {"learning_rate": 1e-3, "stage": "x"}}, "missing": [],
        "collapsed": [], "undecided": [], "retries": {}, "objective": dev, "scores": rows,
        "stages": [], "curves": {},
        "environment": {"torch": "2"}, "started": 1000.0 + seed, "ended": 1100.0 + seed, **changes,
    }  # fmt: skip


RECORDS = [
    make_record("none-a-s0", "none", "a", 0, 50, 40),
    make_record("none-a-s1", "none", "a", 1, 52, 44),
    make_record("nli-b-s0", "nli", "b", 0, 60, 41),
    make_record("nli-b-s1", "nli", "b", 1, 62, 43),
    make_record("nli-c-s0", "nli", "c", 0, 55, 90),  # a better score, a worse dev
    make_record("nli-c-s1", "nli", "c", 1, 55, 90),
    make_record("nli-d-s0", "nli", "d", 0, 99, 99),  # one seed is missing: no candidate
]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = make_places(tmp_path)
    sweep = parse_sweep(
        {
            "name": "s", "benchmark": "mini", "recipe": "mini", "seeds": [0, 1],
            "models": {"m": {"path": "builtin:mini"}}, "data": {"root": "builtin:mini"},
            "intermediates": {"nli": {"tasks": ["mini_nli"]}},
            "targets": ["mini_xnli", "mini_tatoeba"], "languages": ["en", "qaa"],
        },
        "test",
    )  # fmt: skip
    resolved = sweep.model_dump(mode="json", by_alias=True)
    data, rows = {}, {}
    for task, use, language in reads(sweep):
        data |= {source.hub_id: "sha" for source in task.sources_of(use)}
        rows[row_key(task, use, language)] = 10
    inventory = Inventory({"m": ModelFacts("/m", "w", "t", 2, 1)}, {}, data, rows)
    write_json(places.launch(1) / TARGET_POINTS, {})
    write_json(places.launch(1) / INVENTORY, inventory.to_json())
    write_atomically(places.launch(1) / SWEEP_FILE, json.dumps(resolved))
    write_json(places.launch(1) / SWEEP, resolved)
    for record in RECORDS:
        add(places, record)
    return places


def add(places: Places, record: dict[str, Any]) -> None:
    folder = places.trials / record["trial"]
    folder.mkdir(exist_ok=True)
    status = {"stage": "x", "done": 1, "started": record["started"], "updated": record["ended"]}
    write_json(folder / "status.json", status)
    write_json(folder / "record.json", record)


class Kept:
    """A tracker that keeps runs, or is down."""

    def __init__(self) -> None:
        self.runs: dict[str, TrackedRun] = {}
        self.experiment = TrackedExperiment()
        self.is_down = False

    def describe(self, experiment: TrackedExperiment) -> None:
        if self.is_down:
            raise TrackingError("down")
        self.experiment = experiment

    def write(self, run: TrackedRun) -> None:
        if self.is_down:
            raise TrackingError("down")
        self.runs[run.key] = run


@pytest.mark.parametrize(
    ("resources", "clause"),
    [
        ({}, ""),
        ({"evaluation_precision": "fp32"}, ""),
        ({"evaluation_precision": "bf16"}, "Scored in bf16, trained in fp32."),
        ({"gpus_per_trial": 1}, "Scored in bf16, trained in bf16."),
        ({"gpus_per_trial": 1, "evaluation_precision": "fp32"}, "Scored in fp32, trained in bf16."),
    ],
)
def test_tables_of_scores_tell_the_precision(
    places: Places, resources: dict[str, Any], clause: str
) -> None:
    path = places.launch(1) / SWEEP
    write_json(path, {**json.loads(path.read_text()), "resources": resources})
    results = load_results(places)
    for table in (search_table(results), grid_table(results), languages_table(results)):
        assert clause in table.note and ("Scored in" in table.note) == bool(clause)


def test_dev_decides_and_the_baseline_stands_beside(places: Places) -> None:
    best = load_results(places).best[0]
    assert (best.best.config, best.best.score, best.best.seeds) == ("b", 42, 2)
    assert best.baseline is not None
    assert (best.baseline.score, best.gain) == (42, 0)
    assert (best.candidates, best.baseline_candidates) == (3, 1)
    row = search_table(load_results(places)).rows[0]
    # Of the three by dev 61, 55 and 51, one is drawn: the mean of 42, 90 and 42.
    equal = "58.0"
    assert row == ["mini_xnli", "nli", "42.0 ±1.4", equal, "42.0 ±2.8", "+0.0", "61.0", "3/1"]


def test_what_is_not_trained_is_one_number_for_all_seeds(places: Places) -> None:
    results = load_results(places)
    row = dict(zip(search_table(results).header, search_table(results).rows[1], strict=True))
    assert (row["target"], row["score"], row["none"]) == ("mini_tatoeba", "42.0 ±1.4", "42.0")
    told = "Not trained, the same for every seed: none of mini_tatoeba."
    assert told in search_table(results).note
    (line,) = (x for x in verdict_lines(results) if x.startswith("mini_tatoeba: "))
    assert "use nli, as search has it: its model is the encoder; nli-b-s0, -s1" in line
    assert "; none is not trained: the same for every seed" in line
    text = page(results)
    assert "<small>not trained</small>" in text and "not trained: the same for every seed" in text


def test_unequal_numbers_of_configurations_are_said_and_compared_at_equal_ones(
    places: Places,
) -> None:
    results = load_results(places)
    grid, equal = grid_table(results), equal_table(results)
    assert grid.rows[-1] == ["n", "1", "2"]
    assert equal is not None and equal.title == "Expected best of 1 each"
    assert equal.rows[0] == ["mini_xnli", "42.0", "66.0"], "one of 42 and 90"
    assert tables(results)["equal"] == equal
    for seed in (0, 1):
        add(places, make_record(f"none-e-s{seed}", "none", "e", seed, 10, 10))
    results = load_results(places)
    assert equal_table(results) is None and "equal" not in tables(results)
    assert [row[0] for row in grid_table(results).rows] == ["mini_xnli", "mini_tatoeba", "mean"]


def test_a_target_without_dev_is_chosen_by_the_mean(places: Places) -> None:
    assert load_results(places).best[1].selected_on == "avg"


def test_a_collapsed_run_counts_and_is_told_apart(places: Places) -> None:
    assert collapsed_table(load_results(places)) is None
    add(places, make_record("nli-b-s0", "nli", "b", 0, 60, 41, collapsed=["mini_xnli"]))
    results = load_results(places)
    assert results.best[0].best.config == "b"
    assert search_table(results).rows[0][2] == "42.0 ±1.4†"
    found = collapsed_table(results)
    assert found is not None and tables(results)["collapsed"] == found
    assert found.rows == [["mini_xnli", "nli", "42.0", "43.0", "1 of 2"]]
    assert "mini_xnli: 1 of 7 trials collapsed (they count): nli-b-s0" in results.warnings()
    write_report(results)
    assert "1 of 2" in (places.report / "collapsed.csv").read_text()
    assert (places.report / "cells.csv").read_text().startswith("target,intermediate,language,")


def test_undecided_runs_and_retries_are_named(places: Places) -> None:
    changes = {"undecided": ["mini_xnli"], "retries": {"nli": 1, "mini_xnli 1/2": 2}}
    add(places, make_record("nli-b-s0", "nli", "b", 0, 60, 41, **changes))
    results = load_results(places)
    assert collapsed_table(results) is None
    told = "\n".join(results.warnings())
    assert "mini_xnli: 1 of 7 trials are undecided" in told
    assert "nli-b-s0: trained again with another seed: nli (1x), mini_xnli 1/2 (2x)" in told


def test_what_was_judged_by_the_rule_of_before_is_undecided(places: Places) -> None:
    record = make_record("nli-b-s0", "nli", "b", 0, 60, 41, collapsed=["mini_xnli"])
    del record["undecided"]
    add(places, record)
    results = load_results(places)
    assert collapsed_table(results) is None
    assert any("undecided" in line and "nli-b-s0" in line for line in results.warnings())


def test_what_launches_computed_otherwise_is_said(places: Places) -> None:
    def lines() -> list[str]:
        return [
            line for line in load_results(places).warnings() if "threads" in line or "each" in line
        ]

    for trial, threads, processes in (("none-a-s0", 1, 1), ("none-a-s1", 1, 1)):
        changes = {"stages": [entry_json(threads=threads)], "processes": processes}
        add(places, make_record(trial, "none", "a", int(trial[-1]), 50, 40, **changes))
    assert lines() == []
    stages = [entry_json(threads=threads) for threads in (None, 4)]
    add(places, make_record("nli-b-s0", "nli", "b", 0, 60, 41, stages=stages, processes=2))
    assert lines() == [
        "stages were computed with 1 and 4 threads a process: their sums, and so the scores, may "
        "differ in the last digits",
        "trials were trained by 1 and 2 processes each",
    ]


def test_the_grid_holds_the_best_by_dev_of_every_intermediate(places: Places) -> None:
    results = load_results(places)
    assert results.grid["mini_xnli"] == {"none": 42, "nli": 42}
    assert grid_table(results).header == ("target", "none", "nli")
    assert results.languages["mini_xnli"] == {"en": 42, "qaa": 42}


def test_all_forms_say_the_same(places: Places) -> None:
    results = load_results(places)
    rows = list(csv.reader(io.StringIO(search_table(results).csv())))
    assert rows[1][:2] == ["mini_xnli", "nli"]
    assert "| mini_xnli | nli | 42.0 ±1.4 |" in as_markdown(results)
    assert as_json(results)["best"][0]["best"]["score"] == 42
    assert as_json(results)["best"][0]["status"] == "search"


def test_report_files_and_pictures(places: Places) -> None:
    pictures = write_report(load_results(places))
    assert [path.name for path in pictures] == ["intermediates.png", "languages.png"]
    assert all(path.read_bytes().startswith(PNG) for path in pictures)
    assert parquet.read_table(places.report / "scores.parquet").num_rows == 5 * len(RECORDS)
    assert json.loads((places.report / "report.json").read_text())["sweep"] == "s"


def test_publishing_writes_every_trial_and_one_summary(places: Places) -> None:
    results, tracker = load_results(places), Kept()
    write_report(results)
    publish_sweep(tracker, results)
    assert set(tracker.runs) == {record["trial"] for record in RECORDS} | {"summary"}
    summary = {point.key: point.value for point in tracker.runs["summary"].metrics}
    assert summary["best/mini_xnli"] == 42
    assert summary["best/avg"] == 42
    assert summary["z/cost/trials"] == 7, "counts and costs come last"
    assert "intermediates.png" in tracker.runs["summary"].artifacts
    assert set(tracker.runs["summary"].pictures) == {
        f"heat maps/{name}" for name in ("intermediates", "languages")
    }
    run = tracker.runs["nli-c-s0"]
    metrics = {point.key: point.value for point in run.metrics}
    assert metrics["search_gain/mini_xnli"] == 48
    assert metrics["search_gain/avg"] == 48 and metrics["z/cost/hours"] == 0.1
    assert not any(key.startswith("cost/") for key in metrics)
    assert (run.params["rate/mini_nli"], run.params["intermediate"]) == ("0", "nli")
    assert run.params["log10_lr/target/mini_xnli"] == "-3"
    assert run.tags["xstilts.role"] == "search"
    assert tracker.runs["none-a-s0"].tags["xstilts.role"] == "baseline"
    assert run.artifacts["languages.png"].read_bytes().startswith(PNG)
    again = Kept()
    publish_sweep(again, load_results(places))
    assert {key: run.digests for key, run in again.runs.items()} == {
        key: run.digests for key, run in tracker.runs.items()
    }


def confirm(trial: str, intermediate: str, config: str, seed: int, score: float) -> dict[str, Any]:
    """A trial that confirms what search chose on one target: it scores no other."""
    record = make_record(trial, intermediate, config, seed, score, score, phase="confirm")
    rows = [row for row in record["scores"] if row["target"] == "mini_xnli"]
    return {**record, "scores": rows, "objective": None, "confirms": {"mini_xnli": {}}}


def test_confirmation_chooses_nothing_and_is_told_apart(places: Places) -> None:
    before, search = load_results(places), Kept()
    publish_sweep(search, before)
    # Of the best configuration, of the baseline, and far better than all that was searched.
    add(places, confirm("nli-c-s1000", "nli", "c", 1000, 99))
    add(places, confirm("none-a-s1000", "none", "a", 1000, 99))
    results, tracker = load_results(places), Kept()
    assert (results.best, results.grid) == (before.best, before.grid)
    assert results.languages == before.languages and results.trials == before.trials
    assert results.confirm_cost == pytest.approx(0.2) and as_json(results)["confirm_cost"] == 0.2
    assert "2 trials ran it again with fresh seeds, in 12.0 minutes" in search_table(results).note
    assert search_table(before).note.endswith("Not confirmed with fresh seeds.")
    write_report(results)
    publish_sweep(tracker, results)
    for trial in ("nli-c-s1000", "none-a-s1000"):
        run = tracker.runs[trial]
        assert run.tags["xstilts.role"] == "confirm"
        assert not any(point.key.startswith("gain/") for point in run.metrics)
        assert run.artifacts["languages.png"].read_bytes().startswith(PNG)
    for name, run in search.runs.items():
        own, now = ({p.key: p.value for p in r.metrics} for r in (run, tracker.runs[name]))
        more = (
            {"z/cost/confirm_trials": 2, "z/cost/confirm_cost": pytest.approx(0.2)}
            if name == "summary"
            else {}
        )
        assert now == own | more
    sweep, _ = launched(places)
    table = record_table(sweep, places)
    assert table.trials == results.trials
    phases = trials_frame(table, sweep).groupby("phase", observed=True)["trial"].count()
    assert phases["confirm"] == 2 and phases.sum() == len(results.records)
    best = best_frame(
        target_verdicts(sweep, places, table.trials, table.fresh), table, sweep, places
    )
    assert set(best["seeds"]) == {2} and set(best["lr/target"].dropna()) == {1e-3}


def test_a_trial_is_published_with_the_predictions_of_whole_results(places: Places) -> None:
    names = ("evaluate-mini_xnli-1", "evaluate-mini_tatoeba-1", "evaluate-gone-1")
    for name in names[:2]:
        target = name.split("-")[1]
        files = [f"predictions/{target}/test-{language}.tsv" for language in ("en", "qaa")]
        folder = make_stage(places.storage, name, dict.fromkeys(files, "entailment"))
    (folder / files[0]).unlink()
    stages = [entry_json(name) for name in names]
    add(places, make_record("nli-e-s0", "nli", "e", 0, 1, 1, stages=stages))
    results = load_results(places)
    (record,) = (one for one in results.records if one.trial == "nli-e-s0")
    artifacts = trial_artifacts(results.sweep, places, record)
    predictions = {name for name in artifacts if name.startswith("predictions")}
    assert predictions == {f"predictions/mini_xnli/test-{name}.tsv" for name in ("en", "qaa")}
    assert artifacts["sweep.yaml"] == places.launch(1) / SWEEP_FILE


def test_a_tracker_that_is_down_is_a_warning(places: Places) -> None:
    tracker = Kept()
    tracker.is_down = True
    assert try_publish(tracker, load_results(places)) == "down"


def test_the_mirror_follows_and_forgives(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Kept()
    mirror, states = Mirror(tracker, load_results(places)), TrialStates(places)
    now = time.time()
    status = {"stage": "nli", "done": 0.2, "started": now, "updated": now}
    (places.trials / "new-s0").mkdir()
    write_json(places.trials / "new-s0" / "status.json", status)
    mirror.step(states.look())
    assert "mlflow.sharedViewState.runs" in tracker.experiment.tags
    assert tracker.runs["new-s0"].state == "running"
    assert tracker.runs["nli-b-s0"].state == "finished"
    tracker.is_down = True
    add(places, make_record("new-s0", "nli", "e", 0, 1, 1, started=now, ended=now + 1))
    mirror.step(states.look())
    assert mirror.trouble == "down"
    tracker.is_down = False
    mirror.step(states.look())  # not yet: it waits before it tries again
    assert tracker.runs["new-s0"].state == "running"
    monkeypatch.setattr(mirror, "_not_before", 0.0)
    mirror.step(states.look())
    assert tracker.runs["new-s0"].state == "finished"


def test_an_unknown_sweep_is_named_with_those_that_are_there(
    tmp_path: Path, places: Places
) -> None:
    with pytest.raises(ConfigError, match=r'no sweep of that name.*did you mean "s"'):
        load_results(Places(tmp_path, "ss"))


def test_the_view_tells_running_silent_and_ended(places: Places) -> None:
    now = time.time()
    for name, updated in (("live", now), ("quiet", now - 1000)):
        status = {"stage": "qa", "done": 0.5, "started": now - 1000, "updated": updated}
        (places.trials / name).mkdir()
        write_json(places.trials / name / "status.json", status)
    views = {view.trial: view for view in trial_views(TrialStates(places).look(), now)}
    assert (views["live"].state, views["quiet"].state) == ("running", "silent")
    assert views["nli-b-s0"].objective == 60
    assert views["live"].elapsed_s == pytest.approx(1000)


def test_time_left_is_the_pace_so_far() -> None:
    views = [
        TrialView("a", "finished", "", 1.0, 1.0, 100),
        TrialView("b", "running", "x", 0.5, None, 50),
        TrialView("c", "running", "x", 0.5, None, 50),
    ]
    # 2 trials' worth in 200 s of work; 4 left, two at a time
    assert time_left(views, 6) == pytest.approx(200)
    assert time_left([], 6) is None


def test_results_are_sorted_and_complete(places: Places) -> None:
    results: Results = load_results(places)
    assert [record.trial for record in results.records] == sorted(r["trial"] for r in RECORDS)

"""What users live through: a sweep, the same again, things lost, stops; test_faults has kills."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ray


def table_of(text: str) -> list[str]:
    """The lines of the table of verdicts."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Verdicts"))
    return [line.rstrip() for line in lines[start : start + 6]]


def test_a_sweep_ends_with_scores_runs_tables_and_pictures(undisturbed: Any) -> None:
    records = undisturbed.records()
    assert sorted(record["intermediate"] for record in records.values()) == ["mix", "nli", "none"]
    assert {record["state"] for record in records.values()} == {"finished"}
    runs = undisturbed.mlflow()
    assert set(runs) == {*records, "summary"}
    assert {state for state, _ in runs.values()} == {"FINISHED"}
    for trial, record in records.items():
        assert runs[trial][1]["dev/avg"] == record["objective"]
        assert "mini_xnli/qaa" in runs[trial][1]
        assert "custom/avg" in runs[trial][1]
    report = undisturbed.storage / "sweeps/small/report"
    assert (report / "intermediates.png").stat().st_size > 5000
    assert (report / "languages.png").stat().st_size > 5000
    # Both learning rates of every cell were trained; the better one was evaluated.
    chosen = {row["cell"]: row["is_chosen"] for row in records_rows(records, "dev")}
    assert len(chosen) == 6
    assert sum(chosen.values()) == 3


def records_rows(records: dict[str, Any], split: str) -> list[dict[str, Any]]:
    return [row for record in records.values() for row in record["scores"] if row["split"] == split]


def test_the_same_command_again_computes_nothing(undisturbed: Any) -> None:
    stages, runs = undisturbed.stages(), undisturbed.mlflow()
    first = undisturbed.run("report", "small")
    text = undisturbed.sweep()
    assert "everything is done already" in text
    assert table_of(text) == table_of(first)
    assert undisturbed.stages() == stages
    assert undisturbed.mlflow() == runs


def test_a_lost_mlflow_file_is_rebuilt(undisturbed: Any) -> None:
    runs, text = undisturbed.mlflow(), undisturbed.run("report", "small")
    (undisturbed.storage / "mlflow.db").unlink()
    assert table_of(undisturbed.sweep()) == table_of(text)
    assert undisturbed.mlflow() == runs


def test_lost_stages_are_recomputed_alone(undisturbed: Any) -> None:
    stages, scores = undisturbed.stages(), undisturbed.scores()
    phases = ("intermediate-mini_nli-", "target", "evaluate-mini_xnli")
    lost = [min(name for name in stages if name.startswith(phase)) for phase in phases]
    for name in lost:
        shutil.rmtree(undisturbed.storage / "store" / name)
    undisturbed.sweep()
    after = undisturbed.stages()
    assert set(after) == set(stages)
    assert sorted(name for name in after if after[name] != stages[name]) == sorted(lost)
    assert undisturbed.scores() == scores


def check_resumed(bench: Any, undisturbed: Any, before: dict[str, int]) -> None:
    """Nothing lost, nothing twice, the same bits."""
    after = bench.stages()
    assert {name: after[name] for name in before} == before
    assert set(after) == set(undisturbed.stages())
    assert bench.scores() == undisturbed.scores()
    runs = bench.mlflow()
    assert set(runs) == {*bench.records(), "summary"}
    assert {state for state, _ in runs.values()} == {"FINISHED"}
    ours = {key: values for key, (_, values) in runs.items()}
    theirs = {key: values for key, (_, values) in undisturbed.mlflow().items()}
    for key in theirs:
        same = {name for name in theirs[key] if not name.startswith("z/cost/")}
        assert {name: ours[key][name] for name in same} == {
            name: theirs[key][name] for name in same
        }


def test_ctrl_c_once_and_twice_then_the_same_command(bench: Any, undisturbed: Any) -> None:
    process = bench.start("sweep", "sweep.yaml")
    bench.wait_for(lambda: len(bench.stages()) >= 1)
    process.send_signal(signal.SIGINT)
    text = bench.finish(process, status=75)
    assert "running trials write a checkpoint first" in text
    assert "the same command goes on where it stopped" in text
    assert "Traceback" not in text
    ends = [trial["how"] for trials in bench.attempts().values() for trial in trials]
    assert "stopped" in ends and "lost" not in ends
    once = bench.stages()

    process = bench.start("sweep", "sweep.yaml")
    bench.wait_for(lambda: len(bench.stages()) > len(once))
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    text = bench.finish(process, status=75)
    assert "Traceback" not in text
    twice = bench.stages()
    assert len(twice) < len(undisturbed.stages())
    assert {name: twice[name] for name in once} == once
    bench.sweep()
    check_resumed(bench, undisturbed, twice)


def test_a_signal_before_the_first_trial_has_the_same_status(bench: Any) -> None:
    process = bench.start("sweep", "sweep.yaml")
    bench.wait_for((bench.storage / "storage.json").exists)
    process.send_signal(signal.SIGTERM)
    text = bench.finish(process, status=75)
    assert "goes on where it" in text and "Traceback" not in text
    assert not bench.records()


def test_a_sweep_with_another_file_is_refused_with_the_difference(undisturbed: Any) -> None:
    file = undisturbed.folder / "other.yaml"
    text = (undisturbed.folder / "sweep.yaml").read_text()
    file.write_text(text.replace("examples: 320", "examples: 640"))
    stages = undisturbed.stages()
    output = undisturbed.run("sweep", "other.yaml", status=2)
    assert "examples: 320" in output
    assert "examples: 640" in output
    assert "another name" in output
    assert undisturbed.stages() == stages


def test_two_drivers_of_one_sweep_are_refused(bench: Any) -> None:
    process = bench.start("sweep", "sweep.yaml")
    lease = bench.storage / "sweeps/small/launches/0001.lease"
    bench.wait_for(lease.exists)
    try:
        output = bench.run("sweep", "sweep.yaml", status=2)
        assert f"process {process.pid}" in output
        assert not lease.with_name("0002.lease").exists(), "nothing was taken from the first"
    finally:
        bench.kill(process)


def test_status_shows_a_sweep_from_outside(undisturbed: Any) -> None:
    text = undisturbed.run("status", "small")
    assert "3 of 3 trials" in text
    commands = [line for line in text.splitlines() if line.startswith("  ") and line.strip()]
    assert [line.split()[-1] for line in commands][-1] == "TRIAL", "how any trial is rebuilt"
    assert max(len(line) for line in text.splitlines() if line not in commands) <= 80


def test_other_sweeps_share_the_stages(undisturbed: Any) -> None:
    text = (undisturbed.folder / "sweep.yaml").read_text()
    (undisturbed.folder / "twin.yaml").write_text(text.replace("name: small", "name: twin"))
    stages = undisturbed.stages()
    undisturbed.run("sweep", "twin.yaml")
    assert undisturbed.stages() == stages
    path: Path = next(undisturbed.storage.glob("sweeps/twin/trials/nli-*/record.json"))
    assert '"cost/hours": 0' in path.read_text()

"""The contract of trackers, and what MLflow adds: a real SQLite store and a real server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import ConfigError, ForeignExperiment, TrackingError
from xstilts.tracking.mlflow import MlflowTracker
from xstilts.tracking.tracker import Point, TrackedExperiment, TrackedRun


def make_run(folder: Path, **changes: Any) -> TrackedRun:
    table = folder / "scores.json"
    table.write_text("[]")
    run = TrackedRun(
        key="nli-1-s0",
        name="nli-1-s0",
        state="finished",
        started_ms=1000,
        ended_ms=5000,
        params={"rate/mini_nli": "1", "intermediate": "nli"},
        metrics=[Point("dev/avg", 50.0, 0, 5000), Point("train/x/loss", 1.5, 7, 1000, "train")],
        tags={"config_id": "abc"},
        artifacts={"predictions/mini_xnli/test-qaa.tsv": table},
    )
    return replace(run, **changes)


def runs_of(uri: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("sweep")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables; making them takes seconds, copying them none."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_writing_twice_is_writing_once(uri: str, tmp_path: Path) -> None:
    run, tracker = make_run(tmp_path), MlflowTracker(uri, "sweep", tmp_path)
    tracker.write(replace(run, state="running", ended_ms=None, metrics=[]))
    for _ in range(2):
        tracker.write(run)
    (stored,) = runs_of(uri)
    assert stored.info.status == "FINISHED"
    assert (stored.info.start_time, stored.info.end_time) == (1000, 5000)
    assert stored.data.metrics == {"dev/avg": 50.0, "train/x/loss": 1.5}
    assert stored.data.params == dict(run.params)
    assert stored.data.tags["config_id"] == "abc"


def test_another_process_continues_the_same_run(uri: str, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    MlflowTracker(uri, "sweep", tmp_path).write(replace(run, state="running", ended_ms=None))
    assert [stored.info.status for stored in runs_of(uri)] == ["RUNNING"]
    MlflowTracker(uri, "sweep", tmp_path).write(run)
    MlflowTracker(uri, "sweep", tmp_path).write(replace(run, key="other", state="failed"))
    assert sorted(stored.info.status for stored in runs_of(uri)) == ["FAILED", "FINISHED"]


def test_a_metric_is_stored_once_however_often_it_is_written(uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    run = make_run(tmp_path)
    MlflowTracker(uri, "sweep", tmp_path).write(run)
    # A later version of the run holds the old points and a new one.
    points = [*run.metrics, Point("gain/mini_xnli", 2.0, 0, 6000, "gain")]
    MlflowTracker(uri, "sweep", tmp_path).write(replace(run, metrics=points))
    (stored,) = runs_of(uri)
    history = MlflowClient(tracking_uri=uri).get_metric_history(stored.info.run_id, "dev/avg")
    assert [point.value for point in history] == [50.0]
    assert stored.data.metrics["gain/mini_xnli"] == 2.0


def test_a_trial_that_runs_once_more_is_running_and_then_finished(uri: str, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    again = replace(run, state="running", ended_ms=None, metrics=[], artifacts={})
    for step, status in ((run, "FINISHED"), (again, "RUNNING"), (run, "FINISHED")):
        MlflowTracker(uri, "sweep", tmp_path).write(step)
        (stored,) = runs_of(uri)
        assert stored.info.status == status
    assert stored.data.metrics == {"dev/avg": 50.0, "train/x/loss": 1.5}


def test_a_trial_that_is_given_more_targets_is_one_run(uri: str, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    again = replace(run, state="running", ended_ms=None, metrics=[], artifacts={})
    points = [*run.metrics, Point("dev/mini_udpos", 60.0, 0, 9000)]
    params = {**run.params, "lr/target/mini_udpos": "0.001"}
    more = replace(run, params=params, metrics=points, ended_ms=9000)
    for step in (run, again, more):
        MlflowTracker(uri, "sweep", tmp_path).write(step)
    (stored,) = runs_of(uri)
    assert (stored.info.status, stored.info.end_time) == ("FINISHED", 9000)
    assert stored.data.params == params and stored.data.metrics["dev/mini_udpos"] == 60.0


def test_only_what_has_changed_is_written_again(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    run = make_run(tmp_path)
    MlflowTracker(uri, "sweep", tmp_path).write(run)
    written: list[tuple[list[str], list[str]]] = []
    log_batch = MlflowClient.log_batch

    def note(self: Any, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
        written.append(([m.key for m in metrics], [p.key for p in params]))
        log_batch(self, run_id, metrics, params, tags)

    monkeypatch.setattr(MlflowClient, "log_batch", note)
    monkeypatch.setattr(MlflowClient, "log_artifact", None)
    tracker = MlflowTracker(uri, "sweep", tmp_path)
    for value in (2.0, 2.0, 3.0):
        gain = Point("gain/mini_xnli", value, 0, 6000, "gain")
        tracker.write(replace(run, metrics=[*run.metrics, gain]))
    assert written == [(["gain/mini_xnli"], [])] * 2


def test_a_value_that_is_corrected_is_shown_whichever_is_larger(uri: str, tmp_path: Path) -> None:
    """And stored once, however often it is written."""
    from mlflow import MlflowClient

    run = make_run(tmp_path)
    for value in (50.0, 40.0, 40.0, 45.0, 30.0):
        points = [Point("dev/avg", value, 0, 5000), Point("dev/other", 1.0, 0, 5000)]
        MlflowTracker(uri, "sweep", tmp_path).write(replace(run, metrics=points))
        (stored,) = runs_of(uri)
        assert stored.data.metrics["dev/avg"] == value
    client = MlflowClient(tracking_uri=uri)
    history = client.get_metric_history(stored.info.run_id, "dev/avg")
    assert sorted(point.value for point in history) == [30.0, 40.0, 45.0, 50.0]
    assert len(client.get_metric_history(stored.info.run_id, "dev/other")) == 1


def test_artifacts_lie_beside_the_storage(uri: str, tmp_path: Path) -> None:
    MlflowTracker(uri, "sweep", tmp_path / "artifacts").write(make_run(tmp_path))
    found = list((tmp_path / "artifacts").rglob("predictions/mini_xnli/scores.json"))
    assert len(found) == 1
    assert not Path("mlruns").exists()


def test_a_server_that_is_down_is_one_short_line_without_a_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MlflowTracker("http://user:secret@127.0.0.1:9", "sweep", None)
    with pytest.raises(TrackingError) as caught:
        tracker.write(make_run(tmp_path))
    assert re.fullmatch(r"http://127.0.0.1:9: .{,40} refused", str(caught.value))
    assert not caplog.records, "its attempts are not told one by one"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    """A real MLflow server on loopback, gone with its children at the end."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command,
        env={**os.environ, **quiet},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
        for _ in range(120):
            try:
                urllib.request.urlopen(address, timeout=2).read()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("the MLflow server did not start within a minute")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_server_that_went_down_is_brought_up_to_date(tmp_path: Path) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    tracker = MlflowTracker(uri, "sweep", tmp_path / "unused")
    with mlflow_server(tmp_path, port):
        tracker.write(make_run(tmp_path))
    with pytest.raises(TrackingError, match=str(port)):
        tracker.write(make_run(tmp_path, key="while-down"))
    with mlflow_server(tmp_path, port):
        for key in ("nli-1-s0", "while-down"):
            tracker.write(make_run(tmp_path, key=key))
        stored = runs_of(uri)
    assert sorted(run.info.run_name for run in stored) == ["nli-1-s0", "nli-1-s0"]
    assert sorted(run.data.tags["xstilts.key"] for run in stored) == ["nli-1-s0", "while-down"]
    assert list((tmp_path / "artifacts").rglob("scores.json"))
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("listens", [False, True])
def test_a_server_that_does_not_answer_is_told_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    from xstilts.tracking import mlflow as tracking

    monkeypatch.setitem(tracking.IMPATIENT, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    before = dict(os.environ)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if not listens:
            silent.close()
        begun = time.monotonic()
        with pytest.raises(ConfigError, match="names an MLflow server that answers") as caught:
            MlflowTracker(f"http://127.0.0.1:{port}", "sweep", tmp_path).check()
    assert time.monotonic() - begun < 10
    assert len(str(caught.value).splitlines()) == 1
    assert ("timed out" if listens else "Connection refused") in str(caught.value)
    assert dict(os.environ) == before, "a sweep has its own patience again"


def test_a_store_without_a_server_has_nobody_to_ask(tmp_path: Path) -> None:
    MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "sweep", tmp_path).check()
    assert not list(tmp_path.iterdir())


def described(uri: str) -> dict[str, str]:
    from mlflow import MlflowClient

    experiment = MlflowClient(tracking_uri=uri).get_experiment_by_name("sweep")
    assert experiment is not None
    return dict(experiment.tags)


def test_a_run_and_its_experiment_have_notes_and_pictures(uri: str, tmp_path: Path) -> None:
    from PIL import Image

    for colour in ("red", "blue"):  # one that has changed takes the place of the old one
        Image.new("RGB", (600, 300), colour).save(tmp_path / "map.png")
        run = make_run(tmp_path, pictures={"heat maps/all": tmp_path / "map.png"}, note="*nli*")
        tracker = MlflowTracker(uri, "sweep", tmp_path / "artifacts")
        tracker.write(run)
        tracker.describe(TrackedExperiment("# Verdicts", {"mlflow.sharedViewState.runs": colour}))
    (stored,) = runs_of(uri)
    assert stored.data.tags["mlflow.note.content"] == "*nli*"
    assert "mlflow.loggedImages" in stored.data.tags
    shown = sorted(path.name for path in (tmp_path / "artifacts").rglob("images/*"))
    assert shown == [
        f"heat maps~all+step+0+timestamp+1+picture{end}" for end in ("+compressed.webp", ".png")
    ]
    (small,) = (tmp_path / "artifacts").rglob("*.webp")
    with Image.open(small) as picture:
        assert picture.size == (600, 300) and picture.convert("RGB").getpixel((9, 9)) == (0, 0, 255)
    tags = described(uri)
    assert tags["mlflow.note.content"] == "# Verdicts"
    assert tags["mlflow.sharedViewState.runs"] == "blue"


def test_a_note_that_is_too_long_ends_at_a_line(uri: str, tmp_path: Path) -> None:
    MlflowTracker(uri, "sweep", tmp_path).write(make_run(tmp_path, note="a line of it\n" * 1000))
    (stored,) = runs_of(uri)
    note = stored.data.tags["mlflow.note.content"]
    assert 7900 < len(note) <= 8000 and note.endswith("a line of it\n…")


def test_the_experiment_of_another_storage_is_left_alone(uri: str, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    MlflowTracker(uri, "sweep", tmp_path, owner="mine").write(run)
    MlflowTracker(uri, "sweep", tmp_path, owner="mine").write(run)
    theirs = MlflowTracker(uri, "sweep", tmp_path, owner="theirs")
    for step in (lambda: theirs.write(replace(run, key="x")), theirs.experiment):
        with pytest.raises(ForeignExperiment, match="another sweep's, and nothing was") as caught:
            step()
        assert len(str(caught.value).splitlines()) == 1
    assert len(runs_of(uri)) == 1 and described(uri)["xstilts.storage"] == "mine"


def test_an_experiment_without_an_owner_is_taken_up_if_its_runs_are_ours(
    uri: str, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    MlflowTracker(uri, "sweep", tmp_path).write(make_run(tmp_path))  # as before there were owners
    MlflowTracker(uri, "sweep", tmp_path, owner="mine").write(make_run(tmp_path))
    assert described(uri)["xstilts.storage"] == "mine"
    client = MlflowClient(tracking_uri=uri)
    client.create_run(client.create_experiment("other"))
    with pytest.raises(ForeignExperiment, match="not a sweep's"):
        MlflowTracker(uri, "other", tmp_path, owner="mine").write(make_run(tmp_path))

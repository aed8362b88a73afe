"""MLflow as a tracker, by `MlflowClient` alone: no global state, no run that is merely "active".

What goes in is a run described whole (`tracker.py`); writing it twice changes nothing.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from xstilts.errors import ConfigError, ForeignExperiment, Problem, TrackingError, without_user
from xstilts.files import canonical_json
from xstilts.tracking.moved import bring_along
from xstilts.tracking.tracker import Point, TrackedExperiment, TrackedRun, part_of

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# A server that is down must cost seconds, not the minutes of MLflow's own patience.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""While it is only asked whether a server is there."""

KEY = "xstilts.key"
DIGESTS = "xstilts.digests"
CUT_OFF = {"about": ""}
"""The digests of a run that has none: whatever it holds, its writing did not come to an end."""
OWNER = "xstilts.storage"
"""Of an experiment: the identity of the storage whose sweep it shows."""
NOTE = "mlflow.note.content"
LONGEST_NOTE = {"run": 8000, "experiment": 5000}
"""Characters; MLflow refuses or cuts what is longer, and an experiment's in servers before 3.0."""
HAS_PICTURES = "mlflow.loggedImages"
STATES = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}
METRICS_PER_BATCH, PARAMS_PER_BATCH, TAGS_PER_BATCH = 800, 100, 100
"""MLflow takes no more than 1,000 things at once, and 100 parameters and 100 tags."""


class MlflowTracker:
    """Runs of one experiment, found by their key, created where they are missing."""

    def __init__(self, uri: str, experiment: str, artifacts: Path | None, owner: str = ""):
        """`artifacts` is where artifacts go without a server; a server keeps its own. `owner` is
        the identity of the sweep's storage: an experiment that says another's is left alone."""
        self._uri = uri
        self._name = experiment
        self._artifacts = artifacts
        self._owner = owner
        self._client: Any = None
        self._experiment = ""
        self._runs: dict[str, tuple[str, dict[str, str]]] = {}

    def check(self) -> None:
        """See, within seconds, that a server answers; without a server there is nothing to see.

        Raises:
            ConfigError: it does not, or does not let us in.
            ForeignExperiment: it has another sweep's experiment of that name.
        """
        if not self._uri.startswith(("http://", "https://")):
            return
        from mlflow import MlflowClient

        before = {name: os.environ.get(name) for name in IMPATIENT}
        os.environ |= IMPATIENT
        try:
            client = MlflowClient(tracking_uri=self._uri)
            experiment = client.get_experiment_by_name(self._name)
            if experiment is not None:
                self._check_owner(client, experiment)
        except ForeignExperiment:
            raise
        except Exception as error:  # as in `write`
            reason = _reason(error)
            rule = "names an MLflow server that answers"
            repair = "start it, or leave it out: without a server the runs lie in the storage"
            raise ConfigError(
                [Problem("tracking.uri", rule, f'"{self._uri}" ({reason})', repair)]
            ) from error
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def write(self, run: TrackedRun) -> None:
        """See `Tracker.write`."""
        with self._connected():
            self._write(run)

    def describe(self, experiment: TrackedExperiment) -> None:
        """See `Tracker.describe`."""
        with self._connected():
            tags = dict(experiment.tags)
            if experiment.note:
                tags[NOTE] = _cut(experiment.note, "experiment")
            has = self._client.get_experiment(self._experiment).tags
            for key, value in tags.items():
                if has.get(key) != value:
                    self._client.set_experiment_tag(self._experiment, key, value)

    def experiment(self) -> str:
        """The experiment's number, by which links name it; made where it is missing.

        Raises:
            TrackingError: as `write`.
        """
        with self._connected():
            return self._experiment

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """MLflow's stores raise SQLAlchemy's, requests' and their own errors; none of them may stop
        a sweep, so that all are one. Nothing is remembered of a connection that failed."""
        try:
            self._connect()
            yield
        except Exception as error:
            self._client, self._runs = None, {}
            if isinstance(error, ForeignExperiment):
                raise
            raise TrackingError(without_user(f"{self._uri}: {_reason(error)}")) from error

    def _connect(self) -> None:
        if self._client is not None:
            return
        from mlflow import MlflowClient

        # MLflow sets its loggers up when it is imported, so they are quietened after.
        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # It tells every attempt; what came of them is told once, by whoever asked.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        if self._is_file and self._artifacts is not None:
            bring_along(Path(self._uri.removeprefix("sqlite:///")), self._artifacts)
        client = MlflowClient(tracking_uri=self._uri)
        experiment = client.get_experiment_by_name(self._name)
        if experiment is None:
            location = None
            if self._artifacts is not None and "://" in self._uri and self._is_file:
                location = (self._artifacts / self._name).as_uri()
            self._experiment = client.create_experiment(
                self._name,
                artifact_location=location,
                tags={OWNER: self._owner} if self._owner else None,
            )
        else:
            self._check_owner(client, experiment)
            if experiment.lifecycle_stage == "deleted":
                client.restore_experiment(experiment.experiment_id)
            self._experiment = experiment.experiment_id
        self._client = client

    def _check_owner(self, client: Any, experiment: Any) -> None:
        """That an experiment is this sweep's: it says so, or holds none but runs like ours."""
        owner = experiment.tags.get(OWNER)
        if owner == self._owner or not self._owner:
            return
        if not owner:
            runs = client.search_runs([experiment.experiment_id], max_results=100)
            if all(KEY in run.data.tags for run in runs):
                client.set_experiment_tag(experiment.experiment_id, OWNER, self._owner)
                return
        whose = "another sweep's" if owner else "not a sweep's"
        raise ForeignExperiment(
            without_user(
                f'{self._uri}: the experiment "{self._name}" there is {whose}, and nothing was '
                "written; rename it there, or give the sweep another name"
            )
        )

    @property
    def _is_file(self) -> bool:
        return self._uri.startswith("sqlite:")

    def _write(self, run: TrackedRun) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run_id, known = self._find_or_create(run)
        digests = run.digests
        new = {part for part, digest in digests.items() if known.get(part) != digest}
        if not new:
            return
        # Before the metrics: MLflow's client reads the run whole when it is asked for artifacts.
        if "artifacts" in new:
            for name, path in run.artifacts.items():
                folder = Path(name).parent.as_posix()
                self._client.log_artifact(run_id, str(path), None if folder == "." else folder)
        points = [point for point in run.metrics if part_of(point) in new]
        if known == CUT_OFF or any(part_of(point) in known for point in points):
            points = self._corrected(run_id, points)
        metrics = [Metric(p.key, p.value, p.time_ms, p.step) for p in points]
        params, tags = [], []
        if "about" in new:
            params = [Param(key, value) for key, value in run.params.items()]
            tags = [RunTag(key, value) for key, value in run.tags.items()]
            tags += [RunTag(NOTE, _cut(run.note, "run"))] if run.note else []
        batches = (
            _chunks(metrics, METRICS_PER_BATCH),
            _chunks(params, PARAMS_PER_BATCH),
            _chunks(tags, TAGS_PER_BATCH),
        )
        for some in zip_longest(*batches, fillvalue=()):
            self._client.log_batch(run_id, *some)
        if "pictures" in new and run.pictures:
            for name, path in run.pictures.items():
                self._show(run_id, name, path)
            self._client.set_tag(run_id, HAS_PICTURES, "true")
        if "about" in new and run.state != "running":
            self._client.set_terminated(run_id, STATES[run.state], run.ended_ms)
        elif "about" in new and known:
            self._client.update_run(run_id, status=STATES[run.state])
        # The digests last: a run that was cut off in the middle is written again. One that has
        # just begun holds next to nothing, and is soon written anew.
        if run.state != "running" or known:
            self._client.set_tag(run_id, DIGESTS, canonical_json(digests))
        self._runs[run.key] = run_id, digests

    def _show(self, run_id: str, name: str, path: Path) -> None:
        """Have charts show a picture, as `log_image` does. That gives each call a name of its own
        and a copy of 256 pixels; here a picture that has changed takes the place of the old one,
        and its letters can be read."""
        from PIL import Image

        file = f"{name.replace('/', '~')}+step+0+timestamp+1+picture"
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(path, f"{folder}/{file}.png")
            with Image.open(path) as picture:
                picture.save(f"{folder}/{file}+compressed.webp", lossless=True)
            self._client.log_artifacts(run_id, folder, "images")

    def _corrected(self, run_id: str, points: Sequence[Point]) -> list[Point]:
        """The points with a later time where they correct what the run shows: of equal steps and
        times MLflow shows the largest value, whichever came last."""
        shown = self._client.get_run(run_id).data.metrics
        last = {point.key: point for point in sorted(points, key=lambda p: (p.step, p.time_ms))}
        corrected = []
        for point in points:
            value = shown.get(point.key, point.value)
            if point is last[point.key] and float(value) != float(point.value):
                history = self._client.get_metric_history(run_id, point.key)
                time_ms = max(point.time_ms, *(stored.timestamp + 1 for stored in history))
                point = replace(point, time_ms=time_ms)
            corrected.append(point)
        return corrected

    def _find_or_create(self, run: TrackedRun) -> tuple[str, dict[str, str]]:
        """The run's id and the digests of what it holds; none if it is new."""
        if run.key not in self._runs:
            found = self._client.search_runs(
                [self._experiment], f"tags.`{KEY}` = '{run.key}'", max_results=1
            )
            if found:
                told = found[0].data.tags.get(DIGESTS)
                digests = CUT_OFF if told is None else json.loads(told)
                self._runs[run.key] = found[0].info.run_id, digests
            else:
                created = self._client.create_run(
                    self._experiment,
                    start_time=run.started_ms,
                    run_name=run.name,
                    tags={KEY: run.key},
                )
                self._runs[run.key] = created.info.run_id, {}
        return self._runs[run.key]


def _reason(error: BaseException) -> str:
    """What lies at the bottom of an error of MLflow's, in one line: its own names every layer."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _cut(note: str, of: str) -> str:
    """A note that is too long ends at a line."""
    most = LONGEST_NOTE[of]
    if len(note) <= most:
        return note
    return f"{note[: most - 2].rpartition(chr(10))[0]}\n…"


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]

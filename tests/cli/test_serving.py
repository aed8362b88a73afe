"""`xstilts ui` and its server: one ends with the other, however; a port that is taken is said."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ..processes import is_process_alive
from ..sockets import listeners
from ..stories.conftest import descendants
from ..stories.hosts_of_one import free_port

START_S, END_S = 120, 30
SECRET = "planted-password-of-mlflow"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with the database of an MLflow that knows one experiment."""
    storage = tmp_path_factory.mktemp("storage")
    MlflowClient(tracking_uri=f"sqlite:///{storage}/mlflow.db").create_experiment("seen")
    return storage


def start(storage: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "xstilts.cli", "ui", "--storage", str(storage)]
    return subprocess.Popen(
        [*command, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "MLFLOW_TRACKING_PASSWORD": SECRET},
    )


def wait_for_the_server(port: int) -> None:
    """Until the API answers."""
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=seen"
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert answer.status == 200
                return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_no_process_of_the_server_outlives_the_command(storage: Path, how: str) -> None:
    port = free_port()
    ui = start(storage, port)
    try:
        wait_for_the_server(port)
        below = descendants(ui.pid)
        listening = {(one.address, one.port) for one in listeners(below)}
        assert len(below) >= 3, "the keeper, MLflow and its server"
        assert listening == {("127.0.0.1", port)}
    finally:
        ui.send_signal(getattr(signal, how))
    output, _ = ui.communicate(timeout=END_S)
    number = getattr(signal, how)
    expected = {"SIGINT": 0, "SIGKILL": -number}.get(how, 128 + number)
    assert ui.returncode == expected, output
    assert SECRET not in output and f"127.0.0.1:{port}" in output
    deadline = time.monotonic() + END_S
    while any(map(is_process_alive, below)):
        assert time.monotonic() < deadline, "something lives on"
        time.sleep(0.05)


def test_a_port_that_is_taken_is_said_at_once(storage: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        started = time.monotonic()
        ui = start(storage, port)
        output, _ = ui.communicate(timeout=START_S)
    assert ui.returncode == 2
    assert output == f"--port: is in use; got {port}; give another one\n"
    assert time.monotonic() - started < 20

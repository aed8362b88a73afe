"""Ray is started with patience, and left without a trace that could end the process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import ConfigError, StageError
from xstilts.search import connection
from xstilts.search.connection import QUIET, RAY_STARTS, check_address, start
from xstilts.search.own_ray import LOOPBACK


@pytest.mark.parametrize("late", [1, RAY_STARTS])
def test_a_slow_start_of_ray_is_tried_again(monkeypatch: pytest.MonkeyPatch, late: int) -> None:
    import ray

    starts: list[dict[str, Any]] = []

    def init(**arguments: Any) -> None:
        starts.append(arguments)
        if len(starts) <= late:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", init)
    if late < RAY_STARTS:
        start(num_cpus=1)
    else:
        with pytest.raises(StageError, match="Ray does not start on this machine"):
            start(num_cpus=1)
    assert starts == [{"num_cpus": 1}] * min(late + 1, RAY_STARTS)


def test_another_failure_of_ray_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def init(**arguments: Any) -> None:
        raise ValueError("no such option")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ValueError, match="no such option"):
        start()


JOINS = """
import sys
from xstilts.errors import ConfigError
from xstilts.search import connection

connection.quieten(sys.argv[1])
try:
    with connection.connected(sys.argv[1]):
        pass
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("address", "mode", "reason"),
    [
        ("nonsense", {}, "Invalid address format: nonsense"),
        ("127.0.0.1:9", {"RAY_AUTH_MODE": "token"}, "no authentication token was found"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_said_in_one_line(
    tmp_path: Path, address: str, mode: dict[str, str], reason: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOINS, address],
        env={**os.environ, "HOME": str(tmp_path), **mode},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("--address: names a Ray cluster that is up and lets this driver in; got")
    assert reason in line and "~/.ray/auth_token" in line
    assert not list(tmp_path.iterdir()), "no token is made"


LEAVES = """
import gc, weakref
import ray
from xstilts.search import connection

class Cycle:
    def __init__(self, reference):
        self.itself, self.reference = self, reference

end = ray.shutdown

def shutdown():
    print("collected meanwhile:", gc.isenabled())
    end()

ray.shutdown = shutdown
with connection.connected(None):
    gc.disable()
    cycle = Cycle(ray.put(1))
    freed = weakref.finalize(cycle, lambda: print("freed, Ray is up:", ray.is_initialized()))
    del cycle
    gc.enable()
print("goes on:", gc.isenabled())
"""


@pytest.mark.slow
def test_nothing_of_ray_is_freed_while_it_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVES],
        env={**os.environ, **QUIET, **LOOPBACK},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "freed, Ray is up: True",
        "collected meanwhile: False",
        "goes on: True",
    ]


def listening(answer: bytes | None) -> socket.socket:
    """A port on which one connection is answered so; None is silent."""
    server = socket.create_server(("", 0))  # Ray takes loopback for this machine

    def serve() -> None:
        with suppress(OSError):
            line, _ = server.accept()
            line.recv(100)
            line.sendall(answer or b"")
            line.recv(100)

    if answer is not None:
        threading.Thread(target=serve, daemon=True).start()
    return server


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what listens there is no Ray cluster"),
        (None, "timed out"),
    ],
)
def test_a_port_that_is_no_cluster_is_told_within_seconds(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, reason: str
) -> None:
    monkeypatch.setattr(connection, "GREETING_S", 1.0)
    with listening(answer) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=reason) as caught:
            check_address(address)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("--address: names a Ray cluster that is up")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:9", "Connection refused"),
        ("ray://127.0.0.1:9", "Connection refused"),
        ("no.such.host.invalid:6379", "not known|resolution"),
        ("nonsense", "Invalid address format"),
        ("127.0.0.1:port", "invalid literal"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_before_ray_tries_for_minutes(
    address: str, reason: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=reason):
        check_address(address)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(("patience_s", "seen"), [(60.0, 3), (0.0, 1)])
def test_a_cluster_is_waited_for_until_its_nodes_are_there(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, seen: int
) -> None:
    """Or the time is over: a launch begins with fewer."""
    there: list[dict[str, float]] = []

    def nodes() -> list[dict[str, float]]:
        there.append({"CPU": 1.0})
        return there

    monkeypatch.setattr(connection, "alive_nodes", nodes)
    monkeypatch.setattr(connection, "_join", lambda address: None)
    monkeypatch.setattr(connection, "leave", lambda: None)
    monkeypatch.setattr(connection, "NODES_S", patience_s)
    monkeypatch.setenv(connection.NODES, "3")
    with connection.connected("10.0.0.1:6379"):
        assert len(there) == seen


@pytest.mark.ray
def test_a_cluster_answers() -> None:
    code = """
import ray
from xstilts.search import connection
connection.quieten(None)
with connection.connected(None):
    connection.check_address(ray.get_runtime_context().gcs_address)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_in_a_job_of_slurm_no_ray_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with pytest.raises(ConfigError) as refused:
        check_address("auto")
    (problem,) = refused.value.problems
    assert str(problem) == (
        "--address: joins whatever Ray a node has, in a Slurm job perhaps that of another one; "
        'got "auto" in job 17; give ip:port of the job\'s own head; the script of `xstilts slurm` '
        "does"
    )

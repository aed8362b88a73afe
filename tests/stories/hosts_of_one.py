"""Small Ray clusters of this machine, for stories that need an address or a second node."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from .conftest import descendants

START_S = 120


@contextmanager
def one_node(num_cpus: int) -> Iterator[str]:
    """A cluster of one node with so many logical CPUs; its address."""
    with _nodes(num_cpus) as (address, _):
        yield address


@contextmanager
def two_nodes() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A cluster of two nodes of one CPU each; its address, and the process of the second node."""
    with _nodes(1, 1) as (address, started):
        yield address, started[1]


@contextmanager
def _nodes(*cpus: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Nodes that ask for a token, which drivers that are started meanwhile have too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        with _started(cpus) as (address, started):
            yield address, started


@contextmanager
def _started(cpus: Sequence[int]) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    port = free_port()
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    ray = [str(Path(sys.executable).parent / "ray"), "start", "--block"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, count in enumerate(cpus):
            where = [f"--address=127.0.0.1:{port}"]
            if not number:
                where = ["--head", f"--port={port}", "--include-dashboard=false"]
            command = [*ray, *where, f"--num-cpus={count}", "--object-store-memory=100000000"]
            started.append(
                subprocess.Popen(
                    command,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            _wait_for_nodes(f"127.0.0.1:{port}", number + 1, environment)
        yield f"127.0.0.1:{port}", started
    finally:
        for process in started:
            for pid in (process.pid, *descendants(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


COUNT = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(sum(node["Alive"] for node in ray.nodes()))
"""


def _wait_for_nodes(address: str, count: int, environment: dict[str, str]) -> None:
    """Until so many nodes have registered with the head."""
    deadline = time.monotonic() + START_S
    while True:
        asked = subprocess.run(
            [sys.executable, "-c", COUNT, address],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() == str(count):
            return
        assert time.monotonic() < deadline, f"Ray did not start: {asked.stderr}"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

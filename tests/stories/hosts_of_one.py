"""Small Ray clusters of this machine, for stories that need an address or a second node."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from xstilts.search.own_ray import LOOPBACK

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
        # A Ray of our own that ran in this process has left it; with it no node joins a cluster.
        for name in LOOPBACK:
            patch.delenv(name, raising=False)
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
            started.append(_joined(command, environment, f"127.0.0.1:{port}", number + 1))
        yield f"127.0.0.1:{port}", started
    finally:
        for process in started:
            _end(process)


COUNT = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(sum(node["Alive"] for node in ray.nodes()))
"""


def _joined(
    command: Sequence[str], environment: dict[str, str], address: str, count: int
) -> subprocess.Popen[bytes]:
    """A node's process, once so many nodes have registered with the head."""
    deadline = time.monotonic() + START_S
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while True:
            asked = subprocess.run(
                [sys.executable, "-c", COUNT, address],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if asked.stdout.strip() == str(count):
                return process
            if process.poll() is not None or time.monotonic() > deadline:
                _end(process)
                output.seek(0)
                said = output.read().decode(errors="replace")
                pytest.fail(f"{asked.stdout.strip() or 0} of {count} nodes: {asked.stderr}{said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a node's process and all that it started."""
    for pid in (process.pid, *descendants(process.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

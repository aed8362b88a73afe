"""The script as the first process of a pod: with a stand-in for Ray, and with the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ..stories.hosts_of_one import free_port
from .rules import NODE
from .test_node import of_folder

Pod = Callable[..., subprocess.Popen[str]]


def wait_for_file(file: Path, timeout_s: float) -> None:
    over = time.monotonic() + timeout_s
    while not file.exists():
        assert time.monotonic() < over, f"no {file.name}"
        time.sleep(0.1)


POD_RAY = """#!/bin/bash
# `ray start --block`, with a trial that writes its checkpoint when it has notice.
echo "$RAY_AUTH_MODE $*" > "$HOME/started"
if [ -e "$HOME/dies" ]; then exit 1; fi
trial='until [ -e "$XSTILTS_NOTICE" ]; do sleep 0.1; done; sleep 1; touch "$HOME/checkpoint"'
(exec -a ray::TrialActor.step bash -c "$trial; : $HOME") &
sleep 600
"""


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """Starts the script as the first process of a pod, with a stand-in for Ray."""
    ray = tmp_path / "venv/bin/ray"
    ray.parent.mkdir(parents=True)
    ray.write_text(POD_RAY)
    ray.chmod(0o755)
    (tmp_path / "storage/runs").mkdir(parents=True)
    (tmp_path / "storage/heads").mkdir()
    (tmp_path / "storage/heads/127.0.0.1").touch()
    private = tmp_path / f"private-{os.geteuid()}"
    private.mkdir(mode=0o700)
    (private / "notice").touch()  # of a container before
    text = NODE.read_text().replace("/tmp/xstilts-", f"{tmp_path}/private-")
    text = text.replace("SHARED=/mnt/xstilts", f"SHARED={tmp_path}/storage")
    (tmp_path / "node.sh").write_text(text.replace("mountpoint -q", "test -d"))
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **variables: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "HOME": str(tmp_path), **variables}
        command = ["bash", str(tmp_path / "node.sh"), "pod", *words]
        started.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for pid in of_folder(str(tmp_path)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in started:
        process.communicate()


def test_a_pod_that_must_go_ends_once_its_trials_have_written(pod: Pod, tmp_path: Path) -> None:
    """TERM is the notice; the token is in the environment, and the head is known by its name."""
    process = pod("worker", "localhost", "--num-cpus=8", RAY_AUTH_TOKEN="of a Secret")
    wait_for_file(tmp_path / "started", 60)
    words = (tmp_path / "started").read_text().split()
    assert words[:4] == ["token", "start", "--address=127.0.0.1:6379", "--node-manager-port=6380"]
    assert words[-2:] == ["--num-cpus=8", "--block"]
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    assert not (tmp_path / "checkpoint").exists()
    process.terminate()
    assert process.wait(40) == 0, "it need not wait its whole time"
    assert (tmp_path / "checkpoint").exists()
    assert not of_folder(f"; : {tmp_path}"), "nothing outlives it"


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["head"], {"RAY_AUTH_TOKEN": "x"}, "Ray has died"),
        (["head"], {"RAY_AUTH_TOKEN": ""}, "no token in"),
        (["worker", "no.such.host.invalid"], {"RAY_AUTH_TOKEN": "x"}, "of the head is unknown"),
    ],
    ids=["dead Ray", "no token", "no head"],
)
def test_a_pod_whose_ray_is_not_there_fails(
    pod: Pod, tmp_path: Path, words: list[str], variables: dict[str, str], said: str
) -> None:
    (tmp_path / "dies").touch()
    process = pod(*words, **variables)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1 and said in error


TRIAL = """
import os, sys, time
import ray

@ray.remote(num_cpus=1)
class TrialActor:
    def step(self, folder):
        open(folder + "/begun", "w").close()
        while not os.path.exists(os.environ["XSTILTS_NOTICE"]):
            time.sleep(0.2)
        time.sleep(3)
        open(folder + "/checkpoint", "w").close()
        ray.actor.exit_actor()

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
actor = TrialActor.remote()
ray.wait([actor.step.remote(sys.argv[2])])
time.sleep(60)
"""


@pytest.mark.ray
def test_a_real_ray_in_a_pod_waits_for_its_trials(tmp_path: Path) -> None:
    """Known by the titles of their processes."""
    port = free_port()
    (tmp_path / "venv").symlink_to(Path(sys.executable).parents[1])
    (tmp_path / "storage/runs").mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="x", dir="/tmp") as short:
        text = NODE.read_text().replace("/tmp/xstilts-", f"{short}/own-")
        text = text.replace("SHARED=/mnt/xstilts", f"SHARED={tmp_path}/storage")
        text = text.replace("mountpoint -q", "test -d").replace("6379", str(port))
        (tmp_path / "node.sh").write_text(text)
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of a Secret"}
        environment = {**os.environ, **token, "HOME": str(tmp_path)}
        words = "pod head --no-monitor --num-cpus=1 --num-gpus=0 --include-dashboard=false"
        command = ["bash", str(tmp_path / "node.sh"), *words.split()]
        pod = subprocess.Popen(command, env=environment)
        driver = None
        try:
            wait_for_file(Path(short) / f"own-{os.geteuid()}/ray/ray_current_cluster", 120)
            command = [sys.executable, "-c", TRIAL, f"127.0.0.1:{port}", str(tmp_path)]
            driver = subprocess.Popen(command, env=environment)
            wait_for_file(tmp_path / "begun", 120)
            pod.terminate()
            assert pod.wait(45) == 0
            assert (tmp_path / "checkpoint").exists()
            assert not of_folder(f"{short}/own-")
        finally:
            for process in filter(None, (driver, pod)):
                process.kill()
                process.wait()
            for pid in of_folder(short):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

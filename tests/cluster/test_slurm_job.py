"""What a job of Slurm makes of how its sweep ends: a real Slurm, and a stand-in for Ray and for the
command, so that every way to end is seen within seconds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xstilts.cluster.slurm import Request, job_of, script
from xstilts.run.places import Places
from xstilts.run.storage import open_storage

from ..conftest import make_sweep, require
from ..stories.hosts import wait_for
from ..stories.slurm_hosts import LAB, START_AFTER_S, SlurmCluster, lacks

pytestmark = pytest.mark.cluster

RAY = """#!/usr/bin/env bash
# `ray start`: says where it is, or dies as it is told.
for word; do
  case $word in --temp-dir=*) folder=${word#*=} ;; --port=*) port=${word#*=} ;; esac
done
mkdir -p "$folder"
stat -c %a "${folder%/*}" > /mnt/lab/mode
echo "10.77.0.2:$port" > "$folder/ray_current_cluster"
echo "$SLURMD_NODENAME $port" >> /mnt/lab/rays
setsid sleep 600 &
while ! [ -e /mnt/lab/ray-dies ]; do sleep 0.2; done
rm /mnt/lab/ray-dies
exit 1
"""

PYTHON = """#!/usr/bin/env bash
# `python -m xstilts.cli sweep`: ends with the status that it is told, or when it is told to stop.
if [ "$1" = - ]; then exit 0; fi
echo "sweep $*"
trap 'exit 75' TERM
if ! [ -e /mnt/lab/runs-on ]; then exit "$(cat /mnt/lab/status)"; fi
for _ in {1..300}; do sleep 0.2; done
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    reason = lacks()
    require("slurm", not reason, reason)
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), [4]) as cluster:
        tools = cluster.lab / "bin"
        tools.mkdir()
        for name, text in (("ray", RAY), ("python", PYTHON)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        yield cluster


def submit(
    cluster: SlurmCluster, status: int | None, restarts: int = 20, partition: str = "short"
) -> int:
    """Submit a sweep that ends with a status, or runs until it is stopped; the job's id."""
    for name in ("ray-dies", "rays", "runs-on", "status"):
        (cluster.lab / name).unlink(missing_ok=True)
    (cluster.lab / ("runs-on" if status is None else "status")).write_text(f"{status}\n")
    identity = open_storage(cluster.lab / "runs")
    request = Request("1", "0", "30", cpus_per_node=2, restarts=restarts)
    text = script(
        job_of(request, make_sweep()),
        ["sweep.yaml", "--set", "name=it's"],
        Places(Path(LAB) / "runs", "s"),
        identity,
        f"{LAB}/bin/python",
        Path(LAB),
    )
    (cluster.lab / "job.sh").write_text(text)
    return int(cluster.call(f"sbatch --parsable -p {partition} job.sh"))


def over(cluster: SlurmCluster, job: int) -> tuple[str, str]:
    """The state and exit status of a job once it is over, and its node empty."""
    states = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT")
    wait_for(lambda: cluster.state(job) in states, f"job {job} is over", 90)
    node = cluster.nodes[0]
    wait_for(lambda: cluster.left(node) == [], f"nothing of job {job} is left", 60)
    assert not cluster.call("find /tmp -maxdepth 1 -name 'xstilts-*'", on=node)
    return cluster.state(job), cluster.field(job, "ExitCode")


def running(cluster: SlurmCluster, job: int, starts: int = 1) -> None:
    wait_for(lambda: cluster.log(job).count("sweep -m") == starts, f"start {starts} of {job}", 60)


def hurry(cluster: SlurmCluster, job: int) -> None:
    """Have a job that was queued again start now."""
    wait_for(lambda: cluster.state(job) == "PENDING", f"job {job} waits", 60)
    node = cluster.nodes[0]
    wait_for(lambda: cluster.left(node) == [], f"nothing of job {job} is left", 60)
    time.sleep(START_AFTER_S)
    cluster.call(f"scontrol update JobId={job} StartTime=now")


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_sweep_that_ended_is_never_started_again(cluster: SlurmCluster, status: int) -> None:
    job = submit(cluster, status)
    expected = ("FAILED", f"{status}:0") if status else ("COMPLETED", "0:0")
    assert over(cluster, job) == expected
    log = cluster.log(job)
    assert log.count("start 0 on") == 1 and cluster.field(job, "Restarts") == "0"
    assert "sweep -m xstilts.cli sweep sweep.yaml --set name=it's --address 10.77.0.2:" in log
    assert (cluster.lab / "mode").read_text() == "700\n"


def test_notice_queues_it_again_and_scancel_does_not(cluster: SlurmCluster) -> None:
    """Slurm gives notice by itself where the limit is near; it looks every 30 s."""
    job = submit(cluster, None)
    running(cluster, job)
    cluster.call(f"scontrol update JobId={job} TimeLimit=2")
    hurry(cluster, job)
    cluster.call(f"scontrol update JobId={job} TimeLimit=30")
    running(cluster, job, 2)
    assert "--no-rehearse --address" in cluster.log(job)
    began = time.monotonic()
    cluster.call(f"scancel {job}")
    state, _ = over(cluster, job)
    assert state == "CANCELLED" and time.monotonic() - began < 25, "before Slurm loses patience"
    assert "told to end" in cluster.log(job) and cluster.field(job, "Restarts") == "1"


@pytest.mark.parametrize(("partition", "told"), [("short", "told to end"), ("graced", "notice")])
def test_what_preempts_it_has_it_queued_again(
    cluster: SlurmCluster, partition: str, told: str
) -> None:
    """At once, which is as scancel but for its start by Slurm itself, or with a time of grace."""
    job = submit(cluster, None, partition=partition)
    running(cluster, job)
    other = cluster.call("sbatch --parsable -p urgent -c 4 --wrap 'sleep 5'").strip()
    wait_for(lambda: cluster.state(job) == "PENDING", f"job {job} is preempted", 60)
    assert told in cluster.log(job)
    wait_for(lambda: cluster.state(int(other)) == "COMPLETED", f"job {other} is done", 90)
    cluster.call(f"scontrol update JobId={job} StartTime=now || true")  # it may run already
    running(cluster, job, 2)
    assert cluster.field(job, "Restarts") == "1"
    cluster.call(f"scancel {job}")
    over(cluster, job)


def test_a_ray_that_dies_starts_the_job_again_as_often_as_is_allowed(cluster: SlurmCluster) -> None:
    job = submit(cluster, None, restarts=1)
    running(cluster, job)
    (cluster.lab / "ray-dies").touch()
    hurry(cluster, job)
    running(cluster, job, 2)
    (cluster.lab / "ray-dies").touch()
    assert over(cluster, job) == ("FAILED", "75:0")
    assert "started again 1 times already, the bound" in cluster.log(job)


def test_two_jobs_share_a_node(cluster: SlurmCluster) -> None:
    first, second = submit(cluster, None), submit(cluster, None)
    for job in (first, second):
        running(cluster, job)
    ports = re.findall(r"--address 10.77.0.2:(\d+)", cluster.log(first) + cluster.log(second))
    assert len(set(ports)) == 2
    folders = cluster.call("ls -d /tmp/xstilts-*", on=cluster.nodes[0]).split()
    assert folders == [f"/tmp/xstilts-0-{job}" for job in (first, second)]
    cluster.call(f"scancel {first}")
    wait_for(lambda: cluster.state(first) == "CANCELLED", "the first is over", 60)
    time.sleep(2)
    assert cluster.state(second) == "RUNNING"
    lines = cluster.left(cluster.nodes[0])
    assert any(f"xstilts-0-{second}" in line for line in lines), "the other's Ray runs on"
    assert not any(f"xstilts-0-{first}/" in line for line in lines)
    cluster.call(f"scancel {second}")
    over(cluster, second)


def test_a_node_with_another_storage_ends_the_job(cluster: SlurmCluster) -> None:
    open_storage(cluster.lab / "runs")
    file = cluster.lab / "runs/storage.json"
    before = file.read_text()
    try:
        job = submit(cluster, None)
        file.write_text(before.replace('"identity": "', '"identity": "0'))
        assert over(cluster, job) == ("FAILED", "2:0")
    finally:
        file.write_text(before)
    assert "/mnt/lab/runs is not the storage that it is where" in cluster.log(job)
    assert "sweep -m" not in cluster.log(job)

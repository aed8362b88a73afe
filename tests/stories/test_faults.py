"""Kill anything at any moment, start the same command again: nothing is lost, nothing is twice.

Each fault comes at seeded random moments, once a kind in the ordinary run. With `-m "slow or soak"`
ten of each come, in an hour; the table of what was seen is printed at the end (`-s`).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest

from .conftest import SWEEP, Bench, descendants
from .hosts_of_one import free_port, two_nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow]

NUMBERS = [0, *(pytest.param(number, marks=pytest.mark.soak) for number in range(1, 10))]
TABLE: list[str] = []
RANKS = "processes_per_trial: 2, cpus_per_trial: 2, "


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """The table of faults, once all have happened."""
    TABLE.append(
        "| fault | after stages | interruptions | trials | runs | recomputed | same scores |"
    )
    TABLE.append("| --- | --- | --- | --- | --- | --- | --- |")
    yield
    print("\n" + "\n".join(TABLE))


@pytest.fixture(scope="module")
def undisturbed_in_two(tmp_path_factory: pytest.TempPathFactory, shared_mini: Path) -> Bench:
    """What two processes a trial give when nobody disturbs them."""
    bench = new_bench(tmp_path_factory.mktemp("two"), shared_mini, ranks=True)
    bench.sweep()
    return bench


def new_bench(folder: Path, data: Path, ranks: bool = False, uri: str = "") -> Bench:
    text = SWEEP % data
    if ranks:  # one trial: what two processes do with mixtures is tested where they train
        text = text.replace("resources: {", f"resources: {{{RANKS}").replace(
            "trials: 3", "trials: 1"
        )
    if uri:
        text += f'tracking: {{uri: "{uri}"}}\n'
    folder.mkdir(exist_ok=True)
    (folder / "sweep.yaml").write_text(text)
    return Bench(folder)


def moment(bench: Bench, process: subprocess.Popen[str], seed: str, total: int) -> None:
    """Wait until a random number of stages is done, and a random moment more; not for the last
    ones, which may be over before the blow falls."""
    draw = random.Random(seed)
    wanted, more_s = draw.randrange(max(1, total - 3)), draw.uniform(0, 0.5)
    bench.wait_for(
        lambda: (
            (len(bench.stages()) >= wanted and bool(bench.workers())) or process.poll() is not None
        ),
        timeout_s=300,
    )
    time.sleep(more_s)


def check(
    kind: str, bench: Bench, reference: Bench, before: dict[str, int], runs: dict[str, Any]
) -> None:
    """Nothing lost, nothing twice, the same bits; and a line for the table."""
    records, after = bench.records(), bench.stages()
    recomputed = [name for name, time_ns in before.items() if after.get(name) != time_ns]
    is_same = bench.scores() == reference.scores()
    count = len(reference.records())
    lost = sum(int(record["metrics"]["cost/interruptions"]) for record in records.values())
    finished = sum(record["state"] == "finished" for record in records.values())
    TABLE.append(
        f"| {kind} | {len(before)} of {len(reference.stages())} | {lost} | {finished} of {count} | "
        f"{len(runs) - 1} of {count} | {len(recomputed)} | {'yes' if is_same else 'NO'} |"
    )
    assert len(before) < len(reference.stages()), "the blow fell after the end"
    assert recomputed == []
    assert finished == count and not any(record["error"] for record in records.values())
    assert is_same
    assert set(runs) == {*records, "summary"}
    assert {state for state, _ in runs.values()} == {"FINISHED"}
    assert set(after) == set(reference.stages()), "no stage but those of an undisturbed sweep"
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(bench.launches()[-1] / "study.journal"))
    )
    (name,) = optuna.get_all_study_names(storage)
    states = [
        trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials
    ]
    # What waits was never begun: the candidates beyond the number of trials asked for.
    assert [state for state in states if state != "WAITING"] == ["COMPLETE"] * count


def ranks_of(worker: int) -> list[int]:
    """The processes that a trial's process has spawned to train together."""
    found = []
    for pid in descendants(worker):
        with suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.mark.parametrize("number", NUMBERS)
def test_a_trials_process(bench: Bench, undisturbed: Bench, number: int) -> None:
    process = bench.start("sweep", "sweep.yaml")
    moment(bench, process, f"process {number}", len(undisturbed.stages()))
    before = bench.stages()
    for pid in bench.workers()[:1]:
        os.kill(pid, signal.SIGKILL)
    text = bench.finish(process)
    assert text.count("process was lost") == 1 and "Traceback" not in text
    check("a trial's process", bench, undisturbed, before, bench.mlflow())


@pytest.mark.parametrize("number", NUMBERS)
def test_one_of_a_trials_ranks(
    tmp_path: Path, shared_mini: Path, undisturbed_in_two: Bench, number: int
) -> None:
    bench = new_bench(tmp_path / "bench", shared_mini, ranks=True)
    process = bench.start("sweep", "sweep.yaml")
    # In one of the two stages that ranks train, and in the first two thirds of the time that the
    # second of them takes where nobody disturbs it.
    done = [ns for name, ns in undisturbed_in_two.stages().items() if name.startswith("target-")]
    stage_s = (max(done) - min(done)) / 1e9
    draw = random.Random(f"rank {number}")
    wanted, more_s = draw.randrange(2), draw.uniform(0, 2 * stage_s / 3)

    def living() -> list[int]:
        return [rank for worker in bench.workers() for rank in ranks_of(worker)]

    def is_time() -> bool:
        return (len(bench.stages()) >= wanted and bool(living())) or process.poll() is not None

    bench.wait_for(is_time, timeout_s=300)
    time.sleep(more_s)
    bench.wait_for(is_time, timeout_s=300)  # the first stage may have ended meanwhile
    before = bench.stages()
    for pid in living()[-1:]:
        os.kill(pid, signal.SIGKILL)
    bench.finish(process)
    check("one of its ranks", bench, undisturbed_in_two, before, bench.mlflow())


@pytest.mark.parametrize("number", NUMBERS)
def test_the_driver_and_its_ray(bench: Bench, undisturbed: Bench, number: int) -> None:
    process = bench.start("sweep", "sweep.yaml")
    moment(bench, process, f"driver {number}", len(undisturbed.stages()))
    before = bench.stages()
    bench.kill(process)
    bench.sweep()
    check("the driver", bench, undisturbed, before, bench.mlflow())


@pytest.mark.parametrize("number", NUMBERS)
def test_a_node(bench: Bench, undisturbed: Bench, number: int) -> None:
    with two_nodes() as (address, second):
        process = bench.start("sweep", "sweep.yaml", "--address", address, "--no-rehearse")
        moment(bench, process, f"node {number}", len(undisturbed.stages()))
        before = bench.stages()
        for pid in (second.pid, *descendants(second.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        bench.finish(process)
    check("a node", bench, undisturbed, before, bench.mlflow())


@pytest.mark.parametrize("number", NUMBERS)
def test_the_mlflow_server(
    tmp_path: Path, shared_mini: Path, undisturbed: Bench, number: int
) -> None:
    port = free_port()
    bench = new_bench(tmp_path / "bench", shared_mini, uri=f"http://127.0.0.1:{port}")
    database = tmp_path / "server.db"
    server = start_server(port, database)
    try:
        process = bench.start("sweep", "sweep.yaml")
        moment(bench, process, f"server {number}", len(undisturbed.stages()))
        before = bench.stages()
        end(server)
        bench.finish(process)
        assert {record["state"] for record in bench.records().values()} == {"finished"}
        server = start_server(port, database)
        bench.run("report", "small", "--sync")
        check("the MLflow server", bench, undisturbed, before, bench.mlflow(database))
    finally:
        end(server)


def start_server(port: int, database: Path) -> subprocess.Popen[bytes]:
    """An MLflow server that answers."""
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(database.parent / "artifacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(
        command,
        env={**os.environ, **quiet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
    wait_until(lambda: answers(url), 120)
    return server


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.2)


def end(server: subprocess.Popen[bytes]) -> None:
    """SIGKILL the server and its workers."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()

"""What stalls, wakes up, hangs up or has another clock: two owners never, lost work never."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
import pytest

from ..conftest import require
from .conftest import Bench, descendants

pytestmark = pytest.mark.slow


def numbers(bench: Bench) -> list[int]:
    """The drivers that have held the sweep."""
    claims = bench.storage.glob("sweeps/small/launches/*.lease")
    return sorted(int(path.stem) for path in claims)


def with_ray(pids: list[int]) -> list[int]:
    return [other for pid in pids for other in (pid, *descendants(pid))]


def send(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.ray
def test_a_driver_that_is_stopped_and_wakes_up_after_another_has_taken_over(
    bench: Bench, undisturbed: Bench
) -> None:
    """It ends with one line; no point is proposed twice, and what is on disk stays."""
    first = bench.start("sweep", "sweep.yaml")
    bench.wait_for(lambda: len(bench.stages()) >= 2 and bool(bench.workers()), timeout_s=300)
    stopped = with_ray([first.pid])
    send(stopped, signal.SIGSTOP)
    begun = time.monotonic()
    second = bench.start("sweep", "sweep.yaml")
    bench.wait_for(lambda: numbers(bench) == [1, 2], timeout_s=60)
    assert time.monotonic() - begun > 20, "a stopped process is not a dead one"
    before = bench.stages()
    send(stopped, signal.SIGCONT)
    text = bench.finish(first, status=1)
    assert len(re.findall("another process has taken over", text)) == 1, text
    assert "Traceback" not in text
    bench.finish(second)
    assert {name: bench.stages()[name] for name in before} == before
    assert set(bench.stages()) == set(undisturbed.stages())
    assert bench.scores() == undisturbed.scores()
    states = [trial.state.name for trial in trials_of(bench)]
    assert states == ["COMPLETE"] * len(undisturbed.records())


def trials_of(bench: Bench) -> list[optuna.trial.FrozenTrial]:
    """The trials of the study, as Optuna itself reads them."""
    journal = bench.launches()[-1] / "study.journal"
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


@pytest.mark.ray
def test_a_trial_that_is_stopped_and_wakes_up_after_its_stage_was_taken_over(
    bench: Bench, undisturbed: Bench
) -> None:
    """Another sweep needs the stage, waits for its silence, and makes it."""
    process = bench.start("sweep", "sweep.yaml")
    work = "store/intermediate-*/work-*"
    bench.wait_for(lambda: any(bench.storage.glob(work)), timeout_s=300)
    workers = with_ray(bench.workers())
    send(workers, signal.SIGSTOP)
    stage = next(bench.storage.glob(work)).parent
    name = "mix" if "choice" in stage.name else "nli"
    points = [trial.user_attrs["point"] for trial in trials_of(bench)]
    point = next(point for point in points if point["intermediate"] == name)
    text = (bench.folder / "sweep.yaml").read_text()
    (bench.folder / "other.yaml").write_text(text.replace("name: small", "name: other"))
    bench.run("run", "other.yaml", "--point", json.dumps(point))
    before = bench.stages()
    assert stage.name in before
    send(workers, signal.SIGCONT)
    bench.finish(process)
    assert {name: bench.stages()[name] for name in before} == before
    assert [path.name for path in stage.glob("result-*")] == ["result-1"]
    assert bench.scores() == undisturbed.scores()


@pytest.mark.ray
def test_a_terminal_that_hangs_up_stops_the_sweep_as_ctrl_c_does(
    bench: Bench, undisturbed: Bench
) -> None:
    process = bench.start("sweep", "sweep.yaml")
    bench.wait_for(lambda: len(bench.stages()) >= 3, timeout_s=300)
    process.send_signal(signal.SIGHUP)
    text = bench.finish(process, status=75)
    assert "Stopping: running trials write a checkpoint" in text
    assert "the same command goes on where it stopped" in text
    assert {attempt["how"] for all_ in bench.attempts().values() for attempt in all_} <= {
        "finished",
        "stopped",
    }
    before = bench.stages()
    bench.sweep()
    assert {name: bench.stages()[name] for name in before} == before
    assert bench.scores() == undisturbed.scores()


AHEAD_S = 300


def clock_ahead(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command whose clock is five minutes ahead."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    require("clock", library is not None, "needs libfaketime")
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LD_PRELOAD": str(library), "FAKETIME": f"+{AHEAD_S}s"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


HELD = """
import sys, time
from pathlib import Path
from xstilts.lease import Lease
lease = Lease(Path(sys.argv[1]))
assert lease.acquire()
with lease.held():
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HELD, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.communicate("\n")


def test_a_clock_that_is_ahead_steals_no_lease_and_lets_no_gc_in(undisturbed: Bench) -> None:
    """From a reader that cannot know whether the owner's process lives."""
    storage = undisturbed.storage
    ask = (
        "import sys; from pathlib import Path; import time\n"
        "from xstilts import lease\n"
        "lease._place = lambda: ('another', 'another', 'another', 'another')\n"
        "assert time.time() > float(sys.argv[2]) + 200\n"
        "one = lease.Lease(Path(sys.argv[1])); print(one.acquire(), len(lease.living([one])))"
    )
    folder = storage / "sweeps" / "small" / "launches"
    with holder(folder):
        command = [sys.executable, "-c", ask, str(folder), str(time.time())]
        done = clock_ahead(command, undisturbed.folder)
        assert done.stdout == "False 1\n", done.stderr[-2000:]
        gc = [sys.executable, "-m", "xstilts.cli", "gc", "--delete"]
        done = clock_ahead(gc, undisturbed.folder)
        assert done.returncode == 2 and 'the sweep "small" is running' in done.stderr
    assert undisturbed.stages()


RACE = """
import sys, time
from pathlib import Path
from xstilts import lease
lease._place = lambda place=(sys.argv[2],) * 4: place
won = []
for number in range(int(sys.argv[3])):
    folder = Path(sys.argv[1]) / str(number)
    while not (folder / "go").exists():
        time.sleep(0.001)
    one = lease.Lease(folder, 0.05)
    end = time.monotonic() + 5
    while time.monotonic() < end and not (folder / f"over-{number}").exists():
        if one.acquire():
            won.append((number, one.number))
            (folder / f"over-{number}").touch()
            break
        time.sleep(0.005)
print(won)
"""


def test_two_mounts_without_shared_locks_give_a_lease_to_one(mounts: list[Path]) -> None:
    """Sixty leases of dead owners, and two that want each at the same moment."""
    rounds = 60
    from xstilts.lease import Lease

    for number in range(rounds):
        folder = mounts[0] / str(number)
        folder.mkdir()
        assert Lease(folder, 0.05).acquire()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(mount), f"host {i}", str(rounds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i, mount in enumerate(mounts)
    ]
    for number in range(rounds):
        (mounts[random.Random(number).randrange(2)] / str(number) / "go").touch()
        time.sleep(0.02)
    won = [eval(process.communicate(timeout=300)[0]) for process in racers]
    winners = [number for one in won for number, claim in one if claim == 2]
    assert sorted(winners) == list(range(rounds)), "one holder of each second claim"
    assert all(won), "both have won some"

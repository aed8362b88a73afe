"""Two processes train as one does; what goes wrong in one of them ends all of them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import safetensors.torch

from xstilts.config.adapt import Adapt
from xstilts.errors import Diverged, Preempted, StageError
from xstilts.kinds.kind import Encoded
from xstilts.tasks import lookup
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.feed import PartData
from xstilts.training.outcome import Options
from xstilts.training.processes import Job, run_together

from ..sockets import listeners

Toy = Any  # of conftest.py, which tests cannot import


ARMS = Adapt(
    frozen=1,
    layer_decay=0.9,
    l2_sp=0.5,
    dropout=0.2,
    schedule="cosine",
    label_smoothing=0.1,
    average=2,
)


def named(encoded: Encoded, task: str) -> Encoded:
    """Rows whose gold has the labels of a task that spawned processes know."""
    labels = lookup(task).labels
    columns = encoded.examples.to_pydict()
    names = dict(zip(("red", "green", "blue"), labels, strict=False))
    if "label" in columns:
        columns["label"] = [names[label] for label in columns["label"]]
    if "tags" in columns:
        columns["tags"] = [[names[tag] for tag in tags] for tags in columns["tags"]]
    return Encoded(encoded.features, pa.table(columns))


def job_of(toy: Toy, *tasks: str, **options: Any) -> Job:
    stage = toy.stage(*tasks, **{"examples": 96, "batch_size": 12, **options})
    data = []
    for part, own in zip(stage.parts, toy.data(stage), strict=True):
        task = part.train.task
        dev = named(own.dev, task) if own.dev else None
        data.append(PartData([named(rows, task) for rows in own.train], dev))
    return Job(stage, toy.folder, data, toy.vocabulary, "cpu", 1, Options())


def weights(folder: Path) -> dict[str, Any]:
    return {
        **safetensors.torch.load_file(folder / "encoder" / "model.safetensors"),
        **safetensors.torch.load_file(folder / "heads.safetensors"),
    }


def ignore(share: float) -> None:
    pass


@pytest.mark.parametrize(
    ("tasks", "keep", "adapt"),
    [
        (("mnli",), "best", Adapt()),
        (("mnli",), "average", Adapt()),
        (("mnli", "udpos", "mlm"), "best", Adapt()),
        # Every row of a batch is compared with all others, in whichever process they are.
        (("lareqa",), "best", Adapt()),
        (("mnli", "udpos"), "average", ARMS),
    ],
)
def test_two_processes_do_what_one_does(
    toy: Toy, tmp_path: Path, tasks: tuple[str, ...], keep: str, adapt: Adapt
) -> None:
    """With dropout, mixtures, MLM and a mean of checks; the last batch has one row, so one process
    gets none."""
    job = job_of(toy, *tasks, examples=37, learning_rate=1e-3, keep=keep, adapt=adapt)
    shares: list[float] = []
    alone = job.run(tmp_path / "alone", ignore, None)
    together = run_together(job, 2, tmp_path / "together", shares.append, None)
    one, other = weights(tmp_path / "alone"), weights(tmp_path / "together")
    assert one.keys() == other.keys()
    # The gradient of a key's bias is nothing but rounding errors, to which a penalty holds on.
    names = [name for name in one if not (adapt.l2_sp and name.endswith("key.bias"))]
    difference = sum(float((one[name] - other[name]).norm() ** 2) for name in names) ** 0.5
    assert difference <= 1e-5 * sum(float(one[name].norm() ** 2) for name in one) ** 0.5
    assert not all(one[name].equal(other[name]) for name in one), "sums in another order"
    for point, same in zip(alone.curve, together.curve, strict=True):
        assert point == pytest.approx(same, rel=1e-4)
    told = ("dev", "dev_rows", "floor", "best_step", "steps", "tokens", "examples")
    for name in told:
        assert getattr(alone, name) == getattr(together, name)
    assert shares[-1] == 1.0


def test_the_processes_listen_on_loopback_alone(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the environment names another interface, as those of clusters do."""
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.setenv(variable, (others or ["eth0"])[0])
    seen: set[tuple[str, str]] = set()

    def look(share: float) -> None:
        spawned = [process.pid for process in multiprocessing.active_children()]
        seen.update((one.process, one.address) for one in listeners(spawned))

    run_together(job_of(toy, "mnli"), 2, tmp_path / "out", look, None)
    assert {address for _, address in seen} == {"127.0.0.1"}


def test_two_processes_go_on_to_the_same_bits(toy: Toy, tmp_path: Path) -> None:
    job = job_of(toy, "mnli", "mlm", examples=240)
    whole = run_together(job, 2, tmp_path / "whole", ignore, None)
    path = tmp_path / "checkpoint.safetensors"
    asked = iter([False, True])
    stop = Checkpoints(path, "stage", 1e9, lambda: next(asked, True))
    with pytest.raises(Preempted, match="stopped after step"):
        run_together(job, 2, tmp_path / "stopped", ignore, stop)
    assert path.exists() and not (tmp_path / "stopped").exists()
    last = Checkpoints(path, "stage", 1e9)
    resumed = run_together(job, 2, tmp_path / "resumed", ignore, last)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "resumed")
    assert all(one[name].equal(other[name]) for name in one)
    for point, same in zip(whole.curve, resumed.curve, strict=True):
        assert point == pytest.approx(same, rel=1e-5)


def test_what_fails_in_one_is_told_with_its_traceback(toy: Toy, tmp_path: Path) -> None:
    job = job_of(toy, "mnli")
    broken = replace(job, encoder=tmp_path / "nowhere")
    with pytest.raises(StageError, match=r"(?s)process \d failed:.*Traceback.*nowhere"):
        run_together(broken, 2, tmp_path / "out", ignore, None)
    diverging = job_of(toy, "mnli", learning_rate=1e30)
    with pytest.raises(Diverged, match="the loss is nan"):
        run_together(diverging, 2, tmp_path / "out", ignore, None)


SCRIPT = """
    import pickle, sys
    from pathlib import Path
    from xstilts.training.processes import run_together

    if __name__ == "__main__":
        job = pickle.loads(Path(sys.argv[1]).read_bytes())
        print("ready", flush=True)
        try:
            run_together(job, 2, Path(sys.argv[2]), lambda share: print(share, flush=True), None)
        except Exception as error:
            print("ERROR", type(error).__name__, error, flush=True)
"""


def children_of(pid: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def launch(job: Job, folder: Path) -> subprocess.Popen[str]:
    """Train with two processes, in a process of their own."""
    (folder / "job").write_bytes(pickle.dumps(job))
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return subprocess.Popen(
        [sys.executable, str(script), str(folder / "job"), str(folder / "out")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )


@pytest.mark.parametrize("victim", ["a process", "the parent"])
def test_nothing_survives_a_kill(toy: Toy, tmp_path: Path, victim: str) -> None:
    parent = launch(job_of(toy, "mnli", examples=10**6), tmp_path)
    assert parent.stdout is not None
    for line in parent.stdout:  # the first that says that steps are done
        if line[0].isdigit() and float(line) > 0:
            break
    spawned = children_of(parent.pid)
    assert len(spawned) == 2 and all(map(is_alive, spawned))
    os.kill(spawned[1] if victim == "a process" else parent.pid, signal.SIGKILL)
    rest = parent.stdout.read()
    parent.wait(60)
    if victim == "a process":
        assert "ERROR ProcessLost" in rest and "process 1 was ended by SIGKILL" in rest
    deadline = time.monotonic() + 20
    while any(map(is_alive, spawned)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_alive, spawned))


def test_a_process_that_is_killed_as_it_starts_is_missed(toy: Toy, tmp_path: Path) -> None:
    job = job_of(toy, "mnli", examples=10**6)
    # More than a pipe holds: its reader is dead before it has read it.
    parent = launch(replace(job, stage=replace(job.stage, label="x" * 10**6)), tmp_path)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    while not (spawned := children_of(parent.pid)):
        time.sleep(0.001)
    os.kill(spawned[0], signal.SIGKILL)
    assert "ERROR ProcessLost" in parent.communicate(timeout=120)[0]

"""A small sweep through the real command line: real Ray, Optuna, MLflow, encoder and data."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xstilts.score_rows import ScoreRows

from ..conftest import require

SWEEP = """
name: small
benchmark: mini
recipe: mini
models: {mini: {path: "builtin:mini"}}
data: {root: %s}
intermediates:
  nli: {tasks: [mini_nli]}
  mix: {tasks: [mini_nli, mini_choice], rates: search, budget: {examples: 320}}
targets: [mini_xnli, mini_tatoeba]
languages: [en, qaa]
search:
  encoder:
    trials: 3
    space:
      intermediate.learning_rate: {float: [3.0e-4, 3.0e-3], log: true, levels: 3}
      intermediate.rates: {simplex: true, step: 0.25}
      intermediate.epochs: {choice: [0.1]}
      target.epochs: {choice: [0.1]}
  target:
    trials: 2
    space: {learning_rate: {float: [5.0e-4, 2.0e-3], log: true, levels: 3}}
resources: {keep_target_weights: 3}
"""

TAIL = 3000
"""How much of a command's output a failure shows: the end, which says why."""


@dataclass
class Bench:
    """A folder with a sweep file, and the command run in it."""

    folder: Path

    @property
    def storage(self) -> Path:
        return self.folder / "runs"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `xstilts ...` in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "xstilts.cli", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "COLUMNS": "80"},
        )

    def run(self, *arguments: str, status: int = 0, timeout_s: float = 400) -> str:
        """Run `xstilts ...` to its end; its output."""
        return self.finish(self.start(*arguments), status, timeout_s)

    @staticmethod
    def finish(process: subprocess.Popen[str], status: int = 0, timeout_s: float = 400) -> str:
        """Wait for the end of a command; its output."""
        text, _ = process.communicate(timeout=timeout_s)
        assert process.returncode == status, text[-TAIL:]
        return text

    def sweep(self, status: int = 0) -> str:
        return self.run("sweep", "sweep.yaml", status=status)

    @staticmethod
    def kill(process: subprocess.Popen[str]) -> None:
        """SIGKILL a driver and every process of its Ray."""
        for pid in (process.pid, *descendants(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "nothing happened"
            time.sleep(0.05)

    def stages(self) -> dict[str, int]:
        """Finished stages with the time of their last DONE, in nanoseconds."""
        found: dict[str, int] = {}
        for path in self.storage.glob("store/*/result-*/DONE"):
            name = path.parents[1].name
            found[name] = max(found.get(name, 0), path.stat().st_mtime_ns)
        return found

    def launches(self) -> list[Path]:
        """The folders of all launches, in their order."""
        return sorted(self.storage.glob("sweeps/small/launches/[0-9]*[0-9]"))

    def records(self, sweep: str = "small") -> dict[str, dict[str, Any]]:
        paths = self.storage.glob(f"sweeps/{sweep}/trials/*/record.json")
        records = {path.parent.name: json.loads(path.read_text()) for path in paths}
        for record in records.values():
            record["scores"] = list(ScoreRows(**record["scores"]))
        return records

    def attempts(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(self.storage.glob("sweeps/small/trials/*/[0-9]*.json")):
            found.setdefault(path.parent.name, []).append(json.loads(path.read_text()))
        return found

    def workers(self) -> list[int]:
        """Processes in which trials run now."""
        last = [attempts[-1] for attempts in self.attempts().values()]
        return [attempt["pid"] for attempt in last if attempt["how"] is None]

    def scores(self) -> dict[str, Any]:
        """Every trial's score rows, to the last bit."""
        return {name: record["scores"] for name, record in self.records().items()}

    def mlflow(self, database: Path | None = None) -> dict[str, tuple[str, dict[str, float]]]:
        """State and metrics of every run by its key, straight from the database."""
        runs: dict[str, tuple[str, dict[str, float]]] = {}
        with sqlite3.connect(database or self.storage / "mlflow.db") as db:
            query = "select run_uuid, value from tags where key = 'xstilts.key'"
            for run, key in db.execute(query).fetchall():
                assert key not in runs, f"{key} has two runs"
                (state,) = db.execute(
                    "select status from runs where run_uuid = ?", (run,)
                ).fetchone()
                metrics = db.execute(
                    "select key, value from latest_metrics where run_uuid = ?", (run,)
                ).fetchall()
                runs[key] = (state, dict(metrics))
        return runs


@pytest.fixture
def bench(tmp_path: Path, shared_mini: Path) -> Bench:
    (tmp_path / "sweep.yaml").write_text(SWEEP % shared_mini)
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shared_mini: Path) -> Bench:
    """The same sweep, run without disturbance: what all others are compared with."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "sweep.yaml").write_text(SWEEP % shared_mini)
    bench = Bench(folder)
    bench.sweep()
    return bench


def descendants(pid: int) -> list[int]:
    """All processes below one, by the parents that /proc names."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[list[Path]]:
    """Two mounts of one folder by sshfs, which share no locks."""
    reason = "" if shutil.which("sshfs") and Path("/dev/fuse").exists() else "needs sshfs"
    require("mounts", not reason and os.geteuid() == 0, reason or "needs root")
    keys, shared = tmp_path / "keys", tmp_path / "shared"
    for folder in (keys, shared):
        folder.mkdir()
    for name in ("host", "own"):
        generate = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
        subprocess.run(generate, check=True)
    server = Path("/usr/lib/openssh/sftp-server")
    places = []
    for name in ("one", "other"):
        place = tmp_path / name
        place.mkdir()
        # sshd for one connection, spoken to through a pipe: no port, no configuration of its own.
        sshd = (
            f"/usr/sbin/sshd -i -f /dev/null -h {keys}/host -o StrictModes=no -o UsePAM=no "
            f"-o AuthorizedKeysFile={keys}/own.pub -o PermitRootLogin=yes "
            f"-o 'Subsystem=sftp {server}'"
        )
        options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            f"IdentityFile={keys}/own",
            f"ProxyCommand={sshd}",
        ]
        Path("/run/sshd").mkdir(exist_ok=True)
        command = ["sshfs", f"root@localhost:{shared}", str(place)]
        command += [part for option in options for part in ("-o", option)]
        subprocess.run(command, check=True, timeout=60)
        places.append(place)
    yield places
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=False)

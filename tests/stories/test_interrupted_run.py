"""`xstilts run` is told to stop in the middle of a stage, and goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

QUICKSTART = Path(__file__).parents[2] / "sweeps" / "quickstart.yaml"


def command(folder: Path, root: Path, *options: str) -> list[str]:
    """One trial: an intermediate stage of some seconds, one target, one language beside English."""
    file = folder / "sweep.yaml"
    folder.mkdir(exist_ok=True)
    document = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    document |= {
        "name": "interrupted",
        "data": {"root": str(root)},
        "targets": ["mini_udpos"],
        "languages": ["en", "qab"],
        "storage": str(folder / "runs"),
    }
    file.write_text(yaml.safe_dump(document))
    point = "{intermediate: nli}"
    own = ["-m", "xstilts.cli", *options, "run", str(file), "--point", point, "--json"]
    return [sys.executable, *own]


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(arguments, text=True, env=os.environ, **pipes)


def scores(output: str) -> Any:
    return json.loads(output)["scores"]


def test_a_told_run_stops_with_a_checkpoint_and_goes_on(tmp_path: Path, shared_mini: Path) -> None:
    """By the scheduler's signal, then by Ctrl-C; the result is that of a run that nobody told."""
    arguments = command(tmp_path / "told", shared_mini, "--verbose")
    storage = tmp_path / "told" / "runs"
    for number in (signal.SIGTERM, signal.SIGINT):
        more = _share_done(storage) + 0.03  # the first stage is a fifth
        process = start(arguments)
        _wait_for(lambda more=more: _share_done(storage) >= more)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 143, errors
        assert "with a checkpoint; the same command goes on" in errors.splitlines()[-1]
        assert len(list(storage.glob("store/*/checkpoint-*.safetensors"))) == 1
        assert not list(storage.rglob("record.json")), "a stopped trial has no result"
        assert (number == signal.SIGINT) == ("goes on after step" in errors)

    resumed = start(arguments)
    output, errors = resumed.communicate(timeout=600)
    assert resumed.returncode == 0 and "goes on after step" in errors
    assert not list(storage.glob("store/*/*checkpoint*"))
    quiet = start(command(tmp_path / "quiet", shared_mini))
    assert scores(output) == scores(quiet.communicate(timeout=600)[0])


def _share_done(storage: Path) -> float:
    """How far the trial says it is; 0 before it says anything."""
    found = list(storage.rglob("status.json"))
    return float(json.loads(found[0].read_text())["done"]) if found else 0.0


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)

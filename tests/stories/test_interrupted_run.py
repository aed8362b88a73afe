"""`xstilts run` is told to stop in the middle of a stage, and goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_told_run_stops_with_a_checkpoint_and_goes_on(
    tmp_path: Path, shared_mini: Path, number: signal.Signals
) -> None:
    arguments = command(tmp_path / "told", shared_mini, "--verbose")
    process = start(arguments)
    status = next(iter(_wait_for(tmp_path / "told" / "runs", "status.json")))
    deadline = time.monotonic() + 120
    while json.loads(status.read_text())["done"] < 0.05 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert "with a checkpoint; the same command goes on" in errors.splitlines()[-1]
    (checkpoint,) = (tmp_path / "told" / "runs" / "checkpoints").iterdir()
    assert checkpoint.suffix == ".safetensors"
    assert not list((tmp_path / "told").rglob("record.json")), "a stopped trial has no result"

    resumed = start(arguments)
    output, errors = resumed.communicate(timeout=600)
    assert resumed.returncode == 0 and "goes on after step" in errors
    assert not checkpoint.exists()
    quiet = start(command(tmp_path / "quiet", shared_mini))
    assert scores(output) == scores(quiet.communicate(timeout=600)[0])


def _wait_for(folder: Path, name: str) -> list[Path]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := list(folder.rglob(name)):
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {name} in {folder}")

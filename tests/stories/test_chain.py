"""A target that is trained in a chain is killed within its links and between them, and ends as one
that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.run.test_links import document

pytestmark = pytest.mark.slow

POINT = "{intermediate: none}"


def command(folder: Path, data: Path) -> list[str]:
    """One trial of two targets, whose chains begin with the same link of some seconds."""
    folder.mkdir()
    sweep = {
        **document(folder / "files", data),
        "name": "chains",
        "recipe": {"name": "mini", "epochs": 25, "checks": 2, "learning_rate": 3e-4},
        "resources": {"checkpoint_minutes": 0.002},
        "storage": str(folder / "runs"),
    }
    file = folder / "chains.yaml"
    file.write_text(yaml.safe_dump(sweep))
    return [sys.executable, "-m", "xstilts.cli", "run", str(file), "--point", POINT, "--json"]


def killed_once(arguments: list[str], is_time: Callable[[], bool]) -> None:
    """Run, and kill -9 as soon as it is time."""
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(arguments, env=os.environ, **pipes)
    deadline = time.monotonic() + 120
    while not is_time():
        assert process.poll() is None, "it ended before it was time"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def finished(arguments: list[str]) -> Any:
    done = subprocess.run(arguments, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_chain_that_is_killed_within_and_between_links_ends_as_one_that_is_not(
    tmp_path: Path, shared_mini: Path
) -> None:
    arguments = command(tmp_path / "killed", shared_mini)
    store = tmp_path / "killed" / "runs" / "store"

    def has_checkpoint(link: str) -> bool:
        return any(store.glob(f"target-{link}-*/*checkpoint*.safetensors"))

    def is_done(link: str) -> bool:
        return any(store.glob(f"target-{link}-*/result-*/DONE"))

    killed_once(arguments, lambda: has_checkpoint("three"))
    assert not is_done("three"), "killed within the first link"
    killed_once(arguments, lambda: is_done("three"))
    assert not is_done("two"), "killed between the links"
    killed_once(arguments, lambda: has_checkpoint("two"))
    assert not is_done("two"), "killed within the second"
    record = finished(arguments)
    assert record["metrics"]["cost/interruptions"] == 3

    quiet = finished(command(tmp_path / "quiet", shared_mini))
    assert record["scores"] == quiet["scores"] and len(record["scores"]) == 4
    for key in ("chosen", "recipes", "collapsed", "undecided"):
        assert record[key] == quiet[key]
    names = [stage["name"] for stage in record["stages"]]
    assert names == [stage["name"] for stage in quiet["stages"]]
    assert sum(name.startswith("target-three-") for name in names) == 1, "trained once, for both"

"""Every call to the file system, failing once: the same command again gives the undisturbed result.

In the ordinary run a seeded sample of the cases; with `-m soak` all of them, in parts: three hours
of one core, two thirds of them for the scenario `run`. The table of what was seen is printed at the
end (`-s`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import require
from .harness import PARTS

HERE = Path(__file__).parent
STRIDES = {
    "store": 16,
    "journal": 3,
    "launch": 16,
    "records": 3,
    "checkpoint": 6,
    "gc": 10,
    "take_up": 14,
    "encode": 60,
    "run": 140,
}
TABLE: list[str] = []


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faults, compiled."""
    require("compiler", shutil.which("gcc") is not None, "no C compiler")
    path = tmp_path_factory.mktemp("inject") / "inject.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(path), str(HERE / "inject.c"), "-ldl"]
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """What was seen, once all of it was."""
    TABLE.append("| command | calls | cases | not reached | came through | told | killed | wrong |")
    TABLE.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    yield
    print("\n" + "\n".join(TABLE))


def inject(library: Path, folder: Path, scenario: str, stride: int, part: int | None) -> None:
    command = [sys.executable, str(HERE / "harness.py"), scenario, str(folder), str(stride), "0"]
    if part is not None:
        command.append(str(part))
    environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (undisturbed, *cases) = map(json.loads, done.stdout.splitlines())
    calls = {call: count for call, count in undisturbed["counts"].items() if count}
    wrong = [case for case in cases if case["wrong"]]
    how = Counter(case["first"] for case in cases if case["fired"])
    unreached = sum(not case["fired"] for case in cases)
    seen = " ".join(f"{call} {count}" for call, count in calls.items())
    TABLE.append(
        f"| {scenario} | {seen} | {len(cases)} | {unreached} | {how['done']} | {how['told']} | "
        f"{how['killed']} | {len(wrong)} |"
    )
    assert cases and sum(calls.values()) > 10, "the layer counts nothing"
    assert wrong == []
    # How often a trial says where it is hangs on time: its last calls may not come again.
    assert unreached <= len(cases) // 50, "faults did not happen"


@pytest.mark.parametrize("scenario", STRIDES)
def test_one_failing_call_costs_nothing(library: Path, tmp_path: Path, scenario: str) -> None:
    inject(library, tmp_path, scenario, STRIDES[scenario], None)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scenario", STRIDES)
def test_each_failing_call_costs_nothing(
    library: Path, tmp_path: Path, scenario: str, part: int
) -> None:
    inject(library, tmp_path, scenario, 1, part)

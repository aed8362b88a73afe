"""The live view: whatever fails beside the trials ends nothing else."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from xstilts.report import live
from xstilts.report.live import doing, watching
from xstilts.run.node import ENVIRONMENT
from xstilts.run.places import PREFLIGHT, REHEARSAL, Places
from xstilts.run.trial_states import TrialState, TrialStates

from ..conftest import make_sweep


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REFRESH_S", 0.01)


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_tasks_beside_the_view_survive_each_others_errors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_terminal: bool
) -> None:
    calls: list[str] = []

    def keeper(seen: Sequence[TrialState]) -> None:
        calls.append("keeper")
        if calls.count("keeper") < 10:
            raise OSError(5, "Input/output error")

    def mirror(seen: Sequence[TrialState]) -> None:
        calls.append("mirror")
        if calls.count("mirror") == 3:
            raise RuntimeError("a bug")

    console = Console(file=io.StringIO(), force_terminal=is_terminal)
    states = TrialStates(Places(tmp_path, "s"))
    with watching(console, make_sweep(), states, keeper, mirror):
        wait_until(lambda: calls.count("keeper") > 20)
    assert abs(calls.count("keeper") - calls.count("mirror")) <= 1
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text for text in texts if "Input/output" in text] == [
        "beside the trials, which go on: OSError: [Errno 5] Input/output error"
    ], "told once as long as it lasts"
    assert sum("RuntimeError: a bug" in text for text in texts) == 1


def test_a_storage_that_cannot_be_read_now_and_a_terminal_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks, calls = [], []

    def look(states: TrialStates) -> list[TrialState]:
        looks.append(1)
        if len(looks) == 3:
            raise OSError(116, "Stale file handle")
        return []

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            if len(looks) > 5:
                raise OSError(5, "Input/output error")
            return super().write(text)

    monkeypatch.setattr(TrialStates, "look", look)
    console = Console(file=Gone(), force_terminal=True)
    states = TrialStates(Places(tmp_path, "s"))
    with watching(console, make_sweep(), states, lambda seen: calls.append(1)):
        wait_until(lambda: len(calls) > 30)
    assert "Stale file handle" in caplog.text
    assert "Input/output error" in caplog.text


def test_from_the_first_frame_on_the_view_says_what_is_done(tmp_path: Path) -> None:
    places, stream = Places(tmp_path, "s"), io.StringIO()
    folder = places.launch(1)
    folder.mkdir(parents=True)
    found = [doing(places)]
    (folder / PREFLIGHT).mkdir()
    found.append(doing(places))
    (folder / ENVIRONMENT).touch()
    found.append(doing(places))
    (folder / REHEARSAL).mkdir()
    found.append(doing(places))
    assert found[0] == "starting Ray" and len(set(found)) == 4
    for is_terminal in (True, False):
        console = Console(file=stream, force_terminal=is_terminal, width=80)
        with watching(console, make_sweep(), TrialStates(places)):
            assert found[-1] in stream.getvalue(), "before the first second is over"
        stream.truncate(0)

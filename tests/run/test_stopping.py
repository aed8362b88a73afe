"""Being told to stop: once politely, twice at once, by a file of the sweep or of the node."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from xstilts.errors import SweepStopped
from xstilts.lease import Lease
from xstilts.run import stopping
from xstilts.run.places import Places
from xstilts.run.stopping import (
    STOP,
    FileQuestion,
    ending_on_signals,
    stopping_on_signals,
    told_to_stop,
)

from ..conftest import make_places


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_ctrl_c_ends(number: int) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    asked: list[int] = []
    with stopping_on_signals(lambda: asked.append(number)) as is_told:
        assert not is_told()
        os.kill(os.getpid(), number)
        assert is_told() and asked == [number]
        os.kill(os.getpid(), signal.SIGTERM)  # a second order to end changes nothing
        assert asked == [number]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_before_there_are_trials_a_signal_ends_with_a_status_of_its_own(number: int) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    told = r"^s: stopped; the same command goes on"
    with pytest.raises(SweepStopped, match=told) as stopped, ending_on_signals("s"):
        with stopping_on_signals() as is_told:
            os.kill(os.getpid(), number)
            assert is_told(), "trials are asked, and nothing is broken off"
        os.kill(os.getpid(), number)
        for _ in range(200):  # another thread may take it: then no pause of this one would end
            time.sleep(0.05)
    assert stopped.value.exit_status == 75
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == before


def test_a_file_stops_and_is_looked_for_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    question = FileQuestion(tmp_path / "stop")
    assert not question()
    (tmp_path / "stop").touch()
    assert not question(), "it looked this very second"
    now[0] += 1
    assert question()
    (tmp_path / "stop").unlink()
    now[0] += 1
    assert question(), "who was told once stops"


def test_the_node_may_give_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stopping.NOTICE, str(tmp_path / "notice"))
    (tmp_path / "notice").touch()
    assert told_to_stop(Places(tmp_path, "s"), 1)()
    monkeypatch.delenv(stopping.NOTICE)
    assert not told_to_stop(Places(tmp_path, "s"), 1)()


def test_a_launch_stops_its_own_trials_alone(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    (places.launch(1) / STOP).touch()
    assert told_to_stop(places, 1)()
    assert not told_to_stop(places, 2)()


def test_the_trials_of_a_launch_stop_when_another_has_taken_the_sweep(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    first, second = Lease(places.launches), Lease(places.launches)
    assert first.acquire() and first.number == 1
    assert not told_to_stop(places, 1)()
    first.release()
    assert not told_to_stop(places, 1)(), "nobody has taken it yet"
    assert second.acquire() and second.number == 2
    assert told_to_stop(places, 1)()
    assert not told_to_stop(places, 2)()

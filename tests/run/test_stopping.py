"""Being told to stop: once politely, twice at once, by a file of the sweep or of the node."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from xstilts.run import stopping
from xstilts.run.stopping import FileQuestion, stopping_on_signals, told_to_stop


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
    assert told_to_stop(tmp_path / "sweep")()
    monkeypatch.delenv(stopping.NOTICE)
    assert not told_to_stop(tmp_path / "sweep")()

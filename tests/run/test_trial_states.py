"""Where trials stand: read when it changed, and only then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.trial_records import record_json
from xstilts.files import write_json
from xstilts.run import attempts, trial_states
from xstilts.run.places import Places
from xstilts.run.trial_states import SILENT_AFTER_S, TrialStates

from ..conftest import make_places


def status(places: Places, trial: str, started: float, updated: float) -> None:
    content = {"stage": "nli", "done": 0.5, "started": started, "updated": updated}
    (places.trials / trial).mkdir(exist_ok=True)
    write_json(places.trials / trial / "status.json", content)


def test_a_trial_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    assert TrialStates(Places(tmp_path, "s")).look() == [], "not launched yet"
    places = make_places(tmp_path)
    look = TrialStates(places).look
    assert look() == []
    (places.trials / "t").mkdir()
    assert look() == [], "it has said nothing yet"
    status(places, "t", 100.0, 150.0)
    attempts.begin(places.trials / "t", 1, "", None)
    (state,) = look()
    assert (state.state, state.stage, state.done) == ("running", "nli", 0.5)
    assert state.is_silent(151.0 + SILENT_AFTER_S) and not state.is_silent(151.0)
    attempts.end(places.trials / "t", 1, "stopped")
    assert look()[0].state == "stopped"
    attempts.begin(places.trials / "t", 2, "", None)
    assert look()[0].state == "running"
    record = record_json("t", objective=42.0)
    write_json(places.trials / "t/record.json", record)
    (state,) = look()
    assert (state.state, state.ended, state.objective) == ("finished", 200.0, 42.0)
    status(places, "t", 300.0, 300.0)  # it begins again: a stage was lost
    assert not look()[0].is_ended


def test_what_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = make_places(tmp_path)
    for number in range(3):
        status(places, f"t{number}", 100.0 - number, 150.0)
    seen: list[str] = []
    read = trial_states.read_status

    def noted(folder: Path) -> object:
        seen.append(folder.name)
        return read(folder)

    monkeypatch.setattr(trial_states, "read_status", noted)
    looker = TrialStates(places)
    assert [state.trial for state in looker.look()] == ["t2", "t1", "t0"], "as they began"
    seen.clear()
    looker.look()
    assert seen == []
    os.utime(places.trials / "t1/status.json", (1, 1))
    looker.look()
    assert seen == ["t1"]


def test_of_a_driver_only_what_it_has_handed_out_is_looked_at(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    states = TrialStates(places)
    for name in ("a", "b"):
        status(places, name, 100.0, 150.0)
        write_json(places.trials / name / "record.json", record_json(name))
    assert [state.is_ended for state in states.look()] == [True, True]
    states.begin("a")  # again, with its record of before
    assert [state.is_ended for state in states.look()] == [True, True]
    status(places, "a", 300.0, 300.0)
    status(places, "b", 300.0, 300.0)  # nobody has handed it out
    assert {state.trial: state.is_ended for state in states.look()} == {"a": False, "b": True}
    write_json(places.trials / "a" / "record.json", record_json("a", ended=400.0))
    states.end("a")
    assert {state.trial: state.ended for state in states.look()} == {"a": 400.0, "b": 200.0}

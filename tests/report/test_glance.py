"""A sweep at a glance: what the records themselves say, and only what has changed is read."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.trial_records import entry_json, make_record
from xstilts.files import write_json
from xstilts.report import glance as glancing
from xstilts.report.glance import Glance, Noter, cache_path, glance
from xstilts.report.results import Results
from xstilts.report.usage import usage
from xstilts.run import attempts
from xstilts.run.places import Places
from xstilts.run.records import write_record
from xstilts.run.trial_states import TrialStates

from ..conftest import make_places, make_sweep

NOW = 1000.0
SWEEP = make_sweep(targets=["mini_xnli", "mini_tatoeba"], seeds=[0, 1])


def trial(places: Places, name: str, how: str | None = "finished", **changes: Any) -> None:
    """A trial as it lies there, its attempt ended so."""
    folder = places.trials / name
    folder.mkdir(exist_ok=True)
    status = {"stage": "nli", "done": 0.5, "started": 100.0, "updated": 150.0}
    write_json(folder / "status.json", status)
    if how != "running":
        write_record(folder, make_record(name, ended=200.0, **changes))
    attempts.begin(folder, 1, "", None)
    if how in ("finished", "failed"):
        attempts.end(folder, 1, how)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Trials that say what a glance has to show."""
    places = make_places(tmp_path)
    stages = [
        entry_json("a", is_reused=True, seconds=0.1, wait_s=0.2, threads=1),
        entry_json("b", seconds=7.0, threads=2),
        entry_json("c", seconds=8.0, threads=2),
    ]
    costs = {"metrics": {"cost/hours": 2.0, "dev/avg": 60.0}}
    trial(places, "a", stages=stages, objective=60.0, collapsed=["mini_xnli"], **costs)
    trial(places, "b", seed=1, processes=2, missing=["mini_xnli/en"], retries={"t": 2})
    trial(places, "c", "failed", state="failed", error="it broke\nhere", objective=None)
    trial(places, "d", "running")
    return places


def seen(places: Places) -> Glance:
    return glance(SWEEP, places, places.launch(1))


def told(results: Results, states: Any, holdings: Any = None) -> Any:
    return states, results.warnings(), usage(results, NOW, holdings)


def test_it_says_what_records_say_from_its_cache_too(places: Places) -> None:
    records = [one for one in map(glancing.read_record, sorted(places.trials.glob("*"))) if one]
    whole = told(Results(SWEEP, places, places.launch(1), records), TrialStates(places).look())
    assert len(whole[1]) >= 6, "warnings of each sort"
    for _ in range(2):
        found = seen(places)
        assert told(found.results, found.states, found.holdings) == whole
        assert [one.trial for one in found.results.finished] == ["a", "b"]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials whose records are read, as they are."""
    found: list[str] = []
    real = glancing.read_record

    def noted(folder: Path) -> Any:
        found.append(folder.name)
        return real(folder)

    monkeypatch.setattr(glancing, "read_record", noted)
    return found


def test_only_what_has_changed_is_read(places: Places, read: list[str]) -> None:
    seen(places)
    assert read == ["a", "b", "c", "d"]
    read.clear()
    seen(places)
    assert read == ["d"], "one that runs is looked at again"
    trial(places, "b", objective=1.0)
    read.clear()
    assert [one.objective for one in seen(places).states if one.trial == "b"] == [1.0]
    assert read == ["b", "d"]
    cache_path(places).write_text("{torn")
    read.clear()
    seen(places)
    assert read == ["a", "b", "c", "d"]
    read.clear()
    glance(SWEEP.model_copy(update={"seeds": (0,)}), places, places.launch(1))
    assert read == ["a", "b", "c", "d"], "another sweep file may say other things"


def test_what_ended_while_a_driver_ran_is_not_read_again(places: Places, read: list[str]) -> None:
    noter, states = Noter(SWEEP, places, places.launch(1)), TrialStates(places)
    noter.step(states.look())
    trial(places, "d", objective=3.0)
    trial(places, "e", None)  # its attempt has not ended yet
    noter.step(states.look())
    read.clear()
    assert len(seen(places).states) == 5 and read == ["e"]
    attempts.end(places.trials / "e", 1, "finished")
    noter.step(states.look())
    read.clear()
    noter.step(states.look())
    assert [one.objective for one in seen(places).states if one.trial == "d"] == [3.0]
    assert not read


def test_lines_are_of_their_sweep_and_torn_ones_of_none(places: Places) -> None:
    first = seen(places).states
    lines = cache_path(places).read_bytes()
    other = SWEEP.model_copy(update={"seeds": (0,)})
    glance(other, places, places.launch(1))
    assert cache_path(places).read_bytes().startswith(lines), "one looks at it, too"
    with cache_path(places).open("ab") as stream:
        stream.write(lines[: len(lines) // 2])
    trial(places, "d", objective=3.0)
    for _ in range(2):
        assert [one for one in seen(places).states if one.trial != "d"] == [
            one for one in first if one.trial != "d"
        ]


def test_a_file_of_many_old_lines_is_written_anew(places: Places) -> None:
    for number in range(120):
        trial(places, "b", objective=float(number))
        seen(places)
    assert len(cache_path(places).read_bytes().splitlines()) < 115
    assert [one.objective for one in seen(places).states if one.trial == "b"] == [119.0]


def test_an_attempt_that_has_not_ended_is_looked_at_again(places: Places) -> None:
    """A trial's record is written a moment before its attempt is ended."""
    trial(places, "e", None)
    assert [one.is_ended for one in seen(places).holdings if one.trial == "e"] == [False]
    attempts.end(places.trials / "e", 1, "finished")
    assert [one.is_ended for one in seen(places).holdings if one.trial == "e"] == [True]


def test_what_a_race_needs_is_in_the_cache(places: Places) -> None:
    search = {"strategy": "race", "encoder": {"trials": 4}}
    race = make_sweep(
        intermediates={"nli": {"tasks": ["mini_nli"]}}, search=search, seeds=[0, 1, 2]
    )
    both = [glance(race, places, places.launch(1)).trials for _ in range(2)]
    assert [one.trial for one in both[0]] == ["a", "b"]
    assert both[0] == both[1]
    assert not seen(places).trials


def test_a_storage_that_is_only_read_is_shown(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(glancing, "write_atomically", refused)
    monkeypatch.setattr(glancing, "_append", refused)
    assert len(seen(places).states) == 4 and not cache_path(places).exists()


def test_every_field_of_a_record_is_kept_or_known_not_to_be_shown(places: Places) -> None:
    """A field that records gain must come back from the cache."""
    (record,) = (one for one in map(glancing.read_record, places.trials.glob("a")) if one)
    kept = glancing._record(json.loads(json.dumps(glancing._slim(record))))
    shown = replace(record, **glancing.UNSHOWN)
    for one in fields(kept):
        if one.name not in ("stages", "metrics"):
            assert getattr(kept, one.name) == getattr(shown, one.name), one.name

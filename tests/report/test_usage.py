"""Hours used, waited, reused, idle; and the bars of the timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trial_records import entry_json, record_json
from xstilts.files import write_json
from xstilts.records import TrialRecord, typed
from xstilts.report.results import Results
from xstilts.report.usage import Bar, bars, draw_timeline, usage
from xstilts.run.places import USAGE
from xstilts.run.trial_states import TrialStates

from ..conftest import make_places, make_sweep

HOUR = 3600.0


def stage(name: str, asked: float, seconds: float, **changes: Any) -> dict[str, Any]:
    times = {"asked": asked, "started": asked, "seconds": seconds}
    return entry_json(f"{name}-x-123", **{**times, **changes})


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Two trials on one GPU each: the second waits half an hour for the first one's stage, and was
    lost once before, after an hour."""
    sweep = make_sweep(resources={"gpus_per_trial": 1})
    places = make_places(tmp_path)
    attempts = {
        "a": [(0.0, 2 * HOUR, "finished")],
        "b": [(0.0, HOUR, "lost"), (HOUR, 3 * HOUR, "finished")],
    }
    records = []
    stages = {
        "a": [stage("intermediate", 0.0, HOUR), stage("target", HOUR, HOUR)],
        "b": [
            stage("intermediate", HOUR, HOUR, is_reused=True, wait_s=HOUR / 2, started=0.0),
            stage("target", 1.5 * HOUR, HOUR),
            stage("evaluate", 2.5 * HOUR, HOUR / 2),
        ],
    }
    for trial, tried in attempts.items():
        folder = places.trials / trial
        folder.mkdir()
        for number, (start, end, how) in enumerate(tried, start=1):
            attempt = {"started": start, "ended": end, "how": how, "host": "h", "pid": 1}
            write_json(folder / f"{number:04d}.json", attempt)
        started, ended = tried[-1][:2]
        status = {"stage": "", "done": 1.0, "started": started, "updated": ended}
        write_json(folder / "status.json", status)
        record = record_json(trial, ended=ended, objective=1.0, stages=stages[trial])
        write_json(folder / "record.json", record)
        records.append(typed(record, TrialRecord, trial))
    for number, slots in ((1, 5), (2, 3)):
        places.launch(number).mkdir(exist_ok=True)
        own = {"started": 0.0, "seen": 4 * HOUR, "slot_s": slots * HOUR}
        write_json(places.launch(number) / USAGE, own)
    places.launch(3).mkdir()  # it has not looked yet
    return Results(sweep, places, places.launch(2), records)


def test_hours(results: Results) -> None:
    states = TrialStates(results.places).look()
    hours = usage(results, now=10 * HOUR)
    assert hours.unit == "GPU-hours"
    assert (hours.used, hours.waiting, hours.reused, hours.idle) == (5.0, 0.5, 1.0, 3.0)
    assert str(hours) == "GPU-hours: 5.00 used (10.0 % of them waiting), 1.00 reused, 3.00 idle"
    assert [state.num_lost for state in states] == [0, 1]


def test_bars(results: Results, tmp_path: Path) -> None:
    found = bars(results, now=10 * HOUR)
    assert set(found) == {
        Bar(0, "other", 0.0, 2 * HOUR),
        Bar(0, "intermediate", 0.0, HOUR),
        Bar(0, "target", HOUR, 2 * HOUR),
        Bar(1, "other", 0.0, HOUR),
        Bar(1, "other", HOUR, 3 * HOUR),
        Bar(1, "waiting", HOUR, 1.5 * HOUR),
        Bar(1, "target", 1.5 * HOUR, 2.5 * HOUR),
        Bar(1, "evaluate", 2.5 * HOUR, 3 * HOUR),
    }
    draw_timeline(found, "s", tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 5000

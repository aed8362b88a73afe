"""What a sweep has not done yet, told from its records."""

from __future__ import annotations

import shutil
from pathlib import Path

from xstilts.config.schema import Sweep
from xstilts.report.results import load_results
from xstilts.report.unfinished import unfinished

from .stored import SEARCH, confirmed_places, confirmed_sweep


def told(folder: Path, sweep: Sweep, *lost: str) -> str:
    places = confirmed_places(folder, sweep)
    for name in lost:
        (places.trials / name / "record.json").unlink()
    return unfinished(load_results(places))


def test_what_has_ended_is_not_marked(tmp_path: Path) -> None:
    assert told(tmp_path, confirmed_sweep()) == ""


def test_trials_of_search_that_are_missing_are_counted(tmp_path: Path) -> None:
    sweep = confirmed_sweep()
    assert told(tmp_path, sweep, "qa-c-s1") == "7 of 8 trials of search have ended"


def test_a_choice_of_another_search_confirms_nothing(tmp_path: Path) -> None:
    sweep = confirmed_sweep(confirm={"top": 1, "seeds": 5})
    assert told(tmp_path, sweep) == "its choice is not confirmed yet"


def test_whom_a_race_left_behind_is_not_missing(tmp_path: Path) -> None:
    places = confirmed_places(tmp_path, confirmed_sweep(search={**SEARCH, "strategy": "race"}))
    for name in ("qa-c-s1", "mix-c-s0"):
        shutil.rmtree(places.trials / name)
    assert unfinished(load_results(places)) == ""
    (places.trials / "qa-c-s1").mkdir()
    assert unfinished(load_results(places)) == "trials that have not ended: 1"


def test_a_trial_that_runs_is_not_overlooked(tmp_path: Path) -> None:
    places = confirmed_places(tmp_path, confirmed_sweep())
    (places.trials / "nli-d-s0").mkdir()
    assert unfinished(load_results(places)) == "trials that have not ended: 1"

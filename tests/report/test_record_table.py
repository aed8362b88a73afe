"""The cache of records: equal to what it was made from, brought up to date, never trusted torn."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from xstilts.files import read_json, write_json
from xstilts.records import TrialRecord
from xstilts.report import record_table as module
from xstilts.report.comparison import best_of
from xstilts.report.frames import best_frame, scores_frame, stages_frame, trials_frame
from xstilts.report.record_table import cache_path, record_table
from xstilts.report.results import Results, launched, load_results
from xstilts.report.verdicts import target_verdicts
from xstilts.run.places import Places

from ..benchmarks.results import write_storage

TRIALS = 7


@pytest.fixture
def places(tmp_path: Path) -> Places:
    write_storage(tmp_path, TRIALS, 2)
    return Places(tmp_path.resolve(), "generated")


def frames(places: Places) -> dict[str, pd.DataFrame]:
    sweep, _ = launched(places)
    table = record_table(sweep, places)
    return {
        "scores": scores_frame(table),
        "trials": trials_frame(table, sweep),
        "stages": stages_frame(table),
        "best": best_frame(
            target_verdicts(sweep, places, table.trials, table.fresh), table, sweep, places
        ),
    }


def same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[name], obj=name)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials whose records are read from now on."""
    found: list[str] = []
    read = module.read_record

    def noted(folder: Path) -> TrialRecord | None:
        found.append(folder.name)
        return read(folder)

    monkeypatch.setattr(module, "read_record", noted)
    return found


def test_every_number_of_the_records_is_there(places: Places) -> None:
    results: Results = load_results(places)
    scores = frames(places)["scores"]
    rows = [row for record in results.records for row in record.scores]
    names = {"config_id": "config"}
    found = scores.rename(columns=names)[list(rows[0])].astype(object).to_dict("records")
    assert found == rows
    assert scores["param/intermediate.learning_rate"].isna().sum() == sum(
        row["intermediate"] == "none" for row in rows
    )


def test_warm_and_cold_are_equal_and_warm_reads_no_record(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reads(monkeypatch)
    cold = frames(places)
    assert len(read) == TRIALS
    warm = frames(places)
    assert len(read) == TRIALS
    same(cold, warm)
    assert list(warm["best"]["target"]) == list(launched(places)[0].targets)


def test_the_comparison_is_that_of_the_reports(places: Places) -> None:
    sweep, _ = launched(places)
    results = load_results(places)
    assert best_of(sweep, record_table(sweep, places).trials) == results.best
    assert len(results.best) == len(sweep.targets)


def test_only_what_has_changed_is_read(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    before = frames(places)
    read = reads(monkeypatch)
    changed, gone, *_ = sorted(path.name for path in places.trials.iterdir())
    record = read_json(places.trials / changed / "record.json")
    record["objective"] = 12.5
    write_json(places.trials / changed / "record.json", record)
    (places.trials / gone / "record.json").unlink()
    after = frames(places)
    assert read == [changed]
    trials = after["trials"].set_index("trial")
    assert trials.loc[changed, "objective"] == 12.5
    assert gone not in trials.index and len(trials) == TRIALS - 1
    cache_path(places).unlink()
    same(after, frames(places))
    assert len(before["trials"]) == TRIALS


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "foreign"])
def test_a_torn_cache_is_made_again(
    places: Places, damage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = frames(places)
    path = cache_path(places)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "changed": content[:middle] + bytes(64) + content[middle + 64 :],
            "empty": b"",
            "foreign": b"no Parquet" * 100,
        }[damage]
    )
    read = reads(monkeypatch)
    with caplog.at_level(logging.WARNING):
        same(whole, frames(places))
    assert len(read) == TRIALS
    assert ("torn" in caplog.text) == (damage != "empty")
    assert path.read_bytes() == content


def test_a_cache_of_another_version_or_file_is_made_again(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(places)
    read = reads(monkeypatch)
    monkeypatch.setattr(module, "FORMAT", 0)
    frames(places)
    assert len(read) == TRIALS
    path = places.launch(1) / "sweep.json"
    write_json(path, {**read_json(path), "seeds": [0, 1]})
    assert len(frames(places)["best"]) == 0, "no configuration has both seeds"
    assert len(read) == 2 * TRIALS


def test_records_of_earlier_versions_are_read(places: Places) -> None:
    before = frames(places)
    for path in places.trials.glob("*/record.json"):
        record = read_json(path)
        for key in ("attempt", "diverged", "retries", "undecided", "processes", "precision"):
            del record[key]
        for stage in record["stages"]:
            for key in ("steps", "threads", "max_tokens", "checkpoint_s", "loader_s"):
                del stage[key]
        write_json(path, record)
    after = frames(places)
    assert after["stages"]["steps"].isna().all()
    for name in ("scores", "best", "trials"):
        pd.testing.assert_frame_equal(after[name], before[name], obj=name)


def test_a_torn_record_counts_as_absent_and_is_read_again(places: Places) -> None:
    torn = next(places.trials.glob("*/record.json"))
    whole = torn.read_bytes()
    torn.write_bytes(whole[:-100])
    assert len(frames(places)["trials"]) == TRIALS - 1
    torn.write_bytes(whole)
    assert len(frames(places)["trials"]) == TRIALS


def test_a_storage_that_is_only_read_is_read(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(module, "write_atomically", refused)
    assert len(frames(places)["trials"]) == TRIALS
    assert not cache_path(places).exists()


def test_a_sweep_without_a_trial_has_empty_tables(places: Places) -> None:
    full = frames(places)
    for path in places.trials.glob("*/record.json"):
        path.unlink()
    empty = frames(places)
    assert [len(frame) for frame in empty.values()] == [0, 0, 0, 0]
    for name in ("scores", "stages", "best"):
        wanted = [x for x in full[name] if not x.startswith("param/")]
        assert list(empty[name]) == wanted

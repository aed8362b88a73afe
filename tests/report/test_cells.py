"""The long table: the numbers of the report, the same as `best` has, with holes left open."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.report.cells import COLUMNS, cells
from xstilts.report.documents import as_json, cells_csv
from xstilts.report.results import Results, load_results
from xstilts.report.sweep_results import SweepResults
from xstilts.report.tables import tables, verdict_table
from xstilts.run.places import Places

from .stored import confirmed_places, confirmed_sweep


@pytest.fixture
def sweep() -> Sweep:
    return confirmed_sweep()


@pytest.fixture
def places(tmp_path: Path, sweep: Sweep) -> Places:
    return confirmed_places(tmp_path, sweep)


@pytest.fixture
def results(places: Places) -> Results:
    return load_results(places)


def test_the_best_has_the_numbers_of_best(results: Results, places: Places) -> None:
    row = SweepResults(places).best.iloc[0]
    found = {
        cell["intermediate"]: cell
        for cell in cells(results)
        if cell["target"] == "mini_xnli" and not cell["language"]
    }
    best = found["nli"]
    assert (best["value"], best["gain"], best["low"], best["high"]) == pytest.approx(
        (row["score"], row["gain"], row["low"], row["high"])
    )
    assert best["sd"] == pytest.approx(row["spread"]) and best["n"] == row["seeds"] == 5
    assert found["none"]["value"] == pytest.approx(row["none"])
    assert (best["phase"], best["may_be_best"]) == ("confirm", True)
    assert (found["mix"]["phase"], found["mix"]["may_be_best"]) == ("search", False)
    assert found["none"]["may_be_best"] is None, "it is no candidate"


def test_languages_are_compared_within_a_phase(results: Results) -> None:
    found = {
        (cell["intermediate"], cell["language"]): cell
        for cell in cells(results)
        if cell["language"]
    }
    english = found["nli", "en"]
    assert english["gain"] == pytest.approx(4) and english["low"] < 4 < english["high"]
    # Its runs are search's, none's here are those that confirm.
    assert found["mix", "en"]["value"] == pytest.approx(60) and found["mix", "en"]["gain"] is None
    assert found["none", "qaa"]["gain"] is None


def test_a_run_that_lacks_a_language_counts_in_none(places: Places) -> None:
    path = places.trials / "nli-c-s1000" / "record.json"
    record = json.loads(path.read_text())
    record["scores"] = [row for row in record["scores"] if row["language"] != "qaa"]
    write_json(path, record)
    results = load_results(places)
    found = {c["language"]: c["n"] for c in cells(results) if c["intermediate"] == "nli"}
    assert found == {"": 4, "en": 4, "qaa": 4}, "a mean over all languages, and no other"


def test_files_for_programs_hold_numbers(results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(cells_csv(results))))
    assert tuple(rows[0]) == COLUMNS and len(rows) == len(cells(results))
    (best,) = (r for r in rows if r["intermediate"] == "nli" and r["language"] == "")
    assert float(best["gain"]) == pytest.approx(4) and best["n"] == "5"
    assert [r["sd"] for r in rows if r["n"] == "1"] == [], "here every cell has several runs"
    assert as_json(results)["cells"] == cells(results)
    (row,) = (r for r in csv.DictReader(io.StringIO(verdict_table(results).csv())))
    told = results.verdicts["mini_xnli"].verdict
    assert float(row["low"]) == told.low and float(row["high"]) == told.high
    assert float(row["value"]) == told.score and float(row["gain_value"]) == told.gain
    assert row["95 %"] == f"{told.low:+.1f} to {told.high:+.1f}", "columns of before stay"
    search = next(csv.DictReader(io.StringIO(tables(results)["search"].csv())))
    assert (search["configurations"], search["seeds"]) == ("4", "2")
    assert float(search["value"]) == 76 and float(search["none_value"]) == 70

"""What MLflow says of a run, the summary and the experiment."""

from __future__ import annotations

import pytest

from xstilts.report.notes import experiment_note, run_note, summary_note
from xstilts.report.results import load_results
from xstilts.run.places import Places

from .test_report import add, make_record, places  # noqa: F401

HEADER = "| target&emsp; | verdict&emsp; |"
"""MLflow's page puts nothing between columns."""


@pytest.fixture
def stored(places: Places) -> Places:  # noqa: F811
    return places


def test_a_run_says_what_it_is_and_how_it_is_had_again(stored: Places) -> None:
    results = load_results(stored)
    by_name = {record.trial: record for record in results.records}
    note = run_note(results.sweep, by_name["nli-c-s0"], {"mini_xnli": "best"})
    assert note.startswith("A run of search, in sweep s: m, intermediate nli, seed 0.")
    assert "mini_xnli 1.0e-03" in note, "the rate that was chosen"
    assert "Verdict on mini_xnli: **best**" in note
    assert "xstilts run sweep.yaml --set storage=STORAGE --trial nli-c-s0" in note
    assert "xstilts export s nli-c-s0 --model mini_xnli mini_xnli-model" in note
    assert "--encoder encoder" in note and "--model mini_tatoeba" not in note
    none = run_note(results.sweep, by_name["none-a-s0"])
    assert "no intermediate, the baseline" in none and "--encoder" not in none
    assert "Verdict" not in none and str(stored.storage) not in note + none


def test_a_failed_run_says_why_and_is_not_exported(stored: Places) -> None:
    add(stored, make_record("nli-f-s0", "nli", "f", 0, 1, 1, state="failed", error="no\nmore"))
    results = load_results(stored)
    (record,) = results.failed
    note = run_note(results.sweep, record)
    assert "It failed: no\n" in note and "more" not in note and "xstilts export" not in note


def test_the_summary_has_whole_tables_and_names_the_others(
    stored: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = load_results(stored)
    note = summary_note(results)
    assert HEADER in note and "| mini_xnli&emsp; |" in note and "report.md" not in note
    monkeypatch.setattr("xstilts.report.notes.LONGEST", 2000)
    short = summary_note(results)
    assert HEADER in short and len(short) < 2200
    assert "Not shown here, in `report.md` among the artifacts: " in short
    assert short.rstrip().endswith("trials.")


def test_the_experiment_has_the_verdicts(stored: Places) -> None:
    note = experiment_note(load_results(stored))
    assert note.startswith("Sweep **s**: which of nli to train before mini_xnli, mini_tatoeba")
    assert HEADER in note and "| mini_xnli&emsp; |" in note

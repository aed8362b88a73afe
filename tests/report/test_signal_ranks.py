"""The rank correlations of what ordered a race, in its table and in JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.report.documents import as_json
from xstilts.report.results import Results
from xstilts.report.signal_ranks import signal_ranks
from xstilts.report.tables import race_table

from ..conftest import make_places, make_sweep
from ..trial_records import make_record
from .test_standings import make, record_of, results_of

NAMES = ("nli", "qa", "choice", "mlm", "cola")
SCORES = (60.0, 50.0, 40.0, 70.0, 55.0)


def results_with_signals(places: Path, count: int = 5) -> Results:
    sweep = make_sweep(
        intermediates={name: {"tasks": ["mini_nli"]} for name in NAMES},
        targets=["mini_xnli", "mini_xquad"],
        languages=["en"],
        seeds=[0, 1],
        search={
            "strategy": "race",
            "signals": ["retrieval", "probe"],
            "parallel": "mini_parallel",
            "encoder": {"trials": 6},
        },
    )
    records = []
    for place, (name, score) in enumerate(zip(NAMES[:count], SCORES, strict=False)):
        record = record_of(sweep, name, 0, {"mini_xnli": score, "mini_xquad": 100 - score})
        retrieval = {"value": score + (30 if name == "qa" else 0)}
        record["signals"] = {"retrieval/mini_parallel": retrieval, "probe/mini_xnli": {}}
        if place:
            record["signals"]["probe/mini_xnli"] = {"value": -score}
        records.append(record)
    records.append(record_of(sweep, "none", 0, {"mini_xnli": 1.0, "mini_xquad": 1.0}))
    own = make_places(places)
    return Results(sweep, own, own.launch(1), [make_record(**record) for record in records])


def test_the_table_has_a_correlation_for_each_signal_and_target(tmp_path: Path) -> None:
    results = results_with_signals(tmp_path)
    ranks = signal_ranks(results)
    # Five candidates without the baseline; qa's place is wrong by three.
    assert ranks["mini_xnli"]["retrieval"] == (pytest.approx(0.4), 5)
    assert ranks["mini_xquad"]["retrieval"] == (pytest.approx(-0.4), 5)
    assert ranks["mini_xnli"]["probe"] == (pytest.approx(-1), 4)
    assert ranks["mini_xquad"]["probe"] == (None, 0), "span QA has no classes"
    table = race_table(results)
    assert table is not None and table.header[-2:] == ("retrieval", "probe")
    assert [row[-2:] for row in table.rows] == [["+0.40 (5)", "-1.00 (4)"], ["-0.40 (5)", "-"]]
    told = as_json(results)["race"][0]["signals"]
    assert told["probe"] == {"correlation": pytest.approx(-1), "candidates": 4}


def test_three_candidates_have_no_rank_correlation(tmp_path: Path) -> None:
    results = results_with_signals(tmp_path, 3)
    table = race_table(results)
    assert table is not None and [row[-2:] for row in table.rows] == [["-", "-"], ["-", "-"]]


def test_a_race_without_signals_has_no_column_of_them(tmp_path: Path) -> None:
    results = results_of(make_places(tmp_path), make())
    table = race_table(results)
    assert table is not None and table.header[-1] == "may be best"
    assert "signals" not in as_json(results)["race"][0]

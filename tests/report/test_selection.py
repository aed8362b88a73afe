"""Regret and rank correlations of the choice by English dev."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.report.results import load_results
from xstilts.report.selection import selections

from ..conftest import make_places
from .stored import confirmed_sweep
from .test_verdicts import stored


def test_regret_is_what_the_choice_leaves(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    stored(places, confirmed_sweep(), {"nli": 74, "none": 70})
    (one,) = selections(load_results(places))
    assert (one.target, one.selected_on, len(one.dev)) == ("mini_xnli", "dev/mini_xnli", 4)
    # Dev and score are equal in these records: the choice is the highest.
    assert (one.names[0], one.regret) == ("nli", 0)
    assert one.spearman == pytest.approx(1) and one.kendall == pytest.approx(1)


def test_a_choice_that_is_not_the_highest_is_regretted(tmp_path: Path) -> None:
    import json

    from xstilts.files import write_json

    places = make_places(tmp_path)
    stored(places, confirmed_sweep(), {"nli": 74, "none": 70})
    for seed in (0, 1):
        path = places.trials / f"qa-c-s{seed}" / "record.json"
        record = json.loads(path.read_text())
        for row in record["scores"]:
            row["value"] += 20.0 if row["split"] == "test" else 0.0
        write_json(path, record)
    (one,) = selections(load_results(places))
    assert one.names[0] == "nli" and one.regret == pytest.approx(86 - 76)
    assert one.spearman is not None and one.spearman < 1


def test_two_configurations_have_no_correlation(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    stored(places, confirmed_sweep(), {"nli": 74, "none": 70})
    for name in ("qa", "mix"):
        for seed in (0, 1):
            (places.trials / f"{name}-c-s{seed}" / "record.json").unlink()
    (one,) = selections(load_results(places))
    assert len(one.dev) == 2 and one.spearman is None and one.kendall is None

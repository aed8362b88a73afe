"""Looking back: rank correlation and regret of the choice by dev, and nothing that chooses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.plan.test_plan import INVENTORY
from tests.trial_records import make_record
from xstilts.config.load import parse_sweep
from xstilts.plan.plan import Planner
from xstilts.records import TrialRecord
from xstilts.report.documents import as_json, as_markdown
from xstilts.report.leaders import best_point
from xstilts.report.looking_back import looked_back, selection_table
from xstilts.report.results import Results
from xstilts.report.tables import tables
from xstilts.run.places import Places

# By configuration: English dev, dev of the pivot, zero-shot test score.
GRID = {"a": (50.0, 60.0, 40.0), "b": (80.0, 20.0, 44.0), "c": (70.0, 70.0, 47.5)}


def rows_of(values: Mapping[str, float], **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "target": "mini_xnli", "language": language, "split": "dev", "metric": "accuracy",
            "value": value, "n": 9, "is_chosen": True, **more,
        }
        for language, value in values.items()
    ]  # fmt: skip


def results_of(tmp_path: Path, pivot: bool, grid: Mapping[str, Any] = GRID) -> Results:
    selection = {"selection": {"pivot": ["qab"]}} if pivot else {}
    sweep = parse_sweep(
        {
            "name": "s", "benchmark": "custom", "recipe": "mini", "seeds": [0, 1],
            "models": {"m": {"path": "builtin:mini"}}, "data": {"root": "builtin:mini"},
            "intermediates": {"nli": {"tasks": ["mini_nli"]}}, "targets": ["mini_xnli"],
            **selection,
        },
        "test",
    )  # fmt: skip
    records: list[TrialRecord] = []
    for config, (english, other, score) in grid.items():
        for seed in (0, 1):
            dev = {"en": english + seed, **({"qab": other} if pivot else {})}
            mean = sum(dev.values()) / len(dev)
            name = "none" if config == "a" else "nli"
            languages = ("en", *(f"qa{x}" for x in "abcdef"))
            test = rows_of(dict.fromkeys(languages, score), split="test")
            rows = [{**row, "trial": f"{config}-{seed}"} for row in (*rows_of(dev), *test)]
            records.append(
                make_record(
                    f"{name}-{config}-s{seed}", config=config, seed=seed, intermediate=name,
                    scores=rows, chosen={}, stages=[],
                    metrics={
                        "dev/mini_xnli": mean, "dev/avg": mean, "cost/hours": 0.1,
                        "mini_xnli/zero_shot": score, "mini_xnli/avg": score,
                    },
                )
            )  # fmt: skip
    return Results(sweep, Places(tmp_path, "s"), tmp_path, records)


def test_the_choice_by_dev_is_told_against_what_transferred(tmp_path: Path) -> None:
    results = results_of(tmp_path, pivot=False)
    (line,) = looked_back(results)
    assert (line.target, line.selected_by, line.configurations) == (
        "mini_xnli", "dev/mini_xnli", 3,
    )  # fmt: skip
    # English ranks a, c, b; transfer a, b, c.
    assert line.rank == pytest.approx(0.5)
    assert line.regret == pytest.approx(3.5)
    assert results.best[0].best.config == "b", "looking back changes no choice"
    assert as_json(results)["looking_back"][0]["regret"] == pytest.approx(3.5)
    assert "used for nothing" in as_markdown(results)
    table = tables(results)["selection"]
    assert table.rows == [["mini_xnli", "dev/mini_xnli", "3", "+0.50", "3.5"]]


def test_beside_pivots_stands_what_english_alone_would_have_chosen(tmp_path: Path) -> None:
    with_pivot, english = looked_back(results_of(tmp_path, pivot=True))
    assert (with_pivot.regret, with_pivot.rank) == (0.0, pytest.approx(0.5))
    assert (english.selected_by, english.regret) == ("en alone", pytest.approx(3.5))


def test_of_one_configuration_nothing_is_said_and_of_two_no_rank(tmp_path: Path) -> None:
    assert selection_table(results_of(tmp_path, False, {"a": GRID["a"]})) is None
    two = {name: GRID[name] for name in "ab"}
    (line,) = looked_back(results_of(tmp_path, False, two))
    assert line.rank is None and line.regret == 0.0


def test_the_point_of_a_leader_is_that_of_the_mean_over_languages() -> None:
    """A record has the rows of every cell, those of pivots after English."""
    sweep = parse_sweep(
        {
            "name": "s", "benchmark": "custom", "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}}, "data": {"root": "builtin:mini"},
            "targets": ["mini_xnli"], "selection": {"pivot": ["qab"]},
        },
        "test",
    )  # fmt: skip
    points = [{"learning_rate": 1e-3}, {"learning_rate": 2e-3}]
    planner = Planner(sweep, INVENTORY, {"mini_xnli": points})
    cells = [{"en": 80.0, "qab": 20.0}, {"en": 70.0, "qab": 70.0}]
    record = make_record(
        "none-a-s0",
        point={"model": "mini", "intermediate": "none"},
        scores=[row for values in cells for row in rows_of(values)],
    )
    assert best_point([record], planner, "mini_xnli") == points[1]
    alone = [{"en": values["en"]} for values in cells]
    record = make_record(
        "none-a-s0",
        point={"model": "mini", "intermediate": "none"},
        scores=[row for values in alone for row in rows_of(values)],
    )
    assert best_point([record], planner, "mini_xnli") == points[0]

"""What a sweep will do, told before it does: the links of chains are stages of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from xstilts.report.forecast import forecast, forecast_tables

from ..run.test_links import Bench

ONE_LINK_SAID = {"name": "mini", "checks": 1, "targets": {"three": {"learning_rate": 1e-4}}}
TWO_POINTS = {"space": {"learning_rate": {"choice": [1e-4, 1e-3]}}, "trials": 2}


def told(root: Path, data: Path, **changes: Any) -> dict[str, Any]:
    bench = Bench(root, data, **changes)
    return forecast(bench.planner, bench.workshop().store, bench.places)


def test_links_are_counted_once_where_targets_or_points_share_them(
    tmp_path: Path, shared_mini: Path
) -> None:
    summary = told(tmp_path, shared_mini, search={"target": TWO_POINTS})
    # For each of two points the shared link and the last one of each target.
    assert summary["stages"]["target"] == {"least": 6, "most": 6}
    assert summary["stages"]["evaluation"] == {"least": 2, "most": 2}
    assert [(row["stage"], row["task"]) for row in summary["tasks"]] == [
        ("target one", "three"),
        ("target one", "two"),
        ("target other", "three"),
        ("target other", "too"),
    ]


def test_a_link_whose_value_the_file_says_is_shared_by_points_and_not_searched(
    tmp_path: Path, shared_mini: Path
) -> None:
    changes = {"recipe": ONE_LINK_SAID, "targets": ["one"], "search": {"target": TWO_POINTS}}
    confirmed = {"confirm": {"top": 1, "seeds": 3}, "intermediates": {"two": {"tasks": ["two"]}}}
    summary = told(tmp_path, shared_mini, **changes, **confirmed)
    assert summary["stages"]["target"]["most"] == 3
    searched = {one["task"]: one["searched"] for one in summary["recipe"]["stages"]}
    assert searched == {"two": ["learning_rate"], "three": []}
    kept = {one["task"]: one["values"]["keep"] for one in summary["recipe"]["stages"][1:]}
    assert kept == {"three": "last", "two": "last"}
    # The baseline and one leader, with three seeds, two links each.
    assert summary["confirm"]["stages"]["target"]["most"] == 2 * 3 * 2
    assert any("overlap" in line and line.startswith("two") for line in summary["warnings"])


def test_what_all_runs_would_train_is_told_where_less_may_be_asked_for(
    tmp_path: Path, shared_mini: Path
) -> None:
    def printed(name: str, **changes: Any) -> tuple[str, dict[str, Any]]:
        (tmp_path / name).mkdir()
        summary = told(tmp_path / name, shared_mini, **changes)
        console = Console(file=io.StringIO(), width=100)
        console.print(forecast_tables(summary))
        return console.file.getvalue(), summary  # type: ignore[attr-defined]

    plain, summary = printed("plain")
    rows = summary["tasks"]
    assert summary["tokens"]["most"] > 0 and "all runs of search" not in plain
    assert summary["tokens"]["is_counted"] == all(row["is_counted"] for row in rows)
    text, summary = printed("budget", budget={"tokens": 1e9})
    sign = "" if summary["tokens"]["is_counted"] else "less than "
    most = f"{summary['tokens']['most'] / 1e6:.3g}"
    assert f"all runs of search would train {sign}{most} million tokens" in text

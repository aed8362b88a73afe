"""A sweep that is selected by pivot languages, or by no dev score at all, from file to record."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from xstilts.cli.app import app
from xstilts.config.load import parse_sweep
from xstilts.records import Outcome
from xstilts.run.selection import dev_by_language, dev_score
from xstilts.tasks import lookup

RATES = [1e-3, 1e-5]


def run(folder: Path, data: Path, **changes: Any) -> dict[str, Any]:
    sweep = {
        "name": "s",
        "benchmark": "custom",
        "recipe": {"name": "mini", "target": {"epochs": 0.05, "dev_examples": 20}},
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": str(data)},
        "targets": ["mini_udpos"],
        "languages": ["en", "qaa", "qab"],
        "evaluation": {"examples": 20},
        "search": {"target": {"trials": 2, "space": {"learning_rate": {"choice": RATES}}}},
        "storage": str(folder / "runs"),
        **changes,
    }
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(sweep))
    result = CliRunner().invoke(
        app, ["run", str(path), "--point", "{intermediate: none}", "--json"]
    )
    assert result.exit_code == 0, result.output
    record: dict[str, Any] = json.loads(result.stdout)
    return record


def test_pivots_select_and_are_told_of(tmp_path: Path, shared_mini: Path) -> None:
    record = run(tmp_path, shared_mini, selection={"pivot": ["qaa"], "checkpoint": "average"})
    dev = [row for row in record["scores"] if row["split"] == "dev" and row["metric"] == "f1"]
    assert [row["language"] for row in dev] == ["en", "qaa"] * 2
    own = [row["value"] for row in dev if row["is_chosen"]]
    others = [row["value"] for row in dev if not row["is_chosen"]]
    assert fmean(own) > fmean(others)
    metrics = record["metrics"]
    assert metrics["dev/mini_udpos"] == pytest.approx(fmean(own)) and own[0] != own[1]
    # What a label of its language has selected is no zero-shot score.
    assert metrics["mini_udpos/zero_shot"] == metrics["mini_udpos/qab"]
    assert metrics["mini_udpos/avg"] == pytest.approx(
        fmean(metrics[f"mini_udpos/{x}"] for x in ("en", "qaa", "qab"))
    )
    assert record["recipes"]["target"]["mini_udpos"]["keep"] == "average"


def test_a_cell_is_chosen_by_the_mean_over_languages() -> None:
    task = lookup("mini_udpos")

    def outcome(english: float, pivot: float | None) -> Outcome:
        told = {} if pivot is None else {"mini_udpos": {"qaa": {"f1": pivot}}}
        rows = {} if pivot is None else {"mini_udpos": {"qaa": 7}}
        return Outcome(
            {"mini_udpos": {"f1": english}}, {"mini_udpos": 9}, {}, [], 1, 1, 1, {},
            0.0, 0.0, 0.0, 0.0, 1, 0, False, pivots=told, pivot_rows=rows,
        )  # fmt: skip

    assert dev_score(outcome(80.0, None), task) == 80.0
    assert dev_score(outcome(80.0, 20.0), task) == 50.0
    assert dev_by_language(outcome(80.0, 20.0), task) == {
        "en": ({"f1": 80.0}, 9),
        "qaa": ({"f1": 20.0}, 7),
    }


def test_a_pivot_without_labels_is_refused_before_anything_runs(
    tmp_path: Path, shared_mini: Path
) -> None:
    path = tmp_path / "s.yaml"
    sweep = {
        "name": "s", "benchmark": "custom", "recipe": "mini",
        "models": {"mini": {"path": "builtin:mini"}}, "data": {"root": str(shared_mini)},
        "targets": ["mini_udpos"], "selection": {"pivot": ["de"]},
        "storage": str(tmp_path / "runs"),
    }  # fmt: skip
    path.write_text(yaml.safe_dump(sweep))
    result = CliRunner().invoke(app, ["sweep", str(path)])
    assert result.exit_code == 2
    assert result.stderr.count("selection.pivot: mini_udpos has no dev labels in it") == 1
    assert not (tmp_path / "runs").exists()
    assert parse_sweep({**sweep, "selection": {"pivot": ["qaa"]}}, "here").selection.pivot == (
        "qaa",
    )

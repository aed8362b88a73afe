"""The commands that a table of trials ends with are ones that the command line takes."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xstilts.cli.app import app
from xstilts.report.results import Results
from xstilts.report.tables import trials_table
from xstilts.report.trial_hints import trial_lines
from xstilts.run.places import Places

from ..conftest import make_sweep


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.chdir(tmp_path)
    places = Places(tmp_path / "my runs", "first")
    return Results(make_sweep(), places, places.launch(3), [])


def test_storages_are_as_they_can_be_typed_here(results: Results) -> None:
    _, ui, export, rebuild = trial_lines(results, "xstilts")
    assert shlex.split(ui)[-2:] == ["--storage", "my runs"]
    assert shlex.split(export)[2:5] == ["first", "TRIAL", "--model"]
    assert shlex.split(rebuild)[2] == "my runs/sweeps/first/launches/0003/sweep.yaml"
    assert all(command in trials_table(results).note for command in (ui.strip(), rebuild.strip()))


def test_what_has_no_model_gives_its_predictions(results: Results) -> None:
    sweep = results.sweep.model_copy(update={"targets": {"mini_tatoeba": None}})
    assert "--submission PREDICTIONS" in trial_lines(replace(results, sweep=sweep))[2]


def test_the_commands_have_these_options(results: Results) -> None:
    for line in trial_lines(results)[1:]:
        words = shlex.split(line)
        told = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "200"}).output
        assert all(word in told for word in words if word.startswith("--"))

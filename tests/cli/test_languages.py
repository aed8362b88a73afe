"""The command about languages: one task's in 80 columns, all columns as JSON, sources, errors."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from xstilts.cli import app
from xstilts.tasks import lookup
from xstilts.tasks.languages import COLUMNS, LANGUAGES


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setenv("COLUMNS", "80")
    return CliRunner().invoke(app, ["languages", *arguments])


def test_all_languages_fit_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = call(monkeypatch).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line for line in lines if line.startswith(" ") and line.strip()}
    assert set(LANGUAGES) <= set(rows)
    assert rows["tr"].split() == [
        "tr",
        "Turkish",
        "Turkic",
        "Latn",
        "4",
        "yes",
        "SOV",
        "0.78",
        "0.49",
    ]
    assert rows["ht"].split()[-4:] == ["no", "-", "-", "0.27"], "holes stay holes"
    assert any("--source" in line for line in lines)


def test_a_task_has_its_own_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.loads(call(monkeypatch, "tydiqa", "--json").stdout)
    assert [row["code"] for row in rows] == list(lookup("tydiqa").languages)
    assert list(rows[0]) == list(COLUMNS) and rows[0]["c_wals"] is None
    # Those of its translations too, in which it can be trained.
    codes = [row["code"] for row in json.loads(call(monkeypatch, "mnli", "--json").stdout)]
    assert len(codes) == 15 and codes[0] == "en"
    assert json.loads(call(monkeypatch, "mini_tatoeba", "--json").stdout)[0]["family"]


def test_every_column_has_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(call(monkeypatch, "--source").stdout.split())
    for column in COLUMNS.values():
        assert f"{column.name}: {column.about}. From: {column.source}." in text
    rows = json.loads(call(monkeypatch, "--source", "--json").stdout)
    assert [row["name"] for row in rows] == list(COLUMNS) and all(row["source"] for row in rows)


def test_an_unknown_task_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(monkeypatch, "tatoebba")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith('TASK: unknown task; got "tatoebba"; did you mean "tatoeba"?')
    assert result.stderr.count("\n") == 1

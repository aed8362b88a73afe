"""The command `report`: the answer first, a page, tables for a paper, several sweeps."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.report.stored import confirmed_places, confirmed_sweep
from xstilts.cli import app
from xstilts.records import TrialRecord
from xstilts.run.records import read_record


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, benchmark in (("one", "custom"), ("two", "custom"), ("far", "mini")):
        sweep = confirmed_sweep(name=name, benchmark=benchmark)
        confirmed_places(tmp_path / name, sweep)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments], terminal_width=80)


def folder(storage: Path, name: str) -> str:
    return str(storage / name / "sweeps" / "s")


def test_a_page_goes_where_it_is_told(storage: Path) -> None:
    one = folder(storage, "one")
    result = call(one, "--html", "a/page.html")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "a/page.html\n", "")
    assert Path("a/page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert call(one, "--html").stdout.rstrip().endswith("sweeps/s/report/report.html")
    result = call(one, "--latex", "paper.tex", "--html", "b.html")
    assert result.stdout.splitlines() == ["b.html", "paper.tex"]


@pytest.mark.parametrize("arguments", [["report", "--html"], ["status"]])
def test_no_cycles_are_looked_for_among_records(
    storage: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    seen: list[bool] = []

    def noting(path: Path) -> TrialRecord | None:
        seen.append(gc.isenabled())
        return read_record(path)

    for module in ("record_table", "results", "glance"):
        monkeypatch.setattr(f"xstilts.report.{module}.read_record", noting)
    result = CliRunner().invoke(app, [*arguments, folder(storage, "one")], terminal_width=80)
    assert result.exit_code == 0, result.exception
    assert seen and not any(seen) and gc.isenabled()


def test_of_an_unfinished_sweep_it_is_made_and_marked(storage: Path) -> None:
    (storage / "one/sweeps/s/trials/qa-c-s1/record.json").unlink()
    result = call(folder(storage, "one"), "--html", "page.html")
    assert (result.exit_code, result.stdout) == (0, "page.html\n")
    told = "one is not finished, and marked so: 7 of 8 trials of search have ended\n"
    assert result.stderr == told


def test_gains_by_groups_of_languages(storage: Path) -> None:
    one = folder(storage, "one")
    text = call(one, "--by", "class").stdout
    assert "mini_xnli by joshi_class" in text and max(map(len, text.splitlines())) <= 80
    rows = json.loads(call(one, "--by", "script", "--json").stdout)
    assert {row["group"] for row in rows} == {"Latn"} and rows[1]["gain"] == pytest.approx(4)
    table = call(one, "--by", "family", "--format", "csv").stdout
    assert (storage / "one/sweeps/s/report/by-family.csv").read_text() == table
    assert call(one, "--by", "family", "--format", "markdown").stdout.startswith("**mini_xnli by")
    assert call(one, "--by", "family", "--html", "page.html").exit_code == 0
    assert "<h3>By family</h3>" in Path("page.html").read_text(encoding="utf-8")
    call(one, "--by", "family", "--latex", "paper")
    assert Path("paper/by-family-mini_xnli.tex").exists()


def test_without_a_finished_trial_there_are_no_groups(storage: Path) -> None:
    shutil.rmtree(storage / "one/sweeps/s/trials")
    (storage / "one/sweeps/s/trials").mkdir()
    result = call(folder(storage, "one"), "--by", "family")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no trial has finished\n"


def test_several_sweeps_side_by_side(storage: Path) -> None:
    names = folder(storage, "one"), folder(storage, "two")
    text = call(*names).stdout
    assert "Verdicts of 2 sweeps" in text and max(map(len, text.splitlines())) <= 80
    rows = json.loads(call(*names, "--json").stdout)
    assert [row["sweep"] for row in rows] == ["one", "two"] and rows[0]["gain_value"] > 3
    assert call(*names, "--format", "csv", "--target", "mini_xnli").stdout.count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["one", "far"], "NAME: is compared with sweeps of one benchmark"),
        (["one", "two", "--target", "xnli"], "--target: is a target of one of the sweeps"),
        (
            ["one", "two", "--html"],
            "NAME: --html, --latex, --by, --study and --sync are of one sweep",
        ),
        (["one", "two", "--by", "family"], "NAME: --html, --latex, --by, --study and --sync"),
        (["one", "--by", "famly"], "--by: unknown column of the languages"),
        (["one", "one"], "NAME: each sweep is named once"),
        (["one", "--target", "mini_xnli"], "--target: is of several sweeps"),
        (["one", "--format", "xml"], "--format: is one of text, markdown, csv, json"),
        (["one", "--latex", "taken/x"], "--latex: cannot be written"),
        (["one", "--latex", "page.html"], "--latex: is a folder or a FILE.tex"),
        (["one", "--html", "taken/x.html"], "--html: cannot be written"),
        (["one", "--html", "/proc/none/x.html"], "--html: cannot be written"),
    ],
)
def test_what_is_wrong_is_one_line(storage: Path, arguments: list[str], line: str) -> None:
    (storage / "taken").write_text("a file")
    known = {"one", "two", "far"}
    result = call(*(folder(storage, x) if x in known else x for x in arguments))
    assert result.exit_code == 2 and result.stdout == "" and result.exception.code == 2
    assert result.stderr.startswith(line) and result.stderr.count("\n") == 1, result.stderr

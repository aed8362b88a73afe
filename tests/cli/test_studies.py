"""`report NAME --study`: on a terminal, as JSON, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner, Result

import xstilts
from tests.report.stored import confirmed_places, confirmed_sweep
from tests.study.bundled import stored_results
from tests.study.stored import launched_places, planted, put_all, study_sweep
from xstilts.cli import app
from xstilts.study import glmer
from xstilts.study.analysis import answered
from xstilts.study.answer import Answer, LogisticFit
from xstilts.study.answer_tables import estimate


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    """The folder of a sweep with a study that is answered."""
    found = study_sweep({}, {"strata": "family"})
    places = launched_places(tmp_path / "own", found)
    put_all(places, found, planted({"mnli_tr": 4, "mnli_sw": 4}))
    return str(places.sweep)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments], terminal_width=80)


def test_a_terminal_of_80_columns_has_all_of_it(sweep: str) -> None:
    result = call(sweep, "--study")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "Which?" and max(map(len, lines)) <= 80
    text = " ".join(result.stdout.split())
    assert "Others is better than english: +" in text and "…" not in text
    for told in (
        "Arms",
        "mnli_tr mnli_sw",
        "10 of 10",
        "Contrasts",
        "Turkic stratum",
        "xnli target",
    ):
        assert told in text
    assert "Beside the tests" not in text, "its runs kept no items"
    assert "Registered 2" in text and "- Exploratory, and for another study to confirm" in text


def test_what_items_say_stands_beside_the_tests(tmp_path: Path) -> None:
    results = stored_results(tmp_path / "own")
    (found, _) = answered(results).contrasts
    result = call(str(results.places.sweep), "--study")
    lines = result.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if "Beside the tests: effects by items" in line)
    (row,) = (line for line in lines[start:] if line.split()[:1] == ["first"])
    both = [estimate(one) for one in (found.by_items, found.by_items_and_languages)]
    assert "–" not in both and all(one in row for one in both)
    assert "not of the method" in " ".join(lines[start:]) and max(map(len, lines)) <= 80


def test_odds_stand_beside_where_r_is_and_change_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(stored_results(tmp_path / "own").places.sweep)
    without = call(name, "--study", "--json").stdout
    fit = LogisticFit(0.5, 0.25, {"item": 1.0, "run": 0.0}, True)
    monkeypatch.setattr(glmer, "software", lambda: ("4.2.2", "1.1.31"))
    monkeypatch.setattr(glmer, "fit", lambda *_: fit)
    told = json.loads(call(name, "--study", "--json").stdout)
    assert [one["contrast"] for one in told.pop("odds")["contrasts"]] == ["first", "second"]
    assert told == json.loads(without)
    lines = call(name, "--study").stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if "odds of a right answer" in line)
    text = " ".join(" ".join(lines[start:]).split())
    assert text.count("1.65 [1.01, 2.69]") == 2 and "singular: no variance is seen of run" in text
    assert "too narrow" in text and max(map(len, lines)) <= 80
    written = call(name, "--study", "--html", "--latex", str(tmp_path / "s.tex")).stdout.split()
    for path in written:
        assert "Odds ratios by a logistic mixed model" in Path(path).read_text(encoding="utf-8")
    assert len(written) == 2


def test_json_has_the_answer_whole(sweep: str) -> None:
    result = call(sweep, "--study", "--json")
    told = xstilts.open_results(sweep).study
    assert TypeAdapter(Answer).validate_json(result.stdout) == told
    assert json.loads(result.stdout) == json.loads(json.dumps(asdict(told)))
    assert told.contrasts[0].holds


def test_what_is_missing_is_told(sweep: str) -> None:
    (Path(sweep) / "trials/mnli_sw-c-s3/record.json").unlink()
    result = call(sweep, "--study")
    assert result.exit_code == 0 and "withheld" in result.stdout
    assert result.stderr == "missing: others: mnli_sw on xlmr, seed 3: no score on xnli\n"


def test_a_sweep_without_a_study_is_refused_in_one_line(tmp_path: Path) -> None:
    confirmed_places(tmp_path, confirmed_sweep(name="s"))
    result = call(str(tmp_path / "sweeps/s"), "--study")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "study: s was launched without one, and answers no question; state it in the" in (
        result.stderr
    )


def test_the_answer_is_written_as_a_page_and_for_a_paper(sweep: str, tmp_path: Path) -> None:
    page, paper = tmp_path / "answer.html", tmp_path / "answer.tex"
    result = call(sweep, str(page), "--study", "--html", "--latex", str(paper))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(page), str(paper)]
    said = xstilts.open_results(sweep).study.says
    assert said.split(":")[0] in page.read_text() and "\\begin{" in paper.read_text()
    result = call(sweep, "--study", "--format", "markdown")
    assert result.stdout.startswith("# Which?") and said.split(":")[0] in result.stdout


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--by", "family"], "--study: has the groups that its file asks for; leave out --by"),
        (["--format", "csv"], '--format: with --study is text, markdown, json; got "csv"'),
        (["other"], "--study and --sync are of one sweep"),
    ],
)
def test_what_does_not_go_together_is_refused(sweep: str, more: list[str], line: str) -> None:
    result = call(sweep, "--study", *more)
    assert result.exit_code == 2 and line in result.stderr

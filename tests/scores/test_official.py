"""Whole folders, scored as XTREME's scorer scores them: on its own mock data, and on odd input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xstilts.cli import app
from xstilts.errors import ConfigError
from xstilts.scores.official import file_name, score_folder
from xstilts.tasks import lookup

from ..conftest import require

MOCK = Path(__file__).parents[3] / "shared" / "conformance" / "xtreme_mock"
TASKS = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")


@pytest.fixture(scope="session")
def mock() -> Path:
    require("records", MOCK.is_dir(), f"XTREME's mock data is not at {MOCK}")
    return MOCK


@pytest.mark.parametrize("task", TASKS)
def test_the_mock_scores_are_the_official_ones(mock: Path, task: str) -> None:
    expected = json.loads((mock / "expected_scores.json").read_text())["TASK2AVG_SCORES"][task]
    scores = score_folder(mock / "predictions", mock / "labels").tasks[task]
    assert set(scores.per_language) == set(lookup(task).languages)
    for name, value in expected.items():
        assert scores.average[name.removeprefix("avg_")] == pytest.approx(value, abs=1e-9), name


def test_json_has_what_the_official_scorer_gives(mock: Path) -> None:
    told = json.loads((mock / "expected_scores.json").read_text())["checked"]
    expected = told["per_language_and_overall_computed"]
    got = score_folder(mock / "predictions", mock / "labels").to_json()
    for task in TASKS:
        averages = {f"avg_{name}": x for name, x in got["tasks"][task]["average"].items()}
        official = {k: v for k, v in expected["tasks"][task].items() if k.startswith("avg_")}
        assert averages == pytest.approx(official, abs=1e-9), task
        for metric in official.keys() - {"avg_metric"}:
            name = metric.removeprefix("avg_")
            scores = got["tasks"][task]["per_language"]
            by_language = {language: scores[language][name] for language in scores}
            assert by_language == pytest.approx(expected["tasks"][task][name], abs=1e-9), task
    overall = {"all_task": got["overall"], **got["groups"]}
    assert overall == pytest.approx(expected["overall"], abs=1e-9)


def test_groups_and_the_overall_mean(mock: Path, tmp_path: Path) -> None:
    scores = score_folder(mock / "predictions", mock / "labels")
    assert scores.groups["classification"] == pytest.approx(
        (scores.tasks["xnli"].average["accuracy"] + scores.tasks["pawsx"].average["accuracy"]) / 2
    )
    qa = [scores.tasks[name].average for name in ("xquad", "mlqa", "tydiqa")]
    means = [(average["exact_match"] + average["f1"]) / 2 for average in qa]
    assert scores.groups["qa"] == pytest.approx(sum(means) / 3)
    assert scores.overall is not None
    shutil.copytree(mock / "predictions", tmp_path / "some")
    shutil.rmtree(tmp_path / "some" / "tatoeba")
    fewer = score_folder(tmp_path / "some", mock / "labels")
    assert fewer.overall is None and "retrieval" not in fewer.groups
    assert fewer.groups["qa"] == scores.groups["qa"]


def write(root: Path, task: str, texts: dict[str, str]) -> None:
    """A file for every language of a task; those not named repeat the first."""
    first = next(iter(texts.values()))
    for language in lookup(task).languages:
        path = root / task / file_name(lookup(task), language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts.get(language, first), encoding="utf-8", newline="")


def scores_of(tmp_path: Path, task: str, gold: str, predicted: str) -> dict[str, float]:
    language = lookup(task).languages[0]
    write(tmp_path / "labels", task, {language: gold})
    write(tmp_path / "predictions", task, {language: predicted})
    scores = score_folder(tmp_path / "predictions", tmp_path / "labels").tasks[task]
    return dict(scores.per_language[language])


@pytest.mark.parametrize(
    ("task", "gold", "predicted", "metric", "value"),
    [
        # Blanks around a label and the kind of line end do not count, blank lines do.
        ("xnli", "neutral\nneutral", " neutral\t\r\ncontradiction\r\n", "accuracy", 50),
        ("xnli", "neutral\n\n", "neutral\n \n", "accuracy", 100),
        ("tatoeba", "3\n4\n", "3\n04", "accuracy", 50),
        # Pairs are a set: repeats count once; a blank line is a pair of its own.
        ("bucc2018", "a\tb\nc\td\n", "a\tb\na\tb\nx\ty\n", "f1", 50),
        ("bucc2018", "a\tb\n", "a\tb\n\n", "precision", 50),
        ("bucc2018", "a\tb\n", "b\ta\n", "f1", 0),
        # An I- that nothing begins starts a chunk; an empty sentence is a sentence.
        ("panx", "I-PER\nI-PER\n\nO\n", "B-PER\nI-PER\n\nO", "f1", 100),
        ("panx", "B-PER\n\n\nO\n", "B-PER\n\n\nB-LOC\n", "precision", 50),
        ("udpos", "NOUN\nNOUN\nVERB\n", "NOUN\nVERB\nVERB\n", "f1", 0),
    ],
)
def test_files_are_read_as_the_official_scorer_reads_them(
    tmp_path: Path, task: str, gold: str, predicted: str, metric: str, value: float
) -> None:
    assert scores_of(tmp_path, task, gold, predicted)[metric] == pytest.approx(value)


def questions(**answers: list[str]) -> str:
    qas: list[dict[str, Any]] = [
        {"id": name, "question": "?", "answers": [{"text": text} for text in texts]}
        for name, texts in answers.items()
    ]
    return json.dumps({"data": [{"paragraphs": [{"context": "", "qas": qas}]}], "version": "1.1"})


def test_questions_without_a_prediction_count_and_others_do_not(tmp_path: Path) -> None:
    gold = questions(a=["red car", "car"], b=["blue"], c=["x"])
    predicted = json.dumps({"a": "The  car.", "b": "", "extra": "nothing"})
    scores = scores_of(tmp_path, "tydiqa", gold, predicted)
    assert scores == pytest.approx({"exact_match": 100 / 3, "f1": 100 / 3})


def test_unicode_blanks_part_words(tmp_path: Path) -> None:
    gold, predicted = questions(a=["red\u00a0car"]), json.dumps({"a": "red\u3000 car"})
    assert scores_of(tmp_path, "xquad", gold, predicted)["exact_match"] == 100


def test_mlqa_goes_by_the_language_of_the_file(tmp_path: Path) -> None:
    gold, predicted = questions(a=["北京大学"]), json.dumps({"a": "北京"})
    write(tmp_path / "labels", "mlqa", {"zh": gold})
    write(tmp_path / "predictions", "mlqa", {"zh": predicted})
    scores = score_folder(tmp_path / "predictions", tmp_path / "labels").tasks["mlqa"].per_language
    assert scores["zh"]["f1"] == pytest.approx(200 / 3), "two of four letters"
    assert scores["de"]["f1"] == 0, "one word against another"


@pytest.mark.parametrize(
    ("task", "broken", "text"),
    [
        ("xnli", "neutral\n", "as many lines as"),
        ("udpos", "NOUN\n", "as many sentences as"),
        ("xquad", "{", "must be there and readable"),
        ("xquad", '{"a": 5}', "cannot be scored"),
        ("xnli", None, "must be there and readable"),
    ],
)
def test_where_the_official_scorer_stops_the_file_is_named(
    tmp_path: Path, task: str, broken: str | None, text: str
) -> None:
    gold = {"xnli": "neutral\nneutral\n", "udpos": "NOUN\n\nVERB\n", "xquad": questions(a=["b"])}
    write(tmp_path / "labels", task, {"en": gold[task]})
    good = json.dumps({"a": "b"}) if task == "xquad" else gold[task]
    write(tmp_path / "predictions", task, {"en": good})
    path = tmp_path / "predictions" / task / file_name(lookup(task), "en")
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    with pytest.raises(ConfigError) as error:
        score_folder(tmp_path / "predictions", tmp_path / "labels")
    (problem,) = error.value.problems
    assert problem.where == str(path) and text in problem.rule


def test_folders_without_a_common_task_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "xnli").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    result = CliRunner().invoke(
        app, ["score", "--predictions", str(tmp_path / "a"), "--labels", str(tmp_path / "b")]
    )
    assert result.exit_code == 2 and "at least one task" in result.output


def test_the_command_prints_what_it_scores(mock: Path) -> None:
    options = ["--predictions", str(mock / "predictions"), "--labels", str(mock / "labels")]
    shown = CliRunner().invoke(app, ["score", *options])
    assert shown.exit_code == 0 and "70.22" in shown.output and "group qa" in shown.output
    document = json.loads(CliRunner().invoke(app, ["score", *options, "--json"]).stdout)
    assert document["tasks"]["udpos"]["average"]["f1"] == pytest.approx(70.21746048354693, abs=1e-9)
    assert set(document) == {"tasks", "groups", "overall"} and len(document["tasks"]) == 9
    assert document["tasks"]["xnli"]["per_language"]["sw"]["accuracy"] == pytest.approx(20)

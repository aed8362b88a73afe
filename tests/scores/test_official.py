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
from xstilts.tasks.benchmarks import BENCHMARKS

from ..conftest import require

CONFORMANCE = Path(__file__).parents[3] / "shared" / "conformance"
MOCK, MOCK_R = CONFORMANCE / "xtreme_mock", CONFORMANCE / "xtreme_r_mock"
TASKS = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")


@pytest.fixture(scope="session")
def mock() -> Path:
    require("records", MOCK.is_dir(), f"XTREME's mock data is not at {MOCK}")
    return MOCK


@pytest.mark.parametrize("task", TASKS)
def test_the_mock_scores_are_the_official_ones(mock: Path, task: str) -> None:
    expected = json.loads((mock / "expected_scores.json").read_text())["TASK2AVG_SCORES"][task]
    scores = score_folder(mock / "predictions", mock / "labels").tasks[task]
    assert set(scores.per_language) == set(BENCHMARKS["xtreme"].languages_of(lookup(task)))
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


@pytest.fixture(scope="session")
def mock_r() -> Path:
    require("records", MOCK_R.is_dir(), f"XTREME-R's mock data is not at {MOCK_R}")
    return MOCK_R


@pytest.fixture
def with_lareqa(mock_r: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The mock data of XTREME-R, with that of LAReQA: predictions and labels."""
    told = json.loads((mock_r / "extra" / "lareqa" / "expected.json").read_text())["questions"]
    for folder in ("predictions", "labels"):
        shutil.copytree(mock_r / folder, tmp_path / folder)
        (tmp_path / folder / "lareqa").mkdir()
    ranked = {name: question["ranking"][:20] for name, question in told.items()}
    gold = {name: question["gold"] for name, question in told.items()}
    (tmp_path / "predictions" / "lareqa" / "predictions.json").write_text(json.dumps(ranked))
    (tmp_path / "labels" / "lareqa" / "labels.json").write_text(json.dumps(gold))
    return tmp_path / "predictions", tmp_path / "labels"


def flat(value: Any, name: str = "") -> dict[str, float]:
    """The numbers of nested objects, each by its path."""
    if not isinstance(value, dict):
        return {name: value}
    return {k: x for key, one in value.items() for k, x in flat(one, f"{name}/{key}").items()}


def test_the_json_of_xtreme_r_is_the_official_scorers(mock_r: Path) -> None:
    told = json.loads((mock_r / "expected_scores.json").read_text())
    got = score_folder(mock_r / "predictions", mock_r / "labels", "xtreme-r").to_json()
    assert got.pop("xstilts") == {"benchmark": "xtreme-r", "overall": None, "lareqa": None}
    assert flat(got) == pytest.approx(flat({**told["overall"], **told["tasks"]}), abs=1e-9)
    assert set(told["tasks"]) == set(BENCHMARKS["xtreme-r"].targets) - {"lareqa"}


def test_lareqa_completes_the_ten_tasks(with_lareqa: tuple[Path, Path]) -> None:
    told = json.loads((MOCK_R / "extra" / "lareqa" / "expected.json").read_text())
    scores = score_folder(*with_lareqa, "xtreme-r")
    assert scores.tasks["lareqa"].metric / 100 == pytest.approx(told["official_map@20"], abs=1e-9)
    by_language = {x: y["map@20"] / 100 for x, y in scores.tasks["lareqa"].per_language.items()}
    means = told["mean_ap@20_by_question_language_NOT_official"]
    assert by_language == pytest.approx(means, abs=1e-9)
    assert scores.overall == pytest.approx(61.80626448813032, abs=1e-9)
    assert "retrieval" in scores.groups, "of Tatoeba and Mewsli-X alone"
    assert scores.groups == score_folder(MOCK_R / "predictions", with_lareqa[1], "xtreme-r").groups
    (note,) = scores.notes
    assert note.endswith("labels.json has no questions in ar el es hi ru tr vi")
    own = scores.to_json()["xstilts"]
    assert own["overall"] == scores.overall and own["lareqa"]["avg_metric"] > 52
    assert "lareqa" not in scores.to_json()


def test_a_hole_in_ten_tasks_leaves_no_overall_mean(with_lareqa: tuple[Path, Path]) -> None:
    predictions, labels = with_lareqa
    (predictions / "lareqa" / "predictions.json").unlink()
    scores = score_folder(predictions, labels, "xtreme-r")
    assert scores.overall is None and len(scores.tasks) == 9 and len(scores.groups) == 5
    assert scores.notes == (
        f"lareqa: not scored, there is no {predictions}/lareqa/predictions.json",
    )
    shutil.rmtree(predictions / "xcopa")
    for folder in (predictions, labels):
        (folder / "pawsx").mkdir()
    fewer = score_folder(predictions, labels, "xtreme-r")
    assert set(scores.groups) - set(fewer.groups) == {"classification", "multi_choice"}
    assert fewer.notes[1:] == ("pawsx: not scored, of xtreme and not of xtreme-r",)


@pytest.mark.parametrize(
    ("predictions", "labels", "file", "text"),
    [
        ("[", '{"a_en": ["x"]}', "predictions", "must be there and readable"),
        ("[]", '{"a_en": ["x"]}', "predictions", "no object of question ids"),
        ('{"a_en": "x"}', '{"a_en": ["x"]}', "predictions", '"a_en" has no list of candidate ids'),
        ('{"a_en": [1]}', '{"a_en": ["x"]}', "predictions", '"a_en" has no list of candidate ids'),
        ('{"a_en": []}', '{"a_en": [], "b_en": ["x"]}', "labels", "must have a gold candidate"),
        ("{}", "{}", "labels", "must have a gold candidate"),
        (
            '{"a_en": ["x"]}',
            '{"a_en": ["x"], "b_en": ["y"]}',
            "predictions",
            "a ranking for every question of LABELS; got 1 of 2, none for b_en",
        ),
    ],
)
def test_what_is_wrong_with_lareqa_is_said(
    tmp_path: Path, predictions: str, labels: str, file: str, text: str
) -> None:
    folders = tmp_path / "predictions", tmp_path / "labels"
    for folder, content in zip(folders, (predictions, labels), strict=True):
        (folder / "lareqa").mkdir(parents=True)
        (folder / "lareqa" / f"{folder.name}.json").write_text(content)
    with pytest.raises(ConfigError) as error:
        score_folder(*folders, "xtreme-r")
    (problem,) = error.value.problems
    assert problem.where == str(tmp_path / file / "lareqa" / f"{file}.json")
    assert text.replace("LABELS", f"{folders[1]}/lareqa/labels.json") in str(problem)


def scores_in_xtreme_r(tmp_path: Path, task: str, gold: str, predicted: str) -> dict[str, float]:
    """The scores of one language; the others are written alike."""
    for folder, text in (("labels", gold), ("predictions", predicted)):
        (tmp_path / folder / task).mkdir(parents=True, exist_ok=True)
        for language in BENCHMARKS["xtreme-r"].languages[task]:
            ending = {"xcopa": "jsonl", "mewslix": "json"}.get(task, "tsv")
            (tmp_path / folder / task / f"test-{language}.{ending}").write_text(text)
    scores = score_folder(tmp_path / "predictions", tmp_path / "labels", "xtreme-r").tasks[task]
    return dict(scores.per_language[BENCHMARKS["xtreme-r"].languages[task][0]])


@pytest.mark.parametrize(
    ("task", "gold", "predicted", "value"),
    [
        # Labels are compared as JSON has them: `true` is 1, "1" is not.
        (
            "xcopa",
            '{"label": 1}\n' * 4,
            '{"label": true}\n{"label": 1.0}\n{"label": "1"}\n{"label": 0}',
            50,
        ),
        ("xcopa", '{"label": 0, "idx": 3}\r\n', ' {"label": false} ', 100),
        ("mewslix", '{"a": ["Q1"], "b": ["Q2"]}', '{"a": ["Q3", "Q1"], "c": ["Q2"]}', 25),
        ("mewslix", '{"a": [" Q1 "]}', '{"a": [" Q1 ", "Q1"]}', 50),
        ("mewslix", '{"a": ["Q1", "Q2"]}', '{"a": ["Q2"]}', 0),
        ("mewslix", '{"a": "Q1"}', '{"a": ["Q1", "Q"]}', 50),
        ("mewslix", '{"a": ["Q1"]}', json.dumps({"a": ["Q2"] * 19 + ["Q1"]}), 5),
        ("mewslix", '{"a": ["Q1"]}', json.dumps({"a": ["Q2"] * 20 + ["Q1"]}), 0),
        ("mewslix", "{}", '{"a": ["Q1"]}', 0),
        ("mewslix", '{"data": {"a": ["Q1"]}}', '{"data": {"a": ["Q1"]}}', 100),
        # A mark of the order of bytes is part of the first label.
        ("tatoeba", "1\n2\n", "\ufeff1\n2\n", 50),
    ],
)
def test_xtreme_rs_own_files_are_read_as_its_scorer_reads_them(
    tmp_path: Path, task: str, gold: str, predicted: str, value: float
) -> None:
    (score,) = scores_in_xtreme_r(tmp_path, task, gold, predicted).values()
    assert score == pytest.approx(value)


@pytest.mark.parametrize(
    ("task", "gold", "predicted", "text"),
    [
        ("xcopa", '{"label": 1}\n', '{"label": 1}\n\n', "must be there and readable"),
        ("xcopa", '{"label": 1}\n', '{"idx": 1}\n', "must be there and readable; got 'label'"),
        ("xcopa", '{"label": 1}\n' * 2, '{"label": 1}\n', "as many lines as"),
        ("xcopa", "", "", "cannot be scored"),
        ("mewslix", '{"a": []}', '{"a": ["Q1"]}', "cannot be scored"),
        ("mewslix", '{"a": ["Q1"]}', '["a"]', "cannot be scored"),
        ("mewslix", '{"a": ["Q1"]}', '{"a": null}', "cannot be scored"),
        ("mewslix", '{"a": ["Q1"]}', "", "must be there and readable"),
    ],
)
def test_where_xtreme_rs_scorer_stops_the_file_is_named(
    tmp_path: Path, task: str, gold: str, predicted: str, text: str
) -> None:
    with pytest.raises(ConfigError) as error:
        scores_in_xtreme_r(tmp_path, task, gold, predicted)
    languages = BENCHMARKS["xtreme-r"].languages[task]
    assert len(error.value.problems) == len(languages)
    first = error.value.problems[0]
    assert f"predictions/{task}/test-{languages[0]}." in first.where and text in str(first)


def test_a_language_that_xtreme_r_adds_is_missed(mock_r: Path, tmp_path: Path) -> None:
    shutil.copytree(mock_r / "predictions", tmp_path / "predictions")
    (tmp_path / "predictions" / "panx" / "test-qu.tsv").unlink()
    with pytest.raises(ConfigError) as error:
        score_folder(tmp_path / "predictions", mock_r / "labels", "xtreme-r")
    (problem,) = error.value.problems
    assert problem.where.endswith("panx/test-qu.tsv") and "No such file" in problem.got
    assert score_folder(tmp_path / "predictions", mock_r / "labels").tasks["panx"]


def test_the_benchmark_is_named_to_the_command(with_lareqa: tuple[Path, Path]) -> None:
    options = ["score", "--predictions", str(with_lareqa[0]), "--labels", str(with_lareqa[1])]
    shown = CliRunner().invoke(app, [*options, "--benchmark", "xtreme-r"])
    assert shown.exit_code == 0 and "61.81" in shown.stdout and "lareqa (ours)" in shown.stdout
    assert "no questions in ar" in shown.stderr and "group multi_choice" in shown.stdout
    usual = CliRunner().invoke(app, options)
    assert "xcopa, lareqa, mewslix: not scored, of xtreme-r" in usual.stderr
    assert "all nine tasks" in usual.stdout and "mewslix" not in usual.stdout
    wrong = CliRunner().invoke(app, [*options, "--benchmark", "xtremer"])
    assert wrong.exit_code == 2 and wrong.stderr.startswith("benchmark: no official scorer of it")
    assert 'did you mean "xtreme-r"?' in wrong.stderr

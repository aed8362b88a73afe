"""Predictions as files of a submission: XTREME-R's scorer reads what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from xstilts.run.predictions import read_predictions, submitted, write_predictions
from xstilts.scores.official import LABELS, PREDICTIONS, score_folder
from xstilts.tasks import Source, Task, lookup
from xstilts.tasks.benchmarks import BENCHMARKS

XCOPA = Task(
    "xcopa", "choice", Source("x/y"), BENCHMARKS["xtreme-r"].languages["xcopa"], {}, ("accuracy",)
)
LAREQA = Task("lareqa", "retrieval", Source("x/y"), ("de", "en"), {}, ("accuracy",))


def write(folder: Path, task: Task, files: dict[str, str]) -> None:
    (folder / task.name).mkdir(parents=True)
    for name, text in files.items():
        (folder / task.name / name).write_text(text)


def test_labels_of_xcopa_become_objects_that_the_scorer_reads(tmp_path: Path) -> None:
    predicted = {language: [0, 1, 1, i % 2] for i, language in enumerate(XCOPA.languages)}
    gold = pa.table({"id": ["0", "1", "2", "3"], "label": [0, 1, 0, 0]})
    texts = {}
    for language, labels in predicted.items():
        write_predictions(tmp_path, XCOPA, "test", language, labels, gold)
        path = tmp_path / "predictions" / "xcopa" / f"test-{language}.tsv"
        texts[language] = path.read_text()
        # In the store they are as those of every kind with a label.
        assert [int(label) for _, label in read_predictions(path, XCOPA)] == labels
    files = submitted(XCOPA, texts, PREDICTIONS)
    assert files["test-et.jsonl"] == '{"label": 0}\n{"label": 1}\n{"label": 1}\n{"label": 0}\n'
    write(tmp_path / "submission", XCOPA, files)
    golds = dict.fromkeys(predicted, "0\n1\n0\n0\n")  # as the export of labels has them
    write(tmp_path / "labels", XCOPA, submitted(XCOPA, golds, LABELS))
    scores = score_folder(tmp_path / "submission", tmp_path / "labels", "xtreme-r")
    found = {x: y["accuracy"] for x, y in scores.tasks["xcopa"].per_language.items()}
    assert found == {x: 50.0 if labels[3] else 75.0 for x, labels in predicted.items()}


def test_rankings_of_lareqa_are_one_file(tmp_path: Path) -> None:
    ranked = {"de": {"q_de": ["en_1_0", "de_1_0"]}, "en": {"q_en": ["de_1_0", "x"]}}
    gold = {"de": {"q_de": ["de_1_0"]}, "en": {"q_en": ["de_1_0"]}}
    for folder, found, name in (("a", ranked, PREDICTIONS), ("b", gold, LABELS)):
        files = submitted(LAREQA, {x: json.dumps(y) for x, y in found.items()}, name)
        assert list(files) == [name]
        write(tmp_path / folder, LAREQA, files)
    scores = score_folder(tmp_path / "a", tmp_path / "b", "xtreme-r").tasks["lareqa"]
    assert scores.metric == pytest.approx(75)
    assert scores.per_language == {"de": {"map@20": 50.0}, "en": {"map@20": 100.0}}
    assert submitted(LAREQA, {}, LABELS) == {}, "what has no labels has no file"


def test_all_others_stay_as_they_are() -> None:
    texts = {"en": "neutral\n", "sw": "entailment\r\n"}
    files = {"test-en.tsv": "neutral\n", "test-sw.tsv": "entailment\r\n"}
    assert submitted(lookup("xnli"), texts, PREDICTIONS) == files
    own = Task("own", "choice", Source("x/y"), ("en",), {}, ("accuracy",))
    assert submitted(own, {"en": "0\n1\n"}, PREDICTIONS) == {"test-en.tsv": "0\n1\n"}

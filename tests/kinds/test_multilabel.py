"""Several labels a row: each told by itself, scored by scikit-learn, from files to predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score, f1_score
from typer.testing import CliRunner

from xstilts import kinds
from xstilts.cli.app import app
from xstilts.kinds.kind import Batch, Encoded, Supervised, is_labelled
from xstilts.report.sweep_results import read_predictions
from xstilts.run.predictions import write_predictions
from xstilts.scores.chance import rate
from xstilts.tasks import Source, Task

KIND = kinds.get("multilabel")
LABELS = ("joy", "fear", "anger", "love")
METRICS = ("f1_macro", "f1_micro", "subset_accuracy")
TASK = Task("toy", "multilabel", Source("toy/toy"), ("en",), {}, METRICS, labels=LABELS)
ROWS: dict[str, Any] = {
    "text": ["I drink tea.", "Water boils.", "She was born.", "My cat is ill."],
    "label": [["fear", "joy"], [], ["anger"], ["joy"]],
}
PREDICTED = [["joy", "fear"], ["anger"], ["anger", "joy"], []]


@pytest.fixture
def encoded(tiny_tokenizer: Any) -> Encoded:
    return KIND.encode(ROWS, TASK, tiny_tokenizer, 32)


def table(rows: list[list[str]], labels: tuple[str, ...] = LABELS) -> np.ndarray:
    return np.array([[int(label in row) for label in labels] for row in rows])


def test_labels_are_answers_in_the_task_s_order(encoded: Encoded) -> None:
    assert encoded.features["labels"].to_pylist() == table(ROWS["label"]).tolist()
    assert encoded.examples["labels"].to_pylist()[0] == ["joy", "fear"]
    assert KIND.decode([[1, 0, 0, 1]], encoded, TASK) == [["joy", "love"]]
    assert KIND.build_head(8, TASK, 0.0).output.out_features == 4


def test_a_label_is_given_from_a_probability_of_a_half_on() -> None:
    class Head(torch.nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, -1e-6, 3.0, -3.0]])

    batch = Batch({}, {"labels": torch.tensor([[1.0, 0.0, 1.0, 1.0]])})
    assert KIND.outputs(Head(), torch.zeros(1), batch) == [[1, 0, 1, 0]]
    chances = torch.sigmoid(torch.tensor([0.0, -1e-6, 3.0, -3.0]))
    right = torch.stack([chances[0], 1 - chances[1], chances[2], chances[3]])
    loss = KIND.loss(Head(), torch.zeros(1), batch)
    assert float(loss) == pytest.approx(float(-right.log().mean()), rel=1e-5)


def test_scores_are_scikit_learns(encoded: Encoded) -> None:
    scores = KIND.score(PREDICTED, encoded.examples, TASK, "en")
    gold, predicted = table(ROWS["label"]), table(PREDICTED)
    macro = f1_score(gold[:, :3], predicted[:, :3], average="macro")  # nobody has `love`
    assert scores == pytest.approx(
        {
            "f1_macro": 100 * macro,
            "f1_micro": 100 * f1_score(gold, predicted, average="micro"),
            "subset_accuracy": 100 * accuracy_score(gold, predicted),
        }
    )
    assert scores["subset_accuracy"] == 25 and scores["f1_micro"] == pytest.approx(200 * 3 / 9)
    assert isinstance(KIND, Supervised)
    outcomes = KIND.outcomes(PREDICTED, encoded.examples, TASK, "en")
    assert outcomes.scores == pytest.approx(scores)
    assert float(rate(outcomes.stacked.sum(0))) == pytest.approx(np.mean(list(scores.values())))
    nothing: list[list[str]] = [[]] * 4
    assert set(KIND.score(nothing, encoded.examples, TASK, "en").values()) == {0.0, 25.0}


def test_a_test_set_without_labels_is_not_scored(tiny_tokenizer: Any, encoded: Encoded) -> None:
    blank = KIND.encode({**ROWS, "label": [[]] * 4}, TASK, tiny_tokenizer, 32)
    assert is_labelled(encoded.examples) and not is_labelled(blank.examples)


def test_predictions_are_json(tmp_path: Path, encoded: Encoded) -> None:
    write_predictions(tmp_path, TASK, "test", "en", PREDICTED, encoded.examples)
    path = tmp_path / "predictions" / "toy" / "test-en.json"
    assert json.loads(path.read_text()) == PREDICTED
    assert len(path.read_text().splitlines()) == 4, "a row a line"
    assert read_predictions(path, TASK) == list(enumerate(PREDICTED))


def test_a_trial_from_files_to_predictions_and_labels(tmp_path: Path, shared_mini: Path) -> None:
    """Words say their labels: what is learnt is more than chance."""
    words = {"joy": "tea", "fear": "dark", "anger": "loud"}

    def row(i: int) -> tuple[str, list[str]]:
        given = [label for j, label in enumerate(words) if (i >> j) % 2]
        return " ".join([f"it {i}", *(words[label] for label in given)]), given

    lines = ["text,emotions"]
    lines += [f"{text},{'|'.join(given)}" for text, given in map(row, range(160))]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    de = [{"text": text, "emotions": given} for text, given in map(row, range(200, 216))]
    (tmp_path / "de.jsonl").write_text("\n".join(map(json.dumps, de)))
    task = {
        "kind": "multilabel",
        "files": {"train": "train.csv", "test": {"de": "de.jsonl"}},
        "columns": {"label": "emotions"},
        "labels": list(words),
        "separator": "|",
        "metrics": list(METRICS),
    }
    sweep = {
        "name": "emotions",
        "benchmark": "custom",
        "recipe": {"name": "mini", "epochs": 12, "learning_rate": 2e-3},
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": str(shared_mini)},
        "tasks": {"emotions": task},
        "targets": ["emotions"],
        "storage": str(tmp_path / "runs"),
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    result = CliRunner().invoke(app, ["run", str(path), "--json"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    scores = {row["metric"]: row["value"] for row in record["scores"] if row["language"] == "de"}
    assert scores.keys() >= set(METRICS) and scores["f1_macro"] > 60, scores
    found = list((tmp_path / "runs" / "store").glob("evaluate-*/result-1/predictions/*/*"))
    (predicted,) = [json.loads(one.read_text()) for one in found]
    assert len(predicted) == 16 and all(set(labels) <= set(words) for labels in predicted)

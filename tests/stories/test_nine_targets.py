"""All nine XTREME targets on real records: one trial, its submission, and the official scores.

The encoder is the miniature one, so the scores are poor; what counts is that the numbers of the
trial are those that the official scorer gives for the submission.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from xstilts.cli import app
from xstilts.data.sources import Folders
from xstilts.run.records import read_record
from xstilts.scores.official import score_folder
from xstilts.tasks import lookup

pytestmark = pytest.mark.ray
TARGETS = ["xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba"]
WHOLE = [name for name in TARGETS if name not in ("udpos", "bucc2018")]
"""Targets whose records have every language."""


def call(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def thinned(mirror: Path, folder: Path, count: int = 300) -> Path:
    """A copy of a mirror with fewer rows, evenly spaced, of what is trained and selected on; BUCC
    whole, whose gold pairs name sentences by their ids."""
    shutil.copytree(mirror, folder)
    for path in folder.rglob("*.parquet"):
        is_read_to_learn = path.name.startswith(("train", "validation"))
        if is_read_to_learn and not path.is_relative_to(folder / "xtreme" / "bucc2018"):
            rows = pq.read_table(path)
            step = -(-rows.num_rows // count) or 1
            pq.write_table(rows.take(list(range(0, rows.num_rows, step))), path)
    return folder


@pytest.fixture(scope="module")
def exported(records: Folders, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A finished sweep of one trial, its submission and labels; the folder, the trial's record."""
    folder = tmp_path_factory.mktemp("nine")
    sweep = {
        "name": "nine",
        "benchmark": "custom",
        "recipe": "small",
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": str(thinned(records["google/xtreme"].parents[1], folder / "mirror"))},
        "targets": TARGETS,
        "languages": {"bucc2018": ["zh"]},
        "evaluation": {"split": "validation", "examples": 8},
        "search": {"encoder": {"space": {"target.epochs": {"choice": [0.02]}}}},
        "storage": str(folder / "runs"),
    }
    (folder / "nine.yaml").write_text(yaml.safe_dump(sweep))
    call("sweep", str(folder / "nine.yaml"))
    (path,) = folder.glob("runs/sweeps/nine/trials/*/record.json")
    trial = read_record(path.parent)
    assert trial is not None
    record = trial.record
    options = ["--submission", str(folder / "submission"), "--labels", str(folder / "labels")]
    call("export", "nine", record["trial"], *options, "--storage", str(folder / "runs"))
    return folder, record


def test_the_trial_scores_as_the_official_scorer_does(exported: tuple[Path, Any]) -> None:
    folder, record = exported
    for name in ("udpos", "bucc2018"):  # the official scorer wants every language
        for side in ("submission", "labels"):
            (folder / side / name).rename(folder / f"{side}-{name}")
    scores = score_folder(folder / "submission", folder / "labels")
    assert set(scores.tasks) == set(WHOLE)
    for name, task in scores.tasks.items():
        mean = [task.average[metric] for metric in lookup(name).metrics]
        assert record["metrics"][f"{name}/avg"] == pytest.approx(sum(mean) / len(mean), abs=1e-9)
        for language, by_metric in task.per_language.items():
            own = [by_metric[metric] for metric in lookup(name).metrics]
            expected = sum(own) / len(own)
            assert record["metrics"][f"{name}/{language}"] == pytest.approx(expected, abs=1e-9)


def test_mlqa_reads_the_stage_of_xquad(exported: tuple[Path, Any]) -> None:
    _, record = exported
    assert set(record["chosen"]) == {"xnli", "pawsx", "udpos", "panx", "xquad", "tydiqa"}
    assert record["metrics"]["dev/mlqa"] == record["metrics"]["dev/xquad"]
    dev = [record["metrics"][f"dev/{name}"] for name in record["chosen"]]
    assert record["metrics"]["dev/avg"] == pytest.approx(sum(dev) / len(dev)), "SQuAD counts once"


def test_a_part_of_the_benchmark_does_not_carry_its_name(exported: tuple[Path, Any]) -> None:
    _, record = exported
    assert "custom/avg" in record["metrics"] and "xtreme/avg" not in record["metrics"]


def test_controls_and_the_profile_of_layers_stand_beside_the_score(
    exported: tuple[Path, Any],
) -> None:
    metrics = exported[1]["metrics"]
    assert {f"tatoeba/{name}/avg" for name in ("centred", "csls", "anisotropy")} <= set(metrics)
    layers = [name for name in metrics if name.startswith("tatoeba/by_layer/")]
    assert len(layers) == 5, "four layers and the embeddings"
    # The layer is fixed by the depth before anything is scored: two of four.
    assert metrics["tatoeba/by_layer/02"] == pytest.approx(metrics["tatoeba/avg"])
    assert "udpos/accuracy/avg" in metrics and "bucc2018/precision/avg" in metrics


def test_a_chosen_model_loads_elsewhere(exported: tuple[Path, Any]) -> None:
    from transformers import pipeline

    folder, record = exported
    storage = ["--storage", str(folder / "runs")]
    call("export", "nine", record["trial"], "--model", "xnli", str(folder / "model"), *storage)
    classify = pipeline("text-classification", model=str(folder / "model"))
    (answer,) = classify([{"text": "It rains.", "text_pair": "Water falls."}])
    assert answer["label"] in lookup("xnli").labels and 0 < answer["score"] <= 1
    options = ["export", "nine", record["trial"], "--model", "tatoeba", str(folder / "x"), *storage]
    refused = CliRunner().invoke(app, options)
    assert refused.exit_code == 2 and "--model: no target that the trial trained" in refused.output
    assert CliRunner().invoke(app, options[:3] + storage).exit_code == 2

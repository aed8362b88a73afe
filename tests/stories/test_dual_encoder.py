"""Dual encoders trained for real on the miniature world: a task of one's own, and LAReQA whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import yaml
from typer.testing import CliRunner

from xstilts import mini, score_submission
from xstilts.cli import app
from xstilts.config.load import load_sweep
from xstilts.data.sentences import sentence_breaks
from xstilts.plan.plan import Planner
from xstilts.run.export import export_labels, export_submission
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.reopen import workshop_of
from xstilts.run.store import Store
from xstilts.search.proposals import target_points
from xstilts.tasks import lookup

WORLD = mini.data_path() / "xstilts" / "mini_xquad"
LANGUAGES = lookup("lareqa").languages
RECIPE = {"name": "mini", "target": {"epochs": 3, "batch_size": 32, "learning_rate": 1e-3}}
SWEEP: dict[str, Any] = {
    "benchmark": "custom",
    "recipe": RECIPE,
    "models": {"mini": {"path": "builtin:mini"}},
    "seeds": [0],
}
pytestmark = pytest.mark.slow


def passages(language: str, split: str) -> list[dict[str, Any]]:
    """Questions on passages of three sentences."""
    path = WORLD / language / f"{split}-00000-of-00001.parquet"
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def run(folder: Path, sweep: dict[str, Any]) -> dict[str, float]:
    """A trial of the baseline, in this process; its metrics."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**sweep, "storage": str(folder / "runs")}))
    result = CliRunner().invoke(app, ["run", str(path), "--json"])
    assert result.exit_code == 0, result.output
    metrics: dict[str, float] = json.loads(result.stdout)["metrics"]
    return metrics


def test_a_task_of_ones_own_beats_chance(tmp_path: Path) -> None:
    """The passage that a question is of, in English and zero-shot in a language of the world."""

    def write(name: str, rows: list[dict[str, Any]]) -> str:
        lines = (json.dumps({"q": row["question"], "text": row["context"]}) for row in rows)
        (tmp_path / name).write_text("\n".join(lines))
        return name

    files = {
        "train": write("train.jsonl", passages("en", "train")[:1500]),
        "dev": write("dev.jsonl", passages("en", "validation")),
        "test": {
            language: write(f"{language}.jsonl", passages(language, "test"))
            for language in ("en", "qaa")
        },
    }
    columns = {"query": "q", "candidate": "text"}
    task = {"kind": "dual_encoder", "files": files, "columns": columns}
    metrics = run(tmp_path, {**SWEEP, "name": "own", "targets": ["find"], "tasks": {"find": task}})
    # Of an order drawn at random the first 20 of 160 have it in one of eight.
    chance = 100 * float(np.sum(1 / np.arange(1, 21))) / 160
    assert chance == pytest.approx(2.25, abs=0.01)
    assert metrics["dev/find"] > 5 * chance
    assert metrics["find/en"] > 5 * chance


def squad(rows: list[dict[str, Any]], breaks: bool = False) -> str:
    """Rows as SQuAD has them, a paragraph each; with sentence breaks as XQuAD-R."""
    paragraphs = []
    for row in rows:
        answers = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        given = [{"text": text, "answer_start": start} for text, start in answers]
        question = {"id": row["id"], "question": row["question"], "answers": given}
        own: dict[str, Any] = {"context": row["context"], "qas": [question]}
        if breaks:
            own["sentence_breaks"] = sentence_breaks(row["context"])
        paragraphs.append({"title": row["title"], "paragraphs": [own]})
    return json.dumps({"data": paragraphs})


def test_lareqa_from_its_files_to_its_submission(tmp_path: Path) -> None:
    """With the world's languages under the names of XQuAD-R's: one pool, of which `plan` says that
    it is no official one, and a smaller one of the sweep's own; predictions and labels with the ids
    of the official loader."""
    originals = tmp_path / "originals"
    (originals / "xquad-r").mkdir(parents=True)
    (originals / "train-v1.1.json").write_text(squad(passages("en", "train")[:1500]))
    (originals / "dev-v1.1.json").write_text(squad(passages("en", "validation")))
    (originals / "xquad.en.json").write_text(squad(passages("en", "test")[:1]))
    worlds = sorted(path.name for path in WORLD.iterdir() if path.name.startswith("qa"))
    for i, language in enumerate(LANGUAGES):
        world = "en" if language == "en" else worlds[i % len(worlds)]
        path = originals / "xquad-r" / f"{language}.json"
        path.write_text(squad(passages(world, "test")[:40], breaks=True))
    mirror = ["--root", str(tmp_path / "mirror")]
    assert CliRunner().invoke(app, ["data", "import", str(originals), *mirror]).exit_code == 0
    data = {"root": str(tmp_path / "mirror")}
    english = tmp_path / "mirror" / "xtreme" / "lareqa" / "en" / "pool-00000-of-00001.parquet"
    pools = {"in_english": {"of": "lareqa", "files": str(english)}}
    targets = ["lareqa", "in_english"]
    sweep = {**SWEEP, "name": "ranked", "targets": targets, "data": data, "pools": pools}
    metrics = run(tmp_path, sweep)
    count = 11 * 40 * 3
    assert metrics["lareqa/candidates/avg"] == count
    assert metrics["in_english/candidates/avg"] == count / 11
    assert metrics["dev/in_english"] == metrics["dev/lareqa"], "one stage for both"
    assert metrics["in_english/en"] > metrics["lareqa/en"], "where fewer are wrong"
    # Of an order drawn at random the precision at each of 20 places, of eleven that are right.
    chance = 100 * float(np.sum(1 / np.arange(1, 21))) / count
    assert metrics["lareqa/en"] > 5 * chance
    assert metrics["dev/lareqa"] > 10
    planned = CliRunner().invoke(app, ["plan", str(tmp_path / "sweep.yaml")]).output
    assert "its pool has 1,320 candidates, published are 13,014" in " ".join(planned.split())
    (predicted,) = tmp_path.glob("runs/**/predictions/lareqa/test-de.json")
    rankings = json.loads(predicted.read_text())
    assert len(rankings) == 40 and all(len(ids) == 20 for ids in rankings.values())
    assert all(name.endswith("_de") for name in rankings)
    checked = load_sweep(tmp_path / "sweep.yaml")
    places = Places.of(checked, tmp_path)
    planner = Planner(checked, take_inventory(checked, places), target_points(checked))
    plan = planner.plan({"model": "mini", "intermediate": "none"}, 0)
    export_labels(plan, planner, workshop_of(planner, places), tmp_path / "l")
    record = read_record(places.trials / plan.trial_id)
    assert record is not None
    export_submission(record, checked, Store(places.storage), tmp_path / "p")
    gold = json.loads((tmp_path / "l" / "lareqa" / "labels.json").read_text())
    assert len(gold) == 40 * len(LANGUAGES) and gold.keys() >= rankings.keys()
    told = score_submission(tmp_path / "p", tmp_path / "l", "xtreme-r").tasks["lareqa"]
    assert told.metric == pytest.approx(metrics["lareqa/avg"], abs=1e-9)
    assert all(len(ids) == len(LANGUAGES) for ids in gold.values())

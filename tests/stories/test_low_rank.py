"""A sweep that searches the rank of its adapters: what it trains, keeps, cleans and exports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForSequenceClassification

import xstilts
from xstilts import mini

pytestmark = pytest.mark.ray


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "xstilts.cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_rank_is_searched(tmp_path: Path, shared_mini: Path) -> None:
    lora = {"lora": {"rank": 4, "alpha": 8}}
    space = {"adapt.target.lora.rank": {"choice": [2, 4]}, "target.epochs": {"choice": [0.05]}}
    sweep = {
        "name": "thin",
        "benchmark": "custom",
        "recipe": {"name": "mini", "checks": 1, "adapt": {"intermediate": lora, "target": lora}},
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": str(shared_mini)},
        "intermediates": {"nli": {"tasks": ["mini_nli"], "budget": {"examples": 64}}},
        "targets": ["mini_xnli"],
        "languages": ["en"],
        "evaluation": {"examples": 30},
        "search": {"encoder": {"trials": 4, "sampler": {"name": "grid"}, "space": space}},
        "resources": {"keep_target_weights": 1},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    run(tmp_path, "sweep", "sweep.yaml")
    results = xstilts.open_results("thin", storage=tmp_path / "runs")
    records = {one.trial: one for one in results.details.searched}
    ranks = {one.point.get("adapt.target.lora.rank") for one in records.values()}
    assert ranks == {2, 4}
    largest = max(path.stat().st_size for path in mini.encoder_path().glob("*.safetensors"))
    stages = list((tmp_path / "runs" / "store").glob("*/result-1"))
    trained = [stage for stage in stages if (stage / "encoder").exists()]
    sizes = [sum(x.stat().st_size for x in one.rglob("*.safetensors")) for one in trained]
    assert len(trained) == len(records) + 1 and max(sizes) < largest / 5

    # One target's weights stay, and the intermediate's that they belong to.
    kept = [stage for stage, size in zip(trained, sizes, strict=True) if size]
    assert len(kept) == 2 and "no sweep" not in run(tmp_path, "gc", "--delete")
    assert all(any(stage.rglob("*.safetensors")) for stage in kept)
    best = results.best_trial("mini_xnli")
    run(tmp_path, "export", "thin", best, "--model", "mini_xnli", "model")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert model.config.num_labels == 3

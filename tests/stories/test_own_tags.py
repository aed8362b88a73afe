"""A tagging task whose labels are those of a user's own export: CCG supertags, file to score."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from xstilts.cli import app

SENTENCES = ["the|DT|NP/N cat|NN|N sleeps|VB|S\\\\NP", "a|DT|NP/N dog|NN|N .|.|."]


def test_supertags_train_an_intermediate(tmp_path: Path, shared_mini: Path) -> None:
    originals = tmp_path / "originals" / "ccg"
    originals.mkdir(parents=True)
    (originals / "train.stagged").write_text("\n".join(SENTENCES * 20))
    # A category that no training row has is never right.
    (originals / "dev.stagged").write_text("\n".join([*SENTENCES * 5, "the|DT|NEW cat|NN|N"]))
    mirror = tmp_path / "mirror"
    options = ["--root", str(mirror)]
    result = CliRunner().invoke(app, ["data", "import", str(originals.parent), *options])
    assert result.exit_code == 0, result.output
    for folder in (shared_mini / "xstilts").iterdir():
        (mirror / "xstilts" / folder.name).symlink_to(folder)
    sweep = {
        "name": "ccg",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": str(mirror)},
        "intermediates": {"ccg": {"tasks": ["ccg"], "budget": {"epochs": 4}}},
        "targets": ["mini_udpos", "mini_tatoeba"],
        "languages": ["en", "qaa"],
        "search": {"encoder": {"space": {"target.epochs": {"choice": [0.05]}}}},
        "storage": str(tmp_path / "runs"),
    }
    (tmp_path / "ccg.yaml").write_text(yaml.safe_dump(sweep))
    point = ["--point", "{intermediate: ccg}", "--json"]
    result = CliRunner().invoke(app, ["run", str(tmp_path / "ccg.yaml"), *point])
    assert result.exit_code == 0, result.output
    (manifest,) = tmp_path.glob("runs/store/intermediate-ccg-*/result-1/manifest.json")
    outcome = json.loads(manifest.read_text())["outcome"]
    # 32 of the 33 words have a category that training rows have.
    assert 80 < outcome["dev"]["ccg"]["accuracy"] <= 100 * 31 / 32

"""What a model cannot take of an arm is said in a line, before anything is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from xstilts.errors import ConfigError
from xstilts.run.inputs import take_inventory

from ..conftest import make_places, make_sweep

FITS: list[Any] = [
    {"frozen": {"layers": 2}},
    {"layer_decay": 0.9, "l2_sp": 0.1},
    {"lora": {"modules": ["query", "value"]}},
    {"lora": {}},
]
UNFIT = {
    "recipe.adapt.target: models.m has 2 layers; got frozen: {layers: 3}; freeze fewer": {
        "frozen": {"layers": 3}
    },
    'recipe.adapt.target: lora.modules are linear layers of models.m; got "Wqkv"; known: dense': {
        "lora": {"modules": ["query", "Wqkv"]}
    },
}


def problems_of(folder: Path, shared_mini: Path, model: Path, **changes: Any) -> list[str]:
    sweep = make_sweep(
        models={"m": {"path": str(model)}}, data={"root": str(shared_mini)}, **changes
    )
    try:
        take_inventory(sweep, make_places(Path(mkdtemp(dir=folder))), folder)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def said(arm: Any) -> dict[str, Any]:
    return {"recipe": {"name": "mini", "adapt": {"target": arm}}}


@pytest.mark.parametrize("arm", FITS)
def test_what_fits_is_taken(tiny_model: Path, shared_mini: Path, tmp_path: Path, arm: Any) -> None:
    assert problems_of(tmp_path, shared_mini, tiny_model, **said(arm)) == []


@pytest.mark.parametrize("line", UNFIT)
def test_what_does_not_is_told(
    tiny_model: Path, shared_mini: Path, tmp_path: Path, line: str
) -> None:
    (found,) = problems_of(tmp_path, shared_mini, tiny_model, **said(UNFIT[line]))
    assert found.startswith(line)


def test_so_is_what_a_space_may_draw(tiny_model: Path, shared_mini: Path, tmp_path: Path) -> None:
    space = {"adapt.target.frozen.layers": {"int": [0, 3]}}
    search = {"encoder": {"space": space}}
    (found,) = problems_of(tmp_path, shared_mini, tiny_model, search=search)
    assert found.startswith("search.encoder.space: models.m has 2 layers; got frozen: {layers: 3}")


@pytest.mark.parametrize("arm", [{"layer_decay": 0.9}, {"frozen": {"layers": 1}}])
def test_layers_that_share_their_weights_cannot_be_told(
    tiny_model: Path, shared_mini: Path, tmp_path: Path, arm: Any
) -> None:
    albert = tmp_path / "albert"
    shutil.copytree(tiny_model, albert)
    settings = json.loads((albert / "config.json").read_text())
    (albert / "config.json").write_text(json.dumps({**settings, "model_type": "albert"}))
    (found,) = problems_of(tmp_path, shared_mini, albert, **said(arm))
    assert "the layers of models.m (albert) are the same weights" in found
    assert "frozen layers and layer_decay are for bart" in found
    assert problems_of(tmp_path, shared_mini, albert, **said({"frozen": "embeddings"})) == []

"""Where what a sweep file names is: paths are paths, and `~` is the user's home."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import ConfigError
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.storage import open_storage

from ..conftest import make_places, make_sweep


def test_a_tilde_is_the_home(
    tiny_model: Path, shared_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    shutil.copytree(tiny_model, home / "xlmr [1]")
    shutil.copytree(shared_mini, home / "mirror [1]")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    sweep = make_sweep(
        models={"m": {"path": "~/xlmr [1]"}}, data={"root": "~/mirror [1]"}, storage="~/runs [1]"
    )
    for base in (None, here):
        assert Places.of(sweep, base).storage == home / "runs [1]"
    places = Places.of(sweep)
    places.storage.mkdir()
    open_storage(places.storage)
    inventory = take_inventory(sweep, places)
    assert inventory.models["m"].path == str(home / "xlmr [1]")
    assert set(inventory.folders.values()) == {str(home / "mirror [1]/xstilts/mini_xnli")}
    assert list(here.iterdir()) == []


def test_other_tildes_are_letters(tmp_path: Path) -> None:
    for storage in ("runs~", "a/~/b", "~nobody-of-that-name/runs"):
        places = Places.of(make_sweep(storage=storage), tmp_path)
        assert places.storage == tmp_path / storage


def test_a_task_of_ones_own_may_be_a_data_set_of_a_mirror(
    tiny_model: Path, shared_mini: Path, tmp_path: Path
) -> None:
    nli = {
        "kind": "pair",
        "hub": "xstilts/mini_xnli",
        "config": "{language}",
        "splits": {"train": "train", "test": "test"},
        "languages": ["en", "qaa"],
        "labels": ["entailment", "neutral", "contradiction"],
    }
    places = make_places(tmp_path / "runs")
    sweep = make_sweep(
        models={"m": {"path": str(tiny_model)}},
        data={"root": str(shared_mini)},
        tasks={"nli": nli},
        targets=["nli"],
        storage=str(places.storage),
    )
    inventory = take_inventory(sweep, places)
    assert inventory.folders == {"xstilts/mini_xnli": str(shared_mini / "xstilts/mini_xnli")}
    assert inventory.rows["xstilts/mini_xnli|qaa|test"] == 240
    cut = {name.rpartition("|")[2]: rows for name, rows in inventory.rows.items() if "%" in name}
    assert cut["10% of premises"] + cut["without 10% of premises"] == 6000


PRETRAINED = {"name": "mini", "pooler": "pretrained"}
SEARCHED = {"target": {"space": {"pooler": {"choice": ["none", "pretrained"]}}}}


@pytest.mark.parametrize(
    ("changes", "wanting"),
    [
        ({}, ""),
        ({"recipe": PRETRAINED}, "mini_nli, mini_xnli"),
        ({"recipe": {**PRETRAINED, "intermediate": {"pooler": "fresh"}}}, "mini_xnli"),
        ({"recipe": {**PRETRAINED, "targets": {"mini_xnli": {"pooler": "none"}}}}, "mini_nli"),
        ({"search": SEARCHED}, "mini_xnli"),
        ({"recipe": PRETRAINED, "intermediates": {}, "targets": ["mini_udpos"]}, ""),
    ],
)
def test_a_pretrained_pooler_is_asked_for_where_there_is_one(
    tiny_model: Path, shared_mini: Path, tmp_path: Path, changes: dict[str, Any], wanting: str
) -> None:
    """What would end the first trial is said before anything is trained."""
    head: dict[str, Any] = {
        "models": {"m": {"path": str(tiny_model)}},
        "data": {"root": str(shared_mini)},
        "intermediates": {"nli": {"tasks": ["mini_nli"]}},
    }
    sweep = make_sweep(**{**head, **changes})
    places = make_places(tmp_path / "runs")
    if not wanting:
        assert not take_inventory(sweep, places, tmp_path).models["m"].has_pooler
        return
    with pytest.raises(ConfigError) as caught:
        take_inventory(sweep, places, tmp_path)
    (problem,) = caught.value.problems
    assert str(problem) == (
        f"models.m: its weights have no pooler, from which {wanting} would go on; got "
        "pooler: pretrained; take `carried`, `fresh` or `none`"
    )


@pytest.mark.parametrize("labels", [["1", "3", "2"], ["0", "2", "1"], ["A", "C", "B"]])
def test_siqa_in_another_form_is_refused_before_anything_is_trained(
    tmp_path: Path, write_dataset: Any, labels: list[str]
) -> None:
    """Its labels are 1 to 3 in the Hub's copy, 0 to 2 or letters in others."""
    rows = {name: ["x"] * 3 for name in ("context", "question", "answerA", "answerB", "answerC")}
    siqa = {**rows, "label": labels}
    pairs = {name: ["x"] * 3 for name in ("premise", "choice1", "choice2", "question")}
    copa = {**pairs, "label": ["choice1", "choice2", "choice1"]}
    root = tmp_path / "mirror"
    write_dataset(root, "lighteval/siqa", {"default": {"train": siqa, "validation": siqa}})
    write_dataset(root, "aps/super_glue", {"copa": {"train": copa, "validation": copa}})
    xcopa = {"th": {"test": {**pairs, "label": [0, 1, 0]}}}
    write_dataset(root, "cambridgeltl/xcopa", xcopa)
    sweep = make_sweep(data={"root": str(root)}, targets=["xcopa"], languages=["th"])
    places = make_places(tmp_path / "runs")
    if labels[0] == "1":
        found = take_inventory(sweep, places)
        assert found.rows["lighteval/siqa|default|train"] == 3
        return
    with pytest.raises(ConfigError) as refused:
        take_inventory(sweep, places)
    (problem,) = refused.value.problems
    assert str(problem) == (
        f"data.root: siqa: row 0 of lighteval/siqa has the label '{labels[0]}'; the task declares "
        "1, 2, 3: this is another form of the data set, whose original files `xstilts data import` "
        "brings to that form"
    )

"""The atlas: a target's cells over the sweeps of one storage, each against its own baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xstilts.errors import ConfigError
from xstilts.files import write_json
from xstilts.report.atlas import atlas, atlas_table
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places

from ..conftest import make_places, make_sweep
from ..trial_records import record_json


def write_sweep(root: Path, name: str, **changes: Any) -> Places:
    places = make_places(root, name)
    sweep = make_sweep(name=name, seeds=[0, 1], **changes)
    for part in (INVENTORY, TARGET_POINTS):
        write_json(places.launch(1) / part, {})
    write_json(places.launch(1) / SWEEP, sweep.model_dump(mode="json", by_alias=True))
    return places


def write_trial(
    places: Places, intermediate: str, seed: int, value: float, model: str = "m"
) -> None:
    config = f"{intermediate}-{model}"
    rows = [
        {"target": "mini_xnli", "language": language, "split": split, "metric": "accuracy",
         "value": value, "n": 100, "is_chosen": True, "cell": "c", "config": config,
         "trial": f"{config}-s{seed}", "intermediate": intermediate, "model": model, "seed": seed}
        for split, languages in (("dev", ["en"]), ("test", ["en", "qaa"]))
        for language in languages
    ]  # fmt: skip
    record = record_json(
        f"{config}-s{seed}", config=config, seed=seed, scores=rows, intermediate=intermediate,
        point={"intermediate": intermediate, "model": model}, model=model, sweep=places.name,
    )  # fmt: skip
    folder = places.trials / record["trial"]
    folder.mkdir()
    write_json(folder / "record.json", record)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    own = {"languages": ["en", "qaa"]}
    first = write_sweep(tmp_path, "first", intermediates={"nli": {"tasks": ["mini_nli"]}}, **own)
    for seed in (0, 1):
        write_trial(first, "none", seed, 50.0 + seed)
        write_trial(first, "nli", seed, 58.0 + seed)
    models = {"m": {"path": "builtin:mini"}, "w": {"path": "models/wide"}}
    both = {"both": {"tasks": ["mini_nli", "mini_qa"]}, "never": {"tasks": ["mini_qa"]}}
    second = write_sweep(tmp_path, "second", intermediates=both, models=models, **own)
    for model, level in (("m", 40.0), ("w", 70.0)):
        for seed in (0, 1):
            write_trial(second, "none", seed, level + seed, model)
            write_trial(second, "both", seed, level + seed - 2, model)
    return tmp_path


def test_gains_stand_within_their_sweep_and_their_encoder(storage: Path) -> None:
    found = [(one.model, one.sweep, one.intermediate, one.said.gain) for one in cells(storage)]
    assert found == [
        ("builtin:mini", "first", "nli", 8.0),
        ("builtin:mini", "second", "both", -2.0),
        ("models/wide", "second", "both", -2.0),
    ]


def cells(storage: Path) -> list[Any]:
    return atlas(storage, "mini_xnli")


def test_json_has_the_interval_and_the_tasks(storage: Path) -> None:
    first = cells(storage)[0].to_json()
    assert first["tasks"] == ["mini_nli"] and first["n"] == 2
    assert first["low"] < 8 < first["high"] and not first["is_fresh"]


def test_the_table_cuts_no_name_at_80_columns(storage: Path) -> None:
    console = Console(width=80, record=True)
    console.print(atlas_table(cells(storage), "mini_xnli"))
    text = console.export_text()
    assert "models/wide" in text and "second" in text and "+8.0" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_sweep_that_cannot_be_read_is_named_and_left_out(storage: Path) -> None:
    broken = make_places(storage, "broken")
    write_json(broken.launch(1) / SWEEP, {"name": "broken"})
    for part in (INVENTORY, TARGET_POINTS):
        write_json(broken.launch(1) / part, {})
    told: list[str] = []
    assert len(atlas(storage, "mini_xnli", told.append)) == 3
    assert len(told) == 1 and told[0].startswith("left out: ") and "broken" in told[0]


def test_a_target_of_no_sweep_is_refused_with_the_nearest(storage: Path) -> None:
    with pytest.raises(ConfigError, match='did you mean "mini_xnli"'):
        atlas(storage, "mini_xnl")

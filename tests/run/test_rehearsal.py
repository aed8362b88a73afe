"""The rehearsal: every sort of stage once, short, in a store that is gone after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.load import parse_sweep
from xstilts.errors import StageError
from xstilts.plan.stage import Train
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.rehearsal import MAX_ROWS, MAX_STEPS, REHEARSAL, Scene, rehearse, scenes
from xstilts.run.storage import open_storage
from xstilts.search import launch, rehearsal
from xstilts.search.connection import connected, quieten
from xstilts.search.rehearsal import run_rehearsal


@pytest.fixture
def ready(tmp_path: Path, shared_mini: Path) -> Iterator[launch.Launch]:
    sweep = parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": str(shared_mini)},
            "intermediates": {
                "nli": {"tasks": ["mini_nli"]},
                "more": {"tasks": ["mini_nli"], "budget": {"examples": 5000}},
                "mix": {"tasks": ["mini_nli", "mini_qa"], "budget": {"examples": 1000}},
            },
            "targets": ["mini_xnli", "mini_tatoeba"],
            "search": {
                "encoder": {
                    "space": {
                        "intermediate.max_length": {"choice": [32, 64]},
                        "intermediate.learning_rate": {"choice": [1e-4, 1e-3]},
                    }
                }
            },
            "storage": str(tmp_path),
        },
        "test",
    )
    places = Places(tmp_path, "s")
    open_storage(tmp_path)
    with launch.prepared(sweep, places, take_inventory(sweep, places)) as opened:
        yield opened


def test_every_sort_of_stage_once_and_short(ready: launch.Launch) -> None:
    found = {scene.label: scene for scene in scenes(ready.planner)}
    # Two intermediates that differ in their budget alone are one sort.
    assert set(found) == {"nli", "mix", "mini_xnli", "mini_tatoeba"}
    for scene in found.values():
        if scene.train is not None:
            assert scene.train.num_steps <= MAX_STEPS
            assert all(
                part.dev is None or part.dev.num_rows <= MAX_ROWS for part in scene.train.parts
            )
        for stage in scene.evaluations:
            first = "qaa" if stage.rows.task == "mini_tatoeba" else "en"
            assert [name for name, _ in stage.rows.rows] == [first, "qaf"]
            assert all(count <= MAX_ROWS for _, count in stage.rows.rows)
    nli = found["nli"].train
    assert isinstance(nli, Train) and nli.parts[0].train.max_length == 64, "the longest"
    assert found["mini_tatoeba"].train is None


def test_a_scene_trains_saves_and_scores(ready: launch.Launch) -> None:
    (scene,) = (scene for scene in scenes(ready.planner) if scene.label == "mini_xnli")
    took = rehearse(str(ready.places.storage), "s", ready.lease.number, scene)
    assert took.seconds > 0 and took.steps_per_s > 0
    stages = list((ready.folder / REHEARSAL / "store").glob("*/result-*/DONE"))
    phases = sorted(path.parents[1].name.partition("-")[0] for path in stages)
    assert phases == ["evaluate", "target"]
    assert not list(ready.store.folder.iterdir()), "the sweep's own store is untouched"


@pytest.mark.ray
def test_what_fails_stops_the_sweep_and_what_passed_is_remembered(
    ready: launch.Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(storage: str, sweep: str, number: int, scene: Scene) -> Any:
        raise StageError(f"{scene.label}: no memory for one row")

    told: list[Any] = []
    number = ready.lease.number
    quieten(None)
    with connected(None):
        with monkeypatch.context() as patch:
            patch.setattr(rehearsal, "rehearse", pretend)
            with pytest.raises(StageError, match=r"rehearsal of \w+: .*no memory for one row"):
                run_rehearsal(ready.planner, ready.places, number, told.append)
        scene = next(scene for scene in scenes(ready.planner) if scene.label == "mini_tatoeba")
        monkeypatch.setattr(rehearsal, "scenes", lambda planner: [scene])
        run_rehearsal(ready.planner, ready.places, number, told.append)
        assert told[0] == "rehearsed 1 of 1: mini_tatoeba"
        assert not (ready.folder / REHEARSAL).exists()
        told.clear()
        ready.places.launch(number + 1).mkdir()
        run_rehearsal(ready.planner, ready.places, number + 1, told.append)
        assert told == [], "a resumed sweep does not rehearse again"

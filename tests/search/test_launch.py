"""Launching: what may change between two launches of a sweep, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from rich.console import Console

from xstilts.errors import ConfigError
from xstilts.files import Lease, read_json, write_json
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.run.places import Places
from xstilts.search.launch import is_complete, prepared, run_trials
from xstilts.search.preflight import check_storage
from xstilts.search.searcher import StageSearcher
from xstilts.tasks import lookup

from ..conftest import make_sweep

ROWS = {
    row_key(lookup("mini_xnli"), use, language): 10
    for use in lookup("mini_xnli").splits
    for language in lookup("mini_xnli").languages_of(use)
}
DATA = {"xstilts/a": "sha", lookup("mini_xnli").source.hub_id: "sha"}
INVENTORY = Inventory({"m": ModelFacts("/m", "w", "t", 2, 1)}, {}, DATA, ROWS)


def test_what_changes_no_result_may_change(tmp_path: Path) -> None:
    places = Places(tmp_path, "s")
    card = {"gpus_per_trial": 1}
    with prepared(make_sweep(resources=card), places, INVENTORY):
        pass
    free = {"checkpoint_minutes": 2, "gradient_checkpointing": True, "compile": True}
    later = make_sweep(
        search={"encoder": {"trials": 5}},
        storage="elsewhere",
        tracking={"uri": "http://127.0.0.1:5000"},
        resources={**card, **free},
    )
    with prepared(later, places, INVENTORY) as launch:
        assert not is_complete(launch)
    assert read_json(places.sweep / "sweep.json")["search"]["encoder"]["trials"] == 5


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seeds": [0, 1]}, "+- 1"),
        ({"targets": ["mini_xnli", "mini_tatoeba"]}, "+- mini_tatoeba"),
        ({"resources": {"cpus_per_trial": 2}}, "+  cpus_per_trial: 2"),
    ],
)
def test_another_configuration_is_refused_with_the_difference(
    tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    places = Places(tmp_path, "s")
    with prepared(make_sweep(), places, INVENTORY):
        pass
    before = read_json(places.sweep / "sweep.json")
    with (
        pytest.raises(ConfigError, match="another name") as caught,
        prepared(make_sweep(**changes), places, INVENTORY),
    ):
        pass
    assert line in str(caught.value)
    assert read_json(places.sweep / "sweep.json") == before


def test_a_sweep_may_gain_intermediates_and_what_they_read(tmp_path: Path) -> None:
    places = Places(tmp_path, "s")
    nli, qa = {"tasks": ["mini_nli"]}, {"tasks": ["mini_qa"]}
    with prepared(make_sweep(intermediates={"nli": nli}), places, INVENTORY) as launch:
        assert launch.grown_by == ()
    more = replace(INVENTORY, data={**INVENTORY.data, "xstilts/b": "sha"})
    larger = make_sweep(intermediates={"nli": nli, "qa": qa})
    with prepared(larger, places, more) as launch:
        assert launch.grown_by == ("qa",)
    with prepared(larger, places, more) as launch:
        assert launch.grown_by == ()
    for fewer in ({"qa": qa}, {"nli": {**nli, "examples": 5}, "qa": qa}):
        with (
            pytest.raises(ConfigError, match="another name"),
            prepared(make_sweep(intermediates=fewer), places, more),
        ):
            pass


def test_a_space_that_is_exhausted_is_complete(tmp_path: Path) -> None:
    space = {"target.epochs": {"choice": [1, 2]}}
    sweep = make_sweep(search={"encoder": {"trials": 20, "space": space}})
    with prepared(sweep, Places(tmp_path, "s"), INVENTORY) as launch:
        assert not is_complete(launch)
        while launch.proposals.ask() is not None:
            pass
        assert len(launch.proposals.made) == 2
        assert not is_complete(launch), "proposed, not finished"
        for proposal in launch.proposals.made.values():
            trial = launch.planner.plan(proposal.point, 0).trial_id
            record = {"state": "finished", "stages": []}
            write_json(launch.places.trials / trial / "record.json", record)
        assert is_complete(launch)


def test_changed_inputs_are_refused(tmp_path: Path) -> None:
    places = Places(tmp_path, "s")
    with prepared(make_sweep(), places, INVENTORY):
        pass
    weights = replace(INVENTORY, models={"m": replace(INVENTORY.models["m"], weights="other")})
    rows = replace(INVENTORY, data={**DATA, "xstilts/a": "other"})
    for changed, name in ((weights, "changed: m;"), (rows, "changed: xstilts/a;")):
        with (
            pytest.raises(ConfigError, match=name),
            prepared(make_sweep(), places, changed),
        ):
            pass
    moved = replace(INVENTORY, folders={"xstilts/a": "/moved"})
    with prepared(make_sweep(), places, moved):
        pass


def test_one_driver_at_a_time_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    places = Places(tmp_path, "s")
    with (
        prepared(make_sweep(), places, INVENTORY),
        pytest.raises(ConfigError, match="one process at a time"),
        prepared(make_sweep(), places, INVENTORY),
    ):
        pass
    dead = Lease(places.sweep / "driver.lease", owner={"host": "h", "pid": 2**22 + 1, "token": "x"})
    dead.owner["host"] = Lease(tmp_path / "x").owner["host"]
    assert dead.acquire()
    (places.sweep / "study.journal.lock").touch()
    with prepared(make_sweep(), places, INVENTORY):
        assert not (places.sweep / "study.journal.lock").exists()


def test_a_storage_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="storage: must be a folder that can be written"):
        check_storage(Places(tmp_path / "file", "s"))


class Fails(tune.Trainable):
    """Trials that end at once, and say so."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        return {"done": True, "outcome": "failed", "objective": None}


@pytest.mark.ray
def test_an_error_of_tunes_own_ends_no_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As its bookkeeping is at odds with itself after the death of a node, say."""
    suggest, calls = StageSearcher.suggest, []

    def failing(self: StageSearcher, trial_id: str) -> Any:
        calls.append(trial_id)
        if len(calls) == 2:
            raise RuntimeError("This is an error in Ray Tune's execution logic.")
        return suggest(self, trial_id)

    monkeypatch.setattr(StageSearcher, "suggest", failing)
    space = {"target.epochs": {"choice": [1, 2]}}
    sweep = make_sweep(search={"encoder": {"trials": 2, "space": space}})
    with prepared(sweep, Places(tmp_path, "s"), INVENTORY) as launch:
        run_trials(launch, None, Console().print, trainable=Fails)
        assert len(launch.proposals.made) == 2
        states = {trial.state.name for trial in launch.proposals._study.trials}
    assert states == {"FAIL"}, "every proposal was run and told"
    assert "Tune has failed and starts again: This is an error in Ray" in caplog.text

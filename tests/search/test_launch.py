"""Launching: what may change between two launches of a sweep, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from rich.console import Console

from xstilts.errors import ConfigError, LeaseLost, StorageGone
from xstilts.files import write_json
from xstilts.lease import HEARTBEAT_S, Lease, Owner, claim_path
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.run.kept import KEPT, kept_by_all
from xstilts.run.places import Places
from xstilts.run.storage import STORAGE, open_storage
from xstilts.search import launch as launching
from xstilts.search.journal import JOURNAL
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


def defined(places: Places) -> dict[str, Any]:
    """The sweep as it is known on disk."""
    definition = places.definition()
    assert definition is not None
    return definition.sweep


def test_what_changes_no_result_may_change(storage: Path) -> None:
    places = Places(storage, "s")
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
    assert defined(places)["search"]["encoder"]["trials"] == 5


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seeds": [0, 1]}, "+- 1"),
        ({"targets": ["mini_xnli", "mini_tatoeba"]}, "+- mini_tatoeba"),
        ({"resources": {"cpus_per_trial": 2}}, "+  cpus_per_trial: 2"),
    ],
)
def test_another_configuration_is_refused_with_the_difference(
    storage: Path, changes: dict[str, Any], line: str
) -> None:
    places = Places(storage, "s")
    with prepared(make_sweep(), places, INVENTORY):
        pass
    before = defined(places)
    with (
        pytest.raises(ConfigError, match="another name") as caught,
        prepared(make_sweep(**changes), places, INVENTORY),
    ):
        pass
    assert line in str(caught.value)
    assert defined(places) == before


def test_a_sweep_may_gain_intermediates_and_what_they_read(storage: Path) -> None:
    places = Places(storage, "s")
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


def test_a_space_that_is_exhausted_is_complete(storage: Path) -> None:
    space = {"target.epochs": {"choice": [1, 2]}}
    sweep = make_sweep(search={"encoder": {"trials": 20, "space": space}})
    with prepared(sweep, Places(storage, "s"), INVENTORY) as launch:
        assert not is_complete(launch)
        while launch.proposals.ask() is not None:
            pass
        assert len(launch.proposals.made) == 2
        assert not is_complete(launch), "proposed, not finished"
        for proposal in launch.proposals.made.values():
            trial = launch.planner.plan(proposal.point, 0).trial_id
            record = {"state": "finished", "stages": []}
            (launch.places.trials / trial).mkdir()
            write_json(launch.places.trials / trial / "record.json", record)
        assert is_complete(launch)


def test_changed_inputs_are_refused(storage: Path) -> None:
    places = Places(storage, "s")
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


def test_one_driver_at_a_time_and_a_dead_one_holds_nothing(storage: Path) -> None:
    places = Places(storage, "s")
    with prepared(make_sweep(), places, INVENTORY) as launch:
        assert launch.lease.number == 1
        proposal = launch.proposals.ask()
        begun = time.monotonic()
        with (
            pytest.raises(ConfigError, match=f"one process at a time; got process {os.getpid()}"),
            prepared(make_sweep(), places, INVENTORY),
        ):
            pass
        assert time.monotonic() - begun < HEARTBEAT_S, "it is known to live"
    assert proposal is not None
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    lease = Lease(places.launches, owner=replace(Owner.current(), pid=dead.pid))
    assert lease.acquire()
    places.launch(2).mkdir()
    journal = (places.launch(1) / JOURNAL).read_text()
    (places.launch(2) / JOURNAL).write_text(journal + '{"op_code":')  # it died in the middle
    begun = time.monotonic()
    with prepared(make_sweep(), places, INVENTORY) as launch:
        assert time.monotonic() - begun < HEARTBEAT_S
        assert launch.lease.number == 3
        assert list(launch.proposals.made) == [proposal.config_id]


def test_a_driver_elsewhere_is_refused_while_its_lease_beats_and_taken_over_when_it_is_silent(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(storage, "s")
    monkeypatch.setattr(launching, "Lease", partial(Lease, heartbeat_s=0.2))
    with prepared(make_sweep(), places, INVENTORY):
        pass
    theirs = Lease(places.launches, 0.2, owner=replace(Owner.current(), host="elsewhere"))
    assert theirs.acquire()
    with (
        theirs.held(),
        pytest.raises(ConfigError, match=f"process {os.getpid()} on elsewhere"),
        prepared(make_sweep(), places, INVENTORY),
    ):
        pass
    assert theirs.acquire() and theirs.number == 3, "the refused one has taken no number"
    begun = time.monotonic()
    with prepared(make_sweep(), places, INVENTORY) as launch:
        assert time.monotonic() - begun >= theirs.patience_s
        assert launch.lease.number == 4


def test_a_driver_that_was_taken_over_writes_nothing_that_counts(storage: Path) -> None:
    """It was stopped for so long that another took the sweep, and wakes up."""
    places = Places(storage, "s")
    space = {"target.epochs": {"choice": [1, 2]}}
    sweep = make_sweep(search={"encoder": {"trials": 2, "space": space}})
    with prepared(sweep, places, INVENTORY) as launch:
        claim_path(places.launches, 2).touch()
        with pytest.raises(LeaseLost, match="taken over"):
            launch.check()
        with pytest.raises(LeaseLost, match="taken over"):
            launch.proposals.ask()
    assert launch.proposals.made == {}


def test_a_launch_on_another_storage_than_its_own_is_told(storage: Path) -> None:
    with prepared(make_sweep(), Places(storage, "s"), INVENTORY) as launch:
        launch.check()
        (storage / STORAGE).rename(storage / "away")
        with pytest.raises(StorageGone, match="not there"):
            launch.check()
        open_storage(storage)
        with pytest.raises(StorageGone, match="another storage"):
            launch.check()


def test_a_launch_that_was_killed_as_it_wrote_the_sweep_counts_for_nothing(storage: Path) -> None:
    places = Places(storage, "s")
    with prepared(make_sweep(), places, INVENTORY):
        pass
    claim_path(places.launches, 2).touch()
    places.launch(2).mkdir()
    write_json(places.launch(2) / "inventory.json", {"of": "another sweep"})
    definition = places.definition()
    assert definition is not None and definition.folder == places.launch(1)


def test_what_a_sweep_keeps_outlives_launches_that_do_nothing(storage: Path) -> None:
    """Each says only that everything is done; what `gc` leaves alone must not change by it."""
    places = Places(storage, "s")
    with prepared(make_sweep(), places, INVENTORY) as launch:
        write_json(launch.folder / KEPT, ["target-best"])
    for _ in range(3):
        with prepared(make_sweep(), places, INVENTORY):
            assert kept_by_all(storage) == {"target-best"}


def test_of_launches_before_the_last_only_their_time_is_kept(storage: Path) -> None:
    places = Places(storage, "s")
    for number in (1, 2, 3):
        with prepared(make_sweep(), places, INVENTORY) as launch:
            assert launch.lease.number == number
            write_json(launch.folder / "usage.json", {"slot_s": number})
            (launch.folder / "tune" / "deep").mkdir(parents=True)
    assert [path.name for path in places.launch(1).iterdir()] == ["usage.json"]
    whole = {"sweep.json", "sweep.yaml", "inventory.json", "target_points.json", "study.journal"}
    assert whole | {"usage.json"} <= {path.name for path in places.launch(2).iterdir()}
    assert not (places.launch(2) / "tune").exists()


def test_a_storage_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="storage: must be a folder that can be written"):
        check_storage(Places(tmp_path / "file", "s"), pytest.fail)


class Fails(tune.Trainable):
    """Trials that end at once, and say so."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        return {"done": True, "outcome": "failed", "objective": None}


@pytest.mark.ray
def test_an_error_of_tunes_own_ends_no_sweep(
    storage: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
    with prepared(sweep, Places(storage, "s"), INVENTORY) as launch:
        run_trials(launch, None, Console().print, trainable=Fails)
        assert len(launch.proposals.made) == 2
        states = {trial.state.name for trial in launch.proposals._study.trials}
    assert states == {"FAIL"}, "every proposal was run and told"
    assert "Tune has failed and starts again: This is an error in Ray" in caplog.text

"""Launching: what may change between two launches of a sweep, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from rich.console import Console

from tests.trial_records import entry_json, record_json
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, LeaseLost, StorageGone
from xstilts.files import read_json, write_json
from xstilts.lease import HEARTBEAT_S, Lease, Owner, claim_path
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.plan.stage import stage_name
from xstilts.run.kept_weights import KEPT, kept_by_all
from xstilts.run.places import SWEEP, Places
from xstilts.run.reopen import planner_of
from xstilts.run.storage import STORAGE, open_storage
from xstilts.search import launch as launching
from xstilts.search.completion import is_complete, read_final
from xstilts.search.journal import JOURNAL
from xstilts.search.launch import Launch, prepared, run_trials
from xstilts.search.preflight import check_storage
from xstilts.search.searcher import StageSearcher
from xstilts.tasks import lookup

from ..conftest import make_stage, make_sweep

ROWS = {
    row_key(lookup("mini_xnli"), use, language): 10
    for use in lookup("mini_xnli").splits
    for language in lookup("mini_xnli").languages_of(use)
}
DATA = {"xstilts/a": "sha", lookup("mini_xnli").source.hub_id: "sha"}
INVENTORY = Inventory({"m": ModelFacts("/m", "w", "t", 2, 1)}, {}, DATA, ROWS)


PLUGIN = """
from dataclasses import replace
from xstilts.tasks import lookup

def tasks():
    return [replace(lookup("mini_xnli"), name="task_of_a_launch")]
"""


@contextmanager
def launched(
    sweep: Sweep, places: Places, inventory: Inventory, **options: Any
) -> Iterator[Launch]:
    """A launch whose first trial has begun."""
    with prepared(sweep, places, inventory, **options) as launch:
        places.begin(launch.lease.number)
        yield launch


def defined(places: Places) -> dict[str, Any]:
    """The sweep as it is known on disk."""
    definition = places.definition()
    assert definition is not None
    return definition.sweep


def test_what_changes_no_result_may_change(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make_sweep(resources={"gpus_per_trial": 1}), places, INVENTORY):
        pass
    free = {"checkpoint_minutes": 2, "gradient_checkpointing": True, "compile": True}
    free |= {"cpus_per_trial": 2, "gpus_per_trial": 0.5}
    later = make_sweep(
        search={"encoder": {"trials": 5}},
        storage="elsewhere",
        tracking={"uri": "http://127.0.0.1:5000"},
        resources=free,
    )
    with launched(later, places, INVENTORY) as launch:
        assert not is_complete(launch)
    assert defined(places)["search"]["encoder"]["trials"] == 5


def test_a_plugin_may_come_and_not_go(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugin_of_a_launch.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    places = Places(storage, "s")
    with launched(make_sweep(), places, INVENTORY):
        pass
    with launched(make_sweep(plugins=["plugin_of_a_launch"]), places, INVENTORY) as launch:
        assert not launch.growth
    with (
        pytest.raises(ConfigError, match="-- plugin_of_a_launch"),
        launched(make_sweep(), places, INVENTORY),
    ):
        pass
    said = {"name": "mini", "targets": {"task_of_a_launch": {"epochs": 2}}}
    mine = {"plugins": ["plugin_of_a_launch"], "targets": ["task_of_a_launch"], "recipe": said}
    with launched(make_sweep(**mine), Places(storage, "mine"), INVENTORY):
        pass
    with launched(make_sweep(**mine, seeds=[0, 1]), Places(storage, "mine"), INVENTORY) as launch:
        assert launch.growth.seeds == (1,)


def test_a_recipe_may_gain_what_only_additions_read(storage: Path) -> None:
    """An override of a task that is there already changes its stages, and is refused."""
    places = Places(storage, "s")
    nli, qa = {"tasks": ["mini_nli"]}, {"tasks": ["mini_qa"]}
    said = {"name": "mini", "tasks": {"mini_qa": {"epochs": 2}}}
    with launched(make_sweep(intermediates={"nli": nli}), places, INVENTORY):
        pass
    both = {"nli": nli, "qa": qa}
    for key, task in (("tasks", "mini_nli"), ("targets", "mini_xnli")):
        there = {"name": "mini", key: {task: {"epochs": 2}}}
        with (
            pytest.raises(ConfigError, match=f"{task}:"),
            launched(make_sweep(intermediates=both, recipe=there), places, INVENTORY),
        ):
            pass
    with launched(make_sweep(intermediates=both, recipe=said), places, INVENTORY) as launch:
        assert str(launch.growth) == "intermediate qa"
    assert defined(places)["recipe"] == said
    for other in ("mini", {**said, "tasks": {"mini_nli": {"epochs": 2}}}):
        with (
            pytest.raises(ConfigError, match="another name") as caught,
            launched(make_sweep(intermediates=both, recipe=other), places, INVENTORY),
        ):
            pass
        assert "mini_qa:" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seeds": [1]}, "-- 0"),
        ({"targets": ["mini_udpos"]}, "-- mini_xnli"),
        ({"retries": 1}, "+retries: 1"),
        ({"recipe": {"name": "mini", "target": {"epochs": 2}}}, "+    epochs: 2"),
        ({"languages": ["en"]}, "+- en"),
    ],
)
def test_another_configuration_is_refused_with_the_difference(
    storage: Path, changes: dict[str, Any], line: str
) -> None:
    places = Places(storage, "s")
    with launched(make_sweep(), places, INVENTORY):
        pass
    before = defined(places)
    with (
        pytest.raises(ConfigError, match="another name") as caught,
        launched(make_sweep(**changes), places, INVENTORY),
    ):
        pass
    assert line in str(caught.value)
    assert defined(places) == before


def test_a_sweep_may_gain_intermediates_and_what_they_read(storage: Path) -> None:
    places = Places(storage, "s")
    nli, qa = {"tasks": ["mini_nli"]}, {"tasks": ["mini_qa"]}
    with launched(make_sweep(intermediates={"nli": nli}), places, INVENTORY) as launch:
        assert not launch.growth and launch.told() == []
    more = replace(INVENTORY, data={**INVENTORY.data, "xstilts/b": "sha"})
    larger = make_sweep(intermediates={"nli": nli, "qa": qa})
    with launched(larger, places, more) as launch:
        assert launch.growth.intermediates == ("qa",)
    with launched(larger, places, more) as launch:
        assert not launch.growth and launch.told() == []
    for fewer in ({"qa": qa}, {"nli": {**nli, "examples": 5}, "qa": qa}):
        with (
            pytest.raises(ConfigError, match="another name"),
            launched(make_sweep(intermediates=fewer), places, more),
        ):
            pass


def test_what_lies_in_the_storage_is_named_from_there(storage: Path) -> None:
    places = Places(storage, "s")
    there = replace(INVENTORY, folders={"xstilts/a": str(storage / "mini-v1"), "b": "/elsewhere"})
    with launched(make_sweep(), places, there) as launch:
        folder = launch.folder.relative_to(storage)
        planner = planner_of(places, storage / folder)
        assert planner.inventory.folders == there.folders
    moved = storage.rename(storage.with_name(f"{storage.name}-moved"))
    planner = planner_of(Places(moved, "s"), moved / folder)
    assert planner.inventory.folders == {"xstilts/a": str(moved / "mini-v1"), "b": "/elsewhere"}


def test_a_key_that_has_come_since_has_its_default(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make_sweep(), places, INVENTORY):
        pass
    known = defined(places)
    del known["retries"]
    write_json(places.launch(1) / "sweep.json", known)
    with launched(make_sweep(), places, INVENTORY) as launch:
        assert launch.lease.number == 2


def test_a_launch_that_began_no_trial_reserves_nothing(storage: Path) -> None:
    """It was refused by a node, a rehearsal or a server; the name is free for another file."""
    places = Places(storage, "s")
    refused: list[type[BaseException]] = [ConfigError, KeyboardInterrupt, StorageGone]
    for error in refused:
        with pytest.raises(error), prepared(make_sweep(), places, INVENTORY) as launch:
            assert defined(places)["recipe"] == "mini", "others see what is being launched"
            launch.proposals.ask()
            raise error([]) if error is ConfigError else error
        assert places.definition() is None
    with launched(make_sweep(seeds=[3]), places, INVENTORY) as launch:
        assert launch.proposals.made == {} and not launch.growth
    assert defined(places)["seeds"] == [3]


def test_a_launch_that_was_killed_before_its_first_trial_reserves_nothing(storage: Path) -> None:
    places = Places(storage, "s")
    with prepared(make_sweep(), places, INVENTORY) as launch:
        launch.proposals.ask()
        killed = {path.name: path.read_bytes() for path in launch.folder.iterdir()}
    for name, content in killed.items():  # as it lay there at the moment of the kill
        (places.launch(1) / name).write_bytes(content)
    weights = replace(INVENTORY, models={"m": replace(INVENTORY.models["m"], weights="other")})
    with launched(make_sweep(retries=1), places, weights) as launch:
        assert launch.proposals.made == {}
    assert defined(places)["retries"] == 1


def test_a_refused_launch_takes_nothing_from_those_before(storage: Path) -> None:
    places = Places(storage, "s")
    space = {"target.epochs": {"choice": [1, 2]}}
    sweep = make_sweep(search={"encoder": {"trials": 2, "space": space}})
    with launched(sweep, places, INVENTORY) as launch:
        made = launch.proposals.ask()
    assert made is not None
    grown = sweep.model_copy(update={"seeds": (0, 1)})
    for _ in range(3):
        with pytest.raises(LeaseLost), prepared(grown, places, INVENTORY) as launch:
            assert launch.growth.seeds == (1,)
            raise LeaseLost
    assert defined(places)["seeds"] == [0]
    with launched(sweep, places, INVENTORY) as launch:
        assert list(launch.proposals.made) == [made.config_id]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_sweep_of_before_keeps_its_objective(storage: Path, is_told: bool) -> None:
    """Another default is no other sweep; another word in its file is."""
    places = Places(storage, "s")
    with launched(make_sweep(objective={"metric": "dev/avg"}), places, INVENTORY) as launch:
        path = launch.folder / SWEEP
    if not is_told:  # of a version that did not write it
        stored = read_json(path)
        del stored["objective"]
        write_json(path, stored)
    with launched(make_sweep(), places, INVENTORY) as launch:
        assert launch.sweep.objective.metric == "dev/avg"
    assert defined(places)["objective"] == {"metric": "dev/avg", "mode": "max"}
    with (
        pytest.raises(ConfigError, match=r"(?s)exists with another.*dev/weighted"),
        launched(make_sweep(objective={"metric": "dev/weighted"}), places, INVENTORY),
    ):
        pass
    with launched(make_sweep(), Places(storage, "new"), INVENTORY) as launch:
        assert launch.sweep.objective.metric == "dev/weighted"


def finish(launch: Launch, point: dict[str, Any], seed: int, objective: float) -> None:
    """A trial as it lies there when it has ended."""
    plan = launch.planner.plan(point, seed)
    stages = [
        entry_json(make_stage(launch.places.storage, stage_name(stage), {"a": ""}).parent.name)
        for stage in plan.training_stages
        if not launch.store.has(stage)
    ]
    record = record_json(
        plan.trial_id,
        stages=stages,
        scores=[{"target": name} for name in launch.sweep.targets],
        objective=objective,
        processes=launch.planner.world_size,
        precision=launch.planner.precision,
    )
    folder = launch.places.trials / plan.trial_id
    folder.mkdir(exist_ok=True)
    write_json(folder / "record.json", record)


ALL_ROWS = {
    row_key(lookup(name), use, language): 10
    for name in ("mini_xnli", "mini_tatoeba", "mini_nli")
    for use in lookup(name).splits
    for language in lookup(name).languages_of(use)
}
ALL = replace(
    INVENTORY,
    rows=ALL_ROWS,
    data={lookup(x).source.hub_id: "sha" for x in ("mini_xnli", "mini_tatoeba", "mini_nli")},
)
SPACE = {"target.epochs": {"choice": [1, 2]}}


def test_a_sweep_may_gain_seeds_and_targets_and_runs_what_is_missing(storage: Path) -> None:
    places = Places(storage, "s")
    sweep = make_sweep(search={"encoder": {"trials": 2, "space": SPACE}})
    with launched(sweep, places, ALL) as launch:
        while (proposal := launch.proposals.ask()) is not None:
            finish(launch, proposal.point, 0, 50.0)
            launch.proposals.tell(proposal.config_id, 50.0)
        assert is_complete(launch)
        points = [proposal.point for proposal in launch.proposals.made.values()]

    grown = make_sweep(search={"encoder": {"trials": 2, "space": SPACE}}, seeds=[0, 1])
    with launched(grown, places, ALL) as launch:
        assert launch.told() == [
            "The sweep has grown by seed 1: its finished trials count, and what is missing is run"
        ]
        assert not is_complete(launch)
        final = [
            read_final(launch, launch.planner.plan(p, seed)) for p in points for seed in (0, 1)
        ]
        assert [record is not None for record in final] == [True, False, True, False]
        # No value is that of both seeds yet: the study waits for them.
        assert [trial.value for trial in launch.proposals._study.trials] == [None, None]
        assert launch.proposals.ask() is None
        for point in points:
            finish(launch, point, 1, 60.0)
        assert is_complete(launch)

    more = make_sweep(
        search={"encoder": {"trials": 2, "space": SPACE}},
        seeds=[0, 1],
        targets=["mini_xnli", "mini_tatoeba"],
        languages={"mini_tatoeba": ["qaa"]},
    )
    with launched(more, places, ALL) as launch:
        assert str(launch.growth) == "target mini_tatoeba"
        assert not is_complete(launch), "the new target is not scored"
        for point in points:
            for seed in (0, 1):
                finish(launch, point, seed, 70.0)
        assert is_complete(launch)
    assert set(defined(places)["targets"]) == {"mini_xnli", "mini_tatoeba"}


def test_additions_for_which_trials_leaves_no_room_are_said(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make_sweep(), places, ALL) as launch:
        proposal = launch.proposals.ask()
        assert proposal is not None
        finish(launch, proposal.point, 0, 50.0)
        launch.proposals.tell(proposal.config_id, 50.0)
    nli = {"nli": {"tasks": ["mini_nli"]}}
    with launched(make_sweep(intermediates=nli), places, ALL) as launch:
        _, line = launch.told()
        assert line == (
            "search.encoder.trials leaves room for 0 of nli: 1 of 1 configurations are made; raise "
            "it to try them all"
        )
    roomy = make_sweep(intermediates=nli, search={"encoder": {"trials": 2}})
    with launched(roomy, places, ALL) as launch:
        assert launch.told() == []


def test_other_processes_are_refused_with_the_stages_they_would_train_again(storage: Path) -> None:
    places = Places(storage, "s")
    search = {"encoder": {"trials": 2, "space": SPACE}}
    sweep = make_sweep(search=search)
    two = make_sweep(search=search, resources={"cpus_per_trial": 2, "processes_per_trial": 2})
    card = make_sweep(search=search, resources={"gpus_per_trial": 1})
    with launched(sweep, places, ALL):
        pass
    with launched(two, places, ALL):  # nothing was trained yet
        pass
    with launched(sweep, places, ALL) as launch:
        while (proposal := launch.proposals.ask()) is not None:
            finish(launch, proposal.point, 0, 50.0)
    for other in (two, card):
        with (
            pytest.raises(ConfigError, match="2 finished stages would be trained again") as caught,
            launched(other, places, ALL),
        ):
            pass
        assert len(str(caught.value).splitlines()) == 1 and "--retrain" in str(caught.value)
    assert defined(places)["resources"]["processes_per_trial"] is None
    with launched(two, places, ALL, with_retraining=True) as launch:
        assert not is_complete(launch), "what was trained otherwise is trained again"
    with launched(two, places, ALL) as launch:  # the same command goes on without the option
        assert launch.planner.world_size == 2


def test_a_space_that_is_exhausted_is_complete(storage: Path) -> None:
    space = {"target.epochs": {"choice": [1, 2]}}
    sweep = make_sweep(search={"encoder": {"trials": 20, "space": space}})
    with launched(sweep, Places(storage, "s"), INVENTORY) as launch:
        assert not is_complete(launch)
        while launch.proposals.ask() is not None:
            pass
        assert len(launch.proposals.made) == 2
        assert not is_complete(launch), "proposed, not finished"
        for proposal in launch.proposals.made.values():
            trial = launch.planner.plan(proposal.point, 0).trial_id
            record = record_json(trial, scores=[{"target": "mini_xnli"}])
            (launch.places.trials / trial).mkdir()
            write_json(launch.places.trials / trial / "record.json", record)
        assert is_complete(launch)


def test_changed_inputs_are_refused(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make_sweep(), places, INVENTORY):
        pass
    weights = replace(INVENTORY, models={"m": replace(INVENTORY.models["m"], weights="other")})
    rows = replace(INVENTORY, data={**DATA, "xstilts/a": "other"})
    for changed, name in ((weights, "changed: m;"), (rows, "changed: xstilts/a;")):
        with (
            pytest.raises(ConfigError, match=name),
            launched(make_sweep(), places, changed),
        ):
            pass
    moved = replace(INVENTORY, folders={"xstilts/a": "/moved"})
    with launched(make_sweep(), places, moved):
        pass


def test_one_driver_at_a_time_and_a_dead_one_holds_nothing(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make_sweep(), places, INVENTORY) as launch:
        assert launch.lease.number == 1
        proposal = launch.proposals.ask()
        begun = time.monotonic()
        with (
            pytest.raises(ConfigError, match=f"one process at a time; got process {os.getpid()}"),
            launched(make_sweep(), places, INVENTORY),
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
    with launched(make_sweep(), places, INVENTORY) as launch:
        assert time.monotonic() - begun < HEARTBEAT_S
        assert launch.lease.number == 3
        assert list(launch.proposals.made) == [proposal.config_id]


def test_a_driver_elsewhere_is_refused_while_its_lease_beats_and_taken_over_when_it_is_silent(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(storage, "s")
    monkeypatch.setattr(launching, "Lease", partial(Lease, heartbeat_s=0.2))
    with launched(make_sweep(), places, INVENTORY):
        pass
    theirs = Lease(places.launches, 0.2, owner=replace(Owner.current(), host="elsewhere"))
    assert theirs.acquire()
    with (
        theirs.held(),
        pytest.raises(ConfigError, match=f"process {os.getpid()} on elsewhere"),
        launched(make_sweep(), places, INVENTORY),
    ):
        pass
    assert theirs.acquire() and theirs.number == 3, "the refused one has taken no number"
    begun = time.monotonic()
    with launched(make_sweep(), places, INVENTORY) as launch:
        assert time.monotonic() - begun >= theirs.patience_s
        assert launch.lease.number == 4


def test_a_driver_that_was_taken_over_writes_nothing_that_counts(storage: Path) -> None:
    """It was stopped for so long that another took the sweep, and wakes up."""
    places = Places(storage, "s")
    space = {"target.epochs": {"choice": [1, 2]}}
    sweep = make_sweep(search={"encoder": {"trials": 2, "space": space}})
    with launched(sweep, places, INVENTORY) as launch:
        claim_path(places.launches, 2).touch()
        with pytest.raises(LeaseLost, match="taken over"):
            launch.check()
        with pytest.raises(LeaseLost, match="taken over"):
            launch.proposals.ask()
    assert launch.proposals.made == {}


def test_a_launch_on_another_storage_than_its_own_is_told(storage: Path) -> None:
    with launched(make_sweep(), Places(storage, "s"), INVENTORY) as launch:
        launch.check()
        (storage / STORAGE).rename(storage / "away")
        with pytest.raises(StorageGone, match="not there"):
            launch.check()
        open_storage(storage)
        with pytest.raises(StorageGone, match="another storage"):
            launch.check()


def test_a_launch_that_was_killed_as_it_wrote_the_sweep_counts_for_nothing(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make_sweep(), places, INVENTORY):
        pass
    claim_path(places.launches, 2).touch()
    places.launch(2).mkdir()
    write_json(places.launch(2) / "inventory.json", {"of": "another sweep"})
    definition = places.definition()
    assert definition is not None and definition.folder == places.launch(1)


def test_what_a_sweep_keeps_outlives_launches_that_do_nothing(storage: Path) -> None:
    """Each says only that everything is done; what `gc` leaves alone must not change by it."""
    places = Places(storage, "s")
    with launched(make_sweep(), places, INVENTORY) as launch:
        write_json(launch.folder / KEPT, ["target-best"])
    for _ in range(3):
        with launched(make_sweep(), places, INVENTORY):
            assert kept_by_all(storage) == {"target-best"}


def test_of_launches_before_the_last_only_their_time_is_kept(storage: Path) -> None:
    places = Places(storage, "s")
    for number in (1, 2, 3):
        with launched(make_sweep(), places, INVENTORY) as launch:
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
    with launched(sweep, Places(storage, "s"), INVENTORY) as launch:
        run_trials(launch, None, Console().print, trainable=Fails)
        assert len(launch.proposals.made) == 2
        states = {trial.state.name for trial in launch.proposals._study.trials}
    assert states == {"FAIL"}, "every proposal was run and told"
    assert "Tune has failed and starts again: This is an error in Ray" in caplog.text


def test_a_sweep_may_gain_a_target_with_its_chain_and_keeps_those_that_it_has(
    storage: Path,
) -> None:
    places = Places(storage, "s")
    with launched(make_sweep(targets=["mini_xnli"]), places, INVENTORY):
        pass
    chained = {"targets": ["mini_xnli", "xcopa"], "train": {"xcopa": ["siqa", "copa"]}}
    rows = defaultdict(lambda: 10, ROWS)
    known = ("cambridgeltl/xcopa", "lighteval/siqa", "aps/super_glue")
    more = replace(INVENTORY, rows=rows, data={**DATA, **dict.fromkeys(known, "sha")})
    with launched(make_sweep(**chained), places, more) as launch:
        assert launch.growth.targets == ("xcopa",)
    said = {"name": "mini", "targets": {"siqa": {"epochs": 2}}}
    for changes in ({"train": {"xcopa": ["copa"]}}, {"recipe": said}):
        with (
            pytest.raises(ConfigError, match="another configuration"),
            launched(make_sweep(**{**chained, **changes}), places, more),
        ):
            pass

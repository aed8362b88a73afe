"""Confirmation: what search chose is written down once, and runs again with fresh seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from xstilts.config.derive import languages_of
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError
from xstilts.files import write_json
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.plan.stage import stage_name
from xstilts.plan.trial_plan import TrialPlan
from xstilts.run.confirmation import (
    CHOICE,
    Choice,
    confirmed_seeds,
    num_confirming,
    read_choice,
    write_choice,
)
from xstilts.run.places import Places
from xstilts.search.completion import check_ended, is_complete, race_of, read_final
from xstilts.search.launch import Launch, prepared
from xstilts.tasks import lookup

from ..conftest import make_stage, make_sweep
from ..trial_records import entry_json, record_json

NAMES = ("mini_nli", "mini_choice", "mini_qa", "mini_xnli", "mini_udpos", "mini_tatoeba")
INVENTORY = Inventory(
    {"m": ModelFacts("/m", "w", "t", 2, 1)},
    {},
    {lookup(name).source.hub_id: name for name in NAMES},
    {
        row_key(lookup(name), use, language): 10
        for name in NAMES
        for use in lookup(name).splits
        for language in lookup(name).languages_of(use)
    },
)
DEV = {"none": 50.0, "nli": 60.0, "choice": 70.0, "qa": 55.0}
"""Dev on mini_xnli by the intermediate; on mini_udpos the other way round."""

CONFIRM = {"top": 2, "seeds": 3}
SEARCH = {
    "encoder": {"trials": 4},
    "target": {"trials": 2, "space": {"learning_rate": {"choice": [1e-4, 1e-3]}}},
}


def make(**changes: Any) -> Sweep:
    tasks = {"nli": "mini_nli", "choice": "mini_choice", "qa": "mini_qa"}
    return make_sweep(
        **{
            "intermediates": {name: {"tasks": [task]} for name, task in tasks.items()},
            "targets": ["mini_xnli", "mini_udpos", "mini_tatoeba"],
            "languages": ["en", "qaa"],
            "seeds": [0, 1],
            "search": SEARCH,
            "confirm": CONFIRM,
            **changes,
        }
    )


@contextmanager
def launched(sweep: Sweep, places: Places) -> Iterator[Launch]:
    with prepared(sweep, places, INVENTORY) as launch:
        yield launch
        places.begin(launch.lease.number)


def dev_of(target: str, intermediate: str, seed: int, cell: int) -> float:
    """The first point has the highest of all with seed 0, the second is better over both seeds."""
    value = DEV[intermediate] if target == "mini_xnli" else 120 - DEV[intermediate]
    return value + ((5, -6), (-3, 4))[cell][seed % 2]


def finish(launch: Launch, plan: TrialPlan, targets: Sequence[str] = (), **metrics: float) -> None:
    """A trial as it lies there when it has ended, on all targets of its plan or on some."""
    stages = [entry_json(stage_name(stage)) for stage in plan.training_stages]
    for stage in plan.training_stages:
        if not launch.store.has(stage):
            make_stage(launch.places.storage, stage_name(stage), {"a": ""})
    rows: list[dict[str, Any]] = []
    for group in plan.target_sets:
        for target in group.targets:
            task = find_task(launch.sweep, target)
            values = [
                dev_of(target, plan.intermediate, plan.seed, i) for i, _ in enumerate(group.cells)
            ]
            same = {"target": target, "metric": task.metrics[0], "cell": "", "n": 100}
            scored = {**same, "split": "test", "value": 50.0, "is_chosen": True}
            languages = () if plan.is_short else languages_of(launch.sweep, task)
            rows += [{**scored, "language": x} for x in languages]
            rows += [
                {
                    **same,
                    "language": "en",
                    "split": "dev",
                    "value": x,
                    "is_chosen": x == max(values),
                }
                for x in values
            ]
    rows = [row for row in rows if not targets or row["target"] in targets]
    record = record_json(
        plan.trial_id,
        config=plan.config_id,
        point=plan.point,
        seed=plan.seed,
        phase=plan.phase,
        rung=plan.rung,
        confirms=plan.confirms,
        targets=None if plan.subset is None else list(plan.subset),
        intermediate=plan.intermediate,
        metrics={f"cost/{name}": value for name, value in metrics.items()},
        stages=stages,
        scores=rows,
        processes=launch.planner.world_size,
        precision=launch.planner.precision,
    )
    folder = launch.places.trials / plan.trial_id
    folder.mkdir(exist_ok=True)
    write_json(folder / "record.json", record)


def finish_search(launch: Launch, **metrics: float) -> None:
    while launch.proposals.ask() is not None:
        pass
    for proposal in launch.proposals.made.values():
        for seed in launch.sweep.seeds:
            finish(launch, launch.planner.plan(proposal.point, seed), **metrics)


def confirmed(plans: Sequence[TrialPlan]) -> dict[str, Mapping[str, Any]]:
    """The targets of every intermediate's trial, with their points, of one seed."""
    return {p.intermediate: p.confirms or {} for p in plans if p.seed == plans[0].seed}


HIGH = {"learning_rate": 1e-3}


def test_leaders_and_the_baseline_run_the_targets_that_they_lead(storage: Path) -> None:
    told: list[str] = []
    with launched(make(), Places(storage, "s")) as launch:
        finish_search(launch)
        plans = launch.to_confirm(told.append)
        found = confirmed(plans)
        # On the mean of both, which chooses for mini_tatoeba, all are equal.
        by_dev = {
            name: {target: point for target, point in own.items() if target != "mini_tatoeba"}
            for name, own in found.items()
        }
        assert by_dev == {
            "choice": {"mini_xnli": HIGH},
            "nli": {"mini_xnli": HIGH, "mini_udpos": HIGH},
            "qa": {"mini_udpos": HIGH},
            "none": {"mini_xnli": HIGH, "mini_udpos": HIGH},
        }
        leading = [name for name, own in found.items() if "mini_tatoeba" in own]
        assert len(leading) == 3 and "none" in leading
        assert all(found[name]["mini_tatoeba"] == {} for name in leading)
        assert [plan.seed for plan in plans] == [x for x in (1000, 1001, 1002) for _ in range(4)]
        # One cell each, of the point that is best over both seeds.
        cells = [group.cells for plan in plans for group in plan.target_sets if group.cells]
        assert {len(own) for own in cells} == {1} and {
            c.point["learning_rate"] for (c,) in cells
        } == {1e-3}
        assert not is_complete(launch)
        for plan in plans:
            finish(launch, plan)
        assert is_complete(launch)
        assert num_confirming(launch.places, launch.sweep) == len(plans) == 12
    assert told[0].endswith("is confirmed with the seeds 1000, 1001, 1002:")
    assert "  mini_xnli: choice, nli, and none" in told


def test_a_sweep_that_goes_on_confirms_what_was_chosen(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make(), places) as launch:
        finish_search(launch)
        plans = launch.to_confirm(print)
        first = json.loads((launch.folder / CHOICE).read_text())
        finish(launch, plans[0])
    assert (
        first["targets"]["mini_xnli"]["first"]
        == first["targets"]["mini_xnli"]["leaders"][0]["config"]
    )
    # Another result of search, as after a retry, changes nothing any more.
    with launched(make(), places) as launch:
        for proposal in launch.proposals.made.values():
            path = launch.places.trials / launch.planner.plan(proposal.point, 0).trial_id
            record = json.loads((path / "record.json").read_text())
            for row in record["scores"]:
                row["value"] = 100 - row["value"]
            write_json(path / "record.json", record)
        again = launch.to_confirm(pytest.fail)
        assert again == plans
        assert read_final(launch, plans[0]) is not None and read_final(launch, plans[1]) is None
        assert not (launch.folder / CHOICE).exists(), "it is read from the launch that made it"
    with launched(make(), places):
        pass
    sweep = make()
    choice = read_choice(places, sweep)
    assert choice is not None and choice.seeds == [1000, 1001, 1002]


def test_confirmation_may_come_later_and_grow(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make(confirm=None), places) as launch:
        finish_search(launch)
        assert launch.to_confirm(pytest.fail) == [] and is_complete(launch)
    with launched(make(), places) as launch:
        assert not launch.growth and not is_complete(launch)
        few = launch.to_confirm(print)
        for plan in few:
            finish(launch, plan)
    with launched(make(confirm={"top": 2, "seeds": 4}), places) as launch:
        assert not is_complete(launch)
        more = launch.to_confirm(print)
        left = [plan for plan in more if read_final(launch, plan) is None]
        assert {plan.seed for plan in left} == {1003} and len(left) == 4
        for plan in left:
            finish(launch, plan)
        assert is_complete(launch)
    with launched(make(), places) as launch:
        assert is_complete(launch), "the seeds of before are among them"


def test_a_leader_of_one_target_more_is_not_final(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make(confirm={"top": 1, "seeds": 3}), places) as launch:
        finish_search(launch)
        for plan in launch.to_confirm(print):
            finish(launch, plan)
        assert is_complete(launch)
    with launched(make(confirm={"top": 3, "seeds": 3}), places) as launch:
        plans = launch.to_confirm(print)
        qa = next(plan for plan in plans if plan.intermediate == "qa")
        assert read_final(launch, qa) is None and set(qa.targets) == set(launch.sweep.targets)


def test_seeds_of_search_are_fresh_no_more(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make(), places) as launch:
        finish_search(launch)
        launch.to_confirm(print)
    message = r"search does not use seeds that have confirmed its choice; got \[1001\]"
    with (
        pytest.raises(ConfigError, match=message) as caught,
        launched(make(seeds=[0, 1, 1001]), places),
    ):
        pass
    assert len(str(caught.value).splitlines()) == 1


def test_seeds_of_every_choice_are_remembered(storage: Path) -> None:
    places = Places(storage, "s")
    for seeds in ([7], [8, 9]):
        with launched(make(), places) as launch:
            write_choice(launch.folder, Choice("another", seeds, {}))
    assert confirmed_seeds(places) == {7, 8, 9}


def test_a_sweep_that_has_grown_chooses_anew(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make(intermediates={"nli": {"tasks": ["mini_nli"]}}), places) as launch:
        finish_search(launch)
        assert set(confirmed(launch.to_confirm(print))) == {"nli", "none"}
    with launched(make(), places) as launch:
        assert num_confirming(places, launch.sweep) == 12, "at most, until it is chosen"
        finish_search(launch)
        assert set(confirmed(launch.to_confirm(print))) == {"nli", "choice", "qa", "none"}


def test_what_has_not_ended_is_not_confirmed(storage: Path) -> None:
    with launched(make(), Places(storage, "s")) as launch:
        finish_search(launch)
        check_ended(launch)
        plan = launch.planner.plan(next(iter(launch.proposals.made.values())).point, 0)
        record = launch.places.trials / plan.trial_id / "record.json"
        content = json.loads(record.read_text())
        write_json(record, {**content, "state": "failed"})
        check_ended(launch)
        record.unlink()
        with pytest.raises(ConfigError, match="s has 1 trials left") as caught:
            check_ended(launch)
        assert len(str(caught.value).splitlines()) == 1


def test_other_processes_would_train_confirmations_again(storage: Path) -> None:
    places = Places(storage, "s")
    with launched(make(), places) as launch:
        finish_search(launch)
        plans = launch.to_confirm(print)
        finish(launch, plans[0])
        stages = sum(launch.store.has(x) for p in plans for x in p.training_stages)
        search = {
            stage_name(stage)
            for proposal in launch.proposals.made.values()
            for seed in launch.sweep.seeds
            for stage in launch.planner.plan(proposal.point, seed).training_stages
        }
    two = make(resources={"cpus_per_trial": 2, "processes_per_trial": 2})
    message = f"{len(search) + stages} finished stages would be trained again"
    with pytest.raises(ConfigError, match=message), launched(two, places):
        pass


def race_is_finished(launch: Launch) -> list[TrialPlan]:
    """Run a race to its end; the trials in the order in which they were wanted."""
    while launch.proposals.ask() is not None:
        pass
    plans = []
    while not (race := race_of(launch)).is_over():
        plan = (race.owed or race.wanted()[0] or race.wanted()[1])[0]
        finish(launch, plan)
        plans.append(plan)
    return plans


def test_a_race_is_confirmed_once_it_has_ended(storage: Path) -> None:
    sweep = make(search={**SEARCH, "strategy": "race"}, seeds=[0, 1, 2])
    with launched(sweep, Places(storage, "s")) as launch:
        with pytest.raises(ConfigError, match="s has 4 trials left"):
            check_ended(launch)
        plans = race_is_finished(launch)
        check_ended(launch)
        assert {p.seed for p in plans if p.intermediate == "none"} == {0, 1, 2}
        runs = [(p.trial_id, target) for p in plans for target in p.targets]
        assert len({*runs}) < 4 * 3 * 3
        assert not is_complete(launch), "what it chose is not confirmed"
        confirming = launch.to_confirm(print)
        found = confirmed(confirming)
        choice = read_choice(launch.places, launch.sweep)
        assert choice is not None and "none" in found
        seeds = {
            (name, target): {
                p.seed for p in plans if p.intermediate == name and target in p.targets
            }
            for name in ("nli", "choice", "qa")
            for target in launch.sweep.targets
        }
        for target, own in choice.targets.items():
            assert own.baseline.intermediate == "none"
            assert len(seeds[own.leaders[0].intermediate, target]) >= 2, "not by one run"
        assert choice.targets["mini_xnli"].leaders[0].intermediate == "choice"
        for plan in confirming:
            finish(launch, plan)
        assert is_complete(launch)


def test_a_race_may_become_surer_and_no_other_search(storage: Path) -> None:
    search = {**SEARCH, "strategy": "race"}
    with launched(make(search=search, seeds=[0, 1]), Places(storage, "s")):
        pass
    surer = make(search={**search, "confidence": 0.99}, seeds=[0, 1])
    with launched(surer, Places(storage, "s")) as launch:
        assert not launch.growth
    with (
        pytest.raises(ConfigError, match="strategy: all"),
        launched(make(seeds=[0, 1]), Places(storage, "s")),
    ):
        pass


def test_a_race_that_gains_a_target_opens_it_and_keeps_what_it_knows(storage: Path) -> None:
    search = {**SEARCH, "strategy": "race"}
    few = {"targets": ["mini_xnli"], "confirm": None, "search": search, "seeds": [0, 1, 2]}
    with launched(make(**few), Places(storage, "s")) as launch:
        race_is_finished(launch)
        assert is_complete(launch)
    more = {**few, "targets": ["mini_xnli", "mini_udpos"]}
    with launched(make(**more), Places(storage, "s")) as launch:
        assert not is_complete(launch)
        plans = race_is_finished(launch)
        assert is_complete(launch)
    new = [plan for plan in plans if plan.intermediate != "none" and plan.seed == 0]
    assert {plan.intermediate for plan in new} == {"nli", "choice", "qa"}
    assert all("mini_udpos" in plan.targets for plan in plans)

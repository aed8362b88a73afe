"""The searcher: hands out nothing that would wait, and tells the study once all seeds are in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from tests.trial_records import make_record
from xstilts.config.load import parse_sweep
from xstilts.lease import Lease
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.run.store import Store
from xstilts.search import searcher as searcher_module
from xstilts.search.journal import Journal
from xstilts.search.proposals import Proposals, target_points
from xstilts.search.searcher import MAX_DEATHS, MAX_DEATHS_S, MAX_PAUSE_S, StageSearcher
from xstilts.tasks import lookup

TASKS = ("mini_nli", "mini_qa", "mini_tatoeba")


def make_planner(space: dict[str, Any], trials: int, seeds: list[int]) -> Planner:
    sweep = parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"m": {"path": "builtin:mini"}},
            "data": {"root": "builtin:mini"},
            "intermediates": {"nli": {"tasks": ["mini_nli"]}, "qa": {"tasks": ["mini_qa"]}},
            "targets": ["mini_tatoeba", "mini_xnli"],
            "seeds": seeds,
            "search": {"encoder": {"trials": trials, "space": space, "sampler": {"name": "grid"}}},
        },
        "test",
    )
    rows, data = {}, {}
    for name in (*TASKS, "mini_xnli"):
        task = lookup(name)
        data[task.source.hub_id] = name
        for use in task.splits:
            for language in task.languages_of(use):
                rows[row_key(task, use, language)] = 10
    inventory = Inventory({"m": ModelFacts("/m", "w", "t", 2, 1)}, {}, data, rows)
    return Planner(sweep, inventory, target_points(sweep))


class Records:
    """Records of finished trials, as a store of results would give them."""

    def __init__(self) -> None:
        self.finished: dict[str, TrialRecord] = {}

    def read(self, plan: TrialPlan) -> TrialRecord | None:
        return self.finished.get(plan.trial_id)


def make_searcher(
    storage: Path, planner: Planner, records: Records
) -> tuple[StageSearcher, Proposals]:
    proposals = Proposals(planner.sweep, Journal(storage / "journal"))
    return StageSearcher(proposals, planner, Store(storage), records.read), proposals


def trial_of(planner: Planner, config: Any) -> TrialPlan:
    return planner.plan(**config["trial"])


def test_a_trial_whose_stage_is_in_work_is_held_back(storage: Path) -> None:
    # Two configurations of nli share their intermediate stage; qa has its own.
    space = {
        "intermediate": {"choice": ["nli", "qa", "none"]},
        "target.epochs": {"choice": [1, 2]},
    }
    planner, records = make_planner(space, 6, [0]), Records()
    searcher, _ = make_searcher(storage, planner, records)
    first, second = (trial_of(planner, searcher.suggest(f"t{i}")) for i in range(2))
    assert (first.intermediate, second.intermediate) == ("nli", "qa")
    third = trial_of(planner, searcher.suggest("t2"))
    fourth = trial_of(planner, searcher.suggest("t3"))
    assert (third.intermediate, fourth.intermediate) == ("none", "none")
    # What is left needs stages that t0 and t1 train: not now.
    assert searcher.suggest("t4") is None
    Store(storage).get(first.encoder, lambda claim: {})
    held_back = trial_of(planner, searcher.suggest("t4"))
    assert held_back.intermediate == "nli"
    assert held_back.encoder == first.encoder


def test_all_seeds_run_and_the_study_learns_their_mean(storage: Path) -> None:
    planner, records = make_planner({}, 2, [0, 1]), Records()
    searcher, proposals = make_searcher(storage, planner, records)
    plans = {}
    for i in range(4):
        config = searcher.suggest(f"t{i}")
        plans[f"t{i}"] = trial_of(planner, config)
    assert searcher.suggest("t4") is None
    assert sorted(plan.seed for plan in plans.values()) == [0, 0, 1, 1]
    for i, (trial, plan) in enumerate(plans.items()):
        records.finished[plan.trial_id] = make_record(objective=float(i))
        searcher.on_trial_complete(trial, {})
    values = [trial.value for trial in proposals._study.trials]
    assert values == [0.5, 2.5]
    assert searcher.suggest("t5") == Searcher.FINISHED


def test_finished_trials_are_not_handed_out_again(storage: Path) -> None:
    planner, records = make_planner({}, 2, [0, 1]), Records()
    searcher, _ = make_searcher(storage, planner, records)
    done = trial_of(planner, searcher.suggest("t0"))
    open_ = trial_of(planner, searcher.suggest("t1"))
    records.finished[done.trial_id] = make_record(objective=1.0)
    # The process dies here; the next one reads journal and records.
    resumed, _ = make_searcher(storage, planner, records)
    again = []
    while isinstance(config := resumed.suggest(f"u{len(again)}"), dict):
        again.append(trial_of(planner, config).trial_id)
    assert done.trial_id not in again
    assert again[0] == open_.trial_id
    assert len(again) == 3


def test_confirmation_follows_search_and_the_study_is_told_nothing_of_it(storage: Path) -> None:
    planner, records = make_planner({}, 2, [0]), Records()
    proposals = Proposals(planner.sweep, Journal(storage / "journal"))
    called: list[int] = []

    def confirm() -> list[TrialPlan]:
        called.append(len(records.finished))
        point = {"model": "m", "intermediate": "nli"}
        return [planner.plan(point, seed, {"mini_xnli": {}}) for seed in (1000, 1001)]

    searcher = StageSearcher(
        proposals, planner, Store(storage), records.read, lambda plan: 0, confirm
    )
    plans = [trial_of(planner, searcher.suggest(f"t{i}")) for i in range(2)]
    assert searcher.suggest("t2") is None and not called, "search has not ended"
    for i, plan in enumerate(plans):
        records.finished[plan.trial_id] = make_record(objective=1.0)
        searcher.on_trial_complete(f"t{i}", {})
    trials = [trial.value for trial in proposals._study.trials]
    first, second = (searcher.suggest(f"u{i}") for i in range(2))
    assert called == [2]
    for config, seed in ((first, 1000), (second, 1001)):
        plan = planner.plan(**config["trial"])
        assert (plan.seed, plan.phase, plan.targets) == (seed, "confirm", ("mini_xnli",))
    searcher.on_trial_complete("u0", error=True)
    searcher.on_trial_complete("u1", {"outcome": "failed", "objective": None})
    assert [trial.value for trial in proposals._study.trials] == trials
    # What a process has lost is handed out again; what failed is over for this launch.
    searcher._not_before = 0.0
    assert searcher.suggest("u2") == first
    records.finished[planner.plan(**first["trial"]).trial_id] = make_record()
    searcher.on_trial_complete("u2", {})
    assert searcher.suggest("u3") == Searcher.FINISHED and called == [2]


def test_a_failed_trial_fails_its_proposal_and_the_sweep_goes_on(storage: Path) -> None:
    planner, records = make_planner({}, 2, [0]), Records()
    searcher, proposals = make_searcher(storage, planner, records)
    searcher.suggest("t0")
    second = trial_of(planner, searcher.suggest("t1"))
    searcher.on_trial_complete("t0", {"outcome": "failed", "objective": None})
    records.finished[second.trial_id] = make_record(objective=4.0)
    searcher.on_trial_complete("t1", {}, error=False)
    assert [trial.state.name for trial in proposals._study.trials] == ["FAIL", "COMPLETE"]
    assert searcher.suggest("t2") == Searcher.FINISHED


@pytest.mark.parametrize("other", [{"objective": 4.0}, {"diverged": True}, {"diverged": False}])
def test_a_proposal_that_diverged_is_told_as_the_worst(
    storage: Path, other: dict[str, Any]
) -> None:
    """With any seed, unless another failed for a reason of its own."""
    planner, records = make_planner({}, 1, [0, 1]), Records()
    searcher, proposals = make_searcher(storage, planner, records)
    units = [trial_of(planner, searcher.suggest(f"t{i}")) for i in range(2)]
    if "objective" in other:
        records.finished[units[0].trial_id] = make_record(**other)
    searcher.on_trial_complete("t0", {"outcome": "failed", "objective": None, **other})
    searcher.on_trial_complete("t1", {"outcome": "failed", "objective": None, "diverged": True})
    (trial,) = proposals._study.trials
    if other.get("diverged", True):
        assert trial.value == pytest.approx(100 / 3)
    else:
        assert trial.state.name == "FAIL"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes when a test says so."""
    time = [1000.0]
    monkeypatch.setattr(searcher_module.time, "monotonic", lambda: time[0])
    return time


@pytest.mark.parametrize("end", [{"error": True}, {"result": {"outcome": "stopped"}}])
def test_a_lost_trial_is_handed_out_again_before_others(
    storage: Path, end: dict[str, Any], now: list[float]
) -> None:
    planner, records = make_planner({}, 3, [0]), Records()
    searcher, proposals = make_searcher(storage, planner, records)
    lost = trial_of(planner, searcher.suggest("t0"))
    searcher.on_trial_complete("t0", **end)
    if "error" in end:
        assert searcher.suggest("t1") is None, "not at once: its node may be gone"
        now[0] += 2
    assert trial_of(planner, searcher.suggest("t1")) == lost
    assert [trial.state.name for trial in proposals._study.trials] == ["RUNNING"]
    # Its process died after the record was written: nothing is left to do.
    records.finished[lost.trial_id] = make_record(objective=1.0)
    searcher.on_trial_complete("t1", error=True)
    assert [trial.state.name for trial in proposals._study.trials] == ["COMPLETE"]


def test_processes_that_die_before_a_trial_begins_end_the_sweep(
    storage: Path, now: list[float]
) -> None:
    planner, attempts = make_planner({}, 1, [0]), []
    proposals = Proposals(planner.sweep, Journal(storage / "journal"))
    searcher = StageSearcher(
        proposals, planner, Store(storage), lambda plan: None, lambda plan: len(attempts)
    )

    def die(times: int) -> None:
        for _ in range(times):
            now[0] += MAX_PAUSE_S
            assert searcher.suggest("t") is not None
            searcher.on_trial_complete("t", error=True)

    assert MAX_DEATHS * MAX_PAUSE_S >= MAX_DEATHS_S
    die(MAX_DEATHS)
    attempts.append("it began at last")
    die(1)
    now[0] += 2 * MAX_DEATHS_S  # it waits for a place, and a second death is not the tenth
    die(MAX_DEATHS - 1)
    assert not searcher.trouble
    die(1)
    assert f"died {MAX_DEATHS + 1} times before the trial began" in searcher.trouble
    assert searcher.suggest("t") == Searcher.FINISHED


def test_a_full_disk_stops_the_sweep_and_nothing_is_told(storage: Path) -> None:
    planner, records = make_planner({}, 2, [0]), Records()
    searcher, proposals = make_searcher(storage, planner, records)
    searcher.suggest("t0")
    searcher.on_trial_complete("t0", {"outcome": "halt", "reason": "/runs: the disk is full"})
    assert searcher.suggest("t1") == Searcher.FINISHED
    assert searcher.trouble == "/runs: the disk is full"
    assert [trial.state.name for trial in proposals._study.trials] == ["RUNNING"]


def test_a_stage_that_another_sweep_trains_is_held_back(storage: Path) -> None:
    planner, records = (
        make_planner({"intermediate": {"choice": ["nli", "none"]}}, 2, [0]),
        Records(),
    )
    searcher, _ = make_searcher(storage, planner, records)
    nli = planner.plan({"model": "m", "intermediate": "nli"}, 0)
    lease = Lease(Store(storage).path(nli.encoder))
    lease.folder.mkdir()
    assert lease.acquire()
    with lease.held():
        assert trial_of(planner, searcher.suggest("t0")).intermediate == "none"
        assert searcher.suggest("t1") is None
    assert trial_of(planner, searcher.suggest("t1")).intermediate == "nli"


def test_the_trainable_is_importable_by_name() -> None:
    from xstilts.search.trial import TrialActor

    assert getattr(sys.modules[TrialActor.__module__], TrialActor.__name__) is TrialActor

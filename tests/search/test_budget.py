"""A budget: confirmation is reserved first, one run of every candidate comes before others, and a
sweep whose search it has ended is done until it is given more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from tests.search.test_confirming import INVENTORY, finish, finish_search, launched, make
from tests.trial_records import entry_json, make_record
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import CONFIRM
from xstilts.run.confirmation import Afforded, num_confirming, read_choice
from xstilts.run.node import ENVIRONMENT
from xstilts.run.places import Places
from xstilts.run.spending import is_spent, write_spent
from xstilts.run.store import Store
from xstilts.search.budget import Budget
from xstilts.search.completion import (
    budget_of,
    check_ended,
    end_within,
    is_complete,
    race_of,
    read_final,
)
from xstilts.search.launch import Launch, run_trials
from xstilts.search.proposals import target_points
from xstilts.search.searcher import StageSearcher

SPACE = {"intermediate.learning_rate": {"choice": [1e-4, 5e-4, 1e-3]}}
TARGET = {"trials": 2, "space": {"learning_rate": {"choice": [1e-4, 1e-3]}}}


def swept(tokens: float | None = None, **changes: Any) -> Sweep:
    """Ten configurations of four candidates, two seeds, two targets of two cells each."""
    search = {"encoder": {"trials": 10, "space": SPACE}, "target": TARGET}
    budget = {} if tokens is None else {"budget": {"tokens": tokens}}
    targets = {"targets": ["mini_xnli", "mini_udpos"], "confirm": {"top": 2, "seeds": 4}}
    return make(**{"search": search, **targets, **budget, **changes})


def empty(storage: Path, **changes: Any) -> Budget:
    sweep = swept(**{"tokens": 1e9, **changes})
    planner = Planner(sweep, INVENTORY, target_points(sweep))
    return Budget(planner, Places(storage, "s"), Store(storage))


def drive(
    storage: Path, sweep: Sweep, told: list[str], at_once: int = 1, limit: int = 100
) -> tuple[list[TrialPlan], bool]:
    """What a launch runs, every trial at its expected cost; whether all is done then."""
    plans: list[TrialPlan] = []
    with launched(sweep, Places(storage, "s")) as launch:
        budget = budget_of(launch)
        searcher = searcher_of(launch, budget, told)
        running: dict[str, TrialPlan] = {}
        while len(plans) < limit:
            config = None
            while len(running) < at_once and len(plans) < limit:
                name = f"t{len(plans)}"
                config = searcher.suggest(name)
                if not isinstance(config, dict):
                    break
                running[name] = launch.planner.plan(**config["trial"])
                plans.append(running[name])
            if config == Searcher.FINISHED:
                break
            name, plan = next(iter(running.items()))
            cost = 0.0 if budget is None else budget.cost([plan])
            finish(launch, running.pop(name), tokens=cost + spent_of(launch, plan))
            searcher.on_trial_complete(name, {"outcome": "finished"})
        return plans, is_complete(launch)


def searcher_of(launch: Launch, budget: Budget | None, told: list[str]) -> StageSearcher:
    return StageSearcher(
        launch.proposals,
        launch.planner,
        launch.store,
        lambda plan: read_final(launch, plan),
        confirm=lambda: launch.to_confirm(told.append, budget),
        race=race_of(launch) if launch.sweep.search.is_race else None,
        budget=budget,
        end_within=lambda one: end_within(launch, one, told.append),
    )


def spent_of(launch: Launch, plan: TrialPlan) -> float:
    record = read_final(launch, plan)
    return 0.0 if record is None else record.metrics["cost/tokens"]


def spent(storage: Path, sweep: Sweep) -> float:
    with launched(sweep, Places(storage, "s")) as launch:
        budget = budget_of(launch)
        assert budget is not None
        return budget.spent


def test_stages_that_trials_share_or_that_are_there_cost_nothing_more(storage: Path) -> None:
    budget = empty(storage)
    planner = budget._planner
    point = {"model": "m", "intermediate": "nli", "intermediate.learning_rate": 1e-4}
    plan = planner.plan(point, 0)
    one = budget.cost([plan])
    # Ten rows of 64 tokens for an epoch each: the intermediate, and two cells of two targets.
    (part,) = plan.training_stages[0].parts
    lengths = [
        sum(one.train.num_rows * one.epochs * one.train.max_length for one in stage.parts)
        for stage in plan.training_stages
    ]
    assert one == pytest.approx(sum(lengths)) and len(lengths) == 5 and part.train.num_rows == 10
    assert budget.cost([plan, plan]) == one
    assert budget.cost([plan, planner.plan(point, 1)]) == pytest.approx(2 * one)
    Store(storage).get(plan.training_stages[0], lambda claim: {})
    assert budget.cost([plan]) == pytest.approx(one - lengths[0])


def test_hours_are_those_that_stages_took_or_assumed_ones(storage: Path) -> None:
    changes: dict[str, Any] = {
        "budget": {"gpu_hours": 5.0},
        "resources": {"gpus_per_trial": 2, "cpus_per_trial": 2},
    }
    sweep = swept(**changes)
    planner = Planner(sweep, INVENTORY, target_points(sweep))
    budget = Budget(planner, Places(storage, "s"), Store(storage))
    plan = planner.plan({"model": "m", "intermediate": "none"}, 0)
    assumed = budget.cost([plan])
    assert 0 < assumed < 1e-3, "the miniature encoder takes no time at 100 TFLOP/s"
    stages = [
        entry_json("target-mini_xnli-1", seconds=3600.0, tokens=640),
        entry_json("evaluate-mini_xnli-1", seconds=1800.0),
        entry_json("evaluate-mini_udpos-1", seconds=900.0),
    ]
    budget._note(make_record(stages=stages, metrics={"cost/gpu_hours": 3.5}))
    tokens = sum(
        one.train.num_rows * one.epochs * one.train.max_length
        for stage in plan.training_stages
        for one in stage.parts
    )
    assert budget.cost([plan]) == pytest.approx(2 * (tokens / 640 + 0.75))
    assert (budget.spent, budget.left) == (3.5, 1.5)
    # What this trial has scored is not scored again.
    scores = [{"target": "mini_xnli"}]
    budget._note(make_record(plan.trial_id, scores=scores, metrics={"cost/gpu_hours": 0.5}))
    assert budget.cost([plan]) == pytest.approx(2 * (tokens / 640 + 0.25))


def test_a_budget_that_leaves_no_run_a_candidate_is_refused_with_the_figure(storage: Path) -> None:
    search, confirmation = empty(storage).least()
    assert confirmation > 0 and search > 0
    empty(storage, tokens=search + confirmation).check()
    with pytest.raises(ConfigError) as caught:
        empty(storage, tokens=0.99 * (search + confirmation)).check()
    line = str(caught.value)
    assert "\n" not in line and caught.value.exit_status == 2
    assert f"is at least {(search + confirmation) / 1e6:.4g} million trained tokens" in line
    assert "one run of every candidate and the smallest confirmation" in line
    # Without confirmation the runs alone count; a race needs one of each, and all of the baseline.
    assert empty(storage, confirm=None).least() == (search, 0)
    searched = {"encoder": {"trials": 10, "space": SPACE}, "target": TARGET}
    raced = empty(storage, confirm=None, search={**searched, "strategy": "race"})
    baseline = raced.cost([raced._example("none", 0)])
    assert raced.least()[0] == pytest.approx(search / 2 + baseline)


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("share", [1.0, 1.3, 1.7])
def test_search_ends_where_confirmation_would_not_be_paid_for(
    storage: Path, share: float, at_once: int
) -> None:
    total = share * sum(empty(storage).least())
    sweep, told = swept(total), list[str]()
    plans, is_done = drive(storage, sweep, told, at_once)
    fresh = [plan for plan in plans if plan.phase == CONFIRM]
    searched = [plan for plan in plans if plan.phase != CONFIRM]
    assert {plan.intermediate for plan in searched} == {"none", "nli", "choice", "qa"}
    assert len({plan.config_id for plan in searched}) < 10 and len(searched) >= 8
    assert len({plan.seed for plan in fresh}) >= 3, "confirmation was reserved"
    assert is_done and is_spent(Places(storage, "s"), sweep)
    assert spent(storage, sweep) <= total * (1 + 1e-9)
    assert "ends search" in told[0] and "beside confirmation" in told[0]
    assert told[1].startswith("Search has ended; its choice is confirmed")
    assert num_confirming(Places(storage, "s"), sweep) == len(fresh)


def test_what_is_left_pays_for_fewer_leaders_first_then_for_fewer_seeds(storage: Path) -> None:
    with launched(swept(1e9), Places(storage, "s")) as launch:
        finish_search(launch, tokens=1.0)
        launch.to_confirm(lambda line: None)
        choice = read_choice(launch.places, launch.sweep)
        assert choice is not None and choice.afforded is None
        budget = budget_of(launch)
        assert budget is not None
        found = []
        for left in range(0, 30000, 50):
            budget._spent = {"all": 1e9 - left}
            afforded = budget.afforded(choice)
            assert afforded.afforded is not None
            found.append((afforded.afforded.leaders, afforded.afforded.seeds))
            plans = [arm.config for t in afforded.targets for arm in afforded.arms(t)]
            assert bool(plans) == (afforded.afforded.leaders > 0)
    assert list(dict.fromkeys(found)) == [(0, 0), (1, 3), (1, 4), (2, 4)]


def test_a_larger_budget_goes_on_and_chooses_anew(storage: Path) -> None:
    least = sum(empty(storage).least())
    told: list[str] = []
    first, is_done = drive(storage, swept(least), told)
    assert is_done
    with launched(swept(least), Places(storage, "s")) as launch:
        assert is_complete(launch)
        check_ended(launch)
    with launched(swept(100 * least), Places(storage, "s")) as launch:
        assert not is_complete(launch), "a larger budget is worth another look"
    again, is_done = drive(storage, swept(100 * least), told)
    assert is_done and len({plan.config_id for plan in [*first, *again]}) == 10
    ran = {plan.trial_id for plan in first}
    assert not ran & {plan.trial_id for plan in again if plan.phase != CONFIRM}
    assert not is_spent(Places(storage, "s"), swept(100 * least))
    choice = read_choice(Places(storage, "s"), swept(100 * least))
    assert choice is not None and choice.afforded == Afforded(2, 4)
    # A sweep without a budget, of the same name, is another question again.
    with launched(swept(), Places(storage, "s")) as launch:
        assert not is_complete(launch)


def test_an_interrupted_sweep_spends_no_more_than_an_undisturbed_one(storage: Path) -> None:
    sweep = swept(1.3 * sum(empty(storage).least()))
    told: list[str] = []
    plans: list[TrialPlan] = []
    for limit in (3, 4, 5, 100):
        done, is_done = drive(storage, sweep, told, limit=limit)
        plans += done
    assert is_done and sum("ends search" in line for line in told) == 1
    assert len({plan.trial_id for plan in plans}) == len(plans), "nothing ran twice"
    assert spent(storage, sweep) <= sweep.budget.total * (1 + 1e-9)  # type: ignore[union-attr]


@pytest.mark.parametrize("rungs", [[], [0.1, 1]])
def test_a_race_ends_within_its_budget_too(storage: Path, rungs: list[float]) -> None:
    encoder = {"trials": 10, "space": SPACE}
    search = {"strategy": "race", "rungs": rungs, "encoder": encoder, "target": TARGET}
    total = 1.2 * sum(empty(storage, search=search).least())
    sweep, told = swept(total, search=search), list[str]()
    plans, is_done = drive(storage, sweep, told, at_once=2)
    assert is_done and is_spent(Places(storage, "s"), sweep)
    assert {plan.intermediate for plan in plans} == {"none", "nli", "choice", "qa"}
    assert any(plan.phase == CONFIRM for plan in plans)
    assert any(plan.is_short for plan in plans) == bool(rungs)
    assert spent(storage, sweep) <= total * (1 + 1e-9)


def test_runs_at_the_lowest_rung_are_paid_for_beside_the_first_whole_ones(storage: Path) -> None:
    encoder = {"trials": 10, "space": SPACE}
    search = {"strategy": "race", "rungs": [0.1, 1], "encoder": encoder, "target": TARGET}
    budget = empty(storage, search=search)
    short = list(budget._short_runs())
    assert {(plan.intermediate, plan.rung) for plan in short} == {
        (name, 0.1) for name in ("nli", "choice", "qa")
    }
    assert all(plan.rung == 1 for plan in budget._first_runs())
    whole, confirmation = empty(storage, search={**search, "rungs": []}).least()
    assert budget.least() == (pytest.approx(whole + budget.cost(short)), confirmation)
    assert 0 < budget.cost(short) < 0.2 * whole
    # With one that has begun, a whole run of its candidate is still to come.
    budget.begin(short[0])
    assert len(list(budget._short_runs())) == 2 and budget.lacks_candidates
    assert short[0].intermediate in {plan.intermediate for plan in budget._first_runs()}


def test_too_little_for_three_seeds_confirms_nothing_and_says_so(storage: Path) -> None:
    with launched(swept(1e9), Places(storage, "s")) as launch:
        finish_search(launch, tokens=5e7)
        told: list[str] = []
        assert launch.to_confirm(told.append, budget_of(launch)) == []
        assert told == [
            "Search has ended; the budget leaves too little for 3 fresh seeds of one leader and "
            "none: nothing is confirmed"
        ]
        assert num_confirming(launch.places, launch.sweep) == 0 and is_complete(launch)


def test_first_runs_come_beside_the_smallest_confirmation_others_beside_all_that_comes(
    storage: Path,
) -> None:
    with launched(swept(1e9), Places(storage, "s")) as launch:
        budget = budget_of(launch)
        assert budget is not None
        planner = budget._planner
        plans = {
            (name, rate): planner.plan(
                {"model": "m", "intermediate": name, "intermediate.learning_rate": rate}, 0
            )
            for name in ("nli", "choice")
            for rate in (1e-4, 1e-3)
        }
        first, other = plans["nli", 1e-4], plans["nli", 1e-3]
        search, smallest = budget.least()
        own = budget.cost([first])

        def leaves(left: float) -> None:
            budget._spent["before"] = 0.0
            budget._spent["before"] = budget.left - left
            budget._ahead.clear()

        leaves(own + smallest)
        assert budget.affords(first)
        leaves(0.99 * (own + smallest))
        assert not budget.affords(first)
        # The candidate has begun its runs: another configuration of it waits for the others' runs.
        for seed in planner.sweep.seeds:
            budget.begin(planner.plan(first.point, seed))
        everything = budget._confirmation_at_most(2, 4)
        still = search - 2 * own
        leaves(own + still + everything)
        assert budget.affords(other) and budget.affords(plans["choice", 1e-4])
        leaves(0.99 * (own + still + everything))
        assert not budget.affords(other) and budget.affords(plans["choice", 1e-4])
        # What runs is no longer there, at once; what came to nothing is.
        leaves(own + still + everything)
        begun = plans["choice", 1e-4]
        before = budget.left
        budget.begin(begun)
        assert budget.left == pytest.approx(before - budget.cost([begun]))
        assert budget.affords(other), "one of the first runs that were reserved"
        budget.begin(plans["choice", 1e-3])
        budget.begin(other)
        assert not budget.affords(plans["nli", 1e-3])
        for plan in (begun, plans["choice", 1e-3], other):
            budget.end(plan)
        assert budget.left == pytest.approx(before) and budget.affords(other)


def test_a_sweep_that_has_begun_is_not_refused_for_a_smaller_budget(storage: Path) -> None:
    least = sum(empty(storage).least())
    drive(storage, swept(least), [], limit=4)
    with launched(swept(least / 2), Places(storage, "s")) as launch:
        budget = budget_of(launch)
        assert budget is not None
        budget.check()


def test_search_that_has_ended_stays_so_though_something_would_fit(storage: Path) -> None:
    sweep = swept(1e9)
    with launched(sweep, Places(storage, "s")) as launch:
        write_spent(launch.folder, sweep)
    with launched(sweep, Places(storage, "s")) as launch:
        budget, told = budget_of(launch), list[str]()
        assert budget is not None and not budget.lacks_candidates
        searcher = searcher_of(launch, budget, told)
        assert searcher.suggest("t0") == Searcher.FINISHED
        assert not any("ends search" in line for line in told), "it was said"


def test_too_small_a_budget_is_refused_before_ray_is_started(storage: Path) -> None:
    with launched(swept(10), Places(storage, "s")) as launch:
        with pytest.raises(ConfigError, match="is at least"):
            run_trials(launch, None, pytest.fail)
        assert not (launch.folder / ENVIRONMENT).exists()

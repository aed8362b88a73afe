"""Lower rungs: which stages they have, and that the last one is the trial itself."""

from __future__ import annotations

import pytest

from tests.plan.test_plan import INVENTORY, TARGETS, sweep_with
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Pretrained, Train, fingerprint, stage_name
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import RUNG, SEARCH


@pytest.fixture
def planner() -> Planner:
    cells = ({"learning_rate": 1e-3}, {"learning_rate": 2e-3})
    return Planner(sweep_with(), INVENTORY, dict.fromkeys(TARGETS, cells))


def plan_of(planner: Planner, rung: float, name: str = "even", **values: object) -> TrialPlan:
    return planner.plan({"model": "mini", "intermediate": name, **values}, 1, rung=rung)


def examples(stage: Pretrained | Train) -> list[int]:
    assert isinstance(stage, Train)
    return [part.examples for part in stage.parts]


def test_the_last_rung_is_the_trial_itself(planner: Planner) -> None:
    whole = plan_of(planner, 1.0)
    assert whole == planner.plan({"model": "mini", "intermediate": "even"}, 1)
    assert (whole.phase, whole.rung, whole.evaluated) == (SEARCH, 1.0, TARGETS)


def test_a_lower_rung_trains_its_share_of_every_budget_in_stages_of_its_own(
    planner: Planner,
) -> None:
    whole, short = plan_of(planner, 1.0), plan_of(planner, 0.25)
    assert (short.trial_id, short.config_id) == (f"{whole.trial_id}-r0.25", whole.config_id)
    assert examples(whole.encoder) == [48, 48] and examples(short.encoder) == [12, 12]
    both = {group.name: group for group in whole.target_sets}
    assert [group.name for group in short.target_sets] == [x for x in both if both[x].cells]
    for group in short.target_sets:
        for cell, own in zip(both[group.name].cells, group.cells, strict=True):
            assert examples(own.stage) == [round(examples(cell.stage)[0] / 4)]
            assert own.stage.parent == short.encoder and own.point == cell.point
            assert own.stage.recipe == cell.stage.recipe
    names = [{*map(stage_name, plan.training_stages)} for plan in (whole, short)]
    assert not names[0] & names[1] and len({*map(fingerprint, short.training_stages)}) == len(
        short.training_stages
    )


def test_nothing_of_a_lower_rung_is_evaluated(planner: Planner) -> None:
    short = planner.plan({"model": "mini", "intermediate": "nli"}, 1, targets=TARGETS, rung=0.5)
    # Without training a target has nothing there.
    assert (short.phase, short.evaluated) == (RUNG, ())
    assert short.targets == short.subset == ("mini_xnli", "mini_udpos")


def test_a_rung_is_a_share_of_a_budget_that_is_searched(planner: Planner) -> None:
    once, twice = (
        plan_of(planner, 0.1, "nli", **{"intermediate.epochs": epochs}) for epochs in (1, 2)
    )
    assert examples(once.encoder) == [64] and examples(twice.encoder) == [128]


def test_a_part_has_an_example_however_small_the_share(planner: Planner) -> None:
    assert examples(plan_of(planner, 0.001).encoder) == [1, 1]

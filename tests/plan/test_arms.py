"""Arms in plans: stages of their own where they train otherwise, and only there."""

from __future__ import annotations

from pathlib import Path

from tests.sweep_plans import Sizes, plan_baseline_and_all
from xstilts.config.derive import encoder_space
from xstilts.plan.plan import Planner
from xstilts.plan.stage import fingerprint

SWEEP = Path(__file__).parents[2] / "sweeps" / "mini_arms.yaml"


def test_every_arm_has_a_target_stage_of_its_own_behind_one_intermediate() -> None:
    planner, _ = plan_baseline_and_all(SWEEP, Sizes())
    points = list(encoder_space(planner.sweep).grid())
    arms = encoder_space(planner.sweep).values_of("adapt.target")
    assert len(points) == 2 * len(arms) == planner.sweep.search.encoder.trials
    plans = [planner.plan(point, 0) for point in points]
    last = {fingerprint(plan.target_sets[0].cells[0].stage) for plan in plans}
    assert len(last) == len(points)
    assert len({plan.config_id for plan in plans}) == len(points)
    before = {fingerprint(plan.encoder) for plan in plans if plan.intermediate == "nli"}
    assert len(before) == 1


def test_full_is_what_a_file_without_arms_has() -> None:
    """By its name, and in a search space that may draw another."""
    planner, _ = plan_baseline_and_all(SWEEP, Sizes())
    bare = planner.sweep.recipe.model_copy(update={"adapt": {}})
    sweep = planner.sweep.model_copy(update={"recipe": bare})
    other = Planner(sweep, planner.inventory, planner.target_points)
    point = {"intermediate": "nli", "model": "mini"}
    drawn = planner.plan({**point, "adapt.target": "full"}, 0)
    stages = [plan.target_sets[0].cells[0].stage for plan in (drawn, other.plan(point, 0))]
    assert fingerprint(stages[0]) == fingerprint(stages[1])
    none = {"adapt.target.l2_sp": 0, "adapt.target.frozen": "none", "adapt.target.lora.rank": 0}
    stage = planner.plan({**point, **none}, 0).target_sets[0].cells[0].stage
    assert fingerprint(stage) == fingerprint(stages[1])

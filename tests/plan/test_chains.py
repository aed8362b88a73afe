"""Chains in plans: links are target stages of each other, shared where their inputs are equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.plan.test_plan import INVENTORY
from tests.sweep_plans import Sizes
from xstilts.config.load import parse_sweep
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train, fingerprint, stage_name
from xstilts.plan.trial_plan import TrialPlan
from xstilts.tasks import known_tasks

DATA = {
    source.hub_id: source.hub_id
    for task in known_tasks()
    for use in task.splits
    for source in task.sources_of(use)
}
NONE = {"model": "mini", "intermediate": "none"}
RATES = ({"learning_rate": 1e-3}, {"learning_rate": 2e-3})


def planner_of(points: Any = RATES, **changes: Any) -> Planner:
    sweep = parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": "builtin:mini"},
            "intermediates": {"qa": {"tasks": ["commonsenseqa"]}},
            "targets": ["xcopa", "xcopa_fixed"],
            **changes,
        },
        "test",
    )
    inventory: Inventory = replace(INVENTORY, data=DATA, rows=Sizes())
    return Planner(sweep, inventory, dict.fromkeys(("xcopa", "xnli", "mine", "other"), points))


def cell_of(plan: TrialPlan, number: int = 0, name: str = "xcopa") -> Train:
    (group,) = (group for group in plan.target_sets if group.name == name)
    return group.cells[number].stage


def tasks_of(stages: tuple[Train, ...]) -> list[str]:
    return [stage.parts[0].train.task for stage in stages]


def test_the_links_of_a_chain_are_stages_of_each_other() -> None:
    planner = planner_of()
    plan = planner.plan({"model": "mini", "intermediate": "qa"}, 1)
    (group,) = plan.target_sets
    assert group.targets == ("xcopa", "xcopa_fixed")
    last = cell_of(plan)
    (first,) = last.links_before
    assert last.parent is first and first.parent is plan.encoder
    assert (first.carries_head, last.carries_head) == (False, True)
    assert tasks_of((first, last)) == ["siqa", "copa"]
    assert {first.phase, last.phase} == {"target"} and first.recipe.keep == "last"
    assert tasks_of(plan.training_stages) == ["commonsenseqa", *["siqa", "copa"] * 2]
    assert plan.target_stages == plan.training_stages[1:]
    # Both have the point's values.
    assert [stage.recipe.learning_rate for stage in plan.target_stages] == [
        *[1e-3] * 2,
        *[2e-3] * 2,
    ]
    for target in group.targets:
        evaluation = planner.evaluation(plan, target, group.cells[0])
        assert evaluation.parent is last and evaluation.rows.task == target


def test_carrying_the_head_counts_and_not_carrying_it_does_not() -> None:
    last = cell_of(planner_of().plan(NONE, 1))
    assert fingerprint(last) != fingerprint(replace(last, carries_head=False))
    (first,) = last.links_before
    # The first link is what fine-tuning on that task alone is.
    alone = planner_of(train={"xcopa": ["siqa"]}).plan(NONE, 1)
    assert fingerprint(cell_of(alone)) == fingerprint(first)
    assert stage_name(first).startswith("target-siqa-")


def test_chains_and_points_that_begin_alike_share_the_first_link() -> None:
    said = {"name": "mini", "targets": {"siqa": {"learning_rate": 3e-4}}}
    files = {"test": {"de": "a.jsonl"}}
    changes = {
        "recipe": said,
        "tasks": {"mine": {"kind": "choice", "files": files, "train": ["siqa", "hellaswag"]}},
        "targets": ["xcopa", "mine"],
    }
    plan = planner_of(**changes).plan(NONE, 1)
    stages = plan.training_stages
    assert tasks_of(stages) == ["siqa", *["copa"] * 2, *["hellaswag"] * 2]
    assert len({*map(fingerprint, stages)}) == 5
    assert stages[0].recipe.learning_rate == 3e-4
    own = [cell_of(plan, number, name) for name in ("xcopa", "mine") for number in (0, 1)]
    assert {fingerprint(stage.parent) for stage in own} == {fingerprint(stages[0])}


def test_another_encoder_or_attempt_at_a_link_changes_all_that_goes_on_from_it() -> None:
    planner = planner_of()
    plan = planner.plan({"model": "mini", "intermediate": "qa"}, 1)
    assert isinstance(plan.encoder, Train)
    again = planner.with_encoder(plan, replace(plan.encoder, seed=9))
    for old, new in zip(plan.target_stages, again.target_stages, strict=True):
        assert fingerprint(old) != fingerprint(new) and tasks_of((old,)) == tasks_of((new,))
    assert cell_of(again).links_before[0].parent == again.encoder


def test_a_lower_rung_cuts_every_link() -> None:
    planner = planner_of()
    whole, short = (planner.plan(NONE, 1, rung=rung) for rung in (1.0, 0.25))
    for old, new in zip(whole.training_stages, short.training_stages, strict=True):
        assert new.parts[0].examples == round(old.parts[0].examples / 4)
    assert tasks_of(short.training_stages) == ["siqa", "copa"] * 2


def test_confirmation_trains_the_chain_at_its_one_point() -> None:
    plan = planner_of().plan(NONE, 7, confirms={"xcopa_fixed": RATES[1]})
    assert plan.targets == ("xcopa_fixed",) and tasks_of(plan.training_stages) == ["siqa", "copa"]
    assert {stage.recipe.learning_rate for stage in plan.training_stages} == {2e-3}
    assert {stage.seed for stage in plan.training_stages} == {7}


def test_all_rows_of_a_chain_are_needed() -> None:
    planner = planner_of(recipe={"name": "mini", "targets": {"siqa": {"max_length": 32}}})
    needed = {
        (rows.task, rows.use, rows.max_length)
        for rows in planner.rows_needed("mini")
        if rows.task != "commonsenseqa"
    }
    assert needed == {
        *(("siqa", use, 32) for use in ("train", "dev")),
        *(("copa", use, 64) for use in ("train", "dev")),
        *((target, "test", 64) for target in ("xcopa", "xcopa_fixed")),
    }
    read = {
        (stage.parts[0].train.task, stage.parts[0].train.use, stage.parts[0].train.max_length)
        for stage in planner.plan(NONE, 1).training_stages
    }
    assert read <= needed


def test_a_probe_reads_the_dev_set_of_the_last_link() -> None:
    changes = {
        "seeds": [0, 1],
        "search": {"strategy": "race", "signals": ["probe"]},
    }
    plan = planner_of(**changes).plan(NONE, 0)
    assert [signal.name for signal in plan.signals] == ["probe/copa"]

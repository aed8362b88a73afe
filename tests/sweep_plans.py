"""Plans of whole sweep files, without any data: every data set has declared or even sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xstilts.config.load import load_sweep
from xstilts.config.own_tasks import own_task
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train
from xstilts.plan.trial_plan import TrialPlan
from xstilts.report.forecast import example_plans
from xstilts.search.proposals import target_points
from xstilts.tasks import known_tasks


class Sizes(dict):
    """100 rows of everything."""

    def __missing__(self, key: str) -> int:
        return 100


PUBLISHED = {
    f"{task.source.hub_id}|{task.source.config}|{split}": size
    for task in known_tasks()
    for split, size in task.source.sizes.items()
}


class PublishedSizes(Sizes):
    """As many training rows as published, 100 of what is not."""

    def __missing__(self, key: str) -> int:
        # Items of several languages are those of the first of them here.
        source, config, split = key.split(" & ")[0].split("|")[:3]
        if (source, split) == ("facebook/xnli", "train"):
            return PUBLISHED["nyu-mll/glue|mnli|train"]
        return PUBLISHED.get(f"{source}|{config}|{split}", 100)


def plan_baseline_and_all(
    path: Path, rows: Mapping[str, int]
) -> tuple[Planner, dict[str, TrialPlan]]:
    """The planner of a file, and a plan for every candidate; `rows` as in the inventory."""
    sweep = load_sweep(path)
    facts = ModelFacts("/m", "w", "t", 12, 1)
    tasks = (*known_tasks(), *(own_task(name, spec) for name, spec in sweep.tasks.items()))
    data = {
        source.hub_id: "sha"
        for task in tasks
        for use in task.splits
        for source in task.sources_of(use)
    }
    translations = {task.translations.hub_id: "sha" for task in tasks if task.translations}
    labels = {task.name: ("N", "NP") for task in tasks if task.open_labels}
    models = dict.fromkeys(sweep.models, facts)
    inventory = Inventory(models, {}, {**data, **translations}, rows, labels, tokens=Sizes())
    planner = Planner(sweep, inventory, target_points(sweep))
    plans = example_plans(sweep, planner)
    assert "none" in plans
    assert any(isinstance(plan.encoder, Train) for plan in plans.values())
    return planner, plans

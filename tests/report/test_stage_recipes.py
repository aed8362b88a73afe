"""The recipe that `plan` shows: effective values, equal ones once, what is searched called so."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xstilts.config.own_tasks import find_task
from xstilts.config.recipe import SHOWN
from xstilts.config.schema import Sweep
from xstilts.plan.plan import Planner
from xstilts.report.forecast import example_plans
from xstilts.report.stage_recipes import recipe_table, stage_recipes
from xstilts.search.proposals import target_points

from ..plan.test_plan import INVENTORY, sweep_with
from ..sweep_plans import PublishedSizes, plan_baseline_and_all

SEARCH = {
    "encoder": {
        "space": {
            "intermediate.rates": {"simplex": True},
            "intermediate.epochs": {"choice": [1, 2]},
            "intermediate.learning_rate": {"choice": [1e-3, 2e-3], "when": {"intermediate": "nli"}},
        }
    },
    "target": {"space": {"batch_size": {"choice": [8, 16]}}},
}


def recipe_of(sweep: Sweep) -> dict[str, Any]:
    planner = Planner(sweep, INVENTORY, target_points(sweep))
    return stage_recipes(sweep, planner, example_plans(sweep, planner))


def shown(recipe: dict[str, Any]) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=80).print(*recipe_table(recipe), sep="\n")
    return [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]


def test_values_are_those_that_stages_are_trained_by() -> None:
    said = {"name": "mini", "clip_norm": 2, "tasks": {"mini_nli": {"batch_size": 4}}}
    recipe = recipe_of(sweep_with(recipe=said, search=SEARCH))
    assert recipe["name"] == "mini"
    assert recipe["overrides"] == {"clip_norm": 2, "tasks.mini_nli.batch_size": 4}
    stages = {(one["stage"], one["task"]): one for one in recipe["stages"]}
    assert all(
        one["values"]["clip_norm"] == 2 for one in stages.values() if one["values"].get("keep")
    )
    nli = stages["nli", "mini_nli"]
    assert set(nli["values"]) == set(SHOWN) and nli["values"]["batch_size"] == 4
    assert nli["searched"] == ["epochs", "learning_rate"]
    even = stages["even", "mini_nli"]
    assert (even["values"]["batch_size"], even["values"]["epochs"]) == (4, 48 / 640)
    assert even["searched"] == [], "its budget says how long it is"
    assert stages["searched", "mini_qa"]["searched"] == ["epochs"]
    assert stages["target mini_xnli", "mini_xnli"]["searched"] == ["batch_size"]
    assert stages["target mini_tatoeba", "mini_tatoeba"]["values"] == {"max_length": 64}


def test_equal_values_stand_once_and_stages_that_are_alike_share_a_row() -> None:
    lines = shown(
        recipe_of(sweep_with(recipe={"name": "mini", "weight_decay": 0.02}, search=SEARCH))
    )
    text = " ".join(" ".join(lines).split())
    assert "recipe mini, but weight_decay 0.02 every stage:" in text
    assert text.count("weight_decay 0.02") == 2 and text.count("checks 4") == 1
    table = lines[next(i for i, line in enumerate(lines) if "───" in line) :]
    assert sum("searched" in line.split("  ")[-1] for line in table) >= 1
    assert any(line.split()[:2] == ["target", "mini_xnli"] and "0.35" in line for line in table)


def test_a_sweep_whose_stages_are_all_alike_needs_no_table() -> None:
    said = {"name": "mini", "epochs": 1}
    one = {"intermediates": {"nli": {"tasks": ["mini_nli"]}}, "search": {}}
    lines = shown(recipe_of(sweep_with(recipe=said, **one)))
    assert not any("───" in line for line in lines)
    assert "epochs 1" in " ".join(lines)


SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("**/*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_sweep_file_of_ours_fits_into_80_columns(path: Path) -> None:
    planner, plans = plan_baseline_and_all(path, PublishedSizes())
    recipe = stage_recipes(planner.sweep, planner, plans)
    lines = shown(recipe)
    assert max(map(len, lines)) <= 80 and "…" not in "".join(lines)
    has_mixture = "hellaswag_mlm" in planner.sweep.intermediates
    assert any("hellaswag_mlm/hellaswag " in line for line in lines) == has_mixture
    words = "".join(lines).replace("_", " ").split()
    read = {name for one in recipe["stages"] for name in one["values"] if name not in one["unread"]}
    assert {word for name in read for word in re.split("[_.]", name)} <= set(words)
    targets = [find_task(planner.sweep, name) for name in planner.sweep.targets]
    has_towers = any(task.kind == "dual_encoder" for task in targets)
    assert ("negatives" in words) == has_towers, "which a dual encoder alone reads"

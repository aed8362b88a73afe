"""Recipes: bounds of every value, and what overrides what."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from xstilts.config.recipe import INTEGER_FIELDS, RECIPES, SEARCHABLE, Recipe, StageRecipe

STAGE = StageRecipe(learning_rate=1e-3, batch_size=32, epochs=2, max_length=96)


@pytest.mark.parametrize("field", [field.name for field in fields(StageRecipe)])
def test_every_field_has_a_lower_bound(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} cannot be -1"):
        replace(STAGE, **{field: -1})


@pytest.mark.parametrize("number", [0.0, float("inf"), float("nan")])
def test_learning_rate_is_above_0_and_finite(number: float) -> None:
    with pytest.raises(ValueError, match="learning_rate"):
        replace(STAGE, learning_rate=number)


def test_whole_numbers_are_known() -> None:
    assert {"batch_size", "max_length", "checks", "dev_examples"} == INTEGER_FIELDS
    assert set(SEARCHABLE) <= {field.name for field in fields(StageRecipe)}


def test_trial_wins_over_task_and_task_over_phase() -> None:
    recipe = Recipe(
        "r", "none", STAGE, replace(STAGE, epochs=5), {"t": {"batch_size": 8, "epochs": 9}}
    )
    assert recipe.for_task("intermediate", "x", {}) == STAGE
    assert recipe.for_task("target", "x", {}).epochs == 5
    task = recipe.for_task("target", "t", {"epochs": 1})
    assert (task.epochs, task.batch_size, task.max_length) == (1, 8, 96)


def test_recipes_say_where_they_come_from() -> None:
    assert all(name == recipe.name and recipe.evidence for name, recipe in RECIPES.items())

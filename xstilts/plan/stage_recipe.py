"""The recipe of every stage of a sweep, its sequences no longer than the model reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xstilts.config.derive import recipe_of
from xstilts.config.recipe import StageRecipe
from xstilts.config.schema import Sweep
from xstilts.plan.inventory import Inventory


class StageRecipes:
    """What stages are trained by: the sweep's recipe under what its file and a trial's point say,
    within what a model has positions for."""

    def __init__(self, sweep: Sweep, inventory: Inventory):
        self._sweep, self._inventory = sweep, inventory
        self._recipe = recipe_of(sweep)

    def of(self, model: str, phase: str, task: str, overrides: Mapping[str, Any]) -> StageRecipe:
        """The recipe of a task in a phase."""
        return self._within(model, self._recipe.for_task(phase, task, overrides))

    def of_link(
        self, model: str, target: str, link: str, overrides: Mapping[str, Any]
    ) -> StageRecipe:
        """The recipe of a link of the chain that a target is trained in; of one without a chain the
        link is the target itself."""
        return self._within(model, self._recipe.for_link(target, link, overrides))

    def lengths(self, model: str, phase: str, task: str, link: str = "") -> list[int]:
        """The values of `max_length` that a task's stages may have, or those of a link of its
        chain."""
        search = self._sweep.search
        declared = [search.encoder.space.get(f"{phase}.max_length")]
        if phase == "target":
            declared.append(search.target.space.get("max_length"))
        specs = [spec for spec in declared if spec]
        values: list[dict[str, int]] = [{"max_length": v} for spec in specs for v in spec.values()]
        if all(spec.when for spec in specs):  # where none is active, the recipe's holds
            values.append({})
        found = (
            self.of_link(model, task, link, value) if link else self.of(model, phase, task, value)
            for value in values
        )
        return sorted({recipe.max_length for recipe in found})

    def _within(self, model: str, recipe: StageRecipe) -> StageRecipe:
        limit = self._inventory.models[model].max_length
        return replace(recipe, max_length=min(recipe.max_length, limit))

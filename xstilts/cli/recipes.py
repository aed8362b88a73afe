"""The command about recipes: their names, or one whole with the evidence for its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xstilts.cli.app import Json, command, out, print_json
from xstilts.errors import ConfigError, Problem

if TYPE_CHECKING:
    from xstilts.config.recipe import Recipe


@command("xstilts recipes standard")
def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe; unless said, all names.")] = None,
    as_json: Json = False,
) -> None:
    """Show the recipes that sweep files may name, or all values of one and where they are from."""
    from xstilts.config.recipes import RECIPES
    from xstilts.tasks import suggest

    if name is None:
        keys = ("name", "about", "evidence")
        if as_json:
            print_json([{key: getattr(one, key) for key in keys} for one in RECIPES.values()])
        for one in () if as_json else RECIPES.values():
            out.print(f"{one.name:<12} {one.about}", markup=False, soft_wrap=True)
    elif name not in RECIPES:
        raise ConfigError([Problem("NAME", "unknown recipe", f'"{name}"', suggest(name, RECIPES))])
    elif as_json:
        print_json(_document(RECIPES[name]))
    else:
        _show(RECIPES[name])


def _document(recipe: Recipe) -> dict[str, Any]:
    """A recipe as a JSON-able dict; `tasks` has by phase what single tasks have otherwise."""
    from xstilts.config.recipe import PHASES

    names = {**recipe.per_task, **recipe.intermediate_per_task}
    tasks = {
        phase: {task: values for task in names if (values := recipe.task_values(phase, task))}
        for phase in PHASES
    }
    keys = ("name", "about", "evidence")
    whole = {phase: getattr(recipe, phase).values for phase in PHASES}
    return {**{key: getattr(recipe, key) for key in keys}, **whole, "tasks": tasks}


def _show(recipe: Recipe) -> None:
    from rich import box
    from rich.table import Table

    from xstilts.config.recipe import PHASES, SHOWN
    from xstilts.report.columns import WholeNames
    from xstilts.report.stage_recipes import in_words

    document = _document(recipe)
    out.print(f"{recipe.name}: {recipe.about}", markup=False)
    out.print(f"Evidence: {recipe.evidence}", markup=False)
    table = Table("every stage", *PHASES, box=box.SIMPLE_HEAD, pad_edge=False)
    for field in SHOWN:
        table.add_row(field, *(in_words(field, document[phase][field]) for phase in PHASES))
    out.print(WholeNames(table, range(3)))
    if rows := _task_rows(document["tasks"]):
        table = Table("task", "phase", "values", box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        out.print(WholeNames(table, (0, 1)))


def _task_rows(tasks: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[tuple[str, str, str]]:
    """A line for each task and phase, one for both phases where they are alike."""
    from xstilts.report.stage_recipes import in_words

    rows = []
    for task in {**tasks["target"], **tasks["intermediate"]}:
        by_phase = {phase: own[task] for phase, own in tasks.items() if task in own}
        values = list(by_phase.values())
        if len(values) == 2 and values[0] == values[1]:
            by_phase = {"both": values[0]}
        for phase, own in by_phase.items():
            words = ", ".join(f"{name} {in_words(name, value)}" for name, value in own.items())
            rows.append((task, phase, words))
    return rows

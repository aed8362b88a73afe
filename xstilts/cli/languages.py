"""The command about languages: what is known of each, and where that is from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xstilts.cli.app import Json, command, out, print_json
from xstilts.errors import ConfigError, Problem

if TYPE_CHECKING:
    from xstilts.tasks.languages import Column, Language

HEADINGS = {"joshi_class": "class", "word_order": "order", "syntax_distance": "syntax"}
"""Short ones, where a column has a long name."""

SHORT = {"No dominant order": "none"}


@command("xstilts languages tatoeba")
def languages(
    task: Annotated[
        str | None, typer.Argument(help="A task: only the languages that it has.")
    ] = None,
    source: Annotated[
        bool, typer.Option("--source", help="Show what every column is, and where it is from.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the languages of the tasks: family, script, resources, word order, morphology, distance
    from English. The JSON has all columns.

    `report NAME --by COLUMN` groups gains by any of them.
    """
    from xstilts.tasks.languages import COLUMNS, LANGUAGES, language

    if source:
        if as_json:
            keys = ("name", "values", "about", "source")
            print_json([{key: getattr(one, key) for key in keys} for one in COLUMNS.values()])
        for one in () if as_json else COLUMNS.values():
            out.print(f"{one.name}: {one.about}.\n    From: {one.source}.", markup=False)
        return
    shown = list(LANGUAGES.values()) if task is None else [*map(language, _languages_of(task))]
    if as_json:
        print_json([dict(one.values) for one in shown])
    else:
        _show(shown)


def _languages_of(name: str) -> tuple[str, ...]:
    """The languages of a task of the catalogue, or of an installed plugin.

    Raises:
        ConfigError: no task has that name.
    """
    from xstilts.tasks import known_tasks, suggest
    from xstilts.tasks.plugins import installed_plugins, load_plugin

    tasks = {task.name: task for task in known_tasks()}
    for module in () if name in tasks else installed_plugins():
        tasks |= load_plugin(module).tasks
    if name not in tasks:
        raise ConfigError([Problem("TASK", "unknown task", f'"{name}"', suggest(name, tasks))])
    return tuple(dict.fromkeys((*tasks[name].languages, *tasks[name].translated_languages)))


def _show(shown: Sequence[Language]) -> None:
    from rich import box
    from rich.table import Table

    from xstilts.tasks.languages import COLUMNS, SHOWN

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in SHOWN:
        is_text = COLUMNS[name].values == "text"
        table.add_column(HEADINGS.get(name, name), justify="left" if is_text else "right")
    for one in shown:
        table.add_row(*(_text(COLUMNS[name], one.values[name]) for name in SHOWN))
    out.print(table)
    for name in ("joshi_class", "cc100", "word_order", "c_wals", "syntax_distance"):
        line = f"{HEADINGS.get(name, name)}: {COLUMNS[name].about}"
        out.print(line, style="dim", markup=False)
    out.print("--source: where every column is from; --json: all columns", style="dim")


def _text(column: Column, value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if column.values == "number" else SHORT.get(value, str(value))

"""The command `score`: a folder of predictions against a folder of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from xstilts import api
from xstilts.cli.app import Json, command, out, print_json


@command("xstilts score --predictions submission --labels labels")
def score(
    predictions: Annotated[
        Path, typer.Option(help="A folder in XTREME's submission layout.", show_default=False)
    ],
    labels: Annotated[
        Path, typer.Option(help="The labels in the same layout.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Score predictions exactly as XTREME's official scorer does."""
    from xstilts.report.columns import WholeNames

    scores = api.score_submission(predictions, labels)
    if as_json:
        print_json(scores.to_json())
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task")
    table.add_column("languages", justify="right")
    table.add_column("averages")
    for name, task in scores.tasks.items():
        averages = "  ".join(f"{metric} {value:.2f}" for metric, value in task.average.items())
        table.add_row(name, str(len(task.per_language)), averages)
    for group, value in scores.groups.items():
        table.add_row(f"group {group}", "", f"{value:.2f}")
    absent = "- (not all nine tasks are there)"
    table.add_row("overall", "", absent if scores.overall is None else f"{scores.overall:.2f}")
    out.print(WholeNames(table))

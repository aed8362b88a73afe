"""The command `score`: a folder of predictions against a folder of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from xstilts import api
from xstilts.cli.app import Json, command, err, out, print_json


@command("xstilts score --predictions submission --labels labels")
def score(
    predictions: Annotated[
        Path, typer.Option(help="A folder in the benchmark's layout.", show_default=False)
    ],
    labels: Annotated[
        Path, typer.Option(help="The labels in the same layout.", show_default=False)
    ],
    benchmark: Annotated[
        str, typer.Option(help="xtreme or xtreme-r: which tasks, in which languages.")
    ] = "xtreme",
    as_json: Json = False,
) -> None:
    """Score predictions exactly as the official scorer of XTREME, or of XTREME-R, does."""
    from xstilts.report.columns import WholeNames
    from xstilts.tasks.benchmarks import BENCHMARKS

    scores = api.score_submission(predictions, labels, benchmark)
    for note in scores.notes:
        err.print(note, style="yellow", markup=False)
    if as_json:
        print_json(scores.to_json())
        return
    # XTREME-R's scorer has neither a mean over all tasks nor LAReQA.
    own = "" if scores.benchmark == "xtreme" else " (ours)"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task")
    table.add_column("languages", justify="right")
    table.add_column("averages")
    for name, task in scores.tasks.items():
        averages = "  ".join(f"{metric} {value:.2f}" for metric, value in task.average.items())
        label = f"{name}{own}" if name == "lareqa" else name
        table.add_row(label, str(len(task.per_language)), averages)
    for group, value in scores.groups.items():
        table.add_row(f"group {group}", "", f"{value:.2f}")
    count = {9: "nine", 10: "ten"}[len(BENCHMARKS[scores.benchmark].targets)]
    absent = f"- (not all {count} tasks are there)"
    mean = absent if scores.overall is None else f"{scores.overall:.2f}"
    table.add_row(f"overall{own}", "", mean)
    out.print(WholeNames(table))

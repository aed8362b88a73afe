"""The command `export`: what a finished trial predicted, as files for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli.app import Name, Storage, command, out, places_of
from xstilts.errors import ConfigError, Problem


@command("xstilts export quickstart nli-12345678-s0 --submission D")
def export(
    name: Name,
    trial: Annotated[str, typer.Argument(help="A finished trial.", show_default=False)],
    submission: Annotated[
        Path, typer.Option(help="Write the predictions here, in XTREME's layout.")
    ],
    labels: Annotated[
        Path | None, typer.Option(help="Also write the gold here, for `xstilts score`.")
    ] = None,
    storage: Storage = Path("runs"),
) -> None:
    """Write a finished trial's predictions as an XTREME submission."""
    from xstilts.report.results import load_results
    from xstilts.run.export import export_labels, export_submission
    from xstilts.run.reopen import load_planner, workshop_of
    from xstilts.tasks import suggest

    results = load_results(places_of(storage, name))
    finished = {record["trial"]: record for record in results.finished}
    if trial not in finished:
        rule = f"no finished trial of {name}"
        raise ConfigError([Problem("TRIAL", rule, f'"{trial}"', suggest(trial, finished))])
    planner = load_planner(results.places)
    workshop = workshop_of(planner, results.places)
    record = finished[trial]
    split = planner.sweep.evaluation.split
    done = export_submission(record, planner, workshop, submission)
    out.print(f"{submission}: {done.num_files} files, predictions on the {split} split")
    if labels is not None:
        plan = planner.plan(record["point"], record["seed"])
        gold = export_labels(plan, planner, workshop, labels)
        out.print(f"{labels}: {gold.num_files} files")
        for line in gold.left_out:
            out.print(line, style="yellow", markup=False)

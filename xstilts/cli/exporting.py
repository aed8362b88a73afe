"""The command `export`: what a finished trial predicted, as files for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli.app import Name, Storage, command, err, out, places_of
from xstilts.cli.remembered import storage_of
from xstilts.errors import ConfigError, Problem


@command("xstilts export quickstart none-30c74ba6-s0 --submission predictions")
def export(
    name: Name,
    trial: Annotated[str, typer.Argument(help="A finished trial.", show_default=False)],
    submission: Annotated[
        Path | None, typer.Option(help="Write the predictions here, in XTREME's layout.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Write the gold here, for `xstilts score`.")
    ] = None,
    model: Annotated[
        tuple[str, Path] | None,
        typer.Option(metavar="TARGET D", help="Write the target's model for from_pretrained."),
    ] = None,
    storage: Storage = None,
) -> None:
    """Write what a finished trial predicted, or the model that it chose for a target."""
    from xstilts.report.results import load_results
    from xstilts.run.reopen import planner_of, workshop_of
    from xstilts.tasks import suggest

    if submission is None and labels is None and model is None:
        rule = "something is to be exported"
        repair = "give --submission D, --labels D or --model TARGET D"
        raise ConfigError([Problem("export", rule, "nothing", repair)])
    results = load_results(places_of(storage_of(storage, name), name))
    finished = {record["trial"]: record for record in results.finished}
    if trial not in finished:
        rule = f"no finished trial of {name}"
        raise ConfigError([Problem("TRIAL", rule, f'"{trial}"', suggest(trial, finished))])
    record = finished[trial]
    planner = planner_of(results.places, results.folder)
    plan = planner.plan(record["point"], record["seed"])
    trained = [t for group in plan.target_sets if group.cells for t in group.targets]
    if model is not None and model[0] not in trained:
        rule = "no target that the trial trained a model for"
        raise ConfigError([Problem("--model", rule, f'"{model[0]}"', suggest(model[0], trained))])
    # Torch takes seconds to import; what is wrong with the arguments is told before.
    from xstilts.run.export import export_labels, export_model, export_submission

    workshop = workshop_of(planner, results.places)
    if submission is not None:
        split = planner.sweep.evaluation.split
        done = export_submission(record, planner, workshop, submission)
        out.print(f"{submission}: {done.num_files} files, predictions on the {split} split")
    if labels is not None:
        gold = export_labels(plan, planner, workshop, labels)
        out.print(f"{labels}: {gold.num_files} files")
        for line in gold.left_out:
            out.print(line, style="yellow", markup=False)
    if model is not None:
        export_model(record, plan, planner, workshop, *model, err.print)
        out.print(f"{model[1]}: the model of {model[0]}, with its tokenizer")

"""The command `export`: what a finished trial predicted, as files for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli.app import Name, Plugins, Storage, command, err, out, results_of
from xstilts.errors import ConfigError, Problem

BEST = "best"


@command("xstilts export quickstart none-30c74ba6-s0 --submission predictions")
def export(
    name: Name,
    trial: Annotated[
        str,
        typer.Argument(
            help="A finished trial; or `best`, with --model: the one that the report says to use "
            "for the target.",
            show_default=False,
        ),
    ],
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
    encoder: Annotated[
        Path | None,
        typer.Option(help="Write the intermediate's encoder here, for from_pretrained."),
    ] = None,
    storage: Storage = None,
    plugins: Plugins = False,
) -> None:
    """Write what a finished trial predicted, the model that it chose for a target, or the encoder
    that its intermediate left.

    Weights that were dropped from the storage are trained again, to the same bytes.
    """
    if submission is None and labels is None and model is None and encoder is None:
        rule = "something is to be exported"
        repair = "give --submission D, --labels D, --model TARGET D or --encoder D"
        raise ConfigError([Problem("export", rule, "nothing", repair)])
    results = results_of(name, storage, plugins)
    if trial == BEST:
        if model is None:
            rule, repair = "is the best of one target", "give --model TARGET D, or name a trial"
            raise ConfigError([Problem("TRIAL", rule, f'"{BEST}"', repair)])
        trial = results.best_trial(model[0])
        err.print(f"{BEST} of {model[0]}: {trial}", markup=False)
    if model is not None:
        results.check_model(trial, model[0])
    if encoder is not None:
        results.check_encoder(trial)
    if submission is not None:
        done = results.export_submission(trial, submission)
        split = results.sweep.evaluation.split
        out.print(f"{submission}: {done.num_files} files, predictions on the {split} split")
    if labels is not None:
        gold = results.export_labels(trial, labels)
        out.print(f"{labels}: {gold.num_files} files")
        for line in gold.left_out:
            out.print(line, style="yellow", markup=False)
    if model is not None:
        results.export_model(trial, *model, err.print)
        out.print(f"{model[1]}: the model of {model[0]}, with its tokenizer")
    if encoder is not None:
        results.export_encoder(trial, encoder, err.print)
        out.print(f"{encoder}: the encoder of {trial}, with its tokenizer")

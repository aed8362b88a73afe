"""How a trial that a table names is opened, exported and rebuilt: commands to copy."""

from __future__ import annotations

import shlex

from xstilts.config.own_tasks import find_task
from xstilts.report.results import Results
from xstilts.report.verdict_table import storage_here
from xstilts.run.places import SWEEP_FILE
from xstilts.tasks.kinds import IN_TRANSFORMERS


def trial_lines(results: Results, program: str = "xstilts") -> list[str]:
    """The commands for any trial of a sweep, its name left to fill in as TRIAL.

    Args:
        program: how this command is called here.
    """
    places, where = results.places, storage_here(results.places)
    name, storage = shlex.quote(places.name), f"--storage {shlex.quote(where)}"
    file = f"{where}/{(results.folder / SWEEP_FILE).relative_to(places.storage)}"
    rebuild = f"run {shlex.quote(file)} --set {shlex.quote(f'storage={where}')}"
    return [
        "Any trial: its run in MLflow (of the same name), its model, the trial rebuilt",
        f"  {program} ui {name} {storage}",
        f"  {program} export {name} TRIAL {_what(results)} {storage}",
        f"  {program} {rebuild} --trial TRIAL",
    ]


def _what(results: Results) -> str:
    """What a finished trial of the sweep can give: a model, else its predictions."""
    for target in results.sweep.targets:
        task = find_task(results.sweep, target)
        if task.kind in IN_TRANSFORMERS and find_task(results.sweep, task.head).is_trained:
            return f"--model {target} MODEL"
    return "--submission PREDICTIONS"

"""Runs the rehearsal on the cluster, each scene on what a trial is allocated."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from rich import box
from rich.table import Table

from xstilts.config.own_tasks import plugins_used
from xstilts.errors import StageError
from xstilts.files import sha256_of, write_json
from xstilts.plan.plan import Planner
from xstilts.run.node import versions
from xstilts.run.places import REHEARSAL, Places
from xstilts.run.rehearsal import Rehearsed, rehearse, scenes

DONE = "rehearsed.json"
"""In the folder of a launch: what has been rehearsed, so that a resumed sweep does not do it
again."""


def run_rehearsal(
    planner: Planner, places: Places, launch: int, tell: Callable[[Any], Any]
) -> None:
    """Rehearse what has not been; Ray must be connected.

    Args:
        tell: called with a line for every scene, and with a table of all.

    Raises:
        StageError: a scene failed; the reason is its own.
    """
    import ray

    todo = scenes(planner)
    own = versions(tuple(plugins_used(planner.sweep)))
    identity = sha256_of([own, sorted(map(repr, todo))])
    if places.latest(DONE, "") == identity:
        return
    resources = planner.sweep.resources
    task = ray.remote(
        num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus_per_trial, max_retries=0
    )(rehearse)
    where = (str(places.storage), places.name, launch)
    asked = {task.remote(*where, scene): scene for scene in todo}
    waiting, found = list(asked), []
    try:
        while waiting:
            (ready, *_), waiting = ray.wait(waiting, num_returns=1)
            scene = asked[ready]
            try:
                found.append(ray.get(ready))
            except Exception as error:  # the task's own error, or the death of its process
                reason = str(getattr(error, "cause", None) or error).strip().splitlines()[-1]
                raise StageError(
                    f"rehearsal of {scene.label}: {reason}; nothing was started"
                ) from error
            tell(f"rehearsed {len(found)} of {len(todo)}: {scene.label}")
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
        shutil.rmtree(places.launch(launch) / REHEARSAL, ignore_errors=True)
    tell(_table(found))
    write_json(places.launch(launch) / DONE, identity)


def _table(found: list[Rehearsed]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Rehearsal", title_justify="left")
    table.add_column("stage", overflow="fold")
    for name in ("seconds", "steps/s", "GPU GB"):
        table.add_column(name, justify="right")
    for one in sorted(found, key=lambda one: one.label):
        memory = f"{one.peak_gb:.1f}" if one.peak_gb else "-"
        table.add_row(one.label, f"{one.seconds:.1f}", f"{one.steps_per_s:.2f}", memory)
    return table

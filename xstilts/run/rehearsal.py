"""The rehearsal: every sort of stage once, for a few steps, before anything long begins.

What a check of the file cannot find, a run of seconds finds: a card too small, a tokenizer that
does not fit, a folder that cannot be written, predictions that cannot be scored. It computes in a
store of its own that is deleted after; what memory could not hold is remembered for the trials.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from xstilts.config.derive import candidates
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Evaluate, Part, Rows, Train
from xstilts.plan.trial_plan import TrialPlan
from xstilts.run.places import REHEARSAL, Places
from xstilts.run.reopen import planner_of, workshop_of
from xstilts.run.single import point_of
from xstilts.run.store import Store

MAX_STEPS = 20
MAX_ROWS = 64
"""Rows of each language that are evaluated; two languages of each target are."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One training stage, cut short as the links that it goes on from are, and the evaluations that
    hang on it; or those alone."""

    label: str
    train: Train | None
    evaluations: tuple[Evaluate, ...]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a scene took: seconds, optimiser steps in a second, GB of the card at its peak."""

    label: str
    seconds: float
    steps_per_s: float
    peak_gb: float


def scenes(planner: Planner) -> list[Scene]:
    """The distinct sorts of stages of a sweep: by model, tasks, lengths and batch sizes.

    Of what is searched, the longest sequences and the largest batches are taken.
    """
    distinct: dict[Any, Scene] = {}
    for model in planner.sweep.models:
        for name in candidates(planner.sweep):
            plan = planner.plan(_largest_point(planner, model, name), planner.sweep.seeds[0])
            for scene in _scenes_of(planner, plan):
                distinct.setdefault(_sort(scene), scene)
    return list(distinct.values())


def rehearse(storage: str, sweep: str, launch: int, scene: Scene) -> Rehearsed:
    """Compute one scene in the process that calls it, on what it was allocated.

    Raises:
        XstiltsError: what would have ended a trial.
    """
    places = Places(Path(storage), sweep)
    folder = places.launch(launch)
    workshop = workshop_of(planner_of(places, folder, with_plugins=True), places)
    workshop.store = Store(folder / REHEARSAL)
    workshop.store.folder.mkdir(parents=True, exist_ok=True)
    is_gpu = workshop.device.type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    begun, steps_per_s = time.monotonic(), 0.0
    if scene.train is not None:
        found = workshop.run(scene.train, REHEARSAL, lambda share: None, with_weights=True)
        steps_per_s = scene.train.num_steps / max(1e-9, found.manifest.seconds)
    for stage in scene.evaluations:
        workshop.run(stage, REHEARSAL, lambda share: None)
    peak_gb = torch.cuda.max_memory_allocated() / 1e9 if is_gpu else 0.0
    return Rehearsed(scene.label, time.monotonic() - begun, steps_per_s, peak_gb)


def _scenes_of(planner: Planner, plan: TrialPlan) -> Iterator[Scene]:
    if isinstance(plan.encoder, Train):
        yield Scene(plan.encoder.label, _short(plan.encoder), ())
    for group in plan.target_sets:
        cell = group.cells[0] if group.cells else None
        train = _short(cell.stage.grown_from(plan.pretrained)) if cell else None
        evaluations = tuple(
            _few(planner.evaluation(plan, name, cell), train or plan.pretrained)
            for name in group.targets
        )
        yield Scene(group.name, train, evaluations)


def _largest_point(planner: Planner, model: str, intermediate: str) -> dict[str, Any]:
    given: dict[str, Any] = {"model": model, "intermediate": intermediate}
    point = point_of(planner.sweep, given)
    for key, spec in planner.sweep.search.encoder.space.items():
        if key in point and key.endswith(("max_length", "batch_size")):
            given[key] = max(spec.values())
    return point_of(planner.sweep, given)


def _sort(scene: Scene) -> Any:
    """What makes two scenes the same for memory and code, whatever their learning rates."""
    chain = (*scene.train.links_before, scene.train) if scene.train else ()
    parts = [part for stage in chain for part in stage.parts]
    return (
        chain[0].parent if chain else scene.evaluations[0].parent,
        tuple((part.train.task, part.train.max_length, part.batch_size) for part in parts),
        tuple((stage.rows.task, stage.rows.max_length) for stage in scene.evaluations),
    )


def _short(stage: Train) -> Train:
    steps = max(1, MAX_STEPS // len(stage.parts))

    def cut(part: Part) -> Part:
        dev, pivots = (rows and _cut(rows) for rows in (part.dev, part.pivots))
        few = min(part.examples, steps * part.batch_size)
        return replace(part, examples=few, dev=dev, pivots=pivots)

    links = stage.links_before
    parent = _short(links[-1]) if links else stage.parent
    return replace(stage, parent=parent, parts=tuple(cut(part) for part in stage.parts))


def _few(stage: Evaluate, parent: Any) -> Evaluate:
    fitted, pool = (rows and _cut(rows) for rows in (stage.fitted, stage.pool))
    return replace(stage, parent=parent, rows=_cut(stage.rows), fitted=fitted, pool=pool)


def _cut(rows: Rows) -> Rows:
    """The first rows of the first and the last language."""
    languages = tuple(dict.fromkeys((rows.rows[0], rows.rows[-1])))
    limit = MAX_ROWS if rows.limit is None else min(MAX_ROWS, rows.limit)
    counts = tuple((name, min(count, limit)) for name, count in languages)
    return replace(rows, rows=counts, limit=limit)

"""What a sweep will do, before it does it: trials, stages, what exists, examples, steps, disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from xstilts.config.derive import NONE, candidates, encoder_space, overlaps, shared_families
from xstilts.config.schema import Sweep
from xstilts.config.space import Point
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner, TrialPlan
from xstilts.plan.stage import Train, fingerprint
from xstilts.report.hours import Rates, hours
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.single import point_of
from xstilts.run.store import Store


def forecast(
    sweep: Sweep,
    inventory: Inventory,
    target_points: Mapping[str, Sequence[Point]],
    store: Store,
    places: Places,
    bench: Path | None = None,
) -> dict[str, Any]:
    """The forecast as a JSON-able dict; with hours where `bench` has rates.

    Where a sampler decides, numbers of stages are a range from `least` to `most`: configurations
    that differ only in `target.*` parameters share their intermediate stage.
    """
    planner = Planner(sweep, inventory, target_points)
    example = example_plans(sweep, planner)
    num_configs = _num_configurations(sweep)
    num_trials = num_configs * len(sweep.seeds)
    cells = sum(len(group.cells) for group in example[NONE].target_sets)
    encoders = _range_of_encoders(sweep, planner, num_configs)
    least_targets = (encoders[0] + len(sweep.seeds)) * cells
    known = [plan for points in _known_points(sweep, places) for plan in _plans(planner, points)]
    known += _plans(planner, example[NONE].point)
    stages = {fingerprint(stage): stage for plan in known for stage in plan.training_stages}
    num_bytes = max(facts.num_bytes for facts in inventory.models.values())
    most = encoders[1] + num_trials * cells
    summary: dict[str, Any] = {
        "sweep": sweep.name,
        "configurations": num_configs,
        "seeds": len(sweep.seeds),
        "trials": num_trials,
        "stages": {
            "intermediate": {"least": encoders[0], "most": encoders[1]},
            "target": {"least": min(least_targets, num_trials * cells), "most": num_trials * cells},
            "evaluation": {
                "least": (encoders[0] + len(sweep.seeds)) * len(sweep.targets),
                "most": num_trials * len(sweep.targets),
            },
            "done": sum(store.has(stage) for stage in stages.values()),
        },
        "tasks": list(_task_rows(example)),
        "disk_gb": round(most * num_bytes / 1e9, 3),
        "warnings": list(_warnings(sweep)),
    }
    if bench is not None:
        rates = Rates(bench, planner.precision)
        summary["hours"] = hours(rates, planner, example, summary["stages"])
    return summary


def forecast_tables(summary: dict[str, Any]) -> Group:
    """The forecast for a terminal."""
    stages = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    title = (
        f"{summary['sweep']}: {summary['configurations']} configurations x {summary['seeds']} "
        f"seeds = {summary['trials']} trials"
    )
    for name in ("stages", "least", "most"):
        stages.add_column(name, justify="left" if name == "stages" else "right")
    for name in ("intermediate", "target", "evaluation"):
        bounds = summary["stages"][name]
        stages.add_row(name, str(bounds["least"]), str(bounds["most"]))
    tasks = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("stage", "task", "rows", "examples", "batch", "steps", "epochs"):
        tasks.add_column(name, justify="left" if name in ("stage", "task") else "right")
    for row in summary["tasks"]:
        tasks.add_row(*(str(row[name]) for name in row))
    done = summary["stages"]["done"]
    warnings = (Text(line, style="yellow") for line in summary["warnings"])
    return Group(
        title,
        stages,
        f"{done} training stages of known trials are done already; "
        f"disk: at most {summary['disk_gb']:g} GB of weights",
        tasks,
        *warnings,
        *_hours_line(summary),
    )


def _hours_line(summary: dict[str, Any]) -> Iterator[str]:
    if "hours" in summary:
        bounds = summary["hours"]
        low, high = f"{bounds['least']:.3g}", f"{bounds['most']:.3g}"
        yield (
            f"{low if low == high else f'{low} to {high}'} hours of one trial after the other, "
            f"as measured with {bounds['rates_of']}, checks left out"
        )


def _warnings(sweep: Sweep) -> Iterator[str]:
    for name in candidates(sweep):
        if name == NONE:
            continue
        for tasks in shared_families(sweep, name):
            yield f"{name}: {', '.join(tasks)} hold the same rows, which count more than once"
        overlapping = [target for target in sweep.targets if overlaps(sweep, name, target)]
        if overlapping:
            yield f"{name}: overlap, it trains on the training data of {', '.join(overlapping)}"


def _task_rows(example: Mapping[str, TrialPlan]) -> Iterator[dict[str, Any]]:
    trains = [(name, plan.encoder) for name, plan in example.items()]
    groups = example[NONE].target_sets
    trains += [(f"target {group.name}", group.cells[0].stage) for group in groups if group.cells]
    for name, stage in trains:
        if not isinstance(stage, Train):
            continue
        for part in stage.parts:
            yield {
                "stage": name,
                "task": part.train.task,
                "rows": part.train.num_rows,
                "examples": part.examples,
                "batch": part.batch_size,
                "steps": part.num_steps,
                "epochs": round(part.epochs, 2),
            }


def example_plans(sweep: Sweep, planner: Planner) -> dict[str, TrialPlan]:
    """One plan for every candidate, at the first values of its other parameters."""
    return {
        name: planner.plan(point_of(sweep, {"intermediate": name}), sweep.seeds[0])
        for name in candidates(sweep)
    }


def _num_configurations(sweep: Sweep) -> int:
    """What the file asks for, or the whole of a space that has less."""
    space, wanted = encoder_space(sweep), sweep.search.encoder.trials
    if not space.is_finite:
        return wanted
    return sum(1 for _ in islice(space.grid(), wanted))


def _range_of_encoders(sweep: Sweep, planner: Planner, num_configs: int) -> tuple[int, int]:
    """Least and most intermediate stages."""
    seeds = len(sweep.seeds)
    if sweep.search.encoder.sampler.name == "grid":
        points = islice(encoder_space(sweep).grid(), num_configs)
        stages = {
            fingerprint(plan.encoder)
            for point in points
            for plan in _plans(planner, point)
            if isinstance(plan.encoder, Train)
        }
        return len(stages), len(stages)
    trained = len(candidates(sweep)) - 1
    shares = any(name.startswith("target.") for name in sweep.search.encoder.space)
    most = max(0, num_configs - 1) * seeds
    return (min(trained, num_configs - 1) * seeds, most) if shares else (most, most)


def _known_points(sweep: Sweep, places: Places) -> list[Point]:
    """Points whose trials have a record."""
    records = [read_record(folder) for folder in sorted(places.trials.glob("*"))]
    return [record["point"] for record in records if record is not None]


def _plans(planner: Planner, point: Point) -> list[TrialPlan]:
    return [planner.plan(point, seed) for seed in planner.sweep.seeds]

"""What a sweep will do, before it does it: trials, stages, what exists, examples, steps, disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from xstilts.config.budgets import SpendingSpec
from xstilts.config.derive import (
    NONE,
    candidates,
    confirm_seeds,
    encoder_space,
    most_confirmed,
    num_configurations,
    overlaps,
    shared_rows,
)
from xstilts.config.schema import Sweep
from xstilts.config.selection_notes import selection_notes
from xstilts.config.space import Point
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train, fingerprint
from xstilts.plan.trial_plan import TrialPlan
from xstilts.report.cluster_nodes import cluster_lines, fitting_nodes
from xstilts.report.columns import WholeNames
from xstilts.report.forecast_race import examples_of, raced, short_stages
from xstilts.report.forecast_study import study_lines, study_summary
from xstilts.report.hours import Assumed, Lengths, Measured, Rates, hours
from xstilts.report.stage_recipes import final_stages, recipe_table, stage_recipes, trained_stages
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.single import point_of
from xstilts.run.store import Store


def forecast(
    planner: Planner,
    store: Store,
    places: Places,
    bench: Path | None = None,
    cluster: Path | None = None,
    prices: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The forecast as a JSON-able dict.

    Hours are at the rates of `bench`, else on GPUs at an assumed one. `cluster` is a file of
    `ray up`: how many trials its nodes run at once, and at `prices` an hour for what.
    """
    sweep, inventory = planner.sweep, planner.inventory
    example = example_plans(sweep, planner)
    stages = _stages(planner, example, store, places)
    confirming = _confirming(planner, example)
    short = short_stages(sweep, stages)
    encoders = stages["intermediate"]["most"] + confirming["stages"]["intermediate"]["most"]
    encoders += sum(own["intermediate"]["most"] for own in short)
    lengths = Lengths(places.storage, inventory)
    tasks = list(_task_rows(planner, example, lengths))
    summary: dict[str, Any] = {
        "sweep": sweep.name,
        "configurations": num_configurations(sweep),
        "seeds": len(sweep.seeds),
        "trials": num_configurations(sweep) * len(sweep.seeds),
        "stages": stages,
        "rungs": short,
        "intermediate_examples": examples_of(sweep, example, stages, short),
        "tokens": _tokens_at_most(planner, example, stages, lengths),
        "tasks": tasks,
        "recipe": stage_recipes(sweep, planner, example),
        "rates": {
            name: spec.unit for name, spec in sweep.intermediates.items() if len(spec.tasks) > 1
        },
        "confirm": confirming,
        "budget": sweep.budget.model_dump() if sweep.budget else None,
        **_disk(sweep, inventory, example[NONE], encoders),
        "free_gb": round(shutil.disk_usage(places.storage).free / 1e9, 3),
        "warnings": [*_warnings(sweep, tasks), *inventory.notes],
    }
    rates: Rates | None = None
    if bench is not None:
        rates = Measured(bench, planner.precision, planner.scoring_precision)
    elif sweep.resources.gpus_per_trial:
        rates = Assumed(lengths, inventory, example[NONE].model)
    if rates is not None:
        summary["hours"] = hours(rates, planner, example, stages, short)
        confirming["hours"] = hours(rates, planner, example, confirming["stages"])["most"]
    if sweep.study is not None:
        summary["study"] = study_summary(planner, example, places, rates)
    if cluster is not None:
        summary["cluster"] = fitting_nodes(sweep, cluster, prices or {}, summary.get("hours"))
    return summary


def _tokens_at_most(
    planner: Planner,
    example: Mapping[str, TrialPlan],
    stages: Mapping[str, Mapping[str, int]],
    lengths: Lengths,
) -> dict[str, Any]:
    """Tokens that all runs of search train on, of which a sweep's budget may be a share: every
    stage as the mean of its class, and whether rows were counted, or are as long as they may be."""
    intermediates = [plan.encoder for plan in example.values() if isinstance(plan.encoder, Train)]
    finals = [stage for _, stage in final_stages(planner, example)]
    most, is_counted = 0.0, True
    for name, own in (
        ("intermediate", intermediates),
        ("target", example[NONE].target_stages),
        ("final", finals),
    ):
        drawn = [lengths.drawn(x, example[NONE].model) for stage in own for x in stage.parts]
        if own:
            most += stages[name]["most"] * sum(tokens for tokens, _ in drawn) / len(own)
            is_counted &= all(known for _, known in drawn)
    return {"most": round(most), "is_counted": is_counted}


def _stages(
    planner: Planner, example: Mapping[str, TrialPlan], store: Store, places: Places
) -> dict[str, Any]:
    """Numbers of distinct stages by class, and how many of those that are known are `done`.

    Where a sampler decides, they are a range from `least` to `most`: configurations that differ
    only in `target.*` parameters share their intermediate stage. A race has `expected` ones, too,
    and no fewer than the least of these; at most all.
    """
    sweep = planner.sweep
    num_configs, num_seeds = num_configurations(sweep), len(sweep.seeds)
    num_trials = num_configs * num_seeds
    cells = len(example[NONE].target_stages)
    finals = len(final_stages(planner, example))
    least, most = _range_of_encoders(sweep, planner, num_configs)
    points = [*_known_points(sweep, places), example[NONE].point]
    plans = (plan for point in points for plan in _plans(planner, point))
    known = {fingerprint(stage): stage for plan in plans for stage in plan.training_stages}
    least_trials = min(least + num_seeds, num_trials)

    def each(of_a_trial: int) -> dict[str, int]:
        return {"least": least_trials * of_a_trial, "most": num_trials * of_a_trial}

    stages = {
        "intermediate": {"least": least, "most": most},
        "target": each(cells),
        **({"final": each(finals)} if finals else {}),
        "evaluation": each(len(sweep.targets)),
    }
    if sweep.search.is_race:
        stages = {name: raced(sweep, name, bounds) for name, bounds in stages.items()}
    return {**stages, "done": sum(store.has(stage) for stage in known.values())}


def _confirming(planner: Planner, example: Mapping[str, TrialPlan]) -> dict[str, Any]:
    """How many trials confirmation has at most, and stages: each leader of a target, and the
    baseline, trains and scores that target with every seed."""
    sweep, seeds = planner.sweep, len(confirm_seeds(planner.sweep))
    arms = 1 + min(sweep.confirm.top, len(candidates(sweep)) - 1) if sweep.confirm else 0
    # A target that is confirmed trains one cell, with the links of its chain.
    trained = sum(
        len(group.targets) * (1 + len(cell.stage.links_before))
        for group in example[NONE].target_sets
        for cell in group.cells[:1]
    )
    finals = len(final_stages(planner, example))
    most = {
        "intermediate": max(0, most_confirmed(sweep) - seeds),
        "target": arms * seeds * trained,
        **({"final": arms * seeds * finals} if finals else {}),
        "evaluation": arms * seeds * len(sweep.targets),
    }
    stages = {name: {"least": 0, "most": count} for name, count in most.items()}
    return {"trials": most_confirmed(sweep), "seeds": seeds, "stages": stages}


def _disk(
    sweep: Sweep, inventory: Inventory, baseline: TrialPlan, encoders: int
) -> dict[str, float]:
    """GB of weights that stay at most, and that each running trial needs besides.

    A running trial has the models of one target set, those of all links of chains, and a
    checkpoint: weights and two moments.
    """
    num_bytes = max(facts.num_bytes for facts in inventory.models.values())
    sets = [group for group in baseline.target_sets if group.cells]
    kept = sweep.resources.keep_target_weights * len(sets)
    links = {link for group in sets for cell in group.cells for link in cell.stage.links_before}
    at_once = max((len(group.cells) for group in sets), default=0) + len(links) + 3
    return {
        "disk_gb": round((encoders + kept) * num_bytes / 1e9, 3),
        "disk_gb_a_running_trial": round(at_once * num_bytes / 1e9, 3),
    }


def forecast_tables(summary: Mapping[str, Any]) -> Group:
    """The forecast for a terminal."""
    stages = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    is_race = "expected" in summary["stages"]["target"]
    title = (
        f"{summary['sweep']}: {summary['configurations']} configurations x {summary['seeds']} "
        f"seeds = {'at most ' * is_race}{summary['trials']} trials"
    )
    columns = ("stages", "expected", "at most") if is_race else ("stages", "least", "most")
    for name in columns:
        stages.add_column(name, justify="left" if name == "stages" else "right")
    for name, bounds in summary["stages"].items():
        if name != "done":
            low, high = bounds.get("expected", (bounds["least"], 0))
            expected = f"{low}-{high}" if is_race else str(low)
            stages.add_row(name, expected, str(bounds["most"]))
    for own in summary["rungs"]:
        for name in ("intermediate", "target"):
            counts = (str(own[name][bound]) for bound in ("least", "most"))
            stages.add_row(f"{name}, rung {own['rung']:g}", *counts)
    tasks = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("stage", "task", "rows", "examples", "batch", "steps", "epochs", "Mtokens"):
        tasks.add_column(name, justify="left" if name in ("stage", "task") else "right")
    for row in summary["tasks"]:
        sign = "" if row["is_counted"] else "<"
        stage, *values = (row[name] for name in row if name not in ("tokens", "is_counted"))
        # "target xnli" needs no second naming of its task.
        tasks.add_row(
            stage.partition(" ")[0], *map(str, values), f"{sign}{row['tokens'] / 1e6:.3g}"
        )
    done = summary["stages"]["done"]
    warnings = (Text(line, style="yellow") for line in summary["warnings"])
    return Group(
        title,
        WholeNames(stages),
        *_examples_line(summary),
        *_confirm_lines(summary),
        *_budget_line(summary),
        f"{done} training stages of known trials are done already",
        f"disk: at most {summary['disk_gb']:g} GB of weights, and "
        f"{summary['disk_gb_a_running_trial']:g} GB for each trial that runs; "
        f"{summary['free_gb']:g} GB are free",
        WholeNames(tasks, (0, 1)),
        *_rates_lines(summary),
        *recipe_table(summary["recipe"]),
        *warnings,
        *_hours_line(summary),
        *cluster_lines(summary.get("cluster", ())),
        *study_lines(summary),
    )


def _examples_line(summary: Mapping[str, Any]) -> Iterator[str]:
    """What the intermediates train, and what they would without what trials share."""
    found = summary["intermediate_examples"]
    if found["shared"]:
        raced = ""
        if "race" in found:
            raced = f", {found['least']:,} to {found['most']:,} expected in the race"
        yield (
            f"intermediate examples: {found['alone']:,} if every target and point trained its own, "
            f"{found['shared']:,} shared{raced}"
        )


def _confirm_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """What comes once search has ended."""
    own = summary["confirm"]
    if own["trials"]:
        hours = f", {own['hours']:.3g} {summary['hours']['unit']}" if "hours" in own else ""
        *others, last = (f"{n['most']} {name}" for name, n in own["stages"].items())
        yield (
            f"confirmation with {own['seeds']} fresh seeds: at most {own['trials']} trials more, "
            f"of {', '.join(others)} and {last} stages{hours}"
        )


def _budget_line(summary: Mapping[str, Any]) -> Iterator[str]:
    """What all of that trains, where less may be asked for, and what ends search before."""
    if summary["budget"] or "race" in summary["intermediate_examples"]:
        found = summary["tokens"]
        sign = "" if found["is_counted"] else "less than "
        yield f"all runs of search would train {sign}{found['most'] / 1e6:.3g} million tokens"
    if summary["budget"]:
        spec = SpendingSpec(**summary["budget"])
        first = " but what confirmation needs" if summary["confirm"]["trials"] else ""
        yield f"search ends when {spec.text(spec.total)} are spent{first}"


def _rates_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """What the rates of mixtures are shares of."""
    for unit in dict.fromkeys(summary["rates"].values()):
        names = ", ".join(name for name, own in summary["rates"].items() if own == unit)
        yield f"rates are shares of {unit}: {names}"


def _hours_line(summary: Mapping[str, Any]) -> Iterator[str]:
    if "hours" in summary:
        bounds = summary["hours"]
        low, high = f"{bounds['least']:.3g}", f"{bounds['most']:.3g}"
        unit = bounds["unit"]
        yield f"{low if low == high else f'{low} to {high}'} {unit}, {bounds['source']}"


def _warnings(sweep: Sweep, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for name in candidates(sweep):
        if name == NONE:
            continue
        for tasks in shared_rows(sweep, name):
            yield f"{name}: {', '.join(tasks)} hold the same rows, which count more than once"
        overlapping = [target for target in sweep.targets if overlaps(sweep, name, target)]
        if overlapping:
            yield f"{name}: overlap, it trains on the training data of {', '.join(overlapping)}"
        if match := sweep.intermediates[name].match:
            both = [_cost(rows, one) for one in (name, match.to)]
            yield f"{name}: matched to {match.to} by {match.by}, {both[0]} against {both[1]}"
    yield from selection_notes(sweep)


def _cost(rows: Sequence[Mapping[str, Any]], stage: str) -> str:
    """Steps and tokens of a stage, from the rows of its tasks."""
    own = [row for row in rows if row["stage"] == stage]
    steps, tokens = (sum(row[name] for row in own) for name in ("steps", "tokens"))
    about = "" if all(row["is_counted"] for row in own) else "at most "
    return f"{steps:,} steps and {about}{tokens:,} tokens"


def _task_rows(
    planner: Planner, example: Mapping[str, TrialPlan], lengths: Lengths
) -> Iterator[dict[str, Any]]:
    for name, stage in (*trained_stages(example), *final_stages(planner, example)):
        for part in stage.parts:
            tokens, is_counted = lengths.drawn(part, example[NONE].model)
            # How long a stage after selection is, the check that is chosen decides.
            is_counted &= stage.phase != "final"
            yield {
                "stage": name,
                "task": part.train.task,
                "rows": part.train.num_rows,
                "examples": part.examples,
                "batch": part.batch_size,
                "steps": part.num_steps,
                "epochs": round(part.epochs, 2),
                "tokens": round(tokens),
                "is_counted": is_counted,
            }


def example_plans(sweep: Sweep, planner: Planner) -> dict[str, TrialPlan]:
    """One plan for every candidate, at the first values of its other parameters."""
    return {
        name: planner.plan(point_of(sweep, {"intermediate": name}), sweep.seeds[0])
        for name in candidates(sweep)
    }


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
    return [record.point for record in records if record is not None]


def _plans(planner: Planner, point: Point) -> list[TrialPlan]:
    return [planner.plan(point, seed) for seed in planner.sweep.seeds]

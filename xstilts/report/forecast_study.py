"""What a study can answer, told before it runs: arms, cells, seeds and power, cost by arm."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable

from xstilts.config.derive import NONE, encoder_space
from xstilts.config.schema import Sweep
from xstilts.config.study import ArmSpec, ContrastSpec, StudySpec
from xstilts.config.study_arms import members, models_of, selects
from xstilts.config.study_checks import cells, confounds
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.report.columns import WholeNames
from xstilts.report.forecast_power import OWN, SPREAD, power_of
from xstilts.report.hours import Rates
from xstilts.run.places import Places
from xstilts.run.records import read_record

ROUNDING = 0.01
"""So far may the steps of arms be from each other and count as equal."""

SIZES = frozenset({"steps", "examples", "budget", "rates", "intermediate"})
"""Aspects with which stages of other lengths are what a contrast says."""


def study_summary(
    planner: Planner, example: Mapping[str, TrialPlan], places: Places, rates: Rates | None
) -> dict[str, Any] | None:
    """What `plan` says of the study of a sweep, as JSON; None where it has none."""
    sweep, study = planner.sweep, planner.sweep.study
    if study is None:
        return None
    records = [record for x in sorted(places.trials.glob("*")) if (record := read_record(x))]
    return {
        "question": study.question,
        "primary": list(study.primary),
        "alpha": study.alpha,
        "margin": study.margin,
        "parts": {name: list(models) for name, models in study.models.items()},
        "models": list(encoder_space(sweep).values_of("model")),
        "priced": example[NONE].model if rates is not None else None,
        "arms": {
            name: _arm(planner, example, arm, rates, places) for name, arm in study.arms.items()
        },
        "contrasts": {
            name: _contrast(planner, example, study, name, contrast, records)
            for name, contrast in study.contrasts.items()
        },
    }


def _arm(
    planner: Planner,
    example: Mapping[str, TrialPlan],
    arm: ArmSpec,
    rates: Rates | None,
    places: Places,
) -> dict[str, Any]:
    """Members of an arm, its runs, what its intermediate stages train, and what all that costs."""
    sweep = planner.sweep
    points = [point for point in _points(sweep) if selects(sweep, arm, point)]
    stages = _stages(example, sweep, arm)
    seconds = None
    if rates is not None:
        own = {name: _seconds(planner, example[name], rates) for name in members(sweep, arm)}
        seconds = sum(own[point["intermediate"]] for point in points) * len(sweep.seeds)
    gpus = sweep.resources.gpus_per_trial or 1
    return {
        "members": list(members(sweep, arm)),
        "models": list(models_of(sweep, arm)),
        "parameters": {name: list(values) for name, values in arm.parameters.items()},
        "configurations": len(points),
        "runs": len(points) * len(sweep.seeds),
        "examples": sorted({sum(part.examples for part in stage.parts) for stage in stages}),
        "steps": sorted({stage.num_steps for stage in stages}),
        "hours": None if seconds is None else seconds * gpus / 3600,
    }


def _points(sweep: Sweep) -> list[dict[str, Any]]:
    """The configurations of a finite space; those of an endless one are not known before."""
    space = encoder_space(sweep)
    return list(space.grid()) if space.is_finite else []


def _stages(example: Mapping[str, TrialPlan], sweep: Sweep, arm: ArmSpec) -> list[Train]:
    encoders = [example[name].encoder for name in members(sweep, arm) if name in example]
    return [stage for stage in encoders if isinstance(stage, Train)]


def _seconds(planner: Planner, plan: TrialPlan, rates: Rates) -> float:
    """Seconds of one trial, as if it shared no stage with another."""
    found = sum(map(rates.train_s, plan.training_stages))
    for group in plan.target_sets:
        cell = group.cells[0] if group.cells else None
        found += sum(rates.evaluate_s(planner.evaluation(plan, x, cell)) for x in group.targets)
    return found


def _contrast(
    planner: Planner,
    example: Mapping[str, TrialPlan],
    study: StudySpec,
    name: str,
    contrast: ContrastSpec,
    records: list[TrialRecord],
) -> dict[str, Any]:
    """The cells of a contrast, what its arms differ in, and what its test can show."""
    sweep = planner.sweep
    found = cells(sweep, study, contrast)
    is_primary = name in study.primary
    # Primary contrasts share one error, which the first of them to be tested has a part of.
    alpha = study.alpha / (len(study.primary) if is_primary else 1)
    return {
        "standing": "primary" if is_primary else "exploratory",
        "test": contrast.test,
        "arms": list(contrast.arms),
        "targets": {target: len(own) for target, own in found.items()},
        "cells": sum(map(len, found.values())),
        "differ_in": list(contrast.differ_in),
        "confounds": [
            *confounds(sweep, study, contrast),
            *_of_steps(example, study, contrast, sweep),
        ],
        **power_of(sweep, study, contrast, found, alpha, records),
    }


def _of_steps(
    example: Mapping[str, TrialPlan], study: StudySpec, contrast: ContrastSpec, sweep: Sweep
) -> list[str]:
    """`steps`, where a contrast's arms train for other numbers of them and it says nothing of
    sizes; those of a rounded share of a budget are the same."""
    one, other = (
        {stage.num_steps for stage in _stages(example, sweep, study.arms[name])}
        for name in contrast.arms
    )
    said = SIZES & {*contrast.differ_in, *contrast.confounds}
    if said or not one or not other:
        return []
    bounds = zip((min(one), max(one)), (min(other), max(other)), strict=True)
    return ["steps"] if any(abs(a - b) > ROUNDING * max(a, b) for a, b in bounds) else []


def study_lines(summary: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What `plan` shows of a study on a terminal."""
    told, unit = summary.get("study"), summary.get("hours", {}).get("unit", "").partition(" ")[0]
    if told is None:
        return
    yield f"study: {told['question']}"
    if told["parts"]:
        parts = "; ".join(f"{name}: {', '.join(own)}" for name, own in told["parts"].items())
        yield f"parts: {parts}. This plan: {', '.join(told['models'])}"
    table = _arms_table(told, unit)
    yield WholeNames(table, range(len(table.columns)))
    for name, own in told["arms"].items():
        values = [f"{x} {_or(values)}" for x, values in own["parameters"].items()]
        chosen = f"; {', '.join(values)}" if values else ""
        yield f"{name}: {', '.join(own['members'])}{chosen}"
    if told["priced"] and len(told["models"]) > 1:
        of_parts = "; a part has its own price" if told["parts"] else ""
        yield f"all models are priced as {told['priced']}{of_parts}"
    for name, own in told["contrasts"].items():
        yield f"{name} ({own['standing']}): {own['arms'][0]} less {own['arms'][1]}, {_test(own)}"
        lines = [_cells(own), *_shown(own, told["margin"])]
        if own["confounds"]:
            lines.append(f"confounds: {', '.join(own['confounds'])}")
        for line in lines:
            yield Padding(line, (0, 0, 0, 2))
    yield from _assumed(told["contrasts"].values())


def _assumed(contrasts: Collection[Mapping[str, Any]]) -> Iterator[str]:
    """What the power of contrasts is stated by that no run has told."""
    known = [own for own in contrasts if "power" in own or "detectable" in own]
    if any(own["spread_runs"] == 0 for own in known):
        yield (
            f"power by seeds alone, at an assumed spread of {SPREAD:g} point of one run about its "
            "configuration's mean, as no runs have finished; items add to it"
        )
    if any("languages" in own for own in known):
        yield (
            "of slopes and interactions by simulation, where each language, and each pair of them, "
            f"is assumed to be {OWN:g} point from the line, and a language's slope {OWN:g} point "
            "from that of others where a covariate is a standard deviation further"
        )


def _arms_table(told: Mapping[str, Any], unit: str) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    has_hours = any(own["hours"] is not None for own in told["arms"].values())
    for name in ("arm", "runs", "examples", "steps", *([unit] * has_hours)):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for name, own in told["arms"].items():
        row = [name, str(own["runs"]), _range(own["examples"]), _range(own["steps"])]
        table.add_row(*row, *([f"{own['hours']:.3g}"] if has_hours else []))
    return table


def _or(values: list[Any]) -> str:
    return " or ".join(map(str, values))


def _range(values: list[int]) -> str:
    if not values:
        return "-"
    low, high = f"{values[0]:,}", f"{values[-1]:,}"
    return low if low == high else f"{low}-{high}"


def _test(own: Mapping[str, Any]) -> str:
    return str(own["test"]).replace("_", "-")


def _cells(own: Mapping[str, Any]) -> str:
    targets = ", ".join(f"{name} {count}" for name, count in own["targets"].items())
    return f"cells: {own['cells']} (languages of {targets})"


def _shown(own: Mapping[str, Any], margin: float) -> Iterator[str]:
    """What a contrast's test can show, in words."""
    if "languages" in own:
        told = own["languages"]
        sides = [
            f"{told[side]['known']} {side} languages have {told['covariate']} "
            f"({told[side]['needed']} are needed)"
            for side in ("target", "intermediate")
            if side in told
        ]
        yield f"{' and '.join(sides)}: {'enough for a test' if told['suffices'] else 'no test'}"
        if own.get("detectable") is None:
            return
    spread = f"{own['spread']:.3g}"
    seen = f"{spread} point{'s' * (spread != '1')} of spread"
    if own["spread_runs"]:
        seen += f", that of {own['spread_runs']} finished runs,"
    at = f"at {own['seeds']} seeds and {seen}"
    if "detectable" in own:
        least, what = f"{own['detectable']:.2g} points", own["test"]
        where = " between the outer thirds" if "languages" in own else ""
        yield f"{at} the smallest {what} shown with 80 % power is {least}{where}"
        return
    name = "TOST" if own["test"] == "equivalence" else _test(own)
    needed = own["seeds_needed"]
    yield (
        f"{at} {name} with margin {margin:g} has power {own['power']:.2g}; "
        + (f"80 % need {needed} seeds" if needed else "no number of seeds gives 80 %")
    )

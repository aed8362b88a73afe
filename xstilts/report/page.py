"""The report as one page of HTML that needs no network: verdicts, pictures, tables behind them.

`page.html` beside this module has the words and the style; here is what they are filled with. It
all comes from the records and from `cells`, and equal records give equal bytes. Names that users
chose are escaped by the template, and in pictures by `page_pictures`.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xstilts.config.derive import NONE, is_fixed
from xstilts.config.own_tasks import find_task
from xstilts.plan.stage import class_of
from xstilts.records import TrialRecord
from xstilts.report import page_pictures as pictures
from xstilts.report.cells import Cell
from xstilts.report.groups import group_table, grouped
from xstilts.report.importance import Configuration, configurations, importances
from xstilts.report.page_parts import environment, number, value, write
from xstilts.report.probes import alignment_pictures, probe_table
from xstilts.report.results import Results
from xstilts.report.target_search import target_searches
from xstilts.report.unfinished import unfinished
from xstilts.report.usage import usage
from xstilts.report.verdict_table import confirm_command, export_command, storage_here
from xstilts.report.verdict_words import behind
from xstilts.report.verdicts import TargetVerdict
from xstilts.run.places import SWEEP_FILE
from xstilts.tasks.languages import language

CURVE_POINTS = 60
"""A curve is thinned to about so many points."""

MOST_COPIES = 4
"""Curves of a stage, of runs of the best and of the baseline each."""


ANSWERS = {
    "best": "{}",
    "ties": "{}, or what ties with it",
    "none": "none: {} gains nothing that matters",
    "within noise": "{}: not told apart from none",
    "harms": "not {}",
    "not confirmed": "{}, as search has it",
}
"""What a verdict answers, of its best."""


def write_page(results: Results, path: Path, by: str | None = None) -> Path:
    """Write the page of a sweep, with groups of languages by a column if one is given; its path.

    Raises:
        ConfigError: it cannot be written there.
    """
    return write(page(results, by), path)


def page(results: Results, by: str | None = None) -> str:
    """The page of a sweep, finished or not; `by` is a column that `groups.column_of` gives."""
    found = results.cells
    tried = configurations(results)
    return (
        environment()
        .get_template("page.html")
        .render(
            about=_about(results),
            unfinished=unfinished(results),
            verdicts=_verdicts(results),
            gains=_gains(results, found),
            languages=_languages(results, found),
            by=by,
            groups=[group_table(one, by) for one in grouped(results, by)] if by else [],
            choices=_choices(results),
            cost=_cost(results),
            search=_search(tried),
            configurations=_configurations(results, tried),
            inner=_inner(results),
            curves=_curves(results),
            probes=probe_table(results),
            alignment=alignment_pictures(results),
            warnings=results.warnings(),
            rebuilt=_rebuilt(results),
        )
    )


def _about(results: Results) -> dict[str, Any]:
    """The sweep in a line: what ran, when, where the command line finds it."""
    sweep, ended = results.sweep, [record.ended for record in results.records]
    day = "%Y-%m-%d %H:%M UTC"
    return {
        "name": sweep.name,
        "benchmark": sweep.benchmark.name,
        "models": [f"{name} ({spec.path})" for name, spec in sweep.models.items()],
        "split": sweep.evaluation.split,
        "seeds": len(sweep.seeds),
        "trials": len(results.searched),
        "confirming": len(results.confirmed),
        "ended": time.strftime(day, time.gmtime(max(ended))) if ended else "",
    }


def _verdicts(results: Results) -> list[dict[str, Any]]:
    """A card a target, with its gain on a scale that all share."""
    records = {record.trial: record for record in results.finished}
    sizes = [
        value
        for told in results.verdicts.values()
        for value in (told.verdict.gain, told.verdict.low, told.verdict.high)
    ]
    bound = max([1.0, *(abs(value) for value in sizes if value is not None)])
    found = []
    for target, told in results.verdicts.items():
        said = told.verdict
        has_gain = said.gain is not None and said.best != NONE
        bar = pictures.interval_bar(said.gain or 0.0, said.low, said.high, bound)
        best = told.arms.get(said.best or "")
        commands = [
            export_command(results.sweep, results.places, told),
            confirm_command(results, told),
        ]
        found.append(
            {
                "target": target,
                "said": said,
                "sd": best.sd if best else None,
                "others": [name for name in said.ties if name != said.best],
                "answer": ANSWERS[said.verdict].format(said.best) if said.best else "–",
                "has_gain": has_gain,
                "bar": bar if has_gain else None,
                "behind": behind(results, told, records),
                "commands": [line for line in commands if line],
            }
        )
    return found


def _gains(results: Results, found: Sequence[Cell]) -> dict[str, Any]:
    """The heat map of targets by intermediates."""
    means = [cell for cell in found if not cell["language"]]
    bound = pictures.bound_of([cell["gain"] for cell in means])
    have = {cell["intermediate"] for cell in means}
    names = [name for name in (NONE, *results.sweep.intermediates) if name in have]
    rows: dict[str, dict[str, Cell]] = {target: {} for target in results.sweep.targets}
    for cell in means:
        shade = "" if cell["intermediate"] == NONE else pictures.level(cell["gain"], bound)
        half = None if cell["low"] is None else (cell["high"] - cell["low"]) / 2
        best = results.verdicts[cell["target"]].verdict.best == cell["intermediate"]
        fixed = is_fixed(results.sweep, cell["target"], cell["intermediate"])
        own = {**cell, "shade": shade, "half": half, "is_best": best, "is_fixed": fixed}
        rows[cell["target"]][cell["intermediate"]] = own
    has_fixed = any(is_fixed(results.sweep, target, NONE) for target in rows)
    return {"names": names, "rows": rows, "bound": bound, "cells": means, "has_fixed": has_fixed}


def _languages(results: Results, found: Sequence[Cell]) -> dict[str, Any]:
    """The gains of the targets' best by language, family after family, and strips of them."""
    names = {target: told.verdict.best for target, told in results.verdicts.items()}
    own = [c for c in found if c["language"] and c["intermediate"] in (NONE, names[c["target"]])]
    best = [cell for cell in own if cell["intermediate"] != NONE]
    targets = list(dict.fromkeys(cell["target"] for cell in best))
    bound = pictures.bound_of([cell["gain"] for cell in best])
    shades: dict[str, dict[str, Any]] = {cell["language"]: {} for cell in best}
    for cell in best:
        shade = pictures.level(cell["gain"], bound)
        shades[cell["language"]][cell["target"]] = {**cell, "shade": shade}
    known = sorted(map(language, shades), key=lambda one: (one.family, one.name))
    families: dict[str, list[Any]] = {}
    for one in known:
        families.setdefault(one.family, []).append((one, shades[one.code]))
    strips = {}
    for by in ("family", "script"):
        groups: dict[str, list[tuple[str, float]]] = {}
        for one in known:
            dots = [
                (f"{one.name}, {target}", cell["gain"])
                for target, cell in shades[one.code].items()
                if cell["gain"] is not None
            ]
            if dots:
                groups.setdefault(getattr(one, by), []).extend(dots)
        if groups:
            name = f"Gains over none by {by} of the language, a dot a target and language"
            strips[by] = pictures.strips(dict(sorted(groups.items())), name)
    return {
        "targets": targets,
        "families": families,
        "strips": strips,
        "bound": bound,
        "cells": [{**cell, "about": language(cell["language"])} for cell in own],
    }


def _choices(results: Results) -> list[dict[str, Any]]:
    """English dev's choice on every target, with its picture."""
    found = []
    for one in results.looked_back:
        told = (
            f"{one.target}: {one.selected_by} and zero-shot score of {len(one.dev)} configurations"
        )
        picture = pictures.scatter(one.dev, one.scores, told) if len(one.dev) > 1 else None
        found.append({"told": one, "picture": picture})
    return found


def _cost(results: Results) -> dict[str, Any]:
    """Hours: what was used, and by what."""
    spent = usage(results, max((record.ended for record in results.records), default=0.0))
    hours: dict[str, dict[str, float]] = {}
    for record in results.records:
        own = hours.setdefault(record.intermediate, {})
        for stage in record.stages:
            name = "reused" if stage.is_reused else class_of(stage.name)
            own[name] = own.get(name, 0.0) + stage.seconds / 3600
    parts = [
        ("working", "working", max(0.0, spent.used - spent.waiting)),
        ("waiting", "waiting for another trial's stage", spent.waiting),
        ("idle", "idle", spent.idle),
    ]
    classes = ("intermediate", "target", "final", "evaluate", "signal", "reused")
    have = [name for name in classes if any(name in own for own in hours.values())]
    told = ", ".join(f"{name} {amount:.2f}" for _, name, amount in parts)
    bar = pictures.stacked(parts, f"{spent.unit}: {told}")
    return {"spent": spent, "parts": parts, "bar": bar, "hours": hours, "classes": have}


def _search(tried: Sequence[Configuration]) -> dict[str, Any]:
    """Parallel coordinates of all configurations, and what the parameters did."""
    told = importances(tried)
    names = list(dict.fromkeys(["intermediate", *(one.parameter for one in told)]))
    rows = [one.parameters for one in tried]
    picture = None
    if len(tried) > 1:
        label = f"{len(tried)} configurations: {', '.join(names)}, objective"
        picture = pictures.parallel(names, rows, [one.objective for one in tried], label)
    most = max([one.effect or 0.0 for one in told], default=0.0)
    return {"importances": told, "most": most or 1.0, "picture": picture, "n": len(tried)}


def _inner(results: Results) -> dict[str, Any]:
    """What the targets' own search tried, with a picture a target; the names of all parameters."""
    found: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    for one in target_searches(results):
        own = dict.fromkeys(name for point in one.points for name in point.parameters)
        axes, rows = ["intermediate", *own], [tried.parameters for tried in one.tried]
        label = f"{', '.join(one.targets)}: {', '.join(axes)} and dev of {len(rows)} points"
        dev = [tried.objective for tried in one.tried]
        picture = pictures.parallel(axes, rows, dev, label, "dev", is_small=True)
        found.append({"told": one, "name": ", ".join(one.targets), "picture": picture})
        names |= own
    return {"searches": found, "names": list(names)}


def _configurations(results: Results, tried: Sequence[Configuration]) -> dict[str, Any]:
    """Every configuration of search with dev and score of every target, the best first."""
    entries = {
        (target, entry.config): entry
        for target, row in results.configurations.items()
        for own in row.values()
        for entry in own
    }
    names = list(dict.fromkeys(name for one in tried for name in one.parameters))
    rows = []
    for one in sorted(tried, key=lambda one: (-one.objective, one.config)):
        parameters = [value(one.parameters.get(name)) for name in names]
        scores = []
        for target in results.sweep.targets:
            entry = entries.get((target, one.config))
            scores += ["–", "–"] if entry is None else [number(entry.dev), number(entry.score)]
        rows.append([one.config, *parameters, number(one.objective, 2), *scores])
    header = ["configuration", *names, "objective"]
    header += [f"{target} {what}" for target in results.sweep.targets for what in ("dev", "score")]
    return {"header": header, "rows": rows}


def _curves(results: Results) -> list[dict[str, Any]]:
    """The training losses of the runs that the verdicts stand on, a picture a stage."""
    records = {record.trial: record for record in results.finished}
    stages: dict[str, dict[str, tuple[str, TrialRecord]]] = {}
    for target, told in results.verdicts.items():
        head = find_task(results.sweep, target).head
        for kind, trials in (("of-best", told.trials), ("of-none", told.runs.get(NONE, ()))):
            for trial in trials[:MOST_COPIES]:
                record = records[trial]
                if record.curves.get(head):
                    stages.setdefault(head, {}).setdefault(trial, (kind, record))
                if record.curves.get("intermediate"):
                    name = f"intermediate {record.intermediate}"
                    stages.setdefault(name, {}).setdefault(trial, (kind, record))
    found = []
    for name, runs in sorted(stages.items()):
        key = "intermediate" if name.startswith("intermediate ") else name
        drawn, rows = [], []
        for trial, (kind, record) in runs.items():
            curve = [p for p in record.curves[key] if "loss" in p and "step" in p]
            if not curve:
                continue
            thin = curve[:: -(-len(curve) // CURVE_POINTS)] + curve[-1:]
            drawn.append((kind, [(p["step"], p["loss"]) for p in thin]))
            dev = [f"{k.removeprefix('dev/')} {v:.1f}" for k, v in curve[-1].items() if "dev/" in k]
            first, last = curve[0]["loss"], curve[-1]["loss"]
            rows.append([trial, f"{curve[-1]['step']:.0f}", first, last, ", ".join(dev) or "–"])
        if drawn:
            # Lines of the baseline lie below.
            drawn.sort(key=lambda one: one[0] == "of-best")
            picture = pictures.lines(drawn, f"Training loss by step: {name}")
            found.append({"name": name, "picture": picture, "rows": rows})
    return found


def _rebuilt(results: Results) -> dict[str, Any]:
    """What it takes to have it all again: the sweep file, stages by fingerprint, commands."""
    records = {record.trial: record for record in results.finished}
    path = results.folder / SWEEP_FILE
    told = [one for one in results.verdicts.values() if one.trials]
    first = records[told[0].exported or told[0].trials[0]] if told else None
    where = ["--storage", shlex.quote(storage_here(results.places))]
    return {
        "file": path.read_text(encoding="utf-8") if path.exists() else "",
        "stages": [row for one in told for row in _stages(results, one, records)],
        "environment": dict(first.environment) if first else {},
        "where": where,
        "name": results.places.name,
        "set": shlex.quote(f"storage={storage_here(results.places)}"),
        "trials": {one.target: one.exported or one.trials[0] for one in told},
    }


def _stages(
    results: Results, told: TargetVerdict, records: Mapping[str, TrialRecord]
) -> list[tuple[str, str, str]]:
    """Target, stage and fingerprint of what the trial that is exported went through."""
    record = records[told.exported or told.trials[0]]
    task = find_task(results.sweep, told.target)
    chosen = record.chosen.get(task.head)
    own = chosen.stages if chosen else ()
    return [
        (told.target, stage.name, stage.fingerprint)
        for stage in record.stages
        if class_of(stage.name) == "intermediate"
        or stage.name in own
        or stage.name.startswith(f"evaluate-{told.target}-")
    ]

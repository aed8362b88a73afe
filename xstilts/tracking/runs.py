"""From records to tracked runs: the names of parameters, metrics and tags, in one place.

docs/mlflow.md lists them for people; a name that is written here is read by dashboards elsewhere,
so it changes with a line in CHANGELOG alone.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from xstilts.config.derive import NONE
from xstilts.config.schema import Sweep
from xstilts.files import canonical_json
from xstilts.tracking.tracker import Point, TrackedRun

CURVE_POINTS = 50
"""Training curves are thinned to at most this many points a stage."""

SUMMARY = "summary"


def trial_run(
    sweep: Sweep, record: Mapping[str, Any], artifacts: Mapping[str, Path], gains: Sequence[Point]
) -> TrackedRun:
    """A trial's record as a run. `gains` are points over the baseline, where it is known."""
    ended_ms = round(record["ended"] * 1000)
    metrics = sorted(record["metrics"].items())
    points = [Point(key, float(value), 0, ended_ms) for key, value in metrics]
    points += gains
    points += _drawn(record, ended_ms)
    for stage, curve in record["curves"].items():
        points += _curve(f"train/{stage}", curve, round(record["started"] * 1000))
    return TrackedRun(
        key=record["trial"],
        name=record["trial"],
        state=record["state"],
        started_ms=round(record["started"] * 1000),
        ended_ms=ended_ms,
        params=_params(sweep, record),
        metrics=points,
        tags=_tags(sweep, record),
        artifacts=artifacts,
    )


def running_run(trial: str, started: float) -> TrackedRun:
    """A run that stands for a trial while it runs."""
    return TrackedRun(trial, trial, "running", round(started * 1000), None)


def summary_run(
    sweep: Sweep,
    metrics: Mapping[str, float],
    artifacts: Mapping[str, Path],
    started: float,
    ended: float,
) -> TrackedRun:
    """The run for what belongs to the sweep as a whole."""
    ended_ms = round(ended * 1000)
    return TrackedRun(
        key=SUMMARY,
        name=SUMMARY,
        state="finished",
        started_ms=round(started * 1000),
        ended_ms=ended_ms,
        metrics=[Point(key, value, 0, ended_ms) for key, value in sorted(metrics.items())],
        tags={"xstilts.role": SUMMARY, **_sweep_tags(sweep)},
        artifacts=artifacts,
    )


def _drawn(record: Mapping[str, Any], time_ms: int) -> list[Point]:
    """The intermediate stage's examples by task, and by language where a task has several."""
    points = []
    for task, counts in record.get("examples", {}).items():
        points.append(Point(f"examples/{task}", sum(counts.values()), 0, time_ms))
        if len(counts) > 1:
            points += [Point(f"examples/{task}/{x}", n, 0, time_ms) for x, n in counts.items()]
    return points


def _params(sweep: Sweep, record: Mapping[str, Any]) -> dict[str, str]:
    """Flat parameters, numbers where they are numbers, the same keys in every run of a sweep."""
    tasks = [name for spec in sweep.intermediates.values() for name in spec.tasks]
    params: dict[str, Any] = {
        "intermediate": record["intermediate"],
        "model": record["model"],
        "seed": record["seed"],
        "recipe": sweep.recipe.name,
    }
    params |= {f"rate/{task}": record["rates"].get(task, 0) for task in dict.fromkeys(tasks)}
    rates = {f"target/{name}": chosen["learning_rate"] for name, chosen in record["chosen"].items()}
    if record["learning_rate"] is not None:
        rates["intermediate"] = record["learning_rate"]
    params |= {f"lr/{stage}": rate for stage, rate in rates.items()}
    params |= {f"log10_lr/{stage}": round(math.log10(x), 4) for stage, x in rates.items()}
    params |= _recipe_params(record)
    known = {"intermediate", "model", "intermediate.rates", "intermediate.learning_rate"}
    params |= {key: value for key, value in record["point"].items() if key not in known}
    return {key: _text(value) for key, value in params.items()}


def _recipe_params(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the stages were trained by; of a mixture, what its tasks have in common, and the rest by
    task. Records of before it was written down have none."""
    recipes = record.get("recipes", {"intermediate": {}, "target": {}})
    params = {
        f"recipe/target/{target}/{name}": value
        for target, values in recipes["target"].items()
        for name, value in values.items()
    }
    parts = recipes["intermediate"]
    for name in next(iter(parts.values()), ()):
        values = {task: part[name] for task, part in parts.items()}
        if len(set(values.values())) == 1:
            params[f"recipe/intermediate/{name}"] = next(iter(values.values()))
        else:
            params |= {f"recipe/intermediate/{task}/{name}": v for task, v in values.items()}
    return params


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _tags(sweep: Sweep, record: Mapping[str, Any]) -> dict[str, str]:
    environment = record.get("environment", {})
    tags = {
        "xstilts.role": "baseline" if record["intermediate"] == NONE else "search",
        "xstilts.trial_id": record["trial"],
        "config_id": record["config"],
        "fingerprints": ",".join(stage["fingerprint"][:12] for stage in record["stages"]),
        **_sweep_tags(sweep),
        **{f"env.{name}": str(value) for name, value in environment.items()},
    }
    tags |= {
        verdict: ", ".join(names)
        for verdict in ("collapsed", "undecided")
        if (names := record[verdict])
    }
    if record.get("retries"):
        tags["retried"] = ", ".join(f"{name} x{n}" for name, n in record["retries"].items())
    smaller = [s for s in record["stages"] if s.get("max_tokens")]
    if smaller:
        tags["memory"] = ", ".join(f"{s['name']}: {s['max_tokens']} tokens a pass" for s in smaller)
    reasons = list(record["missing"])
    if sweep.evaluation.examples:
        reasons.append(f"subsampled: {sweep.evaluation.examples} rows a language")
    if reasons:
        tags["noncomparable"] = "; ".join(reasons)
    if record["error"]:
        tags["error"] = record["error"][-4000:]
    return tags


def _sweep_tags(sweep: Sweep) -> dict[str, str]:
    commit = _git_commit()
    said = sweep.recipe.overrides
    return {
        "sweep": sweep.name,
        "recipe": sweep.recipe.name,
        **({"recipe_overrides": canonical_json(said)} if said else {}),
        "selection": "dev of the training language",
        "split": sweep.evaluation.split,
        **({"git_commit": commit} if commit else {}),
    }


@cache
def _git_commit() -> str:
    """The commit of the working folder, empty outside a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _curve(prefix: str, curve: list[dict[str, float]], time_ms: int) -> list[Point]:
    every = max(1, math.ceil(len(curve) / CURVE_POINTS))
    kept = [point for i, point in enumerate(curve, start=1) if i % every == 0 or i == len(curve)]
    return [
        Point(f"{prefix}/{name}", value, int(point["step"]), time_ms)
        for point in kept
        for name, value in point.items()
        if name != "step"
    ]

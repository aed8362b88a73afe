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
from xstilts.config.own_tasks import pools_named
from xstilts.config.schema import Sweep, TranslatedSpec
from xstilts.files import canonical_json
from xstilts.records import TrialRecord
from xstilts.scores.probes import Name
from xstilts.tracking.tracker import Point, TrackedRun

CURVE_POINTS = 50
"""Training curves are thinned to at most this many points a stage."""

PROBED_LAYERS = 12
"""Of the hidden states of deeper encoders so many are told beside the embeddings."""

SUMMARY = "summary"

COST = "z/cost"
"""What costs and counts are called under: MLflow sorts metrics by name, and scores come first."""

HEAT_MAPS = "heat maps"
"""What the pictures of the summary are called under."""


def trial_run(
    sweep: Sweep,
    record: TrialRecord,
    artifacts: Mapping[str, Path],
    gains: Sequence[Point],
    verdicts: Mapping[str, str] = {},
    note: str = "",
) -> TrackedRun:
    """A trial's record as a run. `gains` are points over the baseline, where it is known;
    `verdicts` those, by target, of which the trial is one of the runs of the best."""
    started_ms, ended_ms = (round(time * 1000) for time in (record.started, record.ended))
    metrics = sorted(record.metrics.items())
    points = [Point(_shown(key), float(value), 0, ended_ms) for key, value in metrics]
    points += gains
    points += _drawn(record, ended_ms)
    points += _probed(record, ended_ms)
    for stage, curve in record.curves.items():
        points += _curve(f"train/{stage}", curve, started_ms)
    return TrackedRun(
        key=record.trial,
        name=record.trial,
        state=record.state,
        started_ms=started_ms,
        ended_ms=ended_ms,
        params=_params(sweep, record),
        # The page of a run shows them in the order in which they were written first.
        metrics=sorted(points, key=lambda point: point.key),
        tags={**_tags(sweep, record), **_verdict_tags(verdicts)},
        artifacts=artifacts,
        note=note,
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
    verdicts: Mapping[str, str] = {},
    pictures: Mapping[str, Path] = {},
    note: str = "",
) -> TrackedRun:
    """The run for what belongs to the sweep as a whole; `verdicts` are by target, `pictures` by
    their name among the heat maps."""
    ended_ms = round(ended * 1000)
    return TrackedRun(
        key=SUMMARY,
        name=SUMMARY,
        state="finished",
        started_ms=round(started * 1000),
        ended_ms=ended_ms,
        metrics=[Point(key, value, 0, ended_ms) for key, value in sorted(metrics.items())],
        tags={"xstilts.role": SUMMARY, **_sweep_tags(sweep), **_verdict_tags(verdicts)},
        artifacts=artifacts,
        pictures={f"{HEAT_MAPS}/{name}": path for name, path in pictures.items()},
        note=note,
    )


def _shown(metric: str) -> str:
    """What the tracker calls a metric of a record: its costs last."""
    return f"{COST}/{metric.removeprefix('cost/')}" if metric.startswith("cost/") else metric


def _drawn(record: TrialRecord, time_ms: int) -> list[Point]:
    """The intermediate stage's examples by task, and by language where a task has several."""
    drawn = {}
    for task, counts in record.examples.items():
        drawn[f"{COST}/examples/{task}"] = sum(counts.values())
        if len(counts) > 1:
            drawn |= {f"{COST}/examples/{task}/{language}": n for language, n in counts.items()}
    return [Point(key, count, 0, time_ms, "examples") for key, count in drawn.items()]


def _probed(record: TrialRecord, time_ms: int) -> list[Point]:
    """What probes said: `probe/PROBE/LANGUAGE`, and of hidden states, thinned, those of a language
    as one metric whose step is the layer."""
    names = {Name.of(key): value for key, value in record.probes.items()}
    last = max([name.layer or 0 for name in names], default=0)
    every = max(1, math.ceil(last / PROBED_LAYERS))
    points = []
    for name, value in names.items():
        if name.layer is None:
            points.append(Point(f"probe/{name}", value, 0, time_ms, "probe"))
        elif name.layer % every == 0 or name.layer == last:
            key = f"probe/by_layer/{name.probe}/{name.language}"
            points.append(Point(key, value, name.layer, time_ms, "probe"))
    return points


def _params(sweep: Sweep, record: TrialRecord) -> dict[str, str]:
    """Flat parameters, numbers where they are numbers, the same keys in every run of a sweep."""
    tasks = [name for spec in sweep.intermediates.values() for name in spec.tasks]
    params: dict[str, Any] = {
        "intermediate": record.intermediate,
        "model": record.model,
        "seed": record.seed,
        "recipe": sweep.recipe.name,
    }
    if sweep.search.rungs:
        params["rung"] = record.rung
    params |= {f"rate/{task}": record.rates.get(task, 0) for task in dict.fromkeys(tasks)}
    chosen = {f"target/{name}": one.learning_rate for name, one in record.chosen.items()}
    links = {
        f"target/{name}": values["learning_rate"]
        for name, values in record.recipes.get("target", {}).items()
        if "/" in name  # TARGET/LINK
    }
    found = {**chosen, **links, "intermediate": record.learning_rate}
    rates = {stage: rate for stage, rate in found.items() if rate is not None}
    params |= {f"lr/{stage}": rate for stage, rate in rates.items()}
    params |= {f"log10_lr/{stage}": round(math.log10(x), 4) for stage, x in rates.items()}
    params |= _recipe_params(record)
    known = {"intermediate", "model", "intermediate.rates", "intermediate.learning_rate"}
    params |= {key: value for key, value in record.point.items() if key not in known}
    return {key: _text(value) for key, value in params.items()}


def _recipe_params(record: TrialRecord) -> dict[str, Any]:
    """What the stages were trained by; of a mixture, what its tasks have in common, and the rest by
    task. Records of before it was written down have none."""
    params = {
        f"recipe/target/{target}/{name}": value
        for target, values in record.recipes.get("target", {}).items()
        for name, value in values.items()
    }
    parts = record.recipes.get("intermediate", {})
    for name in next(iter(parts.values()), ()):
        values = {task: part[name] for task, part in parts.items()}
        if len(set(values.values())) == 1:
            params[f"recipe/intermediate/{name}"] = next(iter(values.values()))
        else:
            params |= {f"recipe/intermediate/{task}/{name}": v for task, v in values.items()}
    return params


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _tags(sweep: Sweep, record: TrialRecord) -> dict[str, str]:
    smaller = [stage for stage in record.stages if stage.max_tokens]
    reasons = list(record.missing)
    if sweep.evaluation.examples:
        reasons.append(f"subsampled: {sweep.evaluation.examples} rows a language")
    if sweep.evaluation.translated:
        reasons.append("scored on translations to English")
    own = pools_named(sweep).items()
    reasons += [f"{name}: {spec.of} in a pool of the sweep's own" for name, spec in own]
    trained = [name for name, said in sweep.train.items() if isinstance(said, TranslatedSpec)]
    if trained:
        reasons.append(f"trained on translations: {', '.join(trained)}")
    if sweep.selection.pivot:
        reasons.append(f"selected with dev labels of {', '.join(sweep.selection.pivot)}")
    told = {
        "collapsed": ", ".join(record.collapsed),
        "undecided": ", ".join(record.undecided),
        "retried": ", ".join(f"{name} x{n}" for name, n in record.retries.items()),
        "memory": ", ".join(f"{one.name}: {one.max_tokens} tokens a pass" for one in smaller),
        "noncomparable": "; ".join(reasons),
        "error": record.error[-4000:],
    }
    return {
        "xstilts.role": _role(record),
        "xstilts.trial_id": record.trial,
        "config_id": record.config,
        "fingerprints": ",".join(stage.fingerprint[:12] for stage in record.stages),
        **_sweep_tags(sweep),
        **{f"env.{name}": str(value) for name, value in record.environment.items()},
        **{name: text for name, text in told.items() if text},
    }


def _verdict_tags(verdicts: Mapping[str, str]) -> dict[str, str]:
    return {f"verdict/{target}": word for target, word in verdicts.items()}


def _role(record: TrialRecord) -> str:
    is_baseline = record.is_searching and record.intermediate == NONE
    return "baseline" if is_baseline else record.phase


def _sweep_tags(sweep: Sweep) -> dict[str, str]:
    commit = _git_commit()
    said, pivots = sweep.recipe.overrides, ", ".join(sweep.selection.pivot or ())
    return {
        "sweep": sweep.name,
        "recipe": sweep.recipe.name,
        **({"recipe_overrides": canonical_json(said)} if said else {}),
        "selection": "dev of the training language" + (f" and of {pivots}" if pivots else ""),
        **({"not_zero_shot": pivots} if pivots else {}),
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
        Point(f"{prefix}/{name}", value, int(point["step"]), time_ms, "train")
        for point in kept
        for name, value in point.items()
        if name != "step"
    ]

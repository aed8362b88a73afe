"""Views of a sweep's runs that MLflow keeps with its experiment, so that a link opens them.

A view is a tag of the experiment, read by MLflow's own page: its columns, order, groups and charts.
MLflow documents that form nowhere. What is written here is what its page of 3.17 writes and reads;
a test opens the page in a browser.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xstilts.config.derive import NONE, measured_by
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.records import CONFIRM
from xstilts.scores.aggregate import mean_of
from xstilts.tasks.benchmarks import CUSTOM
from xstilts.tracking.runs import COST, HEAT_MAPS, SUMMARY
from xstilts.tracking.tracker import metric_name

VIEW_TAG = "mlflow.sharedViewState."
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""What an experiment is for, where MLflow's page goes by it. That of 3.17 goes by the link alone
(`workflowType`) and opens an experiment without it as one for traces of language models."""

MOST_BARS = 100
"""Of a chart: MLflow's page loads so many runs at first."""

FIRST_VALUES = 6000
"""Metrics of runs that the first page loads: the server and the page take a time in proportion,
and with a hundred runs of nine targets in all languages, 19,000, more than twice as long."""

FEWEST_FIRST = 25
"""Runs that it loads all the same: what a screen shows."""

PICTURE_HEIGHT = 560
"""Pixels of the page, for the numbers in a heat map to be read."""

ROLE = "tags.`xstilts.role`"

BY = "intermediate"
"""The parameter whose values are compared."""


@dataclass(frozen=True, slots=True)
class View:
    """A view under its `key` in links; `name` is what MLflow's menu of views shows."""

    key: str
    name: str
    state: Mapping[str, Any]
    has_charts: bool = False

    @property
    def tag(self) -> tuple[str, str]:
        """The experiment's tag that holds it; equal views give equal tags."""
        packed = base64.b64encode(zlib.compress(json.dumps(self.state).encode(), 9)).decode()
        envelope = {"name": self.name, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
        return f"{VIEW_TAG}{self.key}", json.dumps(envelope)

    def link(self, server: str, experiment: str) -> str:
        """What opens it: `server` is the address of MLflow, `experiment` its number there."""
        charts = "&compareRunsMode=CHART" if self.has_charts else ""
        page = f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
        return f"{page}?workflowType=machine_learning&viewStateShareKey={self.key}{charts}"


def sweep_views(
    sweep: Sweep, metrics: Iterable[str], objectives: Iterable[float] = ()
) -> tuple[View, ...]:
    """The views of a sweep: runs by the objective, the best alone where all would load slowly;
    intermediates compared; the heat maps.

    Args:
        metrics: those that runs have; charts of which no view speaks are folded away.
        objectives: of every run that has one.
    """
    objective = measured_by(sweep)
    ordered = {"orderByKey": _metric(objective), "orderByAsc": False}
    columns = _columns(sweep)
    table = {
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column: _width(column) for column in columns},
    }
    gains = [f"{kind}/{name}" for kind in ("gain", "search_gain") for name in _parts(sweep)]
    compared = {
        "Objective": _bars([objective, *_averages(sweep)]),
        "Targets": _bars([_score(target) for target in sweep.targets]),
        "Gain over none": _bars(gains),
    }
    pictures = {
        HEAT_MAPS: [_picture(f"{HEAT_MAPS}/{name}") for name in ("intermediates", "languages")],
        "Gain over none": _bars(gains),
        "Best": _bars([f"best/{name}" for name in _parts(sweep)]),
    }
    by = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": BY}]}
    known = list(metrics)
    most = max(FEWEST_FIRST, FIRST_VALUES // max(1, len(known)))
    return (
        *_runs(objective, {**ordered, **table}, list(objectives), most),
        View(
            "compare",
            f"Intermediates by {objective} (search)",
            {
                **ordered,
                **table,
                # Fresh seeds and those that chose are no one mean.
                "searchFilter": f"{ROLE} != '{CONFIRM}' and {ROLE} != '{SUMMARY}'",
                "groupBy": by,
                "groupsExpanded": {f"param.{BY}.{name}": False for name in _names(sweep)},
                **_charts(compared, known),
            },
            has_charts=True,
        ),
        View(
            "heatmaps",
            "Heat maps of the sweep (search)",
            {
                "searchFilter": f"{ROLE} = '{SUMMARY}'",
                "runListHidden": True,
                **_charts(pictures, [f"{COST}/trials"]),
            },
            has_charts=True,
        ),
    )


def _runs(
    objective: str, state: Mapping[str, Any], objectives: Sequence[float], most: int
) -> tuple[View, ...]:
    """The first page, of the `most` best runs, and one of all runs where those are more."""
    if len(objectives) <= most:
        return (View("runs", f"Runs by {objective}", state),)
    # Rounded down, so that the last of them is not cut off.
    least = math.floor(sorted(objectives, reverse=True)[most - 1] * 1e4) / 1e4
    best = {**state, "searchFilter": f"{_metric(objective)} >= {least:.4f}"}
    return (
        View("runs", f"The best {most} runs by {objective}", best),
        View("all", f"All runs by {objective}", state),
    )


def _columns(sweep: Sweep) -> list[str]:
    """What the table shows, from left to right."""
    heads = dict.fromkeys(find_task(sweep, target).head for target in sweep.targets)
    trained = [head for head in heads if find_task(sweep, head).is_trained]
    own = [_param(BY)]
    own += [_param("lr/intermediate")] if _names(sweep)[1:] else []
    scores = [measured_by(sweep), *_averages(sweep), "search_gain/avg"]
    scores += map(_score, sweep.targets)
    scores += [f"gain/{name}" for name in sweep.targets] if sweep.confirm else []
    return [
        *own,
        *map(_metric, scores),
        *(_param(f"lr/target/{head}") for head in trained),
    ]


def _names(sweep: Sweep) -> list[str]:
    """The intermediates that are compared."""
    return [NONE, *(name for name in sweep.intermediates if name != NONE)]


def _averages(sweep: Sweep) -> list[str]:
    """Over targets: the benchmark's, and what stands for it where something is missing. A name that
    no run has is not shown."""
    return [metric_name(mean_of(name)) for name in dict.fromkeys((sweep.benchmark.name, CUSTOM))]


def _parts(sweep: Sweep) -> list[str]:
    return ["avg", *sweep.targets]


def _score(target: str) -> str:
    return metric_name(mean_of(target))


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _width(column: str) -> int:
    """Pixels, for a name to be read and for numbers of two digits and more."""
    return min(max(90, 7 * len(column.partition("`")[2]) + 24), 180)


def _bars(metrics: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"type": "BAR", "metricKey": name, "displayName": name, "runsCountToCompare": MOST_BARS}
        for name in metrics
    ]


def _picture(key: str) -> dict[str, Any]:
    name = key.rpartition("/")[2]
    return {"type": "IMAGE", "imageKeys": [key], "displayName": name, "step": 0}


def _charts(
    sections: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Sequence[str]
) -> dict[str, Any]:
    """Charts in sections, in this order. MLflow adds a chart for each other metric that runs have,
    by the part of its name before the last slash; those sections come last and are folded."""
    charts, shown = [], []
    for number, (name, own) in enumerate(sections.items()):
        section = {"uuid": f"section-{number}", "name": name, "display": True}
        shown.append({**section, "isReordered": True, "deleted": False, "isGenerated": False})
        # With three, a chart's title is cut at ten letters as long as other panels are open.
        shown[-1]["columns"] = 2
        if any(chart["type"] == "IMAGE" for chart in own):
            shown[-1]["cardHeight"] = PICTURE_HEIGHT
        charts += [
            {
                **chart,
                "uuid": f"chart-{number}-{place}",
                "metricSectionId": section["uuid"],
                "deleted": False,
                "isGenerated": False,
            }
            for place, chart in enumerate(own)
        ]
    told = {chart.get("metricKey") for chart in charts}
    others = sorted({name.rpartition("/")[0] for name in metrics if name not in told})
    shown += [
        {"uuid": f"other-{name}", "name": name, "display": False, "isReordered": False}
        for name in others
    ]
    return {
        "compareRunCharts": charts,
        "compareRunSections": shown,
        "isAccordionReordered": True,
        "runsHiddenMode": "SHOW_ALL",
        "useGroupedValuesInCharts": True,
    }

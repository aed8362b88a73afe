"""What a sweep did with what it was allocated: hours used, reused, waited, idle, and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from xstilts.files import read_json_if_whole
from xstilts.plan.stage import class_of
from xstilts.records import Attempt, Status, TrialRecord
from xstilts.report.pictures import Picture
from xstilts.report.results import Results
from xstilts.run import attempts
from xstilts.run.places import USAGE, Places
from xstilts.run.records import read_status

COLOURS = {
    "intermediate": "#4c72b0",
    "target": "#55a868",
    "evaluate": "#ccb974",
    "signal": "#8172b3",
    "waiting": "#c44e52",
    "other": "#dddddd",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Hours of `unit`: GPU-hours, or hours of trials where a trial has no GPU.

    `used` is what trials held, `waiting` the part of it in which they waited for another's stage,
    `reused` what stages cost that they read instead of computing, `idle` what was allocated and
    not held.
    """

    unit: str
    used: float
    waiting: float
    reused: float
    idle: float

    def __str__(self) -> str:
        share = 100 * self.waiting / self.used if self.used else 0.0
        return (
            f"{self.unit}: {self.used:.2f} used ({share:.1f} % of them waiting), "
            f"{self.reused:.2f} reused, {self.idle:.2f} idle"
        )


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the timeline: what a trial did in a lane; seconds since the epoch."""

    lane: int
    what: str
    started: float
    ended: float


class Holding(NamedTuple):
    """A time that a trial held its resources, in seconds since the epoch; without an end until now.
    `is_ended` where somebody said how it ended."""

    trial: str
    host: str
    started: float
    ended: float | None
    is_ended: bool

    def until(self, now: float) -> float:
        """Its end, now at the latest."""
        return now if self.ended is None else min(self.ended, now)


def usage(results: Results, now: float, holdings: Sequence[Holding] | None = None) -> Usage:
    """What the sweep has used so far, all launches together.

    Args:
        holdings: of all its trials; read from their folders unless given.
    """
    per_trial = results.sweep.resources.gpus_per_trial or 1
    holdings = _all_holdings(results.places) if holdings is None else holdings
    held = math.fsum(one.until(now) - one.started for one in holdings)  # in whatever order
    stages = [stage for record in results.records for stage in record.stages]
    reused = sum(stage.seconds for stage in stages if stage.is_reused)
    folders = results.places.launch_folders()
    launches = [read_json_if_whole(folder / USAGE, dict) or {} for folder in folders]
    allocated = sum(launch.get("slot_s", 0.0) for launch in launches)
    return Usage(
        unit="GPU-hours" if results.sweep.resources.gpus_per_trial else "trial-hours",
        used=held * per_trial / 3600,
        waiting=sum(stage.wait_s for stage in stages) * per_trial / 3600,
        reused=reused * per_trial / 3600,
        idle=max(0.0, allocated - held) * per_trial / 3600,
    )


def bars(results: Results, now: float) -> list[Bar]:
    """The sweep's time, a lane for each place in which trials ran one after the other."""
    records = {record.trial: record for record in results.records}
    free_at: list[tuple[str, float]] = []
    found = []
    for held in sorted(
        _all_holdings(results.places), key=lambda one: (one.started, one.trial, one.host)
    ):
        trial, host, started, ended = held.trial, held.host, held.started, held.until(now)
        lane = next(
            (i for i, (place, free) in enumerate(free_at) if place == host and free <= started),
            len(free_at),
        )
        free_at[lane : lane + 1] = [(host, ended)]
        found.append(Bar(lane, "other", started, ended))
        for what, begun, over in _work(records[trial]) if trial in records else ():
            if started <= begun < ended:
                found.append(Bar(lane, what, begun, min(over, ended)))
    return found


def draw_timeline(bars: Sequence[Bar], title: str, path: Path) -> None:
    """Draw the bars: what each lane did when, in minutes since the sweep began."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    lanes = 1 + max(bar.lane for bar in bars)
    begun = min(bar.started for bar in bars)
    figure = Figure(figsize=(9, 1.6 + 0.35 * lanes), dpi=150, layout="constrained")
    axes = figure.subplots()
    # One collection a lane and colour: a thousand trials are ten thousand bars.
    spans: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for bar in bars:
        span = ((bar.started - begun) / 60, (bar.ended - bar.started) / 60)
        spans.setdefault((bar.lane, bar.what), []).append(span)
    for (lane, what), lefts_and_widths in spans.items():
        depth = 1 if what == "other" else 2  # what a trial did lies over the time that it had
        axes.broken_barh(
            lefts_and_widths, (lane - 0.4, 0.8), facecolors=COLOURS[what], zorder=depth
        )
    axes.set_yticks(range(lanes), [str(lane + 1) for lane in range(lanes)])
    axes.invert_yaxis()
    axes.set_xlabel("minutes")
    axes.set_ylabel("place of a trial")
    axes.set_title(title)
    seen = {bar.what for bar in bars}
    handles = [Patch(color=colour, label=what) for what, colour in COLOURS.items() if what in seen]
    figure.legend(handles=handles, ncols=len(handles), fontsize="small", loc="outside lower right")
    Picture(figure).save(path)


def holdings_of(trial: str, status: Status | None, tried: Sequence[Attempt]) -> list[Holding]:
    """Every time that a trial held its resources, by its status and its attempts."""
    found = []
    for attempt in tried:
        ended = attempt.ended
        if ended is None and status is not None:  # it runs, or nobody has noticed that it does not
            ended = max(attempt.started, status.updated)
        own = (trial, attempt.host, attempt.started, ended)
        found.append(Holding(*own, attempt.ended is not None))
    return found


def _all_holdings(places: Places) -> list[Holding]:
    return [
        held
        for folder in places.trials.glob("*")
        for held in holdings_of(folder.name, read_status(folder), attempts.read(folder))
    ]


def _work(record: TrialRecord) -> list[tuple[str, float, float]]:
    """What a trial computed or waited for, and when."""
    found = []
    for stage in record.stages:
        if stage.wait_s >= 1 and stage.asked is not None:
            found.append(("waiting", stage.asked, stage.asked + stage.wait_s))
        if not stage.is_reused and stage.started is not None:
            found.append((class_of(stage.name), stage.started, stage.started + stage.seconds))
    return found

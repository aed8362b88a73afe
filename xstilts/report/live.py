"""The live view of a running sweep, read from its folder: trials, stage, score, elapsed, left.

It knows only files, so it shows a sweep of this process, of another one, or of a whole cluster.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from xstilts.config.schema import Sweep
from xstilts.files import read_json
from xstilts.run.places import Places
from xstilts.run.trial import STATUS, read_record

REFRESH_S = 1.0
SILENT_AFTER_S = 120.0
"""A trial that wrote no status for so long is no longer called running."""


@dataclass(frozen=True, slots=True)
class TrialView:
    """One line of the view. `done` is a share, times are in seconds."""

    trial: str
    state: str
    stage: str
    done: float
    objective: float | None
    elapsed_s: float


def trial_views(places: Places, now: float) -> list[TrialView]:
    """The state of every trial that has begun, in the order in which they began."""
    views = []
    for folder in places.trials.glob("*"):
        record = read_record(folder)
        status = _read_status(folder / STATUS)
        if status is None:
            continue
        if record is not None and record["ended"] >= status["started"]:
            line = TrialView(
                folder.name,
                record["state"],
                "",
                1.0,
                record["objective"],
                record["ended"] - record["started"],
            )
        else:
            is_silent = now - status["updated"] > SILENT_AFTER_S
            line = TrialView(
                folder.name,
                "silent" if is_silent else "running",
                status["stage"],
                status["done"],
                None,
                now - status["started"],
            )
        views.append((status["started"], line))
    return [line for _, line in sorted(views, key=lambda pair: pair[0])]


def time_left(views: list[TrialView], num_trials: int) -> float | None:
    """Seconds until the sweep ends, by the pace so far; None before anything is known."""
    running = [view for view in views if view.state == "running"]
    worked = sum(view.elapsed_s for view in views if view.done)
    done = sum(view.done for view in views)
    if not done or not running:
        return None
    return (num_trials - done) * worked / done / len(running)


def render(sweep: Sweep, places: Places, started: float, num_trials: int) -> Table:
    """The view as a table."""
    now = time.time()
    views = trial_views(places, now)
    left = time_left(views, num_trials)
    finished = sum(view.state == "finished" for view in views)
    times = f"elapsed {_clock(now - started)}, left {_clock(left) if left is not None else '?'}"
    table = Table(
        title=f"{sweep.name}: {finished} of {num_trials} trials, {times}",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    table.add_column("trial", no_wrap=True)
    table.add_column("stage", no_wrap=True)
    table.add_column("done", justify="right")
    table.add_column(sweep.objective.metric, justify="right")
    table.add_column("elapsed", justify="right")
    colours = {"running": "cyan", "finished": "green", "failed": "red", "silent": "yellow"}
    for view in views:
        table.add_row(
            view.trial,
            Text(view.stage or view.state, style=colours.get(view.state, "")),
            f"{100 * view.done:.0f} %",
            "" if view.objective is None else f"{view.objective:.1f}",
            _clock(view.elapsed_s),
        )
    return table


@contextmanager
def watching(
    console: Console, sweep: Sweep, places: Places, each: Callable[[], None]
) -> Iterator[None]:
    """Show the view while the block runs; `each` is called about once a second beside it.

    Where the output is no terminal, a line is printed for every trial that ends instead.
    """
    started = time.time()
    num_trials = sweep.search.encoder.trials * len(sweep.seeds)
    stop = threading.Event()
    known = {view.trial for view in trial_views(places, started) if view.state != "running"}

    def follow() -> None:
        live = None
        if console.is_terminal:
            first = render(sweep, places, started, num_trials)
            live = Live(first, console=console, auto_refresh=False, transient=True)
            live.start()
        try:
            while not stop.wait(REFRESH_S):
                each()
                if live is not None:
                    live.update(render(sweep, places, started, num_trials), refresh=True)
                else:
                    _print_ended(console, sweep, places, known, started)
        finally:
            if live is not None:
                live.stop()
            else:
                _print_ended(console, sweep, places, known, started)

    thread = threading.Thread(target=follow, name="live view", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _print_ended(
    console: Console, sweep: Sweep, places: Places, known: set[str], started: float
) -> None:
    for view in trial_views(places, time.time()):
        if view.state in ("finished", "failed") and view.trial not in known:
            known.add(view.trial)
            value = "-" if view.objective is None else f"{view.objective:.1f}"
            console.print(
                f"{_clock(time.time() - started)} {view.trial}: {view.state}, "
                f"{sweep.objective.metric} {value}, {_clock(view.elapsed_s)}",
                highlight=False,
            )


def _read_status(path: Any) -> dict[str, Any] | None:
    try:
        status: dict[str, Any] = read_json(path)
    except (OSError, ValueError):
        return None
    return status


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

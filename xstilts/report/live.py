"""The live view of a running sweep, read from its folder: trials, stage, score, elapsed, left.

It knows only files, so it shows a sweep of this process, of another one, or of a whole cluster.
What it is asked to do beside showing goes on whatever fails: an error of one task costs the others
nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from xstilts.config.derive import measured_by, num_configurations, num_racing
from xstilts.config.schema import Sweep
from xstilts.report.columns import WholeNames
from xstilts.report.standings import Follower, Standing
from xstilts.run.confirmation import num_confirming
from xstilts.run.node import ENVIRONMENT
from xstilts.run.places import PREFLIGHT, REHEARSAL, Places
from xstilts.run.trial_states import TrialState, TrialStates

logger = logging.getLogger(__name__)

REFRESH_S = 1.0
ENDED = ("finished", "failed")
MOST_ENDED = 10
"""How many of the ended trials a live view shows, the last ones; the rest is a number."""


@dataclass(frozen=True, slots=True)
class TrialView:
    """One line of the view. `done` is a share, times are in seconds, `lost` counts attempts."""

    trial: str
    state: str
    stage: str
    done: float
    objective: float | None
    elapsed_s: float
    lost: int = 0


def trial_views(states: Sequence[TrialState], now: float) -> list[TrialView]:
    """The trials as lines."""
    return [
        TrialView(
            trial=state.trial,
            state="silent" if state.is_silent(now) else state.state,
            stage=state.stage,
            done=state.done,
            objective=state.objective,
            elapsed_s=_until(state, now) - state.started,
            lost=state.num_lost,
        )
        for state in states
    ]


def _until(state: TrialState, now: float) -> float:
    if state.ended is not None:
        return state.ended
    return now if state.state == "running" else state.updated


def time_left(views: list[TrialView], num_trials: int) -> float | None:
    """Seconds until the sweep ends, by the pace so far; None before anything is known."""
    running = [view for view in views if view.state == "running"]
    worked = sum(view.elapsed_s for view in views if view.done)
    done = sum(view.done for view in views)
    if not done or not running:
        return None
    return (num_trials - done) * worked / done / len(running)


def doing(places: Places) -> str:
    """What a launch does before it has trials that run, by what it has left in its folder."""
    folder = next(iter(places.launch_folders()), places.launches)
    if (folder / REHEARSAL).exists():
        return "trying every sort of stage for a few steps"
    if (folder / ENVIRONMENT).exists():
        return "starting the processes of the next trials"
    if (folder / PREFLIGHT).exists():
        return "asking the nodes for their versions, files and clocks"
    return "starting Ray"


def render(
    sweep: Sweep,
    views: list[TrialView],
    elapsed_s: float,
    most_ended: int,
    num_confirming: int = 0,
    race: Sequence[Standing] = (),
    doing: str = "",
) -> Table:
    """The view as a table: all trials that run, and the last `most_ended` of those that ended.

    Args:
        num_confirming: trials that confirm search's choice; see `confirmation.num_confirming`.
        race: where a race stands on each target.
        doing: what happens while no trial runs.
    """
    num_trials = num_configurations(sweep) * len(sweep.seeds) + num_confirming
    num_trials += num_racing(sweep) * len(sweep.search.lower_rungs)
    left = time_left(views, num_trials)
    finished = sum(view.state == "finished" for view in views)
    times = f"elapsed {_clock(elapsed_s)}"
    # How many trials a race has hangs on what they give.
    is_race = sweep.search.is_race
    if finished < num_trials and not is_race:
        times += f", left {_clock(left) if left is not None else '?'}"
    confirming = f" ({num_confirming} to confirm)" if num_confirming else ""
    ended = [view for view in views if view.state in ENDED]
    hidden = {view.trial for view in ended[: max(0, len(ended) - most_ended)]}
    notes = [f"{len(hidden)} more have ended"] if hidden else []
    if doing and finished < num_trials:
        notes.append(f"now: {doing}")
    if race:
        notes += ["may be the best:", *(f"  {one}" for one in race)]
    of = "of at most" if is_race else "of"
    table = Table(
        title=f"{sweep.name}: {finished} {of} {num_trials} trials{confirming}, {times}",
        caption="\n".join(notes) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    table.add_column("trial")
    table.add_column("stage")
    table.add_column("done", justify="right")
    table.add_column(measured_by(sweep), justify="right")
    table.add_column("elapsed", justify="right")
    for view in views:
        if view.trial not in hidden:
            table.add_row(*_row(view))
    return table


def _row(view: TrialView) -> tuple[str | Text, ...]:
    colours = {"running": "cyan", "finished": "green", "failed": "red"}
    stage = view.stage if view.state == "running" else view.state
    if view.lost:
        stage += f" (lost {view.lost}x)"
    return (
        view.trial,
        Text(stage, style=colours.get(view.state, "yellow")),
        f"{100 * view.done:.0f} %",
        "" if view.objective is None else f"{view.objective:.1f}",
        _clock(view.elapsed_s),
    )


@contextmanager
def watching(
    console: Console,
    sweep: Sweep,
    states: TrialStates,
    *beside: Callable[[Sequence[TrialState]], None],
) -> Iterator[None]:
    """Show the view while the block runs; all of `beside` are called about once a second beside it.

    Where the output is no terminal, a line is printed for every trial that ends instead.
    """
    started = time.time()
    stop = threading.Event()
    known = {(state.trial, state.ended) for state in states.look() if state.is_ended}
    race = Follower(sweep, states.places)
    said, stood = "", list[Standing]()
    has_news = False

    def show(seen: Sequence[TrialState]) -> None:
        nonlocal said, stood, has_news
        now, is_running = time.time(), any(state.state == "running" for state in seen)
        does = "" if is_running else doing(states.places)
        if live is not None:
            views, count = trial_views(seen, now), num_confirming(states.places, sweep)
            stands = race.look(seen)
            table = render(sweep, views, now - started, MOST_ENDED, count, stands, does)
            live.update(WholeNames(table), refresh=True)
            return
        if does and said != does:
            said = does
            console.print(f"{_clock(now - started)} {does}", highlight=False)
        has_news |= _print_ended(console, sweep, seen, known, started)
        if has_news and (stands := race.look(seen, at_once=stop.is_set())) != stood:
            stood = stands
            text = f"may be the best: {', '.join(map(str, stands))}"
            console.print(f"{_clock(time.time() - started)} {text}", highlight=False)

    tasks = [_Guarded(task) for task in (*beside, show)]

    def follow() -> None:
        while not stop.wait(REFRESH_S):
            _step(states, tasks)
        _step(states, tasks[-1:])

    live = (
        Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    )
    if live is not None:
        live.start()
    # Ray's import keeps the thread from its first turn for seconds.
    _step(states, tasks[-1:])
    thread = threading.Thread(target=follow, name="live view", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if live is not None:
            with suppress(OSError):  # the terminal may be gone
                live.stop()


class _Guarded:
    """A task whose errors are told, each once as long as it lasts, and end nothing."""

    def __init__(self, task: Callable[[Sequence[TrialState]], None]):
        self._task = task
        self._trouble = ""

    def __call__(self, seen: Sequence[TrialState]) -> None:
        try:
            self._task(seen)
            self._trouble = ""
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"
            if trouble != self._trouble:
                logger.warning("beside the trials, which go on: %s", trouble)
            self._trouble = trouble


def _step(states: TrialStates, tasks: Sequence[_Guarded]) -> None:
    try:
        seen = states.look()
    except OSError as error:
        logger.warning("where the trials stand cannot be read now: %s", error)
        return
    for task in tasks:
        task(seen)


def _print_ended(
    console: Console,
    sweep: Sweep,
    seen: Sequence[TrialState],
    known: set[tuple[str, float | None]],
    started: float,
) -> bool:
    """Print those that have ended since; whether there are any."""
    ended = {state.trial: state.ended for state in seen}
    new = {*ended.items()} - known
    fresh = [state for state in seen if (state.trial, state.ended) in new]
    for view in trial_views(fresh, time.time()):
        if view.state in ENDED:
            known.add((view.trial, ended[view.trial]))
            value = "-" if view.objective is None else f"{view.objective:.1f}"
            console.print(
                f"{_clock(time.time() - started)} {view.trial}: {view.state}, "
                f"{measured_by(sweep)} {value}, {_clock(view.elapsed_s)}",
                highlight=False,
            )
    return any(state.is_ended for state in fresh)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

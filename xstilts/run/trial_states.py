"""Where the trials of a sweep stand, read from their folders by whoever looks on.

A look costs little even over thousands of trials: files are read when they have changed, and of a
record only what a view needs is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xstilts.run import attempts
from xstilts.run.places import Places
from xstilts.run.records import RECORD, STATUS, read_record, read_status

SILENT_AFTER_S = 120.0
"""A trial that wrote no status for so long is no longer called running."""


@dataclass(frozen=True, slots=True)
class TrialState:
    """One trial. Times are in seconds since the epoch, `done` is a share.

    `state` is `finished` or `failed` once its record is written, else `stopped` if the trial was
    told to, else `running`. `num_lost` counts the attempts that died.
    """

    trial: str
    state: str
    stage: str
    done: float
    started: float
    updated: float
    ended: float | None
    objective: float | None
    num_lost: int

    @property
    def is_ended(self) -> bool:
        """Whether its record is written."""
        return self.ended is not None

    def is_silent(self, now: float) -> bool:
        """Whether it calls itself running but has said nothing for long."""
        return self.state == "running" and now - self.updated > SILENT_AFTER_S


class TrialStates:
    """The trials of one sweep that have begun."""

    def __init__(self, places: Places):
        self.places = places
        self._known: dict[str, tuple[tuple[int, ...], TrialState]] = {}

    def look(self) -> list[TrialState]:
        """All trials now, in the order in which they began."""
        found = list(self._look())
        return sorted(found, key=lambda state: (state.started, state.trial))

    def _look(self) -> Iterator[TrialState]:
        for folder in self.places.trials.glob("*"):
            times: tuple[int, ...] = tuple(_time_of(folder / name) for name in (STATUS, RECORD))
            if not times[0]:
                continue
            known = self._known.get(folder.name)
            if known is None or not known[1].is_ended:
                # Of one that has ended, a further attempt begins with another status.
                times += tuple(map(_time_of, attempts.paths(folder)[-1:]))
            if known is None or known[0] != times:
                state = _read(folder)
                if state is None:
                    continue
                known = self._known[folder.name] = (times, state)
            yield known[1]


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(folder: Path) -> TrialState | None:
    status, record = read_status(folder), read_record(folder)
    if status is None:
        return None
    tried = attempts.read(folder)
    state, ended, objective = "running", None, None
    stage, done = status.stage, status.done
    if record is not None and record.ended >= status.started:
        state, ended, objective = record.state, record.ended, record.objective
        stage, done = "", 1.0
    elif tried and tried[-1].how == "stopped":
        state = "stopped"
    return TrialState(
        trial=folder.name,
        state=state,
        stage=stage,
        done=done,
        started=status.started,
        updated=status.updated,
        ended=ended,
        objective=objective,
        num_lost=attempts.num_lost(tried),
    )

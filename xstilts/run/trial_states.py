"""Where the trials of a sweep stand, read from their folders by whoever looks on.

A look costs little even over thousands of trials: files are read when they have changed, and of a
record only what a view needs is kept. The driver of a sweep knows which trials it has handed out,
and looks at no others: what it asks of the file system hangs on how many run, not on how many there
are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xstilts.files import names_in
from xstilts.records import Attempt, Status, TrialRecord
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
    """The trials of one sweep that have begun.

    Every look is at all of them, save where a driver says what it has handed out (`begin`): then
    the first is, and later ones are at those that had not ended when they were looked at last, and
    at what was handed out since. `begin` and `end` may be called by another thread than `look`.
    """

    def __init__(self, places: Places):
        self.places = places
        self._known: dict[str, tuple[tuple[int, ...], TrialState]] = {}
        self._open: set[str] | None = None
        self._handed_out: set[str] = set()
        self._new: deque[str] = deque()
        self._is_driven = False

    def begin(self, trial: str) -> None:
        """Note that the driver of the sweep has handed out a trial."""
        self._is_driven = True
        self._handed_out.add(trial)
        self._new.append(trial)

    def end(self, trial: str) -> None:
        """Note that a trial is not in work any more, whatever came of it."""
        self._handed_out.discard(trial)

    def look(self) -> list[TrialState]:
        """All trials now, in the order in which they began."""
        if self._open is None or not self._is_driven:
            self._open = set(names_in(self.places.trials))
            for gone in self._known.keys() - self._open:
                del self._known[gone]
        while self._new:
            self._open.add(self._new.popleft())
        for trial in list(self._open):
            # Asked before it is read: one that is in work may have a record of before.
            is_in_work = trial in self._handed_out
            state = self._look_at(trial)
            if state is not None and state.is_ended and not is_in_work:
                self._open.discard(trial)
        found = (state for _, state in self._known.values())
        return sorted(found, key=lambda state: (state.started, state.trial))

    def _look_at(self, trial: str) -> TrialState | None:
        """Where a trial stands, its files read if they have changed; None before it begins."""
        folder, known = self.places.trials / trial, self._known.pop(trial, None)
        times: tuple[int, ...] = tuple(_time_of(folder / name) for name in (STATUS, RECORD))
        if not times[0]:
            return None
        if known is None or not known[1].is_ended:
            # Of one that has ended, a further attempt begins with another status.
            times += tuple(map(_time_of, attempts.paths(folder)[-1:]))
        if known is None or known[0] != times:
            if (state := read_state(folder)) is None:
                return None
            known = (times, state)
        self._known[trial] = known
        return known[1]


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def read_state(folder: Path) -> TrialState | None:
    """Where a trial stands, by the files in its folder; None before it began."""
    status, record = read_status(folder), read_record(folder)
    return state_of(folder.name, status, record, attempts.read(folder)) if status else None


def state_of(
    trial: str, status: Status, record: TrialRecord | None, tried: Sequence[Attempt]
) -> TrialState:
    """Where a trial stands, by what its files hold."""
    state, ended, objective = "running", None, None
    stage, done = status.stage, status.done
    if record is not None and record.ended >= status.started:
        state, ended, objective = record.state, record.ended, record.objective
        stage, done = "", 1.0
    elif tried and tried[-1].how == "stopped":
        state = "stopped"
    return TrialState(
        trial=trial,
        state=state,
        stage=stage,
        done=done,
        started=status.started,
        updated=status.updated,
        ended=ended,
        objective=objective,
        num_lost=attempts.num_lost(tried),
    )

"""A sweep at a glance, as `status` shows it: what it says of trials, kept beside the storage's
caches.

Thousands of records are read in minutes on a busy machine, and whoever looks on looks again and
again. The file has for each trial that has ended a line with what a glance needs, with size and
time of its record and its status; only trials that have changed since are read. The driver adds a
line whenever a trial ends (`Noter`), so that the first look is no longer than others. It is no
truth of its own: a line that is torn, or of another version or another sweep file, is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from xstilts import __version__
from xstilts.config.schema import Sweep
from xstilts.files import names_in, sha256_of, write_atomically
from xstilts.records import StageEntry, TrialRecord
from xstilts.report.comparison import scores_of
from xstilts.report.results import Results
from xstilts.report.usage import Holding, holdings_of
from xstilts.run import attempts
from xstilts.run.places import Places
from xstilts.run.records import RECORD, STATUS, read_record, read_status
from xstilts.run.storage import CACHES
from xstilts.run.trial_states import TrialState, state_of
from xstilts.score_rows import ScoreRows
from xstilts.scores.best import TrialScores

FORMAT = 1
"""Raise it when a trial's row would hold something else."""

MOST_LINES, LEAST_LINES = 2, 100
"""The file is written anew with more than so many lines a trial, and so many beyond: lines of
trials that have changed, and of other sweep files, are in the way."""

UNSHOWN: dict[str, Any] = {
    "scores": ScoreRows(),
    **{name: {} for name in ("chosen", "curves", "recipes", "environment", "examples", "signals")},
}
"""What of a record no glance shows."""

DEFAULTS = {
    one.name: one.default if one.default_factory is MISSING else one.default_factory()
    for one in fields(TrialRecord)
    if one.default is not MISSING or one.default_factory is not MISSING
}
"""Fields of a record that need not be kept where they hold these."""


@dataclass(frozen=True, slots=True)
class Glance:
    """Where the trials of a sweep stand.

    `results` have records without scores and curves, and of their stages only those that were
    waited for, or not computed. `states` are in the order in which trials began; `trials` are the
    finished ones of a race's search as the comparison reads them, empty of a sweep that is none.
    """

    results: Results
    states: list[TrialState]
    holdings: list[Holding]
    trials: list[TrialScores]


def glance(sweep: Sweep, places: Places, folder: Path) -> Glance:
    """Look at a sweep's trials; the cache is brought up to date on the way.

    Args:
        folder: of the launch whose definition the sweep is.
    """
    path, key = cache_path(places), _key(sweep)
    known, num_lines = _read(path, key)
    rows: dict[str, dict[str, Any]] = {}
    for name in sorted(names_in(places.trials)):
        marks = _marks(places.trials / name)
        row = known.get(name)
        if row is None or row["marks"] != marks:
            row = _row(sweep, places.trials / name, marks)
        rows[name] = row
    kept = {name: row for name, row in rows.items() if row["is_over"]}
    new = {name: row for name, row in kept.items() if known.get(name) is not row}
    with suppress(OSError):  # of a storage that is only read nothing is kept
        if num_lines + len(new) > MOST_LINES * len(kept) + LEAST_LINES:
            write_atomically(path, _lines(key, kept), is_durable=False)
        elif new:
            _append(path, _lines(key, new))
    records = [_record(row["record"]) for row in rows.values() if row["record"] is not None]
    states = [TrialState(**row["state"]) for row in rows.values() if row["state"] is not None]
    return Glance(
        Results(sweep, places, folder, records),
        sorted(states, key=lambda state: (state.started, state.trial)),
        [Holding(*one) for row in rows.values() for one in row["holdings"]],
        [TrialScores(**row["compared"]) for row in rows.values() if row["compared"] is not None],
    )


class Noter:
    """Keeps what a glance needs of the trials that end while a sweep runs."""

    def __init__(self, sweep: Sweep, places: Places, folder: Path):
        self._sweep, self._places, self._folder = sweep, places, folder
        self._key = _key(sweep)
        self._ended: dict[str, float | None] | None = None

    def step(self, states: Sequence[TrialState]) -> None:
        """Note what has ended since the last step; the first is a look at all.

        Raises:
            OSError: the file cannot be written.
        """
        if self._ended is None:
            seen = glance(self._sweep, self._places, self._folder)
            self._ended = {state.trial: state.ended for state in seen.states}
        for state in states:
            if not state.is_ended or self._ended.get(state.trial) == state.ended:
                continue
            folder = self._places.trials / state.trial
            row = _row(self._sweep, folder, _marks(folder))
            if row["is_over"]:
                _append(cache_path(self._places), _lines(self._key, {state.trial: row}))
                self._ended[state.trial] = state.ended


def cache_path(places: Places) -> Path:
    """Where what is seen at a glance is kept."""
    return places.storage / CACHES / f"glance-{places.name}.jsonl"


def _key(sweep: Sweep) -> str:
    """What a line must be of to be believed."""
    return sha256_of([FORMAT, __version__, sweep.model_dump(mode="json", by_alias=True)])[:16]


def _read(path: Path, key: str) -> tuple[dict[str, dict[str, Any]], int]:
    """The rows of trials by their names, the last line of each, and the number of lines."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}, 0
    rows: dict[str, dict[str, Any]] = {}
    start = f'["{key}",'.encode()
    for line in lines:
        if line.startswith(start):
            with suppress(ValueError):
                _, name, row = from_json(line)
                rows[name] = row
    return rows, len(lines)


def _lines(key: str, rows: Mapping[str, dict[str, Any]]) -> bytes:
    return b"".join(to_json([key, *one]) + b"\n" for one in rows.items())


def _append(path: Path, lines: bytes) -> None:
    """Add lines in one piece; what others write meanwhile may tear them, and they are none then."""
    with path.open("ab", buffering=0) as stream:
        stream.write(lines)


def _marks(folder: Path) -> list[int]:
    """Sizes and times of change, in nanoseconds, of a trial's record and status; 0 where absent."""
    found = []
    for name in (RECORD, STATUS):
        try:
            facts = os.stat(f"{folder}/{name}")  # noqa: PTH116 # of thousands, twice as fast
            found += [facts.st_size, facts.st_mtime_ns]
        except OSError:
            found += [0, 0]
    return found


def _row(sweep: Sweep, folder: Path, marks: list[int]) -> dict[str, Any]:
    """What a glance needs of a trial."""
    status, record, tried = read_status(folder), read_record(folder), attempts.read(folder)
    state = state_of(folder.name, status, record, tried) if status else None
    holdings = holdings_of(folder.name, status, tried)
    compared = None
    is_race = sweep.search.is_race
    if is_race and record is not None and record.state == "finished" and record.is_searching:
        compared = asdict(scores_of(sweep, record))
    return {
        "marks": marks,
        # An attempt is ended a moment after its trial's record is written.
        "is_over": state is not None and state.is_ended and all(x.is_ended for x in holdings),
        "state": None if state is None else asdict(state),
        "holdings": [list(one) for one in holdings],
        "record": None if record is None else _slim(record),
        "compared": compared,
    }


def _slim(record: TrialRecord) -> dict[str, Any]:
    """A record without what no glance shows, and without defaults."""
    metrics = {name: x for name, x in record.metrics.items() if name.startswith("cost/")}
    slim = replace(record, **UNSHOWN, metrics=metrics, stages=list(_told(record)))
    own = {one.name: getattr(slim, one.name) for one in fields(slim)}
    own["stages"] = [asdict(stage) for stage in slim.stages]
    del own["scores"]
    return {name: x for name, x in own.items() if name not in DEFAULTS or x != DEFAULTS[name]}


def _told(record: TrialRecord) -> Iterator[StageEntry]:
    """The stages that say something of time: read, waited for, or the first with its threads."""
    threads: set[int | None] = set()
    for stage in record.stages:
        if stage.is_reused or stage.wait_s or stage.threads not in threads:
            threads.add(stage.threads)
            yield stage


def _record(row: Mapping[str, Any]) -> TrialRecord:
    stages = [StageEntry(**stage) for stage in row["stages"]]
    return TrialRecord(**{**row, "scores": ScoreRows(), "stages": stages})

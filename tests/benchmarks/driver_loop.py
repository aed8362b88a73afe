"""What a driver asks of the file system for a trial, by how many trials the sweep has already.

    python -m tests.benchmarks.driver_loop --trials 100 1000 5000 --storage /tmp/many

takes up the storages of `many_trials.py` (which it writes where they are missing) with some
configurations more, and prints JSON: calls to the file system a trial and a second, names that
listed folders gave, CPU-seconds, and what Python's objects grew by. The driver is the real one
(launch, searcher, journal, states, keeper, mirror, noter, standings); in the place of Ray and its
workers stands a loop that writes each trial's record at once, and in the place of MLflow nothing.
"""

from __future__ import annotations

import argparse
import builtins
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from xstilts.report.glance import Noter
from xstilts.report.live import doing
from xstilts.report.mirror import Mirror
from xstilts.report.results import load_results
from xstilts.report.standings import Follower
from xstilts.run.confirmation import num_confirming
from xstilts.run.kept_weights import Keeper
from xstilts.run.places import Places
from xstilts.search import launch as launching
from xstilts.search.launch import Launch, prepared
from xstilts.tracking.tracker import TrackedExperiment, TrackedRun

CALLS = (
    *("stat", "lstat", "open", "listdir", "scandir", "mkdir", "rename", "replace", "unlink"),
    *("rmdir", "readlink", "truncate", "fsync", "chmod", "access", "utime"),
)
"""What `os` asks of the file system; files that Python opens itself are counted beside them."""

Write = Callable[[Launch, dict[str, Any]], None]


class Untracked:
    """A tracker that keeps nothing."""

    def write(self, run: TrackedRun) -> None:
        """See `Tracker.write`."""

    def describe(self, experiment: TrackedExperiment) -> None:
        """See `Tracker.describe`."""


class Driver:
    """One driver of a sweep, and what is done beside its trials. `write` leaves what a trial
    leaves, by its configuration as Tune has it."""

    def __init__(self, launch: Launch, write: Write):
        self._launch, self._write = launch, write
        places = launch.places
        self._searcher = launching.searcher_of(launch, print)
        self._mirror = Mirror(Untracked(), load_results(places))
        self._keeper = Keeper(launch.sweep, places, launch.lease.number, launch.check)
        self._noter = Noter(launch.sweep, places, launch.folder)
        self._race = Follower(launch.sweep, places)
        self.handed_out = 0

    def second(self) -> None:
        """What happens once a second, whatever trials do."""
        launch = self._launch
        launch.check()
        launch.lease.beat()
        states = launch.states.look()
        self._keeper.step(states)
        self._mirror.step(states)
        self._noter.step(states)
        self._race.look(states)
        doing(launch.places)
        num_confirming(launch.places, launch.sweep)

    def trial(self, counts: Counter[str] | None = None) -> bool:
        """Hand a trial out, let it end, and see it; false where none is left."""
        name = f"tune-{self.handed_out}"
        with counted(counts):
            config = self._searcher.suggest(name)
        if not isinstance(config, dict):
            return False
        self.handed_out += 1
        self._launch.places.begin(self._launch.lease.number)
        self._write(self._launch, config)
        with counted(counts):
            self.second()
            self._searcher.on_trial_complete(name, {"outcome": "finished"})
            self.second()
        return True


@contextmanager
def counted(counts: Counter[str] | None) -> Iterator[None]:
    """Count the calls to the file system that the block makes, and the names that it lists."""
    if counts is None:
        yield
        return
    from contextlib import ExitStack

    def noting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            found = call(*args, **kwargs)
            if name == "listdir":
                counts["names"] += len(found)
            return found

        return noted

    def scandir(path: Any = ".") -> Any:
        counts["scandir"] += 1
        counts["names"] += len(listdir(path))
        return scan(path)

    listdir, scan = os.listdir, os.scandir
    with ExitStack() as stack:
        for name in CALLS:
            stack.enter_context(patch.object(os, name, noting(name, getattr(os, name))))
        stack.enter_context(patch.object(os, "scandir", scandir))
        for module in (builtins, io):
            stack.enter_context(patch.object(module, "open", noting("open", open)))
        yield


def write_record_of(launch: Launch, config: dict[str, Any]) -> None:
    """What a trial of `control_plane.py` leaves."""
    from tests.benchmarks.many_trials import write_trial

    write_trial(launch.planner, launch.places, **config["trial"])


def measure(storage: Path, trials: int, more: int) -> dict[str, Any]:
    """Take up a sweep of so many trials with `more` configurations, and run these."""
    from tests.benchmarks.control_plane import inventory_of
    from tests.benchmarks.many_trials import NAME, SEEDS, sweep_of_many

    counts: Counter[str] = Counter()
    sweep = sweep_of_many(storage, trials + more * len(SEEDS))
    with prepared(sweep, Places(storage, NAME), inventory_of()) as launch:
        driver = Driver(launch, write_record_of)
        for _ in SEEDS:  # the first look is at all trials, once a launch
            driver.trial()
        begun, before = time.process_time(), driver.handed_out
        while driver.trial(counts):
            pass
        own = driver.handed_out - before
        cpu_s = time.process_time() - begun
        second: Counter[str] = Counter()
        with counted(second):
            driver.second()
    names = counts.pop("names", 0)
    return {
        "calls_a_trial": round(counts.total() / own, 2),
        "names_a_trial": round(names / own, 2),
        "calls_a_second": second.total() - second["names"],
        "cpu_s_a_trial": round(cpu_s / own, 3),
        "by_call": {name: round(count / own, 2) for name, count in counts.most_common()},
    }


def main() -> None:
    """Count at each size."""
    from tests.benchmarks.many_trials import write_storage

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--more", type=int, default=5, help="configurations, of five seeds each")
    parser.add_argument("--storage", type=Path, required=True, help="for the storages")
    chosen = parser.parse_args()
    found = {}
    for trials in chosen.trials:
        storage = chosen.storage.resolve() / f"{trials}"
        if not (storage / "written").exists():
            write_storage(storage, trials)
            (storage / "written").touch()
        found[str(trials)] = measure(storage, trials, chosen.more)
        print(trials, found[str(trials)], file=sys.stderr)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

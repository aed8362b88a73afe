"""Drives a sweep from its file to its report: what `run_sweep` and the command `sweep` do.

What happens is shown by a `View`; the driver itself prints nothing.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.console import Console

if TYPE_CHECKING:
    from xstilts.config.schema import Sweep
    from xstilts.plan.inventory import Inventory
    from xstilts.report.results import Results
    from xstilts.run.places import Places
    from xstilts.run.preparation import Job, Prepared
    from xstilts.run.trial_states import TrialState, TrialStates
    from xstilts.tracking.mlflow import MlflowTracker

logger = logging.getLogger(__name__)

Beside = Callable[[Sequence["TrialState"]], None]


class View(Protocol):
    """Shows a sweep while it runs."""

    def tell(self, line: str) -> None:
        """Show what is worth knowing before or after the trials."""

    def warn(self, what: Any) -> None:
        """Show what must be seen at once: a line, or a table of rich's."""

    def prepare(
        self, jobs: list[Job], storage: Path, inventory: Inventory
    ) -> tuple[list[Prepared], float]:
        """Encode what trials read, with its progress; also the seconds that it took."""

    def watching(
        self, sweep: Sweep, states: TrialStates, *beside: Beside
    ) -> AbstractContextManager[None]:
        """Show the trials while a block runs, and do what is to be done beside them."""


class Terminal:
    """Shows a sweep on two consoles, what it says on `out` and what is the matter on `err`; until
    it has something to show, that the sweep is being read."""

    def __init__(self, out: Console, err: Console):
        self._out = out
        self._err = err
        self._reading = err.status("reading the sweep and what there is of it")

    def __enter__(self) -> Self:
        self._reading.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._reading.stop()

    def tell(self, line: str) -> None:
        """See `View`."""
        self._reading.stop()
        self._out.print(line, markup=False)

    def warn(self, what: Any) -> None:
        """See `View`."""
        self._reading.stop()
        self._err.print(what)

    def prepare(
        self, jobs: list[Job], storage: Path, inventory: Inventory
    ) -> tuple[list[Prepared], float]:
        """See `View`."""
        from rich.progress import Progress

        self._reading.stop()
        with Progress(console=self._err, transient=True) as progress:
            bar = progress.add_task("tokenising", total=sum(job.num_rows for job in jobs))
            return _prepared(
                jobs,
                storage,
                inventory,
                lambda prepared: progress.advance(bar, prepared.job.num_rows),
            )

    def watching(
        self, sweep: Sweep, states: TrialStates, *beside: Beside
    ) -> AbstractContextManager[None]:
        """See `View`."""
        from xstilts.report.live import watching

        self._reading.stop()
        return watching(self._out, sweep, states, *beside)


class Log:
    """Prints nothing: what it is told goes to the logger `xstilts.driver`."""

    def tell(self, line: str) -> None:
        """See `View`."""
        logger.info("%s", line)

    def warn(self, what: Any) -> None:
        """See `View`."""
        stream = io.StringIO()
        Console(file=stream, width=100).print(what, markup=False)
        logger.warning("%s", stream.getvalue().rstrip())

    def prepare(
        self, jobs: list[Job], storage: Path, inventory: Inventory
    ) -> tuple[list[Prepared], float]:
        """See `View`."""
        return _prepared(jobs, storage, inventory, lambda prepared: None)

    def watching(
        self, sweep: Sweep, states: TrialStates, *beside: Beside
    ) -> AbstractContextManager[None]:
        """See `View`."""
        from xstilts.report.live import watching

        return watching(Console(file=io.StringIO()), sweep, states, *beside)


@dataclass(frozen=True, slots=True)
class Driven:
    """What a launch came to: whether all trials are finished, whether it was told to stop, and why
    the tracker is not up to date, if it is not."""

    places: Places
    results: Results
    pictures: list[Path]
    is_complete: bool
    was_stopped: bool
    trouble: str


def inputs_of(
    sweep: Sweep, tell: Callable[[str], Any], base: Path | None = None
) -> tuple[Places, Inventory]:
    """The folders of a sweep and what it names, all checked. Torch is not imported for it, so that
    what is wrong is told at once.

    Args:
        base: what relative paths are relative to; the working folder if not given.

    Raises:
        ConfigError: the storage cannot serve, or an input is missing.
    """
    from xstilts.config.derive import benchmark_holes, normalised_rates
    from xstilts.run.inputs import take_inventory
    from xstilts.run.places import Places
    from xstilts.search.preflight import check_storage

    for line in (*normalised_rates(sweep), *benchmark_holes(sweep)):
        tell(line)
    places = Places.of(sweep, base)
    check_storage(places, tell)
    return places, take_inventory(sweep, places, base)


def drive(
    sweep: Sweep,
    places: Places,
    inventory: Inventory,
    view: View,
    address: str | None,
    with_rehearsal: bool,
    with_retraining: bool,
    must_have_ended: bool = False,
) -> Driven:
    """Launch a sweep, or take it up where it was; write its report, bring the tracker up to date.

    Args:
        address: see `launch.run_trials`, and there what else it raises.
        must_have_ended: whether only what confirms search's choice may be left to run.

    Raises:
        ConfigError: the sweep may not be launched so; see `launch.prepared`.
    """
    from xstilts.report.glance import Noter
    from xstilts.report.mirror import Mirror
    from xstilts.report.publish import try_publish, write_report
    from xstilts.report.results import load_results
    from xstilts.run.kept_weights import Keeper
    from xstilts.run.preparation import PARALLEL_ROWS, jobs_of, missing_jobs
    from xstilts.run.remembered import remember
    from xstilts.search import completion, launch
    from xstilts.study.registration import FOLDER, register

    was_stopped = False
    with launch.prepared(sweep, places, inventory, with_retraining) as ready:
        if must_have_ended:
            completion.check_ended(ready)
        results = load_results(places)
        tracker = tracker_of(results)
        remember(places.storage)
        for line in ready.told():
            view.tell(line)
        if register(ready.sweep, places, inventory.to_json(), ready.lease.number):
            view.tell(f"The study is registered in {places.sweep / FOLDER}")
        if completion.is_complete(ready):
            places.begin(ready.lease.number)
            view.tell(f"{sweep.name}: everything is done already")
        else:
            tracker.check()
            keeper = Keeper(sweep, places, ready.lease.number, ready.check)
            mirror = Mirror(tracker, results)
            noter = Noter(ready.sweep, places, ready.folder)
            del results  # the records of thousands of trials are not held while others run
            missing = missing_jobs(jobs_of(ready.planner), places.storage, inventory)
            # What trials cost is known once their tokens are counted.
            if sum(job.num_rows for job in missing) > PARALLEL_ROWS or sweep.budget:
                view.prepare(missing, places.storage, inventory)
            was_stopped = True
            watched = view.watching(sweep, ready.states, keeper.step, mirror.step, noter.step)
            with suppress(KeyboardInterrupt), watched:
                was_stopped = launch.run_trials(ready, address, view.warn, with_rehearsal)
        is_complete = completion.is_complete(ready)
        results = load_results(places)
        pictures = write_report(results)
        trouble = try_publish(tracker, results)
    return Driven(places, results, pictures, is_complete, was_stopped, trouble)


def tracker_of(results: Results, uri: str | None = None) -> MlflowTracker:
    """The tracker that a sweep names, or one at `uri`."""
    from xstilts.run.places import ARTIFACTS
    from xstilts.run.storage import identity_of
    from xstilts.tracking.mlflow import MlflowTracker

    places = results.places
    uri = uri or places.tracking_uri(results.sweep)
    owner = identity_of(places.storage)
    return MlflowTracker(uri, results.sweep.name, places.storage / ARTIFACTS, owner)


def _prepared(
    jobs: list[Job], storage: Path, inventory: Inventory, done: Callable[[Prepared], Any]
) -> tuple[list[Prepared], float]:
    """Prepare the jobs on all CPUs of this machine."""
    from xstilts.run.preparation import prepare

    started = time.monotonic()
    found = prepare(jobs, storage, inventory, len(os.sched_getaffinity(0)), done)
    return found, time.monotonic() - started

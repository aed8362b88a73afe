"""The Tune trainable: an actor that gets a few names, reads the rest, and runs one trial a step.

Nothing large is pickled; the resolved sweep, the inventory and the points of the inner search lie
in the sweep's folder, which every worker sees. It is a class because a step runs in the main
thread of its process, where a signal can be heeded.

Torch and all above it are imported by the first step, not with the module: Tune gives a waiting
trial to a warm actor and throws away the actor that was starting for it, so with trials shorter
than these imports a second node would never get to run one.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from xstilts.errors import LeaseLost, Preempted, ProcessLost, StorageFull, StorageGone
from xstilts.files import is_disk_full, read_json
from xstilts.search.outcomes import HALT, STOPPED

if TYPE_CHECKING:
    from xstilts.plan.plan import Planner
    from xstilts.records import TrialRecord
    from xstilts.run.places import Places
    from xstilts.run.workshop import Workshop


logger = logging.getLogger(__name__)

GOING_S = 2.0
"""How long a node that is about to go keeps a trial that it was given all the same."""


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """Runs trials, one after the other; a trial's outcome is a result, even a failure.

    Only the death of the process is an error, to Tune as to us.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial."""
        self._trial = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial, in the same warm process."""
        self._trial = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Run the trial."""
        from xstilts.run.stopping import stopping_on_signals

        with stopping_on_signals() as is_told:
            return {"done": True, "objective": None, **run(self._trial, is_told)}


def run(config: dict[str, Any], is_told: Callable[[], bool]) -> dict[str, Any]:
    """Run one trial on what this process was allocated; its outcome."""
    # Workers read local files only; what is missing must fail at once, not try the network.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from xstilts.run.places import Places
    from xstilts.run.stopping import told_to_stop
    from xstilts.run.storage import check_identity
    from xstilts.run.trial import run_trial

    places, launch = Places(Path(config["storage"]), config["sweep"]), int(config["launch"])
    try:
        check_identity(places.storage, config["identity"])
    except StorageGone as error:
        return {"outcome": HALT, "reason": str(error)}
    if reason := _unfit(places, launch):
        return {"outcome": HALT, "reason": reason}
    planner, workshop = _workshop(places, launch, config["identity"])
    is_sweep_told = told_to_stop(places, launch)
    if is_sweep_told():
        # The node is about to go, and this actor would be given one trial after the other.
        time.sleep(GOING_S)
        return {"outcome": STOPPED}
    workshop.must_stop = lambda: is_told() or is_sweep_told()
    plan = planner.plan(**config["trial"])
    places.begin(launch)
    try:
        record = run_trial(
            plan,
            planner,
            workshop,
            places.trials / plan.trial_id,
            before_record=lambda record: _draw(planner, places, record),
        )
    except (Preempted, ProcessLost, LeaseLost):
        return {"outcome": STOPPED}
    except (StorageFull, StorageGone) as error:
        return {"outcome": HALT, "reason": str(error)}
    told = {"objective": record.objective, "diverged": record.diverged}
    return {"outcome": record.state, **told}


def _draw(planner: Planner, places: Places, record: TrialRecord) -> None:
    """Write what stands beside the record. A picture that cannot be drawn costs no trial: the
    driver tries again when it publishes."""
    from xstilts.report.trial_files import write_trial_files

    try:
        write_trial_files(planner.sweep, places, record)
    except Exception as error:
        if is_disk_full(error):
            raise
        logger.warning("%s: its score table and picture: %s", record.trial, error)


@cache
def _unfit(places: Places, launch: int) -> str:
    """Why this node may not run trials; empty if it may. Nodes that come later than the launch
    have not been asked before."""
    from xstilts.run.node import ENVIRONMENT, PLUGIN, differences, versions

    wanted = read_json(places.launch(launch) / ENVIRONMENT)
    plugins = (name.removeprefix(PLUGIN) for name in wanted if name.startswith(PLUGIN))
    found = differences(versions(tuple(plugins)), wanted)
    return (
        f"node {socket.gethostname()} differs from the driver: {'; '.join(found)}" if found else ""
    )


@lru_cache(maxsize=1)
def _workshop(places: Places, launch: int, identity: str) -> tuple[Planner, Workshop]:
    """Kept between the trials of a warm worker: tokenizers and encoded rows stay open."""
    from xstilts.run.reopen import planner_of, workshop_of

    planner = planner_of(places, places.launch(launch), with_plugins=True)
    return planner, workshop_of(planner, places, identity)

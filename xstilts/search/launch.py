"""Launch a sweep, or take it up where it was: the same call for both.

Tune executes; what was proposed stands in the journal, what was computed in the store, what came
out in the trials' records. So every launch gives Tune a fresh experiment, and nothing depends on
Tune's own snapshots.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xstilts.config.derive import num_configurations
from xstilts.config.own_tasks import plugins_used
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem, StageError, XstiltsError
from xstilts.files import write_json
from xstilts.lease import Lease, describe, living
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.run import attempts
from xstilts.run.confirmation import read_choice
from xstilts.run.node import ENVIRONMENT, check_resources, num_places, versions
from xstilts.run.places import (
    TUNE,
    UNBEGUN,
    USAGE,
    Places,
)
from xstilts.run.rounds import Rounds
from xstilts.run.stopping import STOP, stopping_on_signals
from xstilts.run.storage import check_identity, check_not_cleaning, identity_of
from xstilts.run.store import Store
from xstilts.run.trial_states import TrialStates
from xstilts.search.budget import Budget
from xstilts.search.completion import budget_of, end_within, race_of, read_final
from xstilts.search.confirming import check_fresh, plans_to_confirm
from xstilts.search.connection import alive_nodes, connected, machine, node_types, quieten
from xstilts.search.definition import (
    Growth,
    check_retraining,
    define,
    forget_older,
    forget_unbegun,
    settle,
    with_objective,
)
from xstilts.search.journal import take_up_journal
from xstilts.search.preflight import check_nodes
from xstilts.search.proposals import Proposals, proposed_points

logger = logging.getLogger(__name__)


TUNE_STARTS = 3
"""How often Tune is started: an error of its own, as after a node's death, loses no trial."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A sweep that is ready to run; `growth` is what it did not have before.

    `lease` is the driver's: its number is the launch's. `identity` is the storage's. `states` are
    told which trials are handed out.
    """

    sweep: Sweep
    places: Places
    planner: Planner
    store: Store
    proposals: Proposals
    lease: Lease
    identity: str
    growth: Growth
    states: TrialStates

    @property
    def folder(self) -> Path:
        """What this driver writes about the sweep lies here."""
        return self.places.launch(self.lease.number)

    def told(self) -> list[str]:
        """What the user must know before the first trial, a line each."""
        there, asked = num_configurations(self.sweep), self.sweep.search.encoder.trials
        lines = []
        if self.growth:
            lines.append(
                f"The sweep has grown by {self.growth}: its finished trials count, and what is "
                "missing is run"
            )
        gained, room = self.growth.intermediates, max(0, there - len(self.proposals.made))
        if room < len(gained) and there == asked:
            lines.append(
                f"search.encoder.trials leaves room for {room} of {', '.join(gained)}: "
                f"{asked - room} of {asked} configurations are made; raise it to try them all"
            )
        if there < asked:
            lines.append(f"The space has {there} configurations, fewer than the {asked} asked for")
        return lines

    def to_confirm(
        self, tell: Callable[[Any], Any], budget: Budget | None = None
    ) -> list[TrialPlan]:
        """The trials that confirm what search has chosen; see `plans_to_confirm`.

        Raises:
            LeaseLost, StorageGone: see `check`.
        """
        self.check()
        return plans_to_confirm(self.planner, self.places, self.folder, tell, budget)

    def check(self) -> None:
        """See that the sweep is still this driver's, and its storage still there.

        Raises:
            LeaseLost, StorageGone: it is not.
        """
        check_identity(self.places.storage, self.identity)
        self.lease.check()


@contextmanager
def prepared(
    sweep: Sweep, places: Places, inventory: Inventory, with_retraining: bool = False
) -> Iterator[Launch]:
    """The sweep, ours alone while the block runs. If no trial has begun by its end, the launch
    leaves nothing that a later one is held to.

    Args:
        with_retraining: whether finished stages may be trained again, because the processes of a
            trial are others.

    Raises:
        ConfigError: the name belongs to another configuration, the inputs have changed since the
            sweep began, finished stages would be trained again, another process runs it, or `gc`
            deletes.
    """
    identity = identity_of(places.storage)
    for folder in (places.sweep, places.launches, places.trials):
        folder.mkdir(exist_ok=True)
    lease = Lease(places.launches)
    if living([lease]) or not lease.acquire():
        holder = lease.holder()
        raise ConfigError(
            [
                Problem(
                    str(places.sweep),
                    "a sweep is run by one process at a time",
                    describe(holder) if holder else "",
                    "wait for it, or stop it",
                )
            ]
        )
    with lease.held():
        check_not_cleaning(places.storage)
        folder = places.launch(lease.number)
        folder.mkdir(exist_ok=True)
        (folder / UNBEGUN).touch()
        try:
            sweep = with_objective(sweep, places)
            check_fresh(sweep, places)
            settled = settle(sweep, places, inventory)
            journal = take_up_journal(places, lease.number, lease.check)
            store = Store(places.storage)
            if settled.before is not None and not with_retraining:
                points, choice = proposed_points(journal), read_choice(places, sweep)
                check_retraining(settled.before, sweep.resources, points, choice, store)
            proposals = Proposals(sweep, journal, Rounds.of(places, folder))
            define(sweep, places, inventory, settled, folder)
            forget_older(places, lease.number)
            planner = Planner(sweep, inventory, settled.target_points)
            parts = (sweep, places, planner, store, proposals, lease, identity, settled.growth)
            yield Launch(*parts, TrialStates(places))
        finally:
            forget_unbegun(folder)


def run_trials(
    launch: Launch,
    address: str | None,
    tell: Callable[[Any], Any],
    with_rehearsal: bool = False,
    trainable: Any = None,
) -> bool:
    """Run what is left of the sweep under Ray Tune, until it is done or told to stop; whether it
    was told to.

    SIGTERM, SIGHUP, or Ctrl-C once, has the running trials write checkpoints and end; Ctrl-C twice
    ends them at once.

    Args:
        address: of a running cluster (`auto` finds the one of this machine); None starts a Ray of
            this machine's resources that ends with the call.
        tell: called with what the user must see at once: a line, a table.
        with_rehearsal: whether every sort of stage is tried for a few steps before the first trial.
        trainable: what Tune runs, in the place of `TrialActor`.

    Raises:
        ConfigError: a trial fits on no node, or a node differs from this one.
        KeyboardInterrupt: Ctrl-C came twice.
        LeaseLost: another process has taken the sweep over.
        StorageGone: the storage is not there any more.
        StageError: what no trial can mend: a full disk, no node left, processes that die before a
            trial begins.
    """
    quieten(address)
    from xstilts.search.rehearsal import run_rehearsal

    # Nothing depends on Tune's own snapshots, nor on whether its trials ended as it likes.
    for name in ("ray.tune.execution.experiment_state", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if (budget := budget_of(launch)) is not None:
        budget.check()
    if address is None:
        check_resources(launch.sweep, [machine()])
    with connected(address):
        nodes = alive_nodes()
        check_resources(launch.sweep, [*nodes, *node_types()])
        if address is not None:
            check_nodes(launch.sweep, launch.folder, launch.planner.inventory, tell)
        own = versions(tuple(plugins_used(launch.sweep)))
        write_json(launch.folder / ENVIRONMENT, own)
        if with_rehearsal:
            run_rehearsal(launch.planner, launch.places, launch.lease.number, tell)
        # A Ray of our own has the places that it begins with.
        at_once = None if address else num_places(launch.sweep, nodes)
        return _run_tune(launch, at_once, tell, trainable, budget)


def _run_tune(
    launch: Launch,
    at_once: int | None,
    tell: Callable[[Any], Any],
    trainable: Any,
    budget: Budget | None,
) -> bool:
    """Tune from its start to its end, over what is left of the sweep; whether it was told to
    stop."""
    from xstilts.search.nodes import AllStopped, SweepWatch

    if trainable is None:
        from xstilts.search.trial import TrialActor as trainable
    searcher = searcher_of(launch, tell, budget)
    watch = SweepWatch(
        lambda: searcher.is_stopping,
        lambda: searcher.is_done,
        launch.check,
        lambda nodes: num_places(launch.sweep, nodes),
        launch.folder / USAGE,
        tell,
    )
    stop = launch.folder / STOP

    def asked() -> None:
        searcher.stop()
        with suppress(OSError):  # on a full disk the trials end by themselves
            stop.touch()
        with suppress(OSError):  # the terminal may be what has gone
            tell("Stopping: running trials write a checkpoint first. Ctrl-C again stops at once.")

    try:
        with stopping_on_signals(asked), suppress(AllStopped):
            _fit(lambda: _tuner(launch, searcher, watch, trainable, at_once), searcher)
        watch.look()
    finally:
        watch.write()
    if searcher.trouble:
        raise StageError(f"{searcher.trouble}; once that is mended, the same command goes on")
    return bool(searcher.is_stopping)


def searcher_of(launch: Launch, tell: Callable[[Any], Any], budget: Budget | None = None) -> Any:
    """What Tune asks for the trials of a launch."""
    from xstilts.search.searcher import StageSearcher

    return StageSearcher(
        launch.proposals,
        launch.planner,
        launch.store,
        lambda plan: read_final(launch, plan),
        lambda plan: len(attempts.paths(launch.places.trials / plan.trial_id)),
        lambda: launch.to_confirm(tell, budget),
        race_of(launch) if launch.sweep.search.is_race else None,
        budget,
        lambda spent: end_within(launch, spent, tell),
        launch.states,
    )


def _fit(new_tuner: Callable[[], Any], searcher: Any) -> None:
    """Run Tune to its end; after an error of its own once more, with what is left."""
    from xstilts.search.nodes import AllStopped

    for left in reversed(range(TUNE_STARTS)):
        try:
            new_tuner().fit()
            return
        except (AllStopped, XstiltsError):
            raise
        except Exception as error:
            if not left or searcher.is_stopping:
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            logger.warning("Tune has failed and starts again: %s", reason)
            searcher.take_back()


def _tuner(launch: Launch, searcher: Any, watch: Any, trainable: Any, at_once: int | None) -> Any:
    """Tune over the searcher's trials, in an experiment of its own; nothing is restored."""
    from ray import tune

    resources = launch.sweep.resources
    per_trial = {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
    shutil.rmtree(launch.folder / TUNE, ignore_errors=True)
    param_space = {
        "storage": str(launch.places.storage),
        "identity": launch.identity,
        "sweep": launch.sweep.name,
        "launch": launch.lease.number,
    }
    return tune.Tuner(
        tune.with_resources(trainable, per_trial),
        param_space=param_space,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,  # the searcher says when it is over
            max_concurrent_trials=at_once,
            reuse_actors=True,
            trial_dirname_creator=_dirname,
        ),
        run_config=tune.RunConfig(
            name=TUNE,
            storage_path=str(launch.folder),
            verbose=0,
            # A trial whose process died is handed out again by the searcher, as a new one.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[watch],
        ),
    )


def _dirname(trial: Any) -> str:
    return str(trial.trial_id)

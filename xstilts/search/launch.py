"""Launch a sweep, or take it up where it was: the same call for both.

Tune executes; what was proposed stands in the journal, what was computed in the store, what came
out in the trials' records. So every launch gives Tune a fresh experiment, and nothing depends on
Tune's own snapshots.
"""

from __future__ import annotations

import difflib
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import yaml

from xstilts.config.derive import num_configurations
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem, StageError, XstiltsError
from xstilts.files import Lease, read_json, write_atomically, write_json
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner, TrialPlan
from xstilts.run import attempts
from xstilts.run.node import ENVIRONMENT, check_resources, num_places, versions
from xstilts.run.places import INVENTORY, LAUNCHES, PREPARED, SWEEP, TARGET_POINTS, Places
from xstilts.run.records import is_finished, read_record
from xstilts.run.stopping import STOP, stopping_on_signals
from xstilts.run.store import Store
from xstilts.search.connection import alive_nodes, connected, machine, node_types, quieten
from xstilts.search.preflight import check_nodes
from xstilts.search.proposals import Proposals, target_points

logger = logging.getLogger(__name__)


JOURNAL = "study.journal"
TUNE_STARTS = 3
"""How often Tune is started: an error of its own, as after a node's death, loses no trial."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A sweep that is ready to run; `grown_by` are intermediates that it did not have before."""

    sweep: Sweep
    places: Places
    planner: Planner
    store: Store
    proposals: Proposals
    grown_by: tuple[str, ...] = ()


@contextmanager
def prepared(sweep: Sweep, places: Places, inventory: Inventory) -> Iterator[Launch]:
    """The sweep's folder, ours alone while the block runs.

    Raises:
        ConfigError: the name belongs to another configuration, the inputs have changed since the
            sweep began, or another process runs it.
    """
    lease = Lease(places.sweep / "driver.lease")
    if not lease.acquire():
        holder = lease.holder() or {}
        raise ConfigError(
            [
                Problem(
                    str(places.sweep),
                    "a sweep is run by one process at a time",
                    f"process {holder.get('pid')} on {holder.get('host')}",
                    "wait for it, or stop it",
                )
            ]
        )
    with lease.held():
        grown_by = _settle(sweep, places, inventory)
        # The holder of this lock was a driver, and the only driver is us.
        (places.sweep / f"{JOURNAL}.lock").unlink(missing_ok=True)
        planner = Planner(sweep, inventory, read_json(places.sweep / TARGET_POINTS))
        store = Store(places.storage)
        proposals = Proposals(sweep, places.sweep / JOURNAL)
        yield Launch(sweep, places, planner, store, proposals, grown_by)


def read_final(launch: Launch, plan: TrialPlan) -> dict[str, Any] | None:
    """A trial's record if nothing of it is left to do."""
    record = read_record(launch.places.trials / plan.trial_id)
    return record if is_finished(record, launch.store) else None


def is_complete(launch: Launch) -> bool:
    """Whether every trial that the sweep asks for, and its space has, is finished."""
    proposals = list(launch.proposals.made.values())
    if len(proposals) < num_configurations(launch.sweep):
        return False
    plans = (launch.planner.plan(p.point, seed) for p in proposals for seed in launch.sweep.seeds)
    return all(read_final(launch, plan) is not None for plan in plans)


def run_trials(
    launch: Launch,
    address: str | None,
    tell: Callable[[Any], Any],
    with_rehearsal: bool = False,
    trainable: Any = None,
) -> None:
    """Run what is left of the sweep under Ray Tune, until it is done or told to stop.

    SIGTERM, or Ctrl-C once, has the running trials write checkpoints and end; Ctrl-C twice ends
    them at once.

    Args:
        address: of a running cluster (`auto` finds the one of this machine); None starts a Ray of
            this machine's resources that ends with the call.
        tell: called with what the user must see at once: a line, a table.
        with_rehearsal: whether every sort of stage is tried for a few steps before the first trial.
        trainable: what Tune runs, in the place of `TrialActor`.

    Raises:
        ConfigError: a trial fits on no node, or a node differs from this one.
        KeyboardInterrupt: Ctrl-C came twice.
        StageError: what no trial can mend: a full disk, no node left, processes that die before a
            trial begins.
    """
    quieten(address)
    from xstilts.search.rehearsal import run_rehearsal

    # Nothing depends on Tune's own snapshots, nor on whether its trials ended as it likes.
    for name in ("ray.tune.execution.experiment_state", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address is None:
        check_resources(launch.sweep, [machine()])
    with connected(address):
        nodes = alive_nodes()
        check_resources(launch.sweep, [*nodes, *node_types()])
        if address is not None:
            check_nodes(launch.sweep, launch.places, launch.planner.inventory, tell)
        write_json(launch.places.sweep / ENVIRONMENT, versions())
        if with_rehearsal:
            run_rehearsal(launch.planner, launch.places, tell)
        # A Ray of our own has the places that it begins with.
        at_once = None if address else num_places(launch.sweep, nodes)
        _run_tune(launch, at_once, tell, trainable)


def _run_tune(
    launch: Launch, at_once: int | None, tell: Callable[[Any], Any], trainable: Any
) -> None:
    """Tune from its start to its end, over what is left of the sweep."""
    from xstilts.search.nodes import AllStopped, SweepWatch
    from xstilts.search.searcher import StageSearcher

    if trainable is None:
        from xstilts.search.trial import TrialActor as trainable
    searcher = StageSearcher(
        launch.proposals,
        launch.planner,
        launch.store,
        lambda plan: read_final(launch, plan),
        lambda plan: len(attempts.read(launch.places.trials / plan.trial_id)),
    )
    watch = SweepWatch(
        lambda: searcher.is_stopping,
        lambda nodes: num_places(launch.sweep, nodes),
        launch.places.sweep / LAUNCHES,
        tell,
    )
    stop = launch.places.sweep / STOP
    stop.unlink(missing_ok=True)

    def asked() -> None:
        searcher.stop()
        with suppress(OSError):  # on a full disk the trials end by themselves
            stop.touch()
        tell("Stopping: running trials write a checkpoint first. Ctrl-C again stops at once.")

    try:
        with stopping_on_signals(asked), suppress(AllStopped):
            _fit(lambda: _tuner(launch, searcher, watch, trainable, at_once), searcher)
        watch.look()
    finally:
        watch.write()
    if searcher.trouble:
        raise StageError(f"{searcher.trouble}; once that is mended, the same command goes on")


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
    shutil.rmtree(launch.places.sweep / "tune", ignore_errors=True)
    return tune.Tuner(
        tune.with_resources(trainable, per_trial),
        param_space={"storage": str(launch.places.storage), "sweep": launch.sweep.name},
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,  # the searcher says when it is over
            max_concurrent_trials=at_once,
            reuse_actors=True,
            trial_dirname_creator=_dirname,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(launch.places.sweep),
            verbose=0,
            # A trial whose process died is handed out again by the searcher, as a new one.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[watch],
        ),
    )


def _dirname(trial: Any) -> str:
    return str(trial.trial_id)


def _settle(sweep: Sweep, places: Places, inventory: Inventory) -> tuple[str, ...]:
    """Write what defines the sweep on its first launch; compare it on every other.

    Gives the intermediates that have come since.
    """
    resolved = sweep.model_dump(mode="json", by_alias=True)
    known = places.sweep / SWEEP
    grown_by: tuple[str, ...] = ()
    if known.exists():
        before = _identity(read_json(known))
        _compare(before, _without_growth(_identity(resolved), before), places)
        grown_by = tuple(x for x in sweep.intermediates if x not in before["intermediates"])
        rule = "the inputs of a sweep stay as they were when it began"
        repair = "bring the old files back, or give the sweep another name"
        old = read_json(places.sweep / INVENTORY)
        changed = _changed(old, inventory.to_json())
        if grown_by:  # what they read is no change of what was there
            changed = [name for name in changed if name in old["data"] or name in old["models"]]
        _refuse(places, rule, changed, repair)
    elif (places.sweep / PREPARED).exists():
        rule = "the inputs of a sweep stay as `prepare` read them"
        repair = "bring the old files back, or run `xstilts prepare` again"
        old = read_json(places.sweep / PREPARED)
        # What the file has gained since is no change of what was prepared.
        changed = _changed(old, inventory.to_json())
        changed = [name for name in changed if name in old["data"] or name in old["models"]]
        _refuse(places, rule, changed, repair)
    write_json(known, resolved)
    write_atomically(places.sweep / "sweep.yaml", yaml.safe_dump(resolved, sort_keys=False))
    write_json(places.sweep / INVENTORY, inventory.to_json())
    if not (places.sweep / TARGET_POINTS).exists():
        write_json(places.sweep / TARGET_POINTS, target_points(sweep))
    return grown_by


def _without_growth(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the intermediates that an older one does not have: a sweep may gain
    candidates, whose trials compare with those before."""
    known = old["intermediates"]
    kept = {name: spec for name, spec in new["intermediates"].items() if name in known}
    encoder = new["search"]["encoder"]
    space = dict(encoder["space"])
    if space.get("intermediate", {}).get("choice"):
        gained = new["intermediates"].keys() - known.keys()
        choice = [name for name in space["intermediate"]["choice"] if name not in gained]
        space["intermediate"] = {**space["intermediate"], "choice": choice}
    search = {**new["search"], "encoder": {**encoder, "space": space}}
    return {**new, "intermediates": kept, "search": search}


def _identity(resolved: dict[str, Any]) -> dict[str, Any]:
    """The resolved sweep without what may change from launch to launch."""
    identity = {key: value for key, value in resolved.items() if key not in ("storage", "tracking")}
    search = identity["search"]
    encoder = {key: value for key, value in search["encoder"].items() if key != "trials"}
    # How often a stage is written, what it keeps in memory and who compiles it changes no result
    # but, on a GPU, what dropout draws.
    free = ("checkpoint_minutes", "gradient_checkpointing", "compile", "keep_target_weights")
    resources = {key: value for key, value in identity["resources"].items() if key not in free}
    return {**identity, "search": {**search, "encoder": encoder}, "resources": resources}


def _compare(old: dict[str, Any], new: dict[str, Any], places: Places) -> None:
    if old == new:
        return
    before, after = (yaml.safe_dump(value, sort_keys=True).splitlines() for value in (old, new))
    names = ("the sweep on disk", "this file")
    lines = [
        line
        for line in difflib.unified_diff(before, after, *names, n=0, lineterm="")
        if not line.startswith("@@")
    ]
    raise ConfigError(
        [
            Problem(
                "name",
                f'the sweep "{places.name}" exists with another configuration',
                repair="run it with its old file, or give this one another name (stages that both "
                "need are computed once); the difference:\n  " + "\n  ".join(lines),
            )
        ]
    )


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Models and data sets of an inventory that another does not have, or has otherwise."""
    changed = [
        name
        for name, facts in new["models"].items()
        if _sha(facts) != _sha(old["models"].get(name, {}))
    ]
    return changed + [name for name, sha in new["data"].items() if old["data"].get(name) != sha]


def _refuse(places: Places, rule: str, changed: list[str], repair: str) -> None:
    """Refuse other weights or data than before: trials before and after would not compare."""
    if changed:
        got = f"changed: {', '.join(changed)}"
        raise ConfigError([Problem(str(places.sweep), rule, got, repair)])


def _sha(facts: dict[str, Any]) -> tuple[Any, Any]:
    return facts.get("weights"), facts.get("tokenizer")

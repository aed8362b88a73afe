"""What defines a sweep, launch after launch: what may change between two of them and what may not.

A sweep may gain intermediates, targets and seeds, and change what changes no result; anything else
under its name is refused with the difference, before anything is computed. A launch is held to the
last one whose trials have begun: one that ended before that, refused or killed, binds nobody.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from xstilts.config.derive import NONE
from xstilts.config.named import RecipeSpec
from xstilts.config.own_tasks import links_named, plugins_described
from xstilts.config.schema import ResourcesSpec, Sweep
from xstilts.config.space import Point
from xstilts.config.study_parts import without_part
from xstilts.errors import ConfigError, Problem
from xstilts.files import names_in, read_json_if_whole, write_atomically, write_json
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.plan.stage import stage_name
from xstilts.plan.trial_plan import target_sets
from xstilts.run.confirmation import CHOICE, Choice, confirming_plans
from xstilts.run.places import (
    INVENTORY,
    PLUGINS,
    PREPARED,
    PRIOR,
    REHEARSAL,
    SWEEP,
    SWEEP_FILE,
    TARGET_POINTS,
    TUNE,
    UNBEGUN,
    USAGE,
    Definition,
    Places,
)
from xstilts.run.records import is_trained_as, read_record
from xstilts.run.rounds import WEIGHTS
from xstilts.run.spending import SPENT
from xstilts.run.store import Store
from xstilts.search.journal import JOURNAL
from xstilts.search.proposals import target_points
from xstilts.search.racing import UNDER_WAY


@dataclass(frozen=True, slots=True)
class Growth:
    """What a sweep has gained since its last launch."""

    intermediates: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.intermediates or self.targets or self.seeds)

    def __str__(self) -> str:
        gained = {
            "intermediate": self.intermediates,
            "target": self.targets,
            "seed": tuple(map(str, self.seeds)),
        }
        return ", ".join(
            f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}"
            for what, names in gained.items()
            if names
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """A sweep that may be launched: the points of its inner search, the definition before, if
    there is one, and what has been gained since."""

    target_points: dict[str, list[Point]]
    before: Definition | None = None
    growth: Growth = Growth()


def settle(sweep: Sweep, places: Places, inventory: Inventory) -> Settled:
    """Compare what defines the sweep with its last launch.

    Raises:
        ConfigError: the name belongs to another configuration, or the inputs have changed.
    """
    known = places.settled()
    if known is None:
        if old := read_json_if_whole(places.sweep / PREPARED, dict) or {}:
            rule = "the inputs of a sweep stay as `prepare` read them"
            repair = "bring the old files back, or run `xstilts prepare` again"
            # What the file has gained since is no change of what was prepared.
            _refuse(places, rule, _changed(old, inventory.to_json(), old), repair)
        points = target_points(sweep)
        _check_trained(sweep, places, Planner(sweep, inventory, points))
        return Settled(points)
    # Read again, so that a key that has come since has its default.
    was = known.parsed(allowed=sweep.plugins)
    before, after = (one.model_dump(mode="json", by_alias=True) for one in (was, sweep))
    before["objective"]["metric"] = _objective(known)
    heads = frozenset(target_sets(was)).union(*links_named(was).values())
    _compare(_identity(before), _without_growth(_identity(after), before, heads), places)
    growth = Growth(
        tuple(name for name in sweep.intermediates if name not in before["intermediates"]),
        tuple(name for name in sweep.targets if name not in before["targets"]),
        tuple(seed for seed in sweep.seeds if seed not in before["seeds"]),
    )
    rule = "the inputs of a sweep stay as they were when it began"
    repair = "bring the old files back, or give the sweep another name"
    old = known.inventory
    # What additions read is no change of what was there.
    _refuse(places, rule, _changed(old, inventory.to_json(), old if growth else None), repair)
    return Settled({**target_points(sweep), **known.target_points}, known, growth)


def _check_trained(sweep: Sweep, places: Places, planner: Planner) -> None:
    """Refuse trials that `run` has computed by another recipe, or from other data, before the first
    launch: they would stand among those of the sweep.

    Raises:
        ConfigError: with their names.
    """
    others = []
    for name in sorted(names_in(places.trials)):
        record = read_record(places.trials / name)
        if record is None or record.state != "finished" or not record.is_searching:
            continue
        if not {record.model} <= {*sweep.models} or not _has(sweep, record.intermediate):
            continue  # it is none of the sweep's
        plan = planner.plan(record.point, record.seed)
        if plan.trial_id == name and not is_trained_as(record, plan, sweep.retries):
            others.append(name)
    if others:
        rule = "trials that `xstilts run` computed before were trained otherwise than the file says"
        repair = "give the sweep another name, or delete their folders"
        raise ConfigError([Problem(str(places.trials), rule, ", ".join(others), repair)])


def _has(sweep: Sweep, intermediate: str) -> bool:
    return intermediate == NONE or intermediate in sweep.intermediates


def with_objective(sweep: Sweep, places: Places) -> Sweep:
    """The sweep with the objective of its last launch, where its file says none: that a default has
    changed since changes no sweep."""
    known = places.settled()
    is_said = "objective" in sweep.model_fields_set and "metric" in sweep.objective.model_fields_set
    if known is None or is_said:
        return sweep
    objective = sweep.objective.model_copy(update={"metric": _objective(known)})
    return sweep.model_copy(update={"objective": objective})


def _objective(known: Definition) -> str:
    """The metric that a launch searched by; one that says none is of when it was the plain mean."""
    return str(known.sweep.get("objective", {}).get("metric", "dev/avg"))


def define(
    sweep: Sweep, places: Places, inventory: Inventory, settled: Settled, folder: Path
) -> None:
    """Write what defines the sweep into the folder of a launch."""
    resolved = sweep.model_dump(mode="json", by_alias=True)
    taken = inventory.relative_to(places.storage).to_json()
    write_json(folder / TARGET_POINTS, settled.target_points)
    write_json(folder / INVENTORY, {**taken, PLUGINS: plugins_described(sweep)})
    write_atomically(folder / SWEEP_FILE, yaml.safe_dump(resolved, sort_keys=False))
    write_json(folder / SWEEP, resolved)  # the last: with it the definition is whole


def check_retraining(
    before: Definition,
    resources: ResourcesSpec,
    points: Sequence[Point],
    choice: Choice | None,
    store: Store,
) -> None:
    """Refuse resources with which stages that are finished would be trained again: on other
    devices, or by another number of processes.

    Args:
        points: what the sweep has proposed.
        choice: what it confirms, if that is chosen.

    Raises:
        ConfigError: with the number of those stages.
    """
    sweep = before.parsed(allowed=before.sweep.get("plugins", ()))  # `settle` has compared them
    inventory = Inventory.from_json(before.inventory)
    other = sweep.model_copy(update={"resources": resources})
    was, now = (Planner(one, inventory, before.target_points) for one in (sweep, other))
    if (was.world_size, was.precision) == (now.world_size, now.precision):
        return
    plans = [
        (was.plan(point, seed), now.plan(point, seed)) for point in points for seed in sweep.seeds
    ]
    if choice is not None:
        both = (confirming_plans(choice, planner) for planner in (was, now))
        plans += zip(*both, strict=True)
    again = {
        stage_name(old)
        for before_it, after_it in plans
        for old, new in zip(before_it.training_stages, after_it.training_stages, strict=True)
        if store.has(old) and not store.has(new)
    }
    if again:
        stages = f"{len(again)} finished stage{'s' if len(again) > 1 else ''}"
        raise ConfigError(
            [
                Problem(
                    "resources",
                    f"with them {stages} would be trained again, and all that hangs on them",
                    f"{_shape(resources)}, before {_shape(sweep.resources)}",
                    "keep the processes of a trial, or give --retrain",
                )
            ]
        )


def _shape(resources: ResourcesSpec) -> str:
    gpus = resources.gpus_per_trial
    processes = f"{resources.processes} process{'es' if resources.processes > 1 else ''}"
    return f"{processes} on {f'{gpus:g} GPUs' if gpus else 'CPUs'} a trial"


def forget_older(places: Places, number: int) -> None:
    """Of launches before the last one is kept how long they ran, and what no later one has
    written; of those that never began, nothing that says what the sweep is."""
    for folder in places.launch_folders():
        for name in (TUNE, REHEARSAL):
            shutil.rmtree(folder / name, ignore_errors=True)
        if (folder / UNBEGUN).exists() and int(folder.name) < number:
            forget_unbegun(folder)
    newer: set[str] = set()
    for i, folder in enumerate(places.begun_folders()):
        names = names_in(folder)
        for name in names if i else ():
            if name in newer - {USAGE}:
                (folder / name).unlink(missing_ok=True)
        newer |= set(names)


def forget_unbegun(folder: Path) -> None:
    """Remove what a launch has written of the sweep, if none of its trials has begun."""
    if (folder / UNBEGUN).exists():
        with suppress(OSError):  # what stays binds nobody
            defined = (SWEEP, SWEEP_FILE, INVENTORY, TARGET_POINTS)
            for name in (*defined, JOURNAL, CHOICE, WEIGHTS, UNDER_WAY, SPENT, PRIOR):
                (folder / name).unlink(missing_ok=True)


def _without_growth(
    new: dict[str, Any], old: dict[str, Any], heads: frozenset[str]
) -> dict[str, Any]:
    """A configuration without the intermediates, targets and seeds that an older one does not
    have: a sweep may gain some, whose trials compare with those before. `heads` are the tasks whose
    stages the older one's targets read."""
    known = old["intermediates"]
    kept = {name: spec for name, spec in new["intermediates"].items() if name in known}
    encoder = new["search"]["encoder"]
    space = dict(encoder["space"])
    if space.get("intermediate", {}).get("choice"):
        gained = new["intermediates"].keys() - known.keys()
        choice = [name for name in space["intermediate"]["choice"] if name not in gained]
        space["intermediate"] = {**space["intermediate"], "choice": choice}
    languages = new["languages"]
    if isinstance(languages, dict):
        gained = set(new["targets"]) - set(old["targets"])
        languages = {name: wanted for name, wanted in languages.items() if name not in gained}
        languages = languages or "all"
    chains = {name: links for name, links in new["train"].items() if name in old["targets"]}
    return {
        **new,
        "tasks": {name: spec for name, spec in new["tasks"].items() if name in old["tasks"]},
        "pools": {name: of for name, of in new["pools"].items() if name in old["targets"]},
        "recipe": _recipe_without_growth(new, old, heads),
        "plugins": [module for module in new["plugins"] if module in old["plugins"]],
        "intermediates": kept,
        "targets": [name for name in new["targets"] if name in old["targets"]],
        "seeds": [seed for seed in new["seeds"] if seed in old["seeds"]],
        "train": chains,
        "languages": languages,
        "search": {**new["search"], "encoder": {**encoder, "space": space}},
    }


def _recipe_without_growth(new: dict[str, Any], old: dict[str, Any], heads: frozenset[str]) -> Any:
    """What is said instead of a recipe's values, but for tasks that only an addition reads."""
    recipe = new["recipe"]
    if isinstance(recipe, str):
        return recipe
    of_intermediates = (spec["tasks"] for spec in old["intermediates"].values())
    read = {"tasks": frozenset[str]().union(*of_intermediates), "targets": heads}
    kept = {
        key: {task: values for task, values in recipe[key].items() if task in known}
        for key, known in read.items()
        if key in recipe
    }
    said = RecipeSpec.model_validate({**recipe, **kept})
    return said.model_dump(mode="json")


def _identity(resolved: dict[str, Any]) -> dict[str, Any]:
    """The resolved sweep without what may change from launch to launch.

    Resources change no result but, on a GPU, what dropout draws, and by their threads the last bits
    of sums; of those that stages are named by, see `check_retraining`. What is confirmed was chosen
    from search alone, and may be asked for later. A budget says only how far a sweep goes, a study
    only what is asked of its results and, by its parts, which of its models run now; probes select
    nothing.
    """
    resolved = without_part(resolved)
    free = ("storage", "tracking", "resources", "confirm", "budget", "study", "probes")
    identity = {key: value for key, value in resolved.items() if key not in free}
    named = {*identity["targets"]}.union(*(x["tasks"] for x in identity["intermediates"].values()))
    named = named.union(*identity["train"].values())
    own = named & {*identity["tasks"]}
    named = named.union(*(identity["tasks"][x]["train"] or () for x in own))
    tasks = {name: spec for name, spec in identity["tasks"].items() if name in named}
    identity["tasks"] = {name: _without_places(spec) for name, spec in tasks.items()}
    identity["pools"] = {x: spec["of"] for x, spec in identity["pools"].items() if x in named}
    search = identity["search"]
    encoder = {key: value for key, value in search["encoder"].items() if key != "trials"}
    # How sure a race is of what it says decides nothing of what it runs; signals and what is known
    # of other sweeps only order it.
    free_too = dict.fromkeys(("confidence", "signals", "parallel", "prior"))
    return {**identity, "search": {**search, "encoder": encoder, **free_too}}


def _without_places(spec: dict[str, Any]) -> dict[str, Any]:
    """A task of the sweep's own without the paths of its files: what is in them the inventory says,
    and a checkout may be moved."""
    if spec["files"] is None:
        return spec
    files = {
        use: sorted(given) if isinstance(given, dict) else given is not None
        for use, given in spec["files"].items()
    }
    return {**spec, "files": files}


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


def _changed(old: dict[str, Any], new: dict[str, Any], among: dict[str, Any] | None) -> list[str]:
    """Models and data sets of an inventory that another does not have, or has otherwise.

    Args:
        among: only those of this inventory count; None for all.
    """
    changed = [
        name
        for name, facts in new["models"].items()
        if _sha(facts) != _sha(old["models"].get(name, {}))
    ]
    changed += [name for name, sha in new["data"].items() if old["data"].get(name) != sha]
    if among is None:
        return changed
    return [name for name in changed if name in among["data"] or name in among["models"]]


def _refuse(places: Places, rule: str, changed: list[str], repair: str) -> None:
    """Refuse other weights or data than before: trials before and after would not compare."""
    if changed:
        got = f"changed: {', '.join(changed)}"
        raise ConfigError([Problem(str(places.sweep), rule, got, repair)])


def _sha(facts: dict[str, Any]) -> tuple[Any, Any]:
    return facts.get("weights"), facts.get("tokenizer")

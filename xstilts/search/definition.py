"""What defines a sweep, launch after launch: what may change between two of them and what may not.

A sweep may gain intermediates and change what changes no result; anything else under its name is
refused with the difference, before anything is computed.
"""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path
from typing import Any

import yaml

from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.files import names_in, read_json_if_whole, write_atomically, write_json
from xstilts.plan.inventory import Inventory
from xstilts.run.places import (
    INVENTORY,
    PREPARED,
    REHEARSAL,
    SWEEP,
    SWEEP_FILE,
    TARGET_POINTS,
    TUNE,
    USAGE,
    Places,
)
from xstilts.search.proposals import target_points


def settle(
    sweep: Sweep, places: Places, inventory: Inventory, folder: Path
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Compare what defines the sweep with its last launch, and write it for this one.

    Gives the target points, and the intermediates that have come since.
    """
    resolved = sweep.model_dump(mode="json", by_alias=True)
    grown_by: tuple[str, ...] = ()
    known = places.definition()
    if known is not None:
        before = _identity(known.sweep)
        _compare(before, _without_growth(_identity(resolved), before), places)
        grown_by = tuple(x for x in sweep.intermediates if x not in before["intermediates"])
        rule = "the inputs of a sweep stay as they were when it began"
        repair = "bring the old files back, or give the sweep another name"
        old = known.inventory
        changed = _changed(old, inventory.to_json())
        if grown_by:  # what they read is no change of what was there
            changed = [name for name in changed if name in old["data"] or name in old["models"]]
        _refuse(places, rule, changed, repair)
    elif old := read_json_if_whole(places.sweep / PREPARED, dict) or {}:
        rule = "the inputs of a sweep stay as `prepare` read them"
        repair = "bring the old files back, or run `xstilts prepare` again"
        # What the file has gained since is no change of what was prepared.
        changed = _changed(old, inventory.to_json())
        changed = [name for name in changed if name in old["data"] or name in old["models"]]
        _refuse(places, rule, changed, repair)
    points = known.target_points if known is not None else target_points(sweep)
    folder.mkdir(exist_ok=True)
    write_json(folder / TARGET_POINTS, points)
    write_json(folder / INVENTORY, inventory.to_json())
    write_atomically(folder / SWEEP_FILE, yaml.safe_dump(resolved, sort_keys=False))
    write_json(folder / SWEEP, resolved)  # the last: with it the definition is whole
    return points, grown_by


def forget_older(places: Places, number: int) -> None:
    """Of launches before the last one is kept how long they ran, and what no later one has
    written."""
    newer: set[str] = set()
    for folder in places.launch_folders():
        for name in (TUNE, REHEARSAL):
            shutil.rmtree(folder / name, ignore_errors=True)
        names = names_in(folder)
        for name in names if int(folder.name) < number - 1 else ():
            if name in newer - {USAGE}:
                (folder / name).unlink(missing_ok=True)
        newer |= set(names)


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

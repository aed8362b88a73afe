"""Preflight: what only the machines can tell, checked before the first stage.

Every node of a cluster is asked for its versions, its copy of the code, its files, its clock and
whether leases hold between nodes; one that differs stops the launch with a table.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from xstilts.config.own_tasks import plugins_used
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.run.node import (
    RACES,
    READY,
    auth_mode,
    differences,
    node_facts,
    places_on,
    versions,
)
from xstilts.run.places import PREFLIGHT, Places
from xstilts.run.storage import open_storage

SKEW_S = 2.0
"""Clocks that are further apart than that are told."""

ANSWER_S = 180.0
"""How long a node may take to answer; its first process imports the package, perhaps over NFS."""

BYTES_IN_TRAINING = 12
"""What training holds of a weight besides itself, in fp32: its gradient, AdamW's two moments."""

OBJECT_STORES = ("s3fs", "mountpoint-s3", "gcsfuse", "goofys", "rclone", "blobfuse", "geesefs")
"""Kinds of mounts that look like folders and are object stores."""


def check_storage(places: Places, tell: Callable[[str], Any]) -> None:
    """Refuse a storage that cannot be written, or in which two could hold one lease; make it where
    there is none, and take it up where it is of an older format.

    Raises:
        ConfigError: with the reason.
    """
    kind = file_system(places.storage, Path("/proc/mounts"))
    if any(name in kind for name in OBJECT_STORES):
        raise ConfigError(
            [
                Problem(
                    "storage",
                    "cannot be an object store: it creates no file atomically, so that two trials "
                    "could train one stage",
                    f'"{places.storage}" ({kind})',
                    "name a folder on a shared file system (NFS, EFS, Lustre)",
                )
            ]
        )
    probe = places.storage / f".probe-{uuid.uuid4().hex[:8]}"
    try:
        open_storage(places.storage, tell)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            [
                Problem(
                    "storage",
                    "must be a folder that can be written",
                    f'"{places.storage}" ({error.strerror})',
                    "name another folder",
                )
            ]
        ) from error


def file_system(folder: Path, mounts: Path) -> str:
    """The kind and source of the mount that a folder lies in, as the system names them."""
    best, kind = "", ""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:  # no Linux
        return ""
    for line in lines:
        source, point, name, *_ = line.split(" ")
        place = point.replace("\\040", " ")
        if folder.is_relative_to(place) and len(place) > len(best):
            best, kind = place, f"{name} {source}"
    return kind


def ask_nodes(sweep: Sweep, launch: Path, inventory: Inventory) -> list[dict[str, Any]]:
    """What every node on which a trial fits says of itself; Ray must be connected.

    A node that cannot answer has the reason as its `error`. All of them together race for leases.

    Args:
        launch: the launch's folder on the storage.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"] and places_on(sweep, node["Resources"])]
    folder = launch / PREFLIGHT
    folder.mkdir()
    needed = [facts.path for facts in inventory.models.values()]
    arguments = (
        str(folder),
        [*needed, *inventory.folders.values()],
        sweep.resources.gpus_per_trial > 0,
        len(nodes),
        tuple(plugins_used(sweep)),
    )
    task = ray.remote(num_cpus=0, max_retries=0)(node_facts)
    asked = [
        task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(*arguments)
        for node in nodes
    ]
    begun, found = time.time(), []
    try:
        for node, answer in zip(nodes, asked, strict=True):
            facts: dict[str, Any] = {"node": node["NodeManagerHostname"]}
            try:
                facts |= ray.get(answer, timeout=ANSWER_S)
                # What it says lies between our asking and its answer, or its clock is not ours.
                ahead_s = facts["time"] - time.time()
                facts["skew_s"] = max(0.0, ahead_s, begun - facts["time"])
            except Exception as error:  # a task's own, a timeout, a node that went away
                facts["error"] = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
            found.append(facts)
        written = {path.name.rpartition("-")[0] for path in folder.glob(f"{READY}*")}
        for facts in found:
            if facts.get("storage") == "" and f"{READY}{facts['host']}" not in written:
                facts["storage"] = "not the driver's"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def lease_problems(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the storage if in the nodes' race a lease had several holders, or none."""
    if any("error" in facts or facts["storage"] for facts in found):
        return []  # said by itself, and who won what is not known
    winners = Counter(race for facts in found for race in facts["won"])
    if not found or all(winners[race] == 1 for race in range(RACES)):
        return []
    several = sum(winners[race] > 1 for race in range(RACES))
    return [
        f"creates no file for one process alone: of {RACES} leases, {several} had several holders, "
        "so that two nodes would train one stage; mount it so that exclusive creation works, as "
        "on NFS 4 or Lustre"
    ]


def node_problems(sweep: Sweep, inventory: Inventory, facts: Mapping[str, Any]) -> list[str]:
    """What is wrong with a node, of what it said of itself."""
    if "error" in facts:
        return [facts["error"]]
    problems = differences(facts["versions"], versions(tuple(plugins_used(sweep))))
    if facts["storage"]:
        problems.append(f"storage: {facts['storage']}")
    problems += [f"no such file here: {path}" for path in facts["missing"]]
    if sweep.resources.gpus_per_trial and not facts["gpus"]:
        problems.append("torch sees no GPU")
    problems += _memory_problems(sweep, inventory, facts["gpus"])
    if facts["auth"] != auth_mode():
        # Tasks run all the same, but every actor dies before it begins.
        rule = f"RAY_AUTH_MODE is {facts['auth']} there, {auth_mode()} here"
        problems.append(f"{rule}: no trial could start; set it as the cluster has it")
    return problems


def _memory_problems(
    sweep: Sweep, inventory: Inventory, gpus: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Models that a trial's part of a card cannot train, with however small a batch.

    Of the token table a stage trains the rows that it reads, which may be few.
    """
    if not gpus:
        return []
    own_gb = min(gpu["gb"] for gpu in gpus) * min(1.0, sweep.resources.gpus_per_trial)
    return [
        f"GPU memory: {own_gb:g} GB for a trial, but {name} takes {needed_gb:.1f} GB before any "
        "batch; give a trial more of a card, or take larger cards"
        for name, facts in inventory.models.items()
        if (needed_gb := _least_bytes(facts) / 1e9) > own_gb
    ]


def _least_bytes(facts: ModelFacts) -> float:
    return facts.num_bytes + BYTES_IN_TRAINING * facts.computing_weights()


def check_nodes(
    sweep: Sweep, launch: Path, inventory: Inventory, tell: Callable[[Any], Any]
) -> None:
    """Refuse nodes that differ from this one, or do not see what trials read and write.

    Args:
        launch: the launch's folder on the storage.
        tell: called with the table of all nodes where one is refused, and with a line for every
            clock that is another.

    Raises:
        ConfigError: a line for every problem of every node.
    """
    found = ask_nodes(sweep, launch, inventory)
    problems = [
        Problem(f"node {facts['node']}", problem)
        for facts in found
        for problem in node_problems(sweep, inventory, facts)
    ]
    problems += [Problem("storage", problem) for problem in lease_problems(found)]
    for facts in found:
        if facts.get("skew_s", 0.0) > SKEW_S:
            tell(
                f"The clock of node {facts['node']} is {facts['skew_s']:.0f} s apart from this "
                "one's: no lease hangs on it, but the times in reports do"
            )
    if problems:
        tell(node_table(sweep, inventory, found))
        raise ConfigError(problems)


def node_table(sweep: Sweep, inventory: Inventory, found: Sequence[Mapping[str, Any]]) -> Table:
    """The nodes side by side; what is wrong with one stands in red."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Nodes", title_justify="left")
    for name in ("node", "code", "torch", "GPUs", "verdict"):
        table.add_column(name, overflow="fold")
    for facts in found:
        own = facts.get("versions", {})
        gpus = facts.get("gpus", [])
        cards = f"{len(gpus)} x {gpus[0]['name']}, {gpus[0]['gb']} GB" if gpus else "-"
        problems = node_problems(sweep, inventory, facts)
        table.add_row(
            facts["node"],
            own.get("code", "?"),
            own.get("torch", "?"),
            cards,
            "[red]" + "\n".join(problems) + "[/red]" if problems else "fits",
        )
    return table

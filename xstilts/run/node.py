"""What one node is and has: what must be equal on all nodes of a sweep, and what must be there."""

from __future__ import annotations

import math
import os
import platform
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.lease import Lease
from xstilts.tasks.plugins import PluginError, load_plugin

PACKAGES = ("torch", "transformers", "datasets", "tokenizers", "safetensors", "numpy", "ray")
"""Packages whose versions may change a result, or what one node can read of another."""

PLUGIN = "plugin "
"""What the names of plugins begin with among versions."""

ENVIRONMENT = "environment.json"
"""In the folder of a launch: the versions with which it was launched."""

READY = "ready-"
"""How the files begin by which nodes say, on the storage, that they are there."""

RACES, READY_S = 50, 30.0
"""Leases for which nodes race, and how long they wait for each other before."""


@cache
def versions(plugins: tuple[str, ...] = ()) -> dict[str, str]:
    """Versions of Python, of the packages, and of this package's own code and that of plugins by
    their content.

    The code is compared by content because a checkout that was copied has no commit.
    """
    found = {"python": platform.python_version(), "code": _code()}
    for module in plugins:
        try:
            found[f"{PLUGIN}{module}"] = load_plugin(module).digest
        except PluginError as error:
            found[f"{PLUGIN}{module}"] = str(error)
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def _code() -> str:
    package = Path(__file__).parents[1]
    digest = sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def differences(own: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """What differs from another node's `versions`, as `name own, not other`."""
    return [
        f"{name} {own.get(name, 'absent')}, not {value}"
        for name, value in others.items()
        if own.get(name) != value
    ]


def node_facts(
    folder: str,
    needed: Sequence[str],
    with_gpus: bool,
    num_nodes: int,
    plugins: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Facts of the node that calls it.

    Args:
        folder: that the driver made for this on the shared storage.
        needed: files and folders that trials read.
        with_gpus: whether trials need GPUs.
        num_nodes: how many nodes are asked, all at once.
        plugins: modules that bring what the sweep names.
    """
    facts: dict[str, Any] = {"host": socket.gethostname(), "versions": versions(plugins)}
    facts["time"] = time.time()
    facts["won"] = []
    try:
        facts["storage"] = _say_ready(Path(folder))
        if not facts["storage"]:
            facts["won"] = _race(Path(folder), num_nodes)
    except OSError as error:
        facts["storage"] = f"cannot be written: {error.strerror}"
    facts["missing"] = [path for path in needed if not Path(path).exists()]
    facts["gpus"] = _gpus() if with_gpus else []
    facts["auth"] = auth_mode()
    return facts


def auth_mode() -> str:
    """How this process's Ray knows who may speak to it, `disabled` or `token`. A Ray that turned
    tokens on by itself says so in the environment."""
    return os.environ.get("RAY_AUTH_MODE", "disabled").lower()


def _say_ready(folder: Path) -> str:
    """What is wrong with the storage; empty if it can be read and written."""
    if not folder.exists():
        return "not the driver's"
    (folder / f"{READY}{socket.gethostname()}-{os.getpid()}").touch()
    return ""


def _race(folder: Path, num_nodes: int) -> list[int]:
    """Try to take leases that the other nodes try to take now; the numbers of those won."""
    deadline = time.monotonic() + READY_S
    while len(list(folder.glob(f"{READY}*"))) < num_nodes and time.monotonic() < deadline:
        time.sleep(0.05)
    won = []
    for race in range(RACES):
        lease = Lease(folder / f"race-{race}")
        lease.folder.mkdir(exist_ok=True)
        if lease.acquire() and lease.number == 1:
            won.append(race)
    return won


def _gpus() -> list[dict[str, Any]]:
    import torch

    return [
        {
            "name": torch.cuda.get_device_name(i),
            "gb": round(torch.cuda.get_device_properties(i).total_memory / 1e9),
        }
        for i in range(torch.cuda.device_count())
    ]


def places_on(sweep: Sweep, node: Mapping[str, float]) -> int:
    """How many trials fit on a node with these resources, as Ray counts them (`CPU`, `GPU`)."""
    cpus, gpus = sweep.resources.cpus_per_trial, sweep.resources.gpus_per_trial
    by_cpu = math.floor(node.get("CPU", 0) / cpus)
    return min(by_cpu, math.floor(node.get("GPU", 0) / gpus + 1e-9)) if gpus else by_cpu


def num_places(sweep: Sweep, nodes: Iterable[Mapping[str, float]]) -> int:
    """How many trials fit on all of these nodes."""
    return sum(places_on(sweep, node) for node in nodes)


def check_resources(sweep: Sweep, nodes: Sequence[Mapping[str, float]]) -> None:
    """Refuse a trial that fits on no node.

    Raises:
        ConfigError: naming all sorts of nodes.
    """
    if any(places_on(sweep, node) for node in nodes):
        return
    cpus, gpus = sweep.resources.cpus_per_trial, sweep.resources.gpus_per_trial
    shapes = sorted({f"{n.get('CPU', 0):g} CPUs, {n.get('GPU', 0):g} GPUs" for n in nodes})
    raise ConfigError(
        [
            Problem(
                "resources",
                "a trial must fit on one node",
                f"{cpus} CPUs and {gpus:g} GPUs a trial; nodes: {' | '.join(shapes)}",
                "ask for less, or add a node type",
            )
        ]
    )

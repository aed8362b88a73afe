"""Preflight: what only the machine can tell, checked before the first stage."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.run.places import Places


def check_storage(places: Places) -> None:
    """Refuse a storage that cannot be written.

    Raises:
        ConfigError: with the operating system's reason.
    """
    probe = places.sweep / f".probe-{uuid.uuid4().hex[:8]}"
    try:
        places.sweep.mkdir(parents=True, exist_ok=True)
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


def check_resources(sweep: Sweep, nodes: Sequence[dict[str, float]]) -> None:
    """Refuse a trial that fits on no node.

    Args:
        nodes: the resources of every node, as Ray counts them (`CPU`, `GPU`).

    Raises:
        ConfigError: naming the largest node.
    """
    cpus, gpus = sweep.resources.cpus_per_trial, sweep.resources.gpus_per_trial
    if any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        return
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

"""Ray, joined or started, and left: what every launch does before Tune and after it.

With an address it joins a cluster, without one it starts a Ray of its own (`own_ray.py`); either
way what it finds out about the cluster is told, and what fails is said in one line.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xstilts.errors import ConfigError, Problem, StageError
from xstilts.search.own_ray import LOOPBACK, private_folder, read_environment, with_own_token

logger = logging.getLogger(__name__)

RAY_STARTS = 3
"""How often a Ray of our own is started before giving up."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # nobody reads Tune's snapshots, which hold every trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a lost process is told in one line
    "RAY_AIR_NEW_OUTPUT": "0",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
QUIETLY: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
OBJECT_STORE_BYTES = 200 * 2**20
"""Nothing but small dicts travels through Ray; its default would take a third of the memory."""


NODES = "XSTILTS_NODES"
"""The environment variable that says how many nodes a cluster that is joined will have."""

NODES_S = 120.0
"""How long they are waited for; a launch begins with those that are there then."""

GREETING_S = 5.0
"""How long a cluster may take to say its first word."""

SETTINGS_FRAME = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS_FRAME, 0, 0, 0, 0, 0])
"""How a client begins in HTTP/2 (RFC 9113, section 3.4); a server answers with its settings."""


def quieten(address: str | None) -> None:
    """Set what Ray and Tune read from the environment, some of it when they are imported.

    Args:
        address: of the cluster that will be joined; None where a Ray of our own will be started.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if address is None:
        os.environ |= LOOPBACK


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray while the block runs; `quieten` comes before the first import of it.

    Args:
        address: of a running cluster (`auto` finds the one of this machine), whose token, if it
            asks for one, is found as Ray finds it; None starts a Ray of this machine's resources
            that ends with the block.

    Raises:
        ConfigError: there is no such cluster, or it refuses us.
        StageError: this machine is too busy for a Ray of our own.
    """
    if address is not None:
        read_environment()
        _join(address)
        with _leaving():
            _wait_for_nodes(int(os.environ.get(NODES) or 1))
            yield
        return
    with private_folder() as folder, with_own_token():
        start(
            address="local",
            num_cpus=len(os.sched_getaffinity(0)),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            # Ray opens its own folder to everybody.
            _temp_dir=str(folder / "ray"),
            **QUIETLY,
        )
        with _leaving():
            yield


def check_address(address: str) -> None:
    """See that something answers at an address as a Ray cluster does, within seconds: Ray itself
    tries for two minutes.

    Raises:
        ConfigError: nothing does, or it is for Ray to find in a job of Slurm, on whose nodes other
            jobs may have theirs.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if address == "auto" and job:
        rule = "joins whatever Ray a node has, in a Slurm job perhaps that of another one"
        repair = "give ip:port of the job's own head; the script of `xstilts slurm` does"
        raise ConfigError([Problem("--address", rule, f'"auto" in job {job}', repair)])
    from ray._private.services import canonicalize_bootstrap_address

    try:
        found = canonicalize_bootstrap_address(address.removeprefix("ray://"))
        if found is not None:
            _greet(found)
    except (ConnectionError, OSError, ValueError) as error:
        raise _nowhere(address, error) from error


def _greet(address: str) -> None:
    """Begin a conversation in HTTP/2, in which Ray speaks, and see it taken up.

    Raises:
        OSError: nobody answers, or in another language.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=GREETING_S) as line:
        if os.environ.get("RAY_USE_TLS", "0") != "0":  # who listens can be seen by Ray alone
            return
        line.settimeout(GREETING_S)
        line.sendall(PREFACE)
        head = line.recv(9)
    if len(head) < 4 or head[3] != SETTINGS_FRAME:
        raise ConnectionError("what listens there is no Ray cluster")


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, **QUIETLY)
    except (ConnectionError, ValueError, ray.exceptions.RayError) as error:
        raise _nowhere(address, error) from error


def _wait_for_nodes(count: int) -> None:
    over = time.monotonic() + NODES_S
    while len(alive_nodes()) < count and time.monotonic() < over:
        time.sleep(0.5)


def _nowhere(address: str, error: Exception) -> ConfigError:
    reason = str(error).strip().partition("\n")[0].partition(". ")[0]
    return ConfigError(
        [
            Problem(
                "--address",
                "names a Ray cluster that is up and lets this driver in",
                f'"{address}" ({reason})',
                "check the address and, where the cluster asks for a token, that its own lies "
                "here in ~/.ray/auth_token and RAY_AUTH_MODE is token",
            )
        ]
    )


@contextmanager
def _leaving() -> Iterator[None]:
    try:
        yield
    finally:
        leave()


def start(**arguments: Any) -> None:
    """Start Ray here; a busy machine may need more than the half minute that Ray waits.

    Raises:
        StageError: it never came up.
    """
    import ray

    for attempt in range(1, RAY_STARTS + 1):
        try:
            ray.init(**arguments)
            return
        except Exception as error:  # Ray raises a plain one
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise
            logger.warning("Ray did not start in time (attempt %d of %d)", attempt, RAY_STARTS)
    raise StageError("Ray does not start on this machine; is it overloaded? Try again later.")


def leave() -> None:
    """Shut Ray down, with nothing of it left for another thread to free meanwhile.

    An object reference that is freed while Ray ends makes Ray end this process, with status 1 and
    before anything is printed. Tune leaves such references in cycles, which the garbage collector
    frees in whichever thread it happens to run.
    """
    import ray

    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        if was_enabled:
            gc.enable()


def alive_nodes() -> list[dict[str, float]]:
    """Resources of the nodes that are up."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def machine() -> dict[str, float]:
    """This machine's resources as Ray will count them."""
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

    gpus = NvidiaGPUAcceleratorManager.get_current_node_num_accelerators()
    return {"CPU": len(os.sched_getaffinity(0)), "GPU": gpus}


def node_types() -> list[dict[str, float]]:
    """Resources of the node types that the cluster's autoscaler may start, up or not."""
    from ray._private.state import state

    config = state.get_cluster_config()
    return [dict(group.resources) for group in config.node_group_configs] if config else []

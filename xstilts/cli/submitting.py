"""The command that makes a sweep a job of Slurm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xstilts import api
from xstilts.cli.app import File, Overrides, command, note, out
from xstilts.errors import ConfigError, Problem

if TYPE_CHECKING:
    from xstilts.cluster.slurm import Job
    from xstilts.run.places import Places

SHARED_NOWHERE = ("tmpfs", "ramfs", "devtmpfs")
OF_ONE_MACHINE = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "overlay")
"""File systems that other machines see only where this one serves them."""


@command("xstilts slurm builtin:quickstart --cpus-per-node 2 --time 1:00:00")
def slurm(
    file: File,
    nodes: Annotated[str, typer.Option(help="How many nodes, or the fewest and the most.")] = "1",
    gpus_per_node: Annotated[str, typer.Option(help="N, or TYPE:N.", metavar="N")] = "0",
    time: Annotated[str, typer.Option(help="The time limit of the job.")] = "24:00:00",
    cpus_per_node: Annotated[
        int | None, typer.Option(min=1, help="Unless said, those of the trials on its GPUs.")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Unless said, the default one.")] = None,
    account: Annotated[str | None, typer.Option(help="Which account pays.")] = None,
    signal_before: Annotated[
        int,
        typer.Option(
            max=65535, help="So many seconds before the limit it stops and is queued again."
        ),
    ] = 300,
    restarts: Annotated[
        int, typer.Option(min=0, help="How often the job may start again by itself.")
    ] = 20,
    sbatch: Annotated[
        list[str] | None, typer.Option(help="A further option of sbatch, as in --sbatch=--mem=64G.")
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Submit it, and print its id.")] = False,
    overrides: Overrides = None,
) -> None:
    """Print the script that runs a sweep as a job of Slurm, once sinfo says that this can be.

    It stops before the time limit with checkpoints, is queued again and goes on; a sweep that
    failed is not started again.
    """
    from xstilts.cluster.slurm import Request, job_of, script
    from xstilts.run.places import Places
    from xstilts.run.storage import identity_of

    sweep = api.load_sweep(file, overrides or [])
    request = Request(
        nodes,
        gpus_per_node,
        time,
        cpus_per_node,
        partition,
        account,
        signal_before,
        restarts,
        tuple(sbatch or ()),
    )
    job = job_of(request, sweep)
    _check_partitions(job, submit)
    places = Places.of(sweep)
    _check_shared(places)
    arguments = [str(file.resolve()), *(word for one in overrides or () for word in ("--set", one))]
    identity = identity_of(places.storage)
    text = script(job, arguments, places, identity, sys.executable, Path.cwd())
    if not submit:
        sys.stdout.write(text)
        return
    done = subprocess.run(["sbatch"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise ConfigError([Problem("sbatch", "must take the job", f'"{said}"')])
    out.print(f"{done.stdout.strip()}; its log is xstilts-{places.name}-JOB.log", markup=False)


def _check_partitions(job: Job, is_submitted: bool) -> None:
    """See that a partition can give what the job asks for; where Slurm does not answer, say so.

    Raises:
        ConfigError: none can, or Slurm, to which it is to be submitted, does not answer.
    """
    from xstilts.cluster.partitions import ask_sinfo, check

    try:
        partitions = ask_sinfo()
    except ConfigError as error:
        if is_submitted:
            raise
        note(f"not checked: {error}")
        return
    check(partitions, job.request.partition, job.ask, str(job.request))


def _check_shared(places: Places) -> None:
    """Make the storage, and refuse one that no other machine can see.

    Raises:
        ConfigError: it cannot serve, or lies in this machine's memory.
    """
    from xstilts.search.preflight import check_storage, file_system

    kind = file_system(places.storage, Path("/proc/mounts"))
    name = kind.partition(" ")[0]
    if name in SHARED_NOWHERE:
        rule = "must be a folder that all nodes share"
        repair = "name one on NFS, Lustre, GPFS"
        raise ConfigError([Problem("storage", rule, f'"{places.storage}" ({kind})', repair)])
    check_storage(places, note)
    if name in OF_ONE_MACHINE:
        note(
            f"storage: {places.storage} lies on {kind}; a job whose nodes do not see this very "
            "folder ends before it begins"
        )

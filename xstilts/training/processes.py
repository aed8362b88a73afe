"""Train one stage with several processes of one node, each on its own device.

Processes are spawned, train a share of every batch each and add up their gradients; the first
writes the stage's files. None of them outlives the process that asked for them.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from xstilts.errors import Diverged, Preempted, ProcessLost, StageError, XstiltsError
from xstilts.kinds.kind import Vocabulary
from xstilts.plan.stage import Train
from xstilts.records import Outcome
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.collectives import ALONE, Collective
from xstilts.training.compiling import forget
from xstilts.training.feed import PartData
from xstilts.training.loop import Progress, train
from xstilts.training.matmul import check_precision, choose_matmul
from xstilts.training.model import build_model, check_vocabulary, save
from xstilts.training.outcome import Options

JOB, OUTCOME = "job.pickle", "outcome.pickle"
ON_LOOPBACK = {
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "=lo",
    "NCCL_RAS_ENABLE": "0",
}
"""All processes are on this machine, and neither library asks who speaks to it: whatever the
environment says, they listen nowhere else. NCCL's service for diagnosis does not listen at all."""

POLL_S = 0.2
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Job:
    """A training stage and what it is made from. `encoder` is the folder of the parent's encoder,
    to which `adapters` are added; `threads` are those of each process."""

    stage: Train
    encoder: Path
    data: Sequence[PartData]
    vocabulary: Vocabulary
    device: str
    threads: int
    options: Options
    adapters: tuple[Path, ...] = ()

    def run(
        self,
        folder: Path,
        progress: Progress,
        checkpoints: Checkpoints | None,
        collective: Collective = ALONE,
    ) -> Outcome:
        """Train in this process and, as the first of several or alone, write the stage's files."""
        name = f"cuda:{collective.rank}" if self.device == "cuda" else self.device
        device = torch.device(name)
        if checkpoints is not None and collective.rank == 0:
            checkpoints.tidy()
        check_precision(self.stage.precision, device)
        choose_matmul(self.device)
        model = build_model(self.stage, self.encoder, device, self.adapters)
        check_vocabulary(model, self.vocabulary, self.encoder)
        try:
            outcome = train(
                model,
                self.stage,
                self.data,
                self.vocabulary,
                progress,
                options=self.options,
                checkpoints=checkpoints,
                collective=collective,
            )
        finally:
            if self.options.compiled:
                forget()
        if collective.rank == 0:
            save(model, folder)
        return outcome


PEER_GONE = ("Connection closed by peer", "Connection reset by peer", "remote process exited")
"""What gloo and NCCL say when a process that they talk to has died."""


def run_together(
    job: Job, world: int, folder: Path, progress: Progress, checkpoints: Checkpoints | None
) -> Outcome:
    """Train with `world` processes; the files and the outcome are those of one.

    Raises:
        Diverged, Preempted, StageError: as `train`, in any of them.
        ProcessLost: a process was killed; names its signal.
        StageError: a process failed; holds its traceback.
    """
    context = mp.get_context("spawn")
    # Without locks: a process that is killed with one in its hand would hold it for ever.
    share, stop = (context.Value(kind, 0, lock=False) for kind in ("d", "b"))
    with tempfile.TemporaryDirectory(prefix="xstilts-") as scratch:
        # `must_stop` asks things that only this process knows.
        asked = replace(checkpoints, must_stop=_never) if checkpoints is not None else None
        # In a file, for `spawn` sends arguments through a pipe, and would wait for ever for a
        # process that was killed before it had read more than the pipe holds.
        (Path(scratch) / JOB).write_bytes(pickle.dumps((job, asked)))
        arguments = (world, folder, os.getpid(), scratch, share, stop)
        started = start_processes(  # type: ignore[no-untyped-call]
            _rank, arguments, world, join=False, start_method="spawn"
        )
        try:
            while not _joined(started, job.stage.label):
                progress(share.value)
                if checkpoints is not None and checkpoints.must_stop():
                    stop.value = True
        except StageError as error:
            # A signal to all may end a process before it could listen.
            if checkpoints is not None and checkpoints.must_stop():
                raise Preempted(f"{job.stage.label}: stopped; the same command goes on") from error
            raise
        finally:
            for process in started.processes:
                if process.is_alive():
                    process.kill()
                process.join()
        outcome = pickle.loads((Path(scratch) / OUTCOME).read_bytes())  # written by our own child
    if isinstance(outcome, XstiltsError):
        raise outcome
    progress(1.0)
    result: Outcome = outcome
    return result


def _never() -> bool:
    """In the place of a question that cannot be sent to another process."""
    return False


def _joined(started: Any, label: str) -> bool:
    """Whether all processes ended well; waits a moment for it."""
    try:
        is_done: bool = started.join(timeout=POLL_S)
    except ProcessRaisedException as error:
        # Of a process that was killed, the others may be the first to tell.
        kind = ProcessLost if any(words in str(error) for words in PEER_GONE) else StageError
        raise kind(f"{label}: process {error.error_index} failed:\n{error}") from error
    except ProcessExitedException as error:
        if error.signal_name:
            how = f"was ended by {error.signal_name}"
            raise ProcessLost(f"{label}: process {error.error_index} {how}") from error
        raise StageError(f"{label}: process {error.error_index} ended: {error}") from error
    return is_done


def _rank(
    rank: int,
    world: int,
    folder: Path,
    parent: int,
    scratch: str,
    share: Any,
    stop: Any,
) -> None:
    """One of the processes."""
    _die_with(parent)
    job: Job
    checkpoints: Checkpoints | None
    job, checkpoints = pickle.loads((Path(scratch) / JOB).read_bytes())  # written by our parent
    told = threading.Event()
    # A signal to the whole group reaches this process too: the parent decides what an interrupt
    # from the keyboard means; an order to end is one to write a checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    if checkpoints is not None:
        checkpoints = replace(checkpoints, must_stop=lambda: told.is_set() or bool(stop.value))
    torch.set_num_threads(job.threads)
    os.environ |= ON_LOOPBACK
    os.environ.pop("NCCL_COMM_ID", None)  # an address that NCCL would listen at instead
    if job.device == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl" if job.device == "cuda" else "gloo",
        init_method=f"file://{scratch}/rendezvous",
        rank=rank,
        world_size=world,
    )

    def tell(done: float) -> None:
        share.value = done

    def ignore(done: float) -> None:
        pass

    result: Outcome | XstiltsError
    try:
        progress = tell if rank == 0 else ignore
        # Python objects go over the network's own group, which no GPU has to wait for.
        collective = Collective(rank, world, dist.new_group(backend="gloo"))
        result = job.run(folder, progress, checkpoints, collective)
    except (Diverged, Preempted) as error:  # all of them meet these at the same step
        result = error
    if rank == 0:
        (Path(scratch) / OUTCOME).write_bytes(pickle.dumps(result))
    dist.destroy_process_group()


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)

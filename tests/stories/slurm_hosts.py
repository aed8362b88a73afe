"""A Slurm cluster on hosts of one machine: munge, slurmctld and one slurmd a node, all real.

The first host is the login node, which has the controller. Where the machine has a freezer of
cgroups, Slurm tracks processes by it, as clusters do: then a signal of Slurm reaches the first
process of a step and the batch shell, and not what they started.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from .hosts import Host, Network, missing, wait_for

ROOT = Path(__file__).parents[2]
SLURM = ("slurmctld", "slurmd", "munged", "sinfo", "sbatch")
FREEZER = Path("/sys/fs/cgroup/freezer")
LAB = "/mnt/lab"
"""Where every host sees the folder that all share."""

START_AFTER_S = 2
"""How long a job that was queued again is left before it is told to start: a node refuses a job of
the second in which it was told to end it."""

CONF = """
ClusterName=mini
SlurmctldHost=login(10.77.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CredType=cred/munge
StateSaveLocation=/run/slurm/state
SlurmdSpoolDir=/run/slurm/spool
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmctldLogFile=/run/slurm/slurmctld.log
SlurmdLogFile=/run/slurm/slurmd.log
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=100000
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=30
SlurmdTimeout=20
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
{nodes}
NodeName=gone NodeAddr=10.77.0.99 CPUs=2 Gres=gpu:a100:8 State=DOWN
PartitionName=short Nodes={names} Default=YES MaxTime=60 State=UP
PartitionName=graced Nodes={names} MaxTime=60 GraceTime=30 State=UP
PartitionName=urgent Nodes={names} PriorityTier=10 MaxTime=60 State=UP
PartitionName=gpus Nodes=gone MaxTime=2-0 State=UP
"""


def lacks() -> str:
    """What this machine lacks for a Slurm cluster; empty where nothing does."""
    absent = [name for name in SLURM if shutil.which(name) is None]
    return missing() or (f"needs {', '.join(absent)} of Slurm and munge" if absent else "")


class SlurmCluster(Network):
    """A login node and nodes of so many CPUs each, idle once the cluster is made.

    Args:
        folder: where its files lie; `folder / "lab"` is `LAB` on every host.
        mounts: further folders of the machine that every host sees, by where.
    """

    def __init__(self, folder: Path, cpus: list[int], mounts: dict[str, Path] | None = None):
        # Slurm names cgroups by the node, and the machine may have another such cluster.
        self.nodes = [f"n{number}-{os.getpid()}" for number in range(1, len(cpus) + 1)]
        self.lab = folder / "lab"
        conf = folder / "slurm"
        for one in (self.lab, conf):
            one.mkdir(parents=True)
        (conf / "munge.key").write_bytes(os.urandom(128))
        has_freezer = os.access(FREEZER / "cgroup.procs", os.W_OK)
        lines = [
            f"NodeName={name} NodeAddr=10.77.0.{number} CPUs={count} State=UNKNOWN"
            for number, (name, count) in enumerate(zip(self.nodes, cpus, strict=True), 2)
        ]
        text = CONF.format(
            proctrack="cgroup" if has_freezer else "linuxproc",
            nodes="\n".join(lines),
            names=",".join(self.nodes),
        )
        (conf / "slurm.conf").write_text(text)
        (conf / "gres.conf").write_text("NodeName=gone Name=gpu Type=a100 Count=8\n")
        (conf / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        seen = {"/mnt/slurm": conf, LAB: self.lab, str(ROOT): ROOT, **(mounts or {})}
        super().__init__(folder / "lan", dict.fromkeys(("login", *self.nodes), seen))
        try:
            self.call("mkdir -p /run/slurm/state && slurmctld", daemons=True)
            for name in self.nodes:
                self.start(name)
            self.wait_for_idle()
        except BaseException:
            self.close()
            raise

    @property
    def login(self) -> Host:
        return self.hosts["login"]

    def call(self, command: str, status: int = 0, on: str = "login", daemons: bool = False) -> str:
        """Run a shell command on a host, in the shared folder; its output."""
        if daemons:
            command = (
                "mkdir -p /run/munge && cp /mnt/slurm/munge.key /run/munge.key && "
                "chmod 400 /run/munge.key && rm -f /run/munge/* && munged --force "
                "--key-file=/run/munge.key --pid-file=/run/munge/pid --log-file=/run/munge/log "
                f"--seed-file=/run/munge/seed --socket=/run/munge/munge.socket.2 && {command}"
            )
        exports = f"SLURM_CONF=/mnt/slurm/slurm.conf PYTHONPATH={ROOT} OMP_NUM_THREADS=1 COLUMNS=80"
        return self.hosts[on].run(f"export {exports}; cd {LAB} && {command}", status)

    def xstilts(self, words: str, status: int = 0) -> str:
        """Run `xstilts` on the login node; its output."""
        return self.call(f"{sys.executable} -m xstilts.cli {words}", status)

    def start(self, name: str) -> None:
        """Start a node's daemons, as its boot does."""
        self.call(f"mkdir -p /run/slurm/spool && slurmd -N {name}", on=name, daemons=True)

    def kill(self, name: str) -> None:
        """All processes of a node at once, as a loss of power does."""
        while processes := self.hosts[name].processes():
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def wait_for_idle(self) -> None:
        ask = "sinfo -h -p short -o '%T %D'"
        wait_for(lambda: f"idle {len(self.nodes)}" in self.call(ask), "all nodes are idle", 60)

    def state(self, job: int) -> str:
        """A job's state as Slurm calls it."""
        return self.field(job, "JobState")

    def field(self, job: int, name: str) -> str:
        """A field of a job, as `scontrol show job` has it."""
        words = self.call(f"scontrol show job {job}").split()
        return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))

    def log(self, job: int) -> str:
        """What the job has written, over all of its starts."""
        return "".join(path.read_text() for path in self.lab.glob(f"*-{job}.log"))

    def left(self, name: str) -> list[str]:
        """What runs on a node beside its daemons."""
        lines = self.hosts[name].processes().values()
        return [line for line in lines if not line.startswith(("munged", "slurmd -N"))]

    def close(self) -> None:
        """End all of it; nothing stays in the machine's cgroups, once what was in them is gone."""
        super().close()
        over = time.monotonic() + 10
        for name in self.nodes:
            root = FREEZER / f"slurm_{name}"
            while root.exists() and time.monotonic() < over:
                for folder in sorted(root.glob("**/"), reverse=True):
                    with suppress(OSError):
                        folder.rmdir()
                time.sleep(0.1)

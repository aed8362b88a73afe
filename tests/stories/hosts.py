"""Hosts on one machine: Linux namespaces, each with its own processes, files, name and address.

Every `Host` has a `/tmp`, `/root`, `/mnt`, `/run` and `/dev/shm` of its own; the rest of the file
system is the machine's. Hosts are joined by a bridge that stands in the first one's namespace, so
that nothing of it shows outside. All of it ends with the process that made it, however that ends.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

NEEDED = ("unshare", "nsenter", "setpriv", "ip", "ssh", "ssh-keygen", "rsync", "curl", "hostname")
SSHD = "/usr/sbin/sshd"
OWN = ("/tmp", "/root", "/mnt", "/run", "/dev/shm")

# The first process of a host: what it must do is to wait for orphans.
INIT = """
set -e
mount --make-rprivate /
{keep}
for folder in {own}; do mount -t tmpfs -o mode=755 xstilts "$folder"; done
{bind}
chmod 1777 /tmp /dev/shm
hostname {name}
ip link set lo up
mkdir -p /run/sshd
echo ready
while sleep 3600; do :; done
"""


def missing() -> str:
    """What this machine lacks for hosts; empty where nothing does."""
    if os.geteuid():
        return "needs root"
    lacks = [name for name in NEEDED if shutil.which(name) is None]
    lacks += [] if Path(SSHD).exists() else [SSHD]
    if lacks:
        return f"needs {', '.join(lacks)}"
    unshare = "unshare --net --pid --fork --mount --uts bash -c"
    trial = "mount -t tmpfs none /mnt && ip link add name lan type bridge"
    tried = subprocess.run([*unshare.split(), trial], capture_output=True, text=True)
    return f"needs namespaces: {tried.stderr.strip()}" if tried.returncode else ""


class Host:
    """A host that is up until it is closed.

    Args:
        name: its host name.
        mounts: folders of the machine by where the host sees them; the Python that runs now is
            always where it is outside.
    """

    def __init__(self, name: str, mounts: dict[str, Path]) -> None:
        self.name = name
        python = {str(path): path for path in map(Path, (sys.prefix, sys.base_prefix))}
        hidden = [*OWN, *mounts]
        needed = {p: path for p, path in python.items() if any(map(path.is_relative_to, hidden))}
        # What new mounts would hide is kept open by a descriptor until it is bound again.
        keep, bind = [], []
        for number, (there, here) in enumerate({**mounts, **needed}.items(), 10):
            keep.append(f"exec {number}< {shlex.quote(str(here))}")
            bind.append(f"mkdir -p {shlex.quote(there)}")
            bind.append(
                f"mount --no-canonicalize --bind /proc/self/fd/{number} {shlex.quote(there)}"
            )
            bind.append(f"exec {number}<&-")
        script = INIT.format(
            name=name, own=" ".join(OWN), keep="\n".join(keep), bind="\n".join(bind)
        )
        unshare = "unshare --net --pid --mount --uts --ipc --fork --kill-child --mount-proc"
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *unshare.split(), "bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n", f"{name} does not start"
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def popen(self, command: str) -> subprocess.Popen[str]:
        """Start a shell command on the host, in a session and environment of its own."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        variables = {"HOME": "/root", "PATH": path, "USER": "root", "LANG": "C.UTF-8"}
        return subprocess.Popen(
            ["nsenter", "--all", f"--target={self.pid}", "bash", "-c", command],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str, status: int = 0) -> str:
        """Run a shell command on the host to its end; its output."""
        process = self.popen(command)
        try:
            output, _ = process.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise AssertionError(f"does not end: {command}\n{output}") from None
        assert process.returncode == status, f"{command}\n{output}"
        return output

    def processes(self) -> dict[int, str]:
        """The command lines of all its processes, without the first, its sleep and sshd's own."""
        found = {}
        namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "ns/pid").readlink() != namespace or int(folder.name) == self.pid:
                    continue
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            is_own = parent == self.pid and re.match(r"sleep 3600|sshd: .*\[listener\]", line)
            if line and not is_own:
                found[int(folder.name)] = line
        return found

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()


class Network:
    """Hosts that reach each other by ssh, with the first one's key; none is seen from outside.

    Args:
        folder: where its keys lie; only the first host sees the private one.
        mounts: what each host sees where, by its name. Addresses are 10.77.0.1, 10.77.0.2 and so
            on in this order.
    """

    def __init__(self, folder: Path, mounts: dict[str, dict[str, Path]]) -> None:
        self.address = {name: f"10.77.0.{number}" for number, name in enumerate(mounts, 1)}
        self.key = Path("/run/lan/id_ed25519")
        lines = ["127.0.0.1 localhost", *(f"{ip} {name}" for name, ip in self.address.items())]
        own, others = folder / "own", folder / "others"
        for place, name in ((own, "id_ed25519"), (others, "host_key")):
            place.mkdir(parents=True)
            (place / "hosts").write_text("\n".join([*lines, ""]))
            generate = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
            subprocess.run(generate, check=True, capture_output=True)
        (own / "id_ed25519.pub").rename(others / "authorized_keys")
        self.hosts: dict[str, Host] = {}
        try:
            for name, places in mounts.items():
                keys = others if self.hosts else own
                self.hosts[name] = Host(name, {**places, "/run/lan": keys})
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        first, *others = self.hosts.values()
        _inside(first, "ip link add name lan type bridge && ip link set lan up")
        _inside(first, f"ip address add {self.address[first.name]}/24 dev lan")
        for number, host in enumerate(others):
            port = f"port{number}"
            _inside(first, f"ip link add name {port} type veth peer name eth0 netns {host.pid}")
            _inside(first, f"ip link set {port} master lan up")
            _inside(host, f"ip address add {self.address[host.name]}/24 dev eth0")
            _inside(host, "ip link set eth0 up")
            _inside(host, f"ip route add default via {self.address[first.name]}")
        for host in self.hosts.values():
            host.run("mount --bind /run/lan/hosts /etc/hosts")
            host.run("mount --bind /dev/null /etc/resolv.conf")
        for host in others:
            host.run(
                f"{SSHD} -f /dev/null -h /run/lan/host_key -o PidFile=none -o UsePAM=no "
                "-o AuthorizedKeysFile=/run/lan/authorized_keys -o StrictModes=no "
                "-o PermitRootLogin=prohibit-password -o PasswordAuthentication=no -o UseDNS=no"
            )

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _inside(host: Host, command: str) -> None:
    """Run a command in a host's network alone, where process ids are the machine's."""
    nsenter = ["nsenter", f"--target={host.pid}", "--net", "bash", "-c", command]
    subprocess.run(nsenter, check=True, capture_output=True, text=True)


def end(process: subprocess.Popen[str]) -> None:
    """End what `Host.popen` started, for nsenter hands no signal on."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 300) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.5)

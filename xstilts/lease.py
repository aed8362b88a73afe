"""Leases: the right to do one thing, numbered, so that nobody who lost it can do harm.

A lease is a folder of claims, `0001.lease`, `0002.lease` and so on. Taking the lease is creating
the next number, which every file system does for one process alone; nothing is locked and nothing
is unlinked. The number is a fencing token: what its holder writes carries it or is published under
a name that must be free, so that a holder who was stopped and wakes up cannot replace what a later
one has done.

The holder changes its claim every `heartbeat_s` seconds. A lease is free when its last claim was
given back, when its owner is known to be dead, or when the reader has watched the claim for three
heartbeats, by its own monotonic clock, and seen no change; no two clocks are ever compared.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path

from xstilts.errors import LeaseLost
from xstilts.files import CARE, FILE_MODE, canonical_json, names_in

logger = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
"""How often the holder of a lease says that it lives."""

MISSED_BEATS = 3
"""So many heartbeats without a change end a lease."""

MAX_BYTES = 4096
"""More than any claim has."""

CLAIM = re.compile(r"(\d{4,})\.lease")
HELD, FREE = "held", "free"  # of one length: a claim is changed in place


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lease.

    `machine`, `boot`, `pids` (its namespace of process ids) and `started` (in clock ticks since
    the boot) say which process `pid` is; where one of them cannot be had it is empty.
    """

    host: str
    machine: str
    boot: str
    pids: str
    pid: int
    started: str
    token: str

    @classmethod
    def current(cls) -> Owner:
        """This process, with a token of its own."""
        pid = os.getpid()
        return cls(*_place(), pid, _state_of(pid)[1], uuid.uuid4().hex)

    def is_dead(self) -> bool:
        """Whether the process is known to have ended: it was one of this very system, and is not
        there any more. Another namespace, boot or machine proves nothing."""
        if not self._is_here():
            return False
        state, started = _state_of(self.pid)
        return state in ("", "Z") or started != self.started

    def is_running(self) -> bool:
        """Whether the process is known to live and is not stopped."""
        return self._is_here() and not self.is_dead() and _state_of(self.pid)[0] not in "Tt"

    def _is_here(self) -> bool:
        known = (self.machine, self.boot, self.pids, self.started)
        return all(known) and (self.host, *known[:3]) == _place()


@cache
def _place() -> tuple[str, str, str, str]:
    """Host, machine, boot and namespace of process ids; what the system does not tell is empty."""
    machine = boot = pids = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        pids = str(Path("/proc/self/ns/pid").readlink())
        machine = Path("/etc/machine-id").read_text().strip()
    # A container may have no machine-id; the boot is as unique.
    return socket.gethostname(), machine or boot, boot, pids


def _state_of(pid: int) -> tuple[str, str]:
    """State and start of a process, empty where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""


class Sight(Enum):
    """What a look at a lease tells: nobody has it, somebody alive has it, or it is too early."""

    FREE = "free"
    ALIVE = "alive"
    UNKNOWN = "unknown"


@dataclass
class Lease:
    """The lease of a folder, as one process sees it.

    Args:
        folder: holds the claims; made by the caller.
        heartbeat_s: seconds between two beats, the same for all that may take the lease.
        clock: seconds, monotonic, for what this process has watched.
        life: seconds that count while the machine sleeps too, for the holder's own beats.
    """

    folder: Path
    heartbeat_s: float = HEARTBEAT_S
    owner: Owner = field(default_factory=Owner.current)
    clock: Callable[[], float] = time.monotonic
    life: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    number: int = 0
    """The number of the claim that this process holds, 0 if it holds none."""
    _beats: int = 0
    _beaten: float = 0.0
    _trouble: str = ""
    _seen: tuple[int, bytes] = (0, b"")
    _since: float = 0.0
    _was_beating: bool = False

    @property
    def patience_s(self) -> float:
        """Seconds of silence that end a lease."""
        return MISSED_BEATS * self.heartbeat_s

    def acquire(self) -> bool:
        """Take the lease if it is free; never waits for its holder.

        A process that keeps asking the same object sees a silent lease end.

        Raises:
            OSError: the file system fails; of a full disk a claim may be left that nobody holds.
        """
        if self.look() is not Sight.FREE:
            return False
        before, number = self._seen[0], self._seen[0] + 1
        try:
            descriptor = os.open(
                self._claim(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE
            )
        except OSError:
            # sshfs tells of a name that is taken as of a thing that is not permitted.
            if self._claim(number).exists():
                return False
            raise
        self._beats = 0
        _write_whole(descriptor, self._content(HELD))
        self.number, self._beaten, self._trouble = number, self.life(), ""
        if before and (last := _parsed(self._seen[1])) is not None and last[0] == HELD:
            logger.warning("took over from %s: %s", describe(last[1]), self.folder)
        return True

    def look(self) -> Sight:
        """Whether somebody holds the lease, as far as this process can know by now.

        Raises:
            OSError: the claims cannot be read.
        """
        begun = self.clock()  # before reading: who is stopped after it has not watched longer
        number = self._latest()
        content = self._read(number)
        if (number, content) != self._seen:
            self._was_beating = number == self._seen[0] != 0
            self._seen, self._since = (number, content), self.clock()
        if not number:
            return Sight.FREE
        if (claim := _parsed(content)) is not None:
            state, owner = claim
            if state == FREE or owner.is_dead():
                return Sight.FREE
        if begun - self._since >= self.patience_s:
            return Sight.FREE
        is_alive = self._was_beating or (claim is not None and claim[1].is_running())
        return Sight.ALIVE if is_alive else Sight.UNKNOWN

    def holder(self) -> Owner | None:
        """Who took the lease last, if it was not given back and the claim says so."""
        claim = _parsed(self._read(self._latest()))
        return claim[1] if claim is not None and claim[0] == HELD else None

    @property
    def is_lost(self) -> bool:
        """Whether another process has taken the lease from this one, or could have: the claim was
        not changed for so long that its readers may call it silent."""
        if self.number and self.life() - self._beaten >= self.patience_s:
            return True
        return bool(self.number) and self._is_taken()

    def check(self) -> None:
        """See that the lease is still this process's.

        Raises:
            LeaseLost: it is not.
        """
        if self.is_lost:
            self.renew()

    def renew(self) -> None:
        """Change the claim, and see that it is still the last one: before anything is published.

        Raises:
            LeaseLost: another process has taken the lease, or the claim cannot be changed.
        """
        self._beat_somehow()
        if self._is_taken():
            by = self.holder()
            rule = "another process has taken over what this one was stopped in"
            raise LeaseLost(f"{self.folder}: {rule}{f': {describe(by)}' if by else ''}")

    def _beat_somehow(self) -> None:
        """A file system that fails once may do better a moment later."""
        begun = self.life()
        while True:
            try:
                return self.beat()
            except FileNotFoundError as error:
                raise LeaseLost(f"{self.folder}: its claim {self.number} is gone") from error
            except OSError as error:
                if self.life() - begun >= self.heartbeat_s:
                    reason = f"the heartbeat of claim {self.number} cannot be written: {error}"
                    raise LeaseLost(f"{self.folder}: {reason}") from error
            time.sleep(self.heartbeat_s / 10)

    def beat(self) -> None:
        """Change the claim once.

        Raises:
            FileNotFoundError: it is gone, or is another process's: `gc` deletes folders, and
                numbers begin anew in a new one.
            OSError: it could not be changed.
        """
        self._change(self.number, HELD)
        self._beaten = self.life()

    def release(self) -> None:
        """Give the lease back. A claim that cannot be changed ends by its silence."""
        number, self.number = self.number, 0
        if number:
            with suppress(OSError):
                self._change(number, FREE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep an acquired lease alive during the block and give it back after."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(self.heartbeat_s):
                try:
                    self.beat()
                    self._trouble = ""
                except OSError as error:
                    # Tried again at the next beat; `renew` fails if that does not help.
                    if str(error) != self._trouble:
                        self._trouble = str(error)
                        logger.warning("the heartbeat of %s fails: %s", self.folder, error)

        thread = threading.Thread(target=keep, name=f"lease-{self.folder.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.release()

    def _claim(self, number: int) -> Path:
        return claim_path(self.folder, number)

    def _change(self, number: int, state: str) -> None:
        self._beats += 1
        descriptor = os.open(self._claim(number), os.O_RDWR)
        if self.owner.token.encode() not in os.pread(descriptor, MAX_BYTES, 0):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "is another process's", str(self._claim(number)))
        _write_whole(descriptor, self._content(state))

    def _is_taken(self) -> bool:
        return self._claim(self.number + 1).exists() or not self._claim(self.number).exists()

    def _latest(self) -> int:
        found = (CLAIM.fullmatch(name) for name in names_in(self.folder))
        return max((int(match[1]) for match in found if match), default=0)

    def _read(self, number: int) -> bytes:
        try:
            return self._claim(number).read_bytes() if number else b""
        except FileNotFoundError:
            return b""

    def _content(self, state: str) -> bytes:
        claim = {"beat": f"{self._beats:012d}", "state": state, **asdict(self.owner)}
        return canonical_json(claim).encode()


def claim_path(folder: Path, number: int) -> Path:
    """The file of a claim; that of the next number says that a lease has been taken over."""
    return folder / f"{number:04d}.lease"


def describe(owner: Owner) -> str:
    """An owner in the words of messages."""
    return f"process {owner.pid} on {owner.host}"


def living(leases: Sequence[Lease]) -> list[Lease]:
    """Those of the leases that a living process holds, watched until that is known: at most for
    three heartbeats, for as long as one where they beat.

    Raises:
        OSError: a claim cannot be read.
    """
    alive, open_ = [], list(leases)
    while True:
        seen = [(lease, lease.look()) for lease in open_]
        alive += [lease for lease, sight in seen if sight is Sight.ALIVE]
        open_ = [lease for lease, sight in seen if sight is Sight.UNKNOWN]
        if not open_:
            return alive
        time.sleep(open_[0].heartbeat_s / 20)


def _parsed(content: bytes) -> tuple[str, Owner] | None:
    """State and owner of a claim; None of one that was created this instant, or by a process that
    died before it could write it."""
    try:
        claim = json.loads(content)
        return claim.pop("state"), Owner(**{k: v for k, v in claim.items() if k != "beat"})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _write_whole(descriptor: int, content: bytes) -> None:
    """Write from the file's beginning, durably, and close it."""
    try:
        with CARE.taken():
            written = os.pwrite(descriptor, content, 0)
            if written != len(content):
                raise OSError(f"only {written} of {len(content)} bytes were written")
            os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files and identities: atomic writes, canonical JSON, sha256, derived seeds, the lease.

Everything that must survive a kill at any moment goes through `write_atomically`; everything that
two processes must not do at once goes through `Lease`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
"""What a user may call a sweep, a model or an intermediate: safe as a folder name."""

HEARTBEAT_S = 10.0
"""How often the holder of a lease says that it lives; three missed beats end the lease."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. Refuses NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_of(value: Any) -> str:
    """Hex sha256 of a JSON-able value's canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def derive_seed(seed: int, *purpose: str) -> int:
    """A 63-bit seed for one use of randomness.

    It depends on the sweep's seed and the purpose alone, never on parameters or order of
    execution, so that a candidate and its baseline see the same draws.
    """
    digest = hashlib.sha256(canonical_json([seed, *purpose]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def write_atomically(path: Path, text: str | bytes) -> None:
    """Replace `path` by the new content in one step, durable before it is visible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    data = text.encode() if isinstance(text, str) else text
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Atomically write JSON; what no person reads goes ten times as fast without an indent."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file as UTF-8."""
    return json.loads(path.read_text(encoding="utf-8"))


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that no space is left.

    Libraries that write files themselves pass the system's words on, not its number.
    """
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, OSError) and current.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(current) or "quota exceeded" in str(current):
            return True
        current = current.__cause__ or current.__context__
    return False


def is_process_alive(pid: int) -> bool:
    """Whether a process of this machine with this id exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError, IndexError):
        # A killed child that nobody has waited for still answers to signal 0.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


@dataclass
class Lease:
    """The right to compute one thing, held by one process, given up by its death.

    The holder touches the file every `heartbeat_s` seconds. A lease is stale when its holder is
    gone from this machine, or has been silent for three heartbeats; anyone may then take it over.
    """

    path: Path
    heartbeat_s: float = HEARTBEAT_S
    owner: dict[str, Any] = field(
        default_factory=lambda: {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "token": uuid.uuid4().hex,
        }
    )

    def acquire(self) -> bool:
        """Take the lease if it is free or stale; never waits for its holder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self._take_over() if self.is_stale() else self._create()

    def _create(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w") as stream:
            stream.write(canonical_json(self.owner))
        return True

    def _take_over(self) -> bool:
        """Replace the lease of a dead holder; of several that try, one at a time looks again."""
        guard = self.path.with_name(f"{self.path.name}.takeover")
        with guard.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if self.is_stale():
                logger.warning("took over the lease of a dead process: %s", self.path.name)
                self.path.unlink(missing_ok=True)
            is_ours = self._create()
            # Whoever still waits for this guard, or opens a new one, finds a fresh lease.
            guard.unlink(missing_ok=True)
        return is_ours

    def holder(self) -> dict[str, Any] | None:
        """Who holds the lease, as far as the file says; None if nobody does."""
        try:
            owner = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError:
            return {}  # created this instant, or its writer died between creation and content
        return owner if isinstance(owner, dict) else {}

    def is_stale(self) -> bool:
        """Whether the lease exists and its holder is known dead or has been silent too long."""
        try:
            silent_s = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return False
        owner = self.holder() or {}
        pid = owner.get("pid")
        if owner.get("host") == self.owner["host"] and isinstance(pid, int):
            # On one machine death shows at once; silence still counts, for process ids recur.
            return not is_process_alive(pid) or silent_s > 3 * self.heartbeat_s
        return silent_s > 3 * self.heartbeat_s

    def release(self) -> None:
        """Give the lease up, if it is still ours."""
        if (self.holder() or {}).get("token") == self.owner["token"]:
            self.path.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep an acquired lease alive during the block and release it after."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.heartbeat_s):
                # A holder that was suspended may have lost the lease: it is not ours to keep alive.
                if (self.holder() or {}).get("token") == self.owner["token"]:
                    with suppress(OSError):
                        os.utime(self.path)

        thread = threading.Thread(target=beat, name=f"lease-{self.path.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.release()

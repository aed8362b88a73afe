"""Files and identities: atomic writes, canonical JSON, sha256, derived seeds, the cost of care.

What must survive a kill at any moment goes through `write_atomically` or `publish_folder`: its
content lies on the disk before its name does. None of them makes the folder that it writes into, so
that a storage whose mount has vanished is not made anew on the empty mount point.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
"""What a user may call a sweep, a model or an intermediate: safe as a folder name."""

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")
"""How a file is called while it is written."""

_UMASK = os.umask(0o022)
os.umask(_UMASK)

FILE_MODE, FOLDER_MODE = 0o666 & ~_UMASK, 0o777 & ~_UMASK
"""The modes of everything below a storage: what the umask leaves, whichever library wrote it."""


class Care:
    """What this process has spent on digests, size checks and syncs, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Counts the time that the block takes; not within another such block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begun


CARE = Care()


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
    """A 63-bit seed for one use of randomness; torch's generator on a CPU uses the lower 32.

    It depends on the sweep's seed and the purpose alone, never on parameters or order of
    execution, so that a candidate and its baseline see the same draws.
    """
    digest = hashlib.sha256(canonical_json([seed, *purpose]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def write_atomically(path: Path, text: str | bytes, is_durable: bool = True) -> None:
    """Replace `path` by the new content in one step, durable before it is visible.

    Args:
        is_durable: whether the content must survive the machine's end; what is written again in
            a second need not.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    data = text.encode() if isinstance(text, str) else text
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            if is_durable:
                with CARE.taken():
                    os.fsync(stream.fileno())
        temporary.replace(path)
        if is_durable:
            sync(path.parent)
    finally:
        with suppress(OSError):  # a failure to tidy up must not hide the first one
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any, indent: int | None = 1, is_durable: bool = True) -> None:
    """Atomically write JSON; what no person reads goes ten times as fast without an indent."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n", is_durable)


def read_json(path: Path) -> Any:
    """Read a JSON file as UTF-8."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_json_if_whole(path: Path, sort: type[T]) -> T | None:
    """Read a JSON file whose loss costs time and no result; None where it is not there, and, with a
    warning, where it is torn or holds another sort of value."""
    try:
        value = read_json(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger.warning("%s: cannot be read, and counts as absent: %s", path, error)
        return None
    if not isinstance(value, sort):
        logger.warning("%s: holds no %s, and counts as absent", path, sort.__name__)
        return None
    return value


def names_in(folder: Path) -> list[str]:
    """The names in a folder; none where it is not there."""
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def sync(path: Path) -> None:
    """Have a file's content, or the names in a folder, on the disk when this returns."""
    with CARE.taken():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems sync no folders: their names are on the server already.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
                raise
        finally:
            os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Give everything below a folder its mode, and have it on the disk when this returns."""
    for parent, names, files in os.walk(folder):
        for name in files:
            path = Path(parent, name)
            path.chmod(FILE_MODE)
            sync(path)
        for name in names:
            Path(parent, name).chmod(FOLDER_MODE)
        sync(Path(parent))
    folder.chmod(FOLDER_MODE)


def publish_folder(temporary: Path, final: Path) -> bool:
    """Give a finished folder its name, durably; false if the name is taken.

    No check comes before the rename, whose own rule decides: it replaces no folder that holds
    anything, on any file system, however long the caller was stopped before it.

    Raises:
        OSError: the temporary folder is gone, or the file system fails.
    """
    try:
        temporary.rename(final)
    except OSError:
        # ENOTEMPTY or EEXIST, as the system likes; EPERM over sshfs.
        if final.exists() and temporary.exists():
            return False
        raise
    sync(final.parent)
    return True


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

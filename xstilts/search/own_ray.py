"""A Ray of this machine's own, to which nobody else can speak.

It listens on loopback alone, asks for a token that is drawn for one launch and stands nowhere but
in the environment of its processes, and has its sockets and logs in a folder that is the user's
alone and goes with it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xstilts.errors import ConfigError, Problem

logger = logging.getLogger(__name__)

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Gives Ray's node the address of loopback, on which all its servers then listen. Ray reads it when
it is imported; its name is that of the systems where this is the default. An address of loopback
that `ray.init` is given is replaced by the machine's own."""

MODE, TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"

FOLDER = "xstilts-ray-"
SOCKET_BYTES = 107
"""The longest name that Linux gives a unix socket."""
LONGEST_SOCKET = "XXXXXXXX/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"


@contextmanager
def with_own_token() -> Iterator[None]:
    """While the block runs, a Ray that is started here asks for a new random token."""
    before = {name: os.environ.get(name) for name in (MODE, TOKEN)}
    os.environ |= {MODE: "token", TOKEN: secrets.token_hex(32)}
    read_environment()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def read_environment() -> None:
    """Have Ray, which may be imported already, read anew who may speak to it."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder of this user's alone, removed when the block ends.

    What an earlier process left behind because it was killed is removed too. After an error the
    folder stays until the next launch, because the logs in it may tell the reason.

    Raises:
        ConfigError: no folder for temporary files is short enough for Ray's sockets.
    """
    parent = _parent()
    _remove_abandoned(parent)
    folder, lock = _claim(parent)
    is_kept = False
    try:
        yield folder
    except ConfigError:
        raise
    except Exception:
        is_kept = True
        logger.warning("Ray's logs stay in %s until the next sweep starts here", folder)
        raise
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _parent() -> Path:
    """The first folder for temporary files, the user's own choice before all, that is short."""
    named = [os.environ.get("RAY_TMPDIR", ""), tempfile.gettempdir(), "/tmp", "/var/tmp"]
    known = [Path(name).absolute() for name in named if name]
    for parent in known:
        longest = os.fsencode(parent / f"{FOLDER}{LONGEST_SOCKET}")
        if len(longest) <= SOCKET_BYTES and os.access(parent, os.W_OK | os.X_OK):
            return parent
    raise ConfigError(
        [
            Problem(
                "TMPDIR",
                f"Ray's sockets, whose names have at most {SOCKET_BYTES} bytes, need a folder with "
                f"a name of at most {SOCKET_BYTES - len(f'/{FOLDER}{LONGEST_SOCKET}')}",
                ", ".join(f'"{parent}"' for parent in dict.fromkeys(known)),
                "set RAY_TMPDIR to a short folder on this machine's own disk",
            )
        ]
    )


def _claim(parent: Path) -> tuple[Path, int]:
    """A new folder, and a lock on it, which the system lifts when this process ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=parent))
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # taken for abandoned before it was locked
            continue
        # Where files cannot be locked, no folder is ever taken for abandoned.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of this user's that no process has locked."""
    for folder in parent.glob(f"{FOLDER}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(lock).st_uid == os.geteuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # in use
        finally:
            os.close(lock)

"""The storage of the last sweep, so that the commands after it need not be told where it is.

One line in the user's state folder (XDG Base Directory Specification); where that cannot be read or
written, nothing is remembered and nothing is said.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from xstilts.cli.app import err

DEFAULT = Path("runs")


def remember(storage: Path) -> None:
    """Remember a storage as that of the last sweep."""
    with suppress(OSError, RuntimeError):  # the latter: this user has no home
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{storage}\n")


def storage_of(given: Path | None, name: str | None) -> Path:
    """The storage that a command reads: the one that is given; else `./runs`; else, where that has
    no such sweep, the last one, which is named."""
    if given is not None:
        return given
    last = _last()
    if _holds(DEFAULT, name) or last is None:
        return DEFAULT
    if not _holds(last, name) and _holds(DEFAULT, None):
        return DEFAULT
    err.print(f"--storage {last}: that of the last sweep", markup=False, soft_wrap=True)
    return last


def _holds(storage: Path, name: str | None) -> bool:
    """Whether it is a storage, and has had a launch of that sweep."""
    from xstilts.run.places import Places
    from xstilts.run.storage import SWEEPS

    if not (storage / SWEEPS).is_dir():
        return False
    return name is None or Places(storage, name).definition() is not None


def _last() -> Path | None:
    try:
        last = Path(_file().read_text().rstrip("\n"))
    except (OSError, RuntimeError, ValueError):
        return None
    return last if last.is_absolute() and _holds(last, None) else None


def _file() -> Path:
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The specification has relative paths ignored.
    folder = named if named.is_absolute() else Path.home() / ".local" / "state"
    return folder / "xstilts" / "last-storage"

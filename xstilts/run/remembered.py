"""Which sweep a name means: in the storage that is given, else in `./runs`, else in the last one.

The storage of the last sweep is one line in the user's state folder (XDG Base Directory
Specification); where that cannot be read or written, nothing is remembered and nothing is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from xstilts.errors import ConfigError, Problem
from xstilts.files import PLAIN_NAME
from xstilts.run.places import Places, sweep_names
from xstilts.run.storage import SWEEPS, open_storage

DEFAULT = Path("runs")

RULE = "is a plain name: letters, digits, `.`, `_`, `-`, no path"


def find_sweep(
    name_or_folder: str | Path, storage: Path | None, tell: Callable[[str], Any]
) -> Places:
    """The folders of a sweep that a user named, or whose folder a user gave; it may have none.

    Args:
        name_or_folder: a plain name; or the sweep's folder, `<storage>/sweeps/<name>`, as a `Path`
            or as a text that holds a separator.
        storage: where the name is looked for; unless given, see `storage_of`.
        tell: called with a line where the last storage is taken, or one of an older format.

    Raises:
        ConfigError: the name is none that a sweep can have, or the folder none of a sweep.
    """
    name = str(name_or_folder)
    if isinstance(name_or_folder, Path) or os.sep in name:
        folder = Path(name_or_folder).expanduser().resolve()
        if folder.parent.name != SWEEPS or not folder.is_dir():
            raise ConfigError([Problem("NAME", f"{RULE}, or a sweep's folder", f'"{name}"')])
        name, storage = folder.name, folder.parents[1]
    if not PLAIN_NAME.fullmatch(name):
        raise ConfigError([Problem("NAME", RULE, f'"{name}"')])
    return Places(opened_storage(storage, tell, name), name)


def opened_storage(given: Path | None, tell: Callable[[str], Any], name: str | None = None) -> Path:
    """The folder of `storage_of`, seen to be one that this version reads if it holds sweeps.

    Raises:
        ConfigError: it is not.
    """
    root = storage_of(given, name, tell).expanduser().resolve()
    if (root / SWEEPS).is_dir():  # else there is nothing to open, which whoever reads says
        open_storage(root, tell)
    return root


def storage_of(given: Path | None, name: str | None, tell: Callable[[str], Any]) -> Path:
    """The storage that is read: the one that is given; else `./runs`; else, where that has no such
    sweep, the last one, which `tell` is called with."""
    if given is not None:
        return given
    last = _last()
    if _holds(DEFAULT, name) or last is None:
        return DEFAULT
    if not _holds(last, name) and _holds(DEFAULT, None):
        return DEFAULT
    tell(f"--storage {last}: that of the last sweep")
    return last


def remember(storage: Path) -> None:
    """Remember a storage as that of the last sweep."""
    with suppress(OSError, RuntimeError):  # the latter: this user has no home
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{storage}\n")


def _holds(storage: Path, name: str | None) -> bool:
    """Whether it has had a launch of that sweep, or of any: what only planned leaves none."""
    names = sweep_names(storage) if name is None else [name]
    return any(Places(storage, one).definition() is not None for one in names)


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

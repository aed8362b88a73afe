"""Processes of this machine, as tests ask for them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def is_process_alive(pid: int) -> bool:
    """Whether a process with this id exists and is no zombie."""
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

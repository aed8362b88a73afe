"""The command line.

Exit status 0: done; 1: it ran and failed; 2: the input is wrong and nothing was started; 75: a
sweep was stopped by a signal, and the same command goes on.
"""

from xstilts.cli import (
    benching,
    bundling,
    cleaning,
    data,
    exporting,
    languages,
    looking,
    opening,
    preparing,
    recipes,
    reporting,
    scoring,
    starting,
    submitting,
    sweeps,
)
from xstilts.cli.app import app

# Importing the modules registers their commands.
__all__ = [
    "app",
    "benching",
    "bundling",
    "cleaning",
    "data",
    "exporting",
    "languages",
    "looking",
    "main",
    "opening",
    "preparing",
    "recipes",
    "reporting",
    "scoring",
    "starting",
    "submitting",
    "sweeps",
]


def main() -> None:
    """The `xstilts` command."""
    app()

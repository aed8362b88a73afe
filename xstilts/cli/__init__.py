"""The command line.

Exit status 0: done; 1: it ran and failed; 2: the input is wrong and nothing was started.
"""

from xstilts.cli import data, exporting, preparing, scoring, sweeps  # noqa: F401 - importing them registers their commands
from xstilts.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """The `xstilts` command."""
    app()

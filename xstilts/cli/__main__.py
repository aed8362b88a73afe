"""`python -m xstilts.cli` is the `xstilts` command."""

from xstilts.cli import main

main()

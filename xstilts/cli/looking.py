"""The command that looks over all sweeps of a storage: what has ever helped a target."""

from __future__ import annotations

from typing import Annotated

import typer

from xstilts.cli.app import Json, Storage, command, note, out, print_json


@command("xstilts atlas mini_udpos")
def atlas(
    task: Annotated[str, typer.Argument(help="A target.", show_default=False)],
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Show which intermediates have ever helped a target, in all sweeps of a storage.

    A gain is within its sweep, of runs with fresh seeds where there are any, else of search's; no
    interval is corrected for how many are shown.
    """
    from xstilts.report.atlas import atlas as cells_of
    from xstilts.report.atlas import atlas_table
    from xstilts.run.remembered import opened_storage

    cells = cells_of(opened_storage(storage, note), task, note)
    if as_json:
        print_json([cell.to_json() for cell in cells])
    elif not cells:
        out.print(f"no intermediate has run before {task} yet", markup=False)
    else:
        out.print(atlas_table(cells, task))

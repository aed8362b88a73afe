"""`gc`: what may be deleted from a storage, and its deletion."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli.app import Json, command, note, out, print_json
from xstilts.errors import ConfigError, Problem


@command("xstilts gc --storage trial/runs")
def gc(
    name: Annotated[
        str | None,
        typer.Argument(help="A sweep whose weights are wanted no more; its scores stay."),
    ] = None,
    storage: Annotated[
        Path, typer.Option(help="The folder that sweep files name under `storage`.")
    ] = Path("runs"),
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; else only say.")] = False,
    as_json: Json = False,
) -> None:
    """Show what no sweep needs any more, and delete it if asked to."""
    from rich import box
    from rich.table import Table

    from xstilts.run.garbage import cleaning, delete_all, find_garbage
    from xstilts.run.remembered import find_sweep
    from xstilts.run.storage import open_storage

    if not (storage / "sweeps").is_dir():
        raise ConfigError([Problem("--storage", "holds no sweeps", f'"{storage}"')])
    root = storage.resolve()
    if name is not None:
        places = find_sweep(name, storage, note)
        root, name = places.storage, places.name
    open_storage(root, note)
    with cleaning(root) if delete else nullcontext() as lease:
        garbage = find_garbage(root, name)
        if lease is not None:
            delete_all(garbage, lease)
    if as_json:
        print_json([{"path": str(g.path), "why": g.reason, "bytes": g.num_bytes} for g in garbage])
        return
    if not garbage:
        out.print("nothing to delete")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what")
    for title in ("files and folders", "GB"):
        table.add_column(title, justify="right")
    for reason in dict.fromkeys(one.reason for one in garbage):
        sizes = [one.num_bytes for one in garbage if one.reason == reason]
        table.add_row(reason, f"{len(sizes):,}", f"{sum(sizes) / 1e9:,.3f}")
    out.print(table)
    total = sum(one.num_bytes for one in garbage) / 1e9
    out.print(f"{total:,.3f} GB deleted" if delete else f"{total:,.3f} GB; --delete deletes them")

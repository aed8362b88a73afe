"""The commands about data: the catalogue, original files into a mirror, files of one's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from xstilts.api import sweep_file
from xstilts.cli.app import Json, command, data_app, err, out, print_json
from xstilts.errors import ConfigError, Problem

SHOWN = 12
"""Lines of a list that the terminal shows."""

Root = Annotated[
    Path, typer.Option(help="The mirror: a folder in the layout of the Hub.", show_default=False)
]


@command("xstilts data list --json", data_app, "list")
def data_list(as_json: Json = False) -> None:
    """List the tasks that sweep files may name: the catalogue's, and those of installed plugins."""
    from xstilts.config.plugin_checks import plugin_problems
    from xstilts.tasks import known_tasks
    from xstilts.tasks.plugins import installed_plugins, load_plugin

    if problems := list(plugin_problems((), "data list")):
        raise ConfigError(problems)
    tasks = [(task, "xstilts") for task in known_tasks()]
    for module, package in installed_plugins().items():
        tasks += [(task, package) for task in load_plugin(module).tasks.values()]
    header = ("name", "role", "kind", "languages", "metric", "source", "package")
    rows = [
        (
            task.name,
            "target" if task.is_target else "intermediate" if task.is_trained else "parallel",
            task.kind,
            " ".join(task.languages),
            ", ".join(task.metrics) or "-",
            task.source.hub_id,
            package,
        )
        for task, package in tasks
    ]
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        # Where no plugin is installed, the column would say the same in every row.
        width = len(header) if installed_plugins() else header.index("package")
        lines = [(*row[:4], row[4].replace(", ", "\n"), *row[5:width]) for row in rows]
        _print_table(header[:width], lines, names=(0, 1, 2, 4))


@command("xstilts data import download --root mirror", data_app, "import")
def data_import(
    source: Annotated[
        Path,
        typer.Argument(help="A folder of original files, such as XTREME's `download`."),
    ],
    root: Root,
    as_json: Json = False,
) -> None:
    """Write original files of data sets into a mirror that sweeps read under `data.root`."""
    from xstilts.data.importers import import_folder
    from xstilts.errors import DataError

    try:
        with err.status("reading") as status:
            report = import_folder(
                source.expanduser(),
                root.expanduser(),
                lambda name, number, total: status.update(f"{number} of {total} files: {name}"),
            )
    except DataError as error:
        # The originals are the command's input, and nothing was written.
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    if as_json:
        print_json(
            {
                "seconds": report.seconds,
                "taken": [
                    {name: getattr(taken, name) for name in taken.__slots__}
                    for taken in report.taken
                ],
                "left_out": report.left_out,
                "unknown": report.unknown,
            }
        )
        return
    rows = Counter[str]()
    splits = Counter[str]()
    for taken in report.taken:
        rows[taken.hub_id] += taken.num_rows
        splits[taken.hub_id] += 1
    body = [(name, str(splits[name]), f"{rows[name]:,}") for name in rows]
    _print_table(("data set", "splits", "rows"), body, names=(0, 1, 2))
    rate = report.num_rows / max(report.seconds, 1e-9)
    out.print(f"{report.num_rows:,} rows in {report.seconds:.1f} s ({rate:,.0f} a second): {root}")
    _name("of no known format", report.unknown)
    for name, reason in list(report.left_out.items())[:SHOWN]:
        out.print(f"left out: {name}: {reason}", style="yellow", markup=False, soft_wrap=True)
    if len(report.left_out) > SHOWN:
        out.print(f"  ... and {len(report.left_out) - SHOWN} more; --json has all")


@command("xstilts data add reviews/train.csv reviews/test-de.jsonl", data_app, "add")
def data_add(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="files",
            help="The files of one task: CSV, TSV, JSON lines, Parquet, SQuAD, CoNLL.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Look at files and print the entry of `tasks` that reads them, to paste into a sweep file.

    Languages and splits are told by the files' names (train.csv, test-de.jsonl), columns and kind
    by the columns' names and values. What is odd goes to stderr.
    """
    from xstilts.data.guess import guess_task

    guess = guess_task(files)
    if as_json:
        print_json({name: getattr(guess, name) for name in guess.__slots__})
        return
    for use, by_language in guess.sizes.items():
        sizes = ", ".join(f"{language} {count:,}" for language, count in by_language.items())
        err.print(f"{use}: {sizes} rows", markup=False, soft_wrap=True)
    if guess.labels:
        labels = ", ".join(f"{label} {count:,}" for label, count in guess.labels.items())
        err.print(f"labels of train: {labels}", markup=False, soft_wrap=True)
    for line in guess.odd:
        err.print(f"odd: {line}", style="yellow", markup=False, soft_wrap=True)
    out.print(as_yaml({"tasks": {guess.name: guess.entry}}), markup=False, soft_wrap=True, end="")


def as_yaml(entry: Any) -> str:
    """An entry of a sweep file as people write it."""
    import yaml

    return str(yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=10**6))


@command("xstilts data check --root mirror", data_app, "check")
def data_check(
    file: Annotated[
        Path | None,
        typer.Argument(
            parser=sweep_file,
            metavar="file",
            help="A sweep file: what its own tasks read.",
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="A mirror: what it has for the tasks of the catalogue.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the own tasks of a sweep file read, or what a mirror has for which tasks."""
    if (file is None) == (root is None):
        repair = "write `data check FILE` or `data check --root MIRROR`"
        raise ConfigError([Problem("data check", "reads a sweep file or a mirror", repair=repair)])
    if file is not None:
        _check_own(file, as_json)
    elif root is not None:
        _check_mirror(root, as_json)


def _check_own(file: Path, as_json: bool) -> None:
    """Show what the files of a sweep's own tasks and pools hold."""
    from xstilts.config.load import load_sweep
    from xstilts.data.own import told
    from xstilts.data.own_pools import told_pools

    sweep = load_sweep(file)
    rows = told(sweep) + told_pools(sweep)
    if as_json:
        print_json(rows)
        return
    header = ("task", "use", "language", "rows", "labels")
    body = [
        (
            row["task"],
            row["use"],
            row["language"],
            f"{row['rows']:,}",
            "\n".join(f"{label} {count:,}" for label, count in row["labels"].items()),
        )
        for row in rows
    ]
    _print_table(header, body, names=(0, 1, 2, 3))


def _check_mirror(root: Path, as_json: bool) -> None:
    """Show which tasks a mirror has rows for, by use, and what is missing."""
    from xstilts.data.check import check_mirror

    found, broken = check_mirror(root.expanduser())
    for line in broken:
        err.print(line, style="red", markup=False, soft_wrap=True)
    if as_json:
        print_json([{name: getattr(row, name) for name in row.__slots__} for row in found])
        raise typer.Exit(1 if broken else 0)
    body = [
        (row.task, row.use, f"{row.num_rows:,}", f"{row.num_languages}/{row.of}", row.remark)
        for row in found
    ]
    _print_table(("task", "use", "rows", "languages", "remark"), body, names=(0, 1, 2, 3))
    deviations = list(dict.fromkeys(line for row in found for line in row.deviations))
    if deviations:
        out.print(f"{len(deviations)} splits have other than their published rows:")
        for line in deviations[:SHOWN]:
            out.print(f"  {line}", style="yellow", markup=False)
        if len(deviations) > SHOWN:
            out.print(f"  ... and {len(deviations) - SHOWN} more; --json has all")
    if broken:
        raise typer.Exit(1)


def _print_table(header: tuple[str, ...], rows: list[Any], names: tuple[int, ...] = (0,)) -> None:
    from rich import box
    from rich.table import Table

    from xstilts.report.columns import WholeNames

    table = Table(*header, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*row)
    out.print(WholeNames(table, names))


def _name(what: str, files: list[str]) -> None:
    """Name a few of the files that were not imported; all of them are in the JSON."""
    if files:
        shown = ", ".join(files[:3]) + (" ..." if len(files) > 3 else "")
        out.print(f"{len(files)} files {what}: {shown}", style="yellow", markup=False)

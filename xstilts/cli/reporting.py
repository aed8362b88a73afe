"""The command `report`, and how results show on a terminal: the answer first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xstilts.cli.app import (
    Json,
    Plugins,
    Storage,
    command,
    note,
    out,
    print_json,
    program,
    results_of,
    without_collector,
)
from xstilts.cli.studies import show_study, write_study
from xstilts.errors import ConfigError, ForeignExperiment, Problem, TrackingError, XstiltsError

if TYPE_CHECKING:
    from xstilts.report.results import Results

ONLY_IN_FILES = ("languages", "trials")
"""Tables that are too large for a terminal."""

FORMS = ("text", "markdown", "csv", "json")

PAGE = ".html"

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="The sweep's name or folder; of several, their verdicts. With --html also where the "
        "page is written, FILE.html.",
        show_default=False,
    ),
]


@command("xstilts report quickstart --html page.html")
@without_collector()
def report(
    names: Names,
    storage: Storage = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write one page, unless FILE.html in the report's folder")
    ] = False,
    latex: Annotated[
        Path | None, typer.Option(help="Write tables for a paper: a folder, or one FILE.tex.")
    ] = None,
    targets: Annotated[
        list[str] | None, typer.Option("--target", help="Of several sweeps: these targets.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Gains by groups of languages: family, class, script, seen (by the encoder in "
            "pretraining), or a column of `languages`.",
        ),
    ] = None,
    study: Annotated[
        bool, typer.Option("--study", help="Answer the question of the sweep's file.")
    ] = False,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv or json.")] = "text",
    as_json: Json = False,
    plugins: Plugins = False,
    sync: Annotated[bool, typer.Option("--sync", help="Bring MLflow up to date too.")] = False,
    server: Annotated[
        str | None,
        typer.Option(help="With --sync: an MLflow server instead of the one of the sweep's file."),
    ] = None,
) -> None:
    """Show the verdicts and tables of a sweep, and write its report and pictures; or its gains by
    groups of languages; or the answer to its study; or write a page, or tables for a paper; or
    compare the verdicts of several sweeps of one benchmark."""
    form = "json" if as_json else form
    if form not in FORMS:
        raise ConfigError([Problem("--format", f"is one of {', '.join(FORMS)}", f'"{form}"')])
    if server is not None and not (sync and server.startswith(("http://", "https://"))):
        rule = "is the address of an MLflow server, beside --sync"
        repair = "--sync --server http://host:5000"
        raise ConfigError([Problem("--server", rule, f'"{server}"', repair)])
    files = [name for name in names if name.endswith(PAGE)] if html and len(names) > 1 else []
    names = [name for name in names if name not in files]
    by = None if by is None else _column(by)
    is_of_one = html or latex is not None or sync or by is not None or study
    if study and by is not None:
        rule, repair = "has the groups that its file asks for", "leave out --by"
        raise ConfigError([Problem("--study", rule, "", repair)])
    _check(names, files, targets or [], is_of_one)
    found = [results_of(name, storage, plugins).details for name in names]
    if len(found) > 1:
        _compare(found, targets or [], form)
    elif study and (html or latex is not None):
        write_study(found[0], Path(files[0]) if files else None, html, latex)
    elif study:
        show_study(found[0], form)
    elif html or latex is not None:
        _write(found[0], Path(files[0]) if files else None, html, latex, by)
    elif by is not None:
        _show_groups(found[0], by, form)
    else:
        _show(found[0], form)
    if sync:
        _sync(found[0], server)


def _sync(results: Results, server: str | None) -> None:
    """Bring MLflow up to date."""
    from xstilts.driver import tracker_of
    from xstilts.report.publish import publish_sweep

    try:
        publish_sweep(tracker_of(results, server), results)
    except ForeignExperiment:
        raise
    except TrackingError as error:
        raise XstiltsError(f"MLflow was not brought up to date: {error}") from error


def _check(names: list[str], files: list[str], targets: list[str], is_of_one: bool) -> None:
    """See that what was asked for goes together.

    Raises:
        ConfigError: it does not.
    """
    told = f'"{" ".join(names)}"'
    if not names or len(files) > 1:
        rule = "one sweep and at most one FILE.html go with --html"
        raise ConfigError([Problem("NAME", rule, f'"{" ".join([*names, *files])}"')])
    if len(names) > 1 and is_of_one:
        rule, repair = "--html, --latex, --by, --study and --sync are of one sweep", "give one NAME"
        raise ConfigError([Problem("NAME", rule, told, repair)])
    if len(set(names)) < len(names):
        raise ConfigError([Problem("NAME", "each sweep is named once", told)])
    if targets and len(names) < 2:
        rule, repair = "is of several sweeps", "name two, or leave it out"
        raise ConfigError([Problem("--target", rule, told, repair)])


def _show(results: Results, form: str) -> None:
    """Write a sweep's report and show it."""
    from xstilts.report import documents, tables
    from xstilts.report.publish import write_report

    pictures = write_report(results)
    writers: dict[str, Callable[[], str]] = {
        "markdown": lambda: documents.as_markdown(results),
        "csv": lambda: tables.verdict_table(results).csv(),
        "json": lambda: documents.as_json_text(results),
    }
    if form == "text":
        print_results(results, pictures)
    else:
        sys.stdout.write(writers[form]())


def _column(by: str) -> str:
    from xstilts.report.groups import column_of  # imports numpy

    return column_of(by)


def _show_groups(results: Results, by: str, form: str) -> None:
    """Show gains by groups of languages, and write them beside the report's files."""
    from xstilts.files import write_atomically
    from xstilts.report.groups import ROWS, group_rows, group_table, grouped
    from xstilts.report.table import csv_text

    found = grouped(results, by)
    rows = group_rows(found, by)
    text = csv_text(ROWS, [list(row.values()) for row in rows])
    results.places.report.mkdir(exist_ok=True)
    write_atomically(results.places.report / f"by-{by}.csv", text)
    tables = [group_table(one, by) for one in found]
    if form == "text":
        for table in tables:
            out.print(table.rich())
        if not tables:
            note("no trial has finished")
    elif form == "json":
        print_json(rows)
    else:
        sys.stdout.write(text if form == "csv" else "\n".join(one.markdown() for one in tables))


def _write(
    results: Results, file: Path | None, html: bool, latex: Path | None, by: str | None
) -> None:
    """Write a page, or tables for a paper; of a sweep that is not finished too."""
    from xstilts.report.unfinished import unfinished

    written = []
    if html:
        from xstilts.report.page import write_page

        written.append(write_page(results, file or results.places.report / f"report{PAGE}", by))
    if latex is not None:
        from xstilts.report.latex import write_latex

        written += write_latex(results, latex, by)
    for path in written:
        out.print(str(path), markup=False, soft_wrap=True)
    if missing := unfinished(results):
        note(f"{results.sweep.name} is not finished, and marked so: {missing}")


def _compare(found: list[Results], targets: list[str], form: str) -> None:
    """Show the verdicts of several sweeps."""
    from xstilts.report.sweeps_table import sweeps_table

    table = sweeps_table(found, targets)
    if form == "text":
        out.print(table.rich())
    elif form == "json":
        print_json(table.records())
    else:
        sys.stdout.write(table.markdown() if form == "markdown" else table.csv())


def print_results(results: Results, pictures: list[Path]) -> None:
    """The verdicts, what stands behind them, the tables, what a reader must know."""
    from xstilts.report.verdict_table import verdict_lines

    if results.finished:
        shown = {name: t for name, t in results.tables.items() if name not in ONLY_IN_FILES}
        out.print(shown.pop("best").rich())
        for line in verdict_lines(results, program()):
            # A command is copied, so that the terminal wraps it and not we.
            out.print(line, markup=False, soft_wrap=line.startswith(" "))
        for table in shown.values():
            out.print(table.rich())
    print_lines(results.warnings())
    print_trial_lines(results)
    for picture in pictures:
        out.print(f"Picture:   {picture}", soft_wrap=True)


def print_trial_lines(results: Results) -> None:
    """How a trial that was named is opened, exported and rebuilt."""
    from xstilts.report.trial_hints import trial_lines

    if results.finished:
        for line in trial_lines(results, program()):
            out.print(line, markup=False, soft_wrap=line.startswith(" "))


def print_lines(lines: list[str]) -> None:
    """What a reader must know, in another colour."""
    for line in lines:
        out.print(line, style="yellow", markup=False)

"""The commands about sweeps: arguments in, tables out, and the wiring of the packages below."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xstilts.cli.app import (
    QUICKSTART,
    File,
    Json,
    Name,
    Overrides,
    Storage,
    command,
    err,
    inputs_of,
    out,
    places_of,
    print_json,
    program,
    sweep_file,
)
from xstilts.cli.remembered import remember, storage_of
from xstilts.errors import ConfigError, Problem, XstiltsError
from xstilts.search.connection import check_address, quieten

if TYPE_CHECKING:
    from xstilts.config.schema import Sweep
    from xstilts.run.places import Places

STOPPED = 75
"""The exit status of a sweep that was stopped by a signal and goes on with the same command: what
`sysexits.h` calls a temporary failure, which schedulers start again."""


@command("xstilts quickstart --dir trial")
def quickstart(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where to run it; made if it is not there.")
    ] = Path("xstilts-quickstart"),
) -> None:
    """Run a real sweep on the miniature benchmark, which the package brings; about 4 minutes."""
    file = sweep_file(QUICKSTART)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([Problem("--dir", "cannot be made", str(error))]) from error
    out.print(f"Sweep file: {file}\nFolder:     {directory.resolve()}", soft_wrap=True)
    _sweep(file, base=directory.resolve(), address=None, with_rehearsal=False, overrides=[])


@command("xstilts validate builtin:quickstart")
def validate(
    files: Annotated[
        list[Path],
        typer.Argument(parser=sweep_file, metavar="files", help="Sweep files.", show_default=False),
    ],
    as_json: Json = False,
) -> None:
    """Show every problem of the sweep files at once, and of the files of their own tasks."""
    from xstilts.config.derive import normalised_rates
    from xstilts.config.load import load_sweep

    problems: dict[str, list[str]] = {}
    for file in files:
        try:
            sweep = load_sweep(file)
            for line in normalised_rates(sweep):
                err.print(f"{file}: {line}", markup=False, soft_wrap=True)
            problems[str(file)] = [str(problem) for problem in _wrong_files(sweep)]
        except ConfigError as error:
            problems[str(file)] = [str(problem) for problem in error.problems]
    if as_json:
        print_json(problems)
    else:
        for file_name, lines in problems.items():
            for line in lines or [f"{file_name}: valid"]:
                out.print(line, markup=False, soft_wrap=True)
    raise typer.Exit(2 if any(problems.values()) else 0)


def _wrong_files(sweep: Sweep) -> list[Problem]:
    """What is wrong with the files of a sweep's own tasks; most sweeps have none."""
    if not any(spec.files for spec in sweep.tasks.values()):
        return []
    from xstilts.data.own import check_own_tasks  # imports pyarrow, a second for all others

    return check_own_tasks(sweep)


@command("xstilts plan builtin:quickstart")
def plan(
    file: File,
    overrides: Overrides = None,
    bench: Annotated[
        Path | None, typer.Option(help="A file of `xstilts bench --out`: adds the hours.")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="A file of `ray up`: how many trials its nodes run.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a sweep will do: trials, stages, what exists, examples, steps, disk, hours."""
    sweep, places, inventory = inputs_of(file, overrides)
    from xstilts.report.forecast import forecast, forecast_tables
    from xstilts.run.store import Store
    from xstilts.search.proposals import target_points

    summary = forecast(
        sweep,
        inventory,
        target_points(sweep),
        Store(places.storage),
        places,
        bench,
        cluster,
    )
    if as_json:
        print_json(summary)
    else:
        out.print(forecast_tables(summary))


@command("xstilts sweep builtin:quickstart")
def sweep(
    file: File,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster (`auto`: this machine's); none starts its own."),
    ] = None,
    rehearse: Annotated[
        bool | None,
        typer.Option(
            help="Try every sort of stage for at most 20 steps first; unless said, on a cluster."
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain", help="Train finished stages again where a trial has other processes."
        ),
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Launch a sweep, or resume it after an interruption: the same command.

    Ctrl-C once: running trials write a checkpoint and the sweep stops; twice: it stops at once.
    Exit status 75 says that it was stopped so and goes on with the same command.
    """
    with_rehearsal = address is not None if rehearse is None else rehearse
    _sweep(file, Path.cwd(), address, with_rehearsal, overrides or [], retrain)


@command("xstilts run builtin:quickstart --point '{intermediate: nli}'")
def run(
    file: File,
    overrides: Overrides = None,
    trial: Annotated[
        str | None, typer.Option(help="Rebuild this trial of the sweep from its record.")
    ] = None,
    point: Annotated[
        str, typer.Option(help="The trial's parameters in YAML; absent ones are drawn.")
    ] = "{intermediate: none}",
    seed: Annotated[int | None, typer.Option(help="The trial's seed; the file's first.")] = None,
    as_json: Json = False,
) -> None:
    """Run one trial in this process, without Ray."""
    sweep, places, inventory = inputs_of(file, overrides)
    from xstilts.plan.plan import Planner
    from xstilts.run.single import run_single
    from xstilts.search.proposals import target_points

    planner = Planner(sweep, inventory, target_points(sweep))
    record = run_single(planner, places, trial, point, seed, err.print)
    if as_json:
        print_json(record)
    else:
        metrics = record["metrics"].items()
        for key, value in metrics:
            if key.endswith(("/avg", "/zero_shot")) or key.startswith(("dev/", "group/")):
                out.print(f"{key:<32} {value:6.2f}")
        out.print(f"{record['trial']}: {record['state']}")
    if record["state"] != "finished":
        raise typer.Exit(1)


@command("xstilts status quickstart")
def status(name: Name, storage: Storage = None, as_json: Json = False) -> None:
    """Show where a sweep stands, running or not."""
    import time

    from xstilts.report.columns import WholeNames
    from xstilts.report.live import render, trial_views
    from xstilts.report.results import load_results
    from xstilts.report.usage import usage
    from xstilts.run.states import TrialStates

    results, now = load_results(places_of(storage_of(storage, name), name)), time.time()
    states = TrialStates(results.places).look()
    views, hours = trial_views(states, now), usage(results, now)
    if as_json:
        print_json({"trials": [asdict(view) for view in views], "hours": asdict(hours)})
        return
    begun = min((state.started for state in states), default=now)
    over = max((state.ended or now for state in states), default=now)
    out.print(WholeNames(render(results.sweep, views, over - begun, len(views))))
    out.print(str(hours), highlight=False)
    _print_lines(results.warnings())


@command("xstilts report quickstart --format markdown")
def report(
    name: Name,
    storage: Storage = None,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv or json.")] = "text",
    as_json: Json = False,
    sync: Annotated[bool, typer.Option("--sync", help="Bring MLflow up to date too.")] = False,
) -> None:
    """Show the tables of a sweep and write its report and pictures."""
    from xstilts.report import tables
    from xstilts.report.publish import try_publish, write_report
    from xstilts.report.results import load_results

    form = "json" if as_json else form
    writers: dict[str, Callable[[], str]] = {
        "markdown": lambda: tables.as_markdown(results),
        "csv": lambda: tables.best_table(results).csv(),
        "json": lambda: tables.as_json_text(results),
    }
    if form not in ("text", *writers):
        known = "text, markdown, csv, json"
        raise ConfigError([Problem("--format", f"is one of {known}", f'"{form}"')])
    results = load_results(places_of(storage_of(storage, name), name))
    pictures = write_report(results)
    if form == "text":
        _print_results(results, pictures)
    else:
        sys.stdout.write(writers[form]())
    if sync and (trouble := try_publish(_tracker(results), results)):
        raise XstiltsError(f"MLflow was not brought up to date: {trouble}")


@command("xstilts ui quickstart --port 5000")
def ui(
    name: Annotated[str | None, typer.Argument(help="The sweep's name.")] = None,
    storage: Storage = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Open the MLflow UI on the sweep's store, on loopback; it ends with this command."""
    from xstilts.cli.serving import serve, why_not
    from xstilts.report.results import load_results
    from xstilts.run.places import ARTIFACTS
    from xstilts.tracking.moved import bring_along

    root = storage_of(storage, name)
    uri = f"sqlite:///{root.resolve() / 'mlflow.db'}"
    if name is not None:
        results = load_results(places_of(root, name))
        uri = results.places.tracking_uri(results.sweep)
    elif not (root / "mlflow.db").exists():
        raise ConfigError([Problem("--storage", "holds no MLflow store", f'"{root}"')])
    if not uri.startswith("sqlite:"):
        out.print(f"The sweep's runs are on the server {uri}")
        return
    database = Path(uri.removeprefix("sqlite:///"))
    bring_along(database, database.parent / ARTIFACTS)
    if reason := why_not(port):
        raise ConfigError([Problem("--port", reason, str(port), "give another one")])
    out.print(f"http://127.0.0.1:{port} shows {uri}; Ctrl-C ends it")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    try:
        raise typer.Exit(serve(command, {**os.environ, **quiet}))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _sweep(
    file: Path,
    base: Path,
    address: str | None,
    with_rehearsal: bool,
    overrides: list[str],
    with_retraining: bool = False,
) -> None:
    quieten(address)
    if address is not None:
        check_address(address)
    sweep, places, inventory = inputs_of(file, overrides, base)
    from xstilts.cli.preparing import prepare_all
    from xstilts.report.live import watching
    from xstilts.report.mirror import Mirror
    from xstilts.report.publish import try_publish, write_report
    from xstilts.report.results import load_results
    from xstilts.run.kept import Keeper
    from xstilts.run.preparation import PARALLEL_ROWS, jobs_of, missing_jobs
    from xstilts.run.states import TrialStates
    from xstilts.search import launch

    trouble, was_stopped = "", False
    with launch.prepared(sweep, places, inventory, with_retraining) as ready:
        results = load_results(places)
        tracker = _tracker(results)
        remember(places.storage)
        for line in ready.told():
            out.print(line, markup=False)
        if launch.is_complete(ready):
            places.begin(ready.lease.number)
            out.print(f"{sweep.name}: everything is done already")
        else:
            tracker.check()
            keeper = Keeper(sweep, places, ready.lease.number, ready.check)
            mirror = Mirror(tracker, results)
            jobs = jobs_of(ready.planner)
            missing = missing_jobs(jobs, places.storage, inventory)
            if sum(job.num_rows for job in missing) > PARALLEL_ROWS:
                prepare_all(missing, places.storage, inventory)
            was_stopped = True
            view = watching(out, sweep, TrialStates(places), keeper.step, mirror.step)
            with suppress(KeyboardInterrupt), view:
                was_stopped = launch.run_trials(ready, address, err.print, with_rehearsal)
        is_complete = launch.is_complete(ready)
        results = load_results(places)
        pictures = write_report(results)
        trouble = try_publish(tracker, results)
    _print_results(results, pictures)
    if trouble:
        err.print(
            f"MLflow is not up to date ({trouble}); `{_command('report', places)} --sync` "
            "brings it up to date when it can be reached.",
            style="yellow",
            markup=False,
        )
    out.print(f"MLflow UI: {_command('ui', places)}", markup=False, soft_wrap=True)
    if not is_complete:
        if not results.failed:
            err.print("The sweep is not finished; the same command goes on where it stopped.")
        raise typer.Exit(STOPPED if was_stopped else 1)


def _command(name: str, places: Places) -> str:
    """A command about a sweep, as it can be typed here."""
    where = Path(os.path.relpath(places.storage))
    if ".." in where.parts:
        where = places.storage
    return f"{program()} {shlex.join([name, places.name, '--storage', str(where)])}"


def _tracker(results: Any) -> Any:
    from xstilts.run.places import ARTIFACTS
    from xstilts.tracking.mlflow import MlflowTracker

    places = results.places
    uri = places.tracking_uri(results.sweep)
    return MlflowTracker(uri, results.sweep.name, places.storage / ARTIFACTS)


def _print_results(results: Any, pictures: list[Path]) -> None:
    from xstilts.report.tables import best_table, collapsed_table, grid_table, matched_table

    if results.finished:
        out.print(best_table(results).rich())
        out.print(grid_table(results).rich())
        for table in (collapsed_table(results), matched_table(results)):
            if table is not None:
                out.print(table.rich())
    _print_lines(results.warnings())
    for picture in pictures:
        out.print(f"Picture:   {picture}", soft_wrap=True)


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        out.print(line, style="yellow", markup=False)

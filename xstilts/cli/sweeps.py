"""The commands about sweeps: arguments in, tables out, and the wiring of the packages below."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from xstilts import api
from xstilts.api import QUICKSTART, sweep_file
from xstilts.cli.app import (
    File,
    Json,
    Name,
    Overrides,
    Part,
    Plugins,
    Storage,
    command,
    err,
    inputs_of,
    note,
    out,
    print_json,
    program,
    results_of,
    without_collector,
)
from xstilts.cli.reporting import print_lines, print_results, print_trial_lines
from xstilts.errors import ConfigError, Problem, SweepStopped

if TYPE_CHECKING:
    from xstilts.config.schema import Sweep
    from xstilts.plan.inventory import Inventory
    from xstilts.run.places import Places

MOST_SHOWN = 100
"""Of the trials that have ended, how many `status` lists; thousands are read by nobody."""


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
    from xstilts.config.derive import benchmark_holes, normalised_rates

    problems: dict[str, list[str]] = {}
    for file in files:
        try:
            sweep = api.load_sweep(file)
            for line in (*normalised_rates(sweep), *benchmark_holes(sweep)):
                note(f"{file}: {line}")
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
    """What is wrong with the files of a sweep's own tasks and pools; most sweeps have none."""
    if not (sweep.pools or any(spec.files for spec in sweep.tasks.values())):
        return []
    from xstilts.data.own import check_own_tasks  # imports pyarrow, a second for all others
    from xstilts.data.own_pools import check_own_pools

    return check_own_tasks(sweep) + check_own_pools(sweep)


@command("xstilts plan builtin:quickstart")
def plan(
    file: File,
    overrides: Overrides = None,
    part: Part = None,
    bench: Annotated[
        Path | None, typer.Option(help="A file of `xstilts bench --out`: adds the hours.")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="A file of `ray up`: how many trials its nodes run.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="A node type's price an hour, as gpu=0.45: adds what it costs."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a sweep will do: trials, stages, what exists, examples, steps, disk, hours."""
    from xstilts.report.cluster_nodes import prices_of

    prices = prices_of(price or [])
    if prices and cluster is None:
        raise ConfigError([Problem("--price", "is of the node types of a --cluster", "none")])
    sweep = api.load_sweep(file, overrides or [], part=part)
    summary = api.plan(sweep, bench=bench, cluster=cluster, prices=prices, tell=note).summary
    if as_json:
        print_json(summary)
    else:
        from xstilts.report.forecast import forecast_tables

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
    part: Part = None,
) -> None:
    """Launch a sweep, or resume it after an interruption: the same command.

    Ctrl-C once: running trials write a checkpoint and the sweep stops; twice: it stops at once.
    Exit status 75 says that it was stopped so, or by SIGTERM or SIGHUP, and goes on with the same
    command; 1, that it failed.
    """
    with_rehearsal = address is not None if rehearse is None else rehearse
    _sweep(file, Path.cwd(), address, with_rehearsal, overrides or [], retrain, part)


@command("xstilts confirm quickstart --top 2 --seeds 5")
def confirm(
    name: Name,
    storage: Storage = None,
    top: Annotated[
        int | None,
        typer.Option(help="The leaders of each target, by dev; the file's, or 3."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many fresh seeds; the file's, or 5.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster (`auto`: this machine's); none starts its own."),
    ] = None,
    plugins: Plugins = False,
) -> None:
    """Run the leaders of a sweep that has ended, and the baseline, again with fresh seeds.

    What is done already is read. It is what `confirm` in a sweep file does once search has ended.
    """
    from xstilts.config.load import with_confirmation
    from xstilts.driver import inputs_of as inputs
    from xstilts.run.reopen import planner_of
    from xstilts.run.stopping import ending_on_signals

    _connect(address)
    with ending_on_signals(name):
        details = results_of(name, storage, plugins).details
        stored = planner_of(details.places, details.folder, plugins).sweep
        sweep = with_confirmation(stored, top, seeds)
        sweep = sweep.model_copy(update={"storage": str(details.places.storage)})
        places, inventory = inputs(sweep, note)
        _drive(sweep, places, inventory, address, with_rehearsal=False, must_have_ended=True)


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
    given = yaml.safe_load(point)
    if not isinstance(given, dict):
        rule = "is a mapping of parameters"
        raise ConfigError([Problem("--point", rule, f'"{point}"', "{intermediate: none}")])
    sweep = api.load_sweep(file, overrides or [])
    done = api.run_trial(sweep, given, seed=seed, trial=trial, tell=note)
    if as_json:
        print_json(done.record)
    else:
        from xstilts.report.tables import headlines

        for name, value in headlines(sweep, done).items():
            out.print(f"{name:<32} {value:6.2f}")
        out.print(f"{done.trial}: {done.state}")
    if done.state != "finished":
        raise typer.Exit(1)


@command("xstilts status quickstart")
@without_collector()
def status(
    name: Name, storage: Storage = None, plugins: Plugins = False, as_json: Json = False
) -> None:
    """Show where a sweep stands, running or not; of many trials that have ended the last ones, with
    --json all."""
    import time

    from xstilts.report.columns import WholeNames
    from xstilts.report.glance import glance
    from xstilts.report.live import render, trial_views
    from xstilts.report.results import launched
    from xstilts.report.standings import standings
    from xstilts.report.usage import usage
    from xstilts.run.confirmation import num_confirming
    from xstilts.run.remembered import find_sweep

    places = find_sweep(name, storage, note)
    sweep, folder = launched(places, plugins)
    seen, now = glance(sweep, places, folder), time.time()
    states, results = seen.states, seen.results
    views, hours = trial_views(states, now), usage(results, now, seen.holdings)
    count = num_confirming(places, sweep)
    race = standings(sweep, seen.trials)
    if as_json:
        shown = [asdict(view) for view in views]
        told = {"trials": shown, "confirming": count, "hours": asdict(hours)}
        print_json({**told, "race": [asdict(one) for one in race]} if race else told)
        return
    begun = min((state.started for state in states), default=now)
    over = max((state.ended or now for state in states), default=now)
    table = render(sweep, views, over - begun, MOST_SHOWN, count, race)
    out.print(WholeNames(table))
    out.print(str(hours), highlight=False)
    print_lines(results.warnings())
    print_trial_lines(results)


def _sweep(
    file: Path,
    base: Path,
    address: str | None,
    with_rehearsal: bool,
    overrides: list[str],
    with_retraining: bool = False,
    part: str | None = None,
) -> None:
    from xstilts.run.stopping import ending_on_signals

    _connect(address)
    with ending_on_signals(str(file)):
        with err.status("checking the sweep file and what it names"):
            inputs = inputs_of(file, overrides, base, part)
        _drive(*inputs, address, with_rehearsal, with_retraining)


def _connect(address: str | None) -> None:
    """Keep Ray quiet, and see that a cluster is there before anything else is looked at."""
    from xstilts.search.connection import check_address, quieten

    quieten(address)
    if address is not None:
        check_address(address)


def _drive(
    sweep: Sweep,
    places: Places,
    inventory: Inventory,
    address: str | None,
    with_rehearsal: bool,
    with_retraining: bool = False,
    must_have_ended: bool = False,
) -> None:
    from xstilts.driver import Terminal, drive

    with Terminal(out, err) as view:
        driven = drive(
            sweep,
            places,
            inventory,
            view,
            address,
            with_rehearsal,
            with_retraining,
            must_have_ended,
        )
    print_results(driven.results, driven.pictures)
    if driven.trouble:
        err.print(
            f"MLflow is not up to date ({driven.trouble}); `{_command('report', places)} --sync` "
            "brings it up to date when it can be reached.",
            style="yellow",
            markup=False,
        )
    out.print(f"MLflow UI: {_command('ui', places)}", markup=False, soft_wrap=True)
    if not driven.is_complete:
        if not driven.results.failed:
            err.print("The sweep is not finished; the same command goes on where it stopped.")
        raise typer.Exit(SweepStopped.exit_status if driven.was_stopped else 1)


def _command(name: str, places: Places) -> str:
    """A command about a sweep, as it can be typed here."""
    where = Path(os.path.relpath(places.storage))
    if ".." in where.parts:
        where = places.storage
    return f"{program()} {shlex.join([name, places.name, '--storage', str(where)])}"

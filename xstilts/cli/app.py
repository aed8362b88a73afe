"""What all commands share: the application, its consoles, its options, and how errors show."""

from __future__ import annotations

import gc
import json
import logging
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from rich.console import Console

from xstilts import __version__, api
from xstilts.api import sweep_file
from xstilts.errors import XstiltsError
from xstilts.files import is_disk_full

if TYPE_CHECKING:
    from xstilts.config.schema import Sweep
    from xstilts.plan.inventory import Inventory
    from xstilts.report.sweep_results import SweepResults
    from xstilts.run.places import Places

app = typer.Typer(
    help="Sweeps over intermediate tasks (STILTs) for zero-shot cross-lingual transfer.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="The catalogue of tasks, mirrors, and files of your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def program() -> str:
    """This command as it was called, so that what is printed with it works where it is printed."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m xstilts.cli"
    if called.name != "xstilts":  # called by Python
        return "xstilts"
    found = shutil.which("xstilts")
    is_on_path = found is not None and called.exists() and called.samefile(found)
    return "xstilts" if is_on_path else shlex.quote(sys.argv[0])


File = Annotated[
    Path,
    typer.Argument(parser=sweep_file, metavar="file", help="A sweep file.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="The sweep's name or folder.", show_default=False)]
Storage = Annotated[
    Path | None,
    typer.Option(
        help="The folder that the sweep file names under `storage`; unless said, ./runs or that "
        "of the last sweep.",
    ),
]
Plugins = Annotated[
    bool, typer.Option("--plugins", help="Import the plugins that the stored sweep names.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Replace a value of the file.")
]
Part = Annotated[
    str | None, typer.Option(help="The part of the study that runs, as its study.models name it.")
]
P = ParamSpec("P")


def command(
    example: str, registry: typer.Typer = app, name: str | None = None
) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Register a command whose users' errors are one clear line each, and show its examples."""

    def register(function: Callable[P, None]) -> Callable[P, None]:
        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(*args, **kwargs)
            except XstiltsError as error:
                err.print(str(error), style="red", markup=False, soft_wrap=True)
                raise typer.Exit(error.exit_status) from None
            except OSError as error:
                if not is_disk_full(error):
                    raise
                line = f"{error}; make space, then the same command goes on"
                err.print(line, style="red", markup=False, soft_wrap=True)
                raise typer.Exit(1) from None

        # After the mark the line is left whole, or it could not be copied.
        shown = f"Example: {example.replace('xstilts', program(), 1)}"
        registry.command(name=name, epilog=f"\b\n{shown}")(guarded)
        return function

    return register


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def results_of(name: str, storage: Path | None, with_plugins: bool) -> SweepResults:
    """The results of a sweep that a user named, in the storage that was given or found.

    Raises:
        ConfigError: there is no sweep of that name, or it cannot be read without a plugin.
    """
    return api.open_results(name, storage, tell=note, with_plugins=with_plugins)


@contextmanager
def without_collector() -> Iterator[None]:
    """Have Python look for no cycles meanwhile. The records of thousands of trials are millions of
    objects that stay, and to go through them again and again is a fifth of a report's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def note(line: str) -> None:
    """Tell on standard error what is worth knowing, in a line that can be copied."""
    err.print(line, markup=False, soft_wrap=True)


def inputs_of(
    file: Path,
    overrides: list[str] | None = None,
    base: Path | None = None,
    part: str | None = None,
) -> tuple[Sweep, Places, Inventory]:
    """A sweep file, its folders and what it names, all checked.

    Raises:
        ConfigError: the file is wrong, the storage cannot serve, or an input is missing.
    """
    from xstilts.driver import inputs_of as inputs

    sweep = api.load_sweep(file, overrides or [], part=part)
    places, inventory = inputs(sweep, note, base)
    return sweep, places, inventory


def _version(is_wanted: bool) -> None:
    if is_wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(stream=sys.stderr, level=level, format="%(name)s: %(message)s")

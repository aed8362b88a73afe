"""The command that opens MLflow where the answers are: at a sweep's runs, best first."""

from __future__ import annotations

import os
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xstilts.cli.app import Plugins, Storage, command, err, note, out, results_of
from xstilts.errors import ConfigError, Problem, TrackingError

if TYPE_CHECKING:
    from xstilts.report.results import Results

START_S = 120.0
"""How long MLflow's server may take until it listens."""

Browser = Annotated[
    bool | None,
    typer.Option(
        "--browser/--no-browser",
        help="Open the first link in a browser; unless said, from a terminal with a display.",
    ),
]


@command("xstilts ui quickstart --port 5000")
def ui(
    name: Annotated[str | None, typer.Argument(help="The sweep's name or folder.")] = None,
    storage: Storage = None,
    plugins: Plugins = False,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    browser: Browser = None,
) -> None:
    """Open the MLflow UI on the sweep's store, on loopback; it ends with this command.

    The links that it prints open the sweep's runs by the objective, its intermediates compared and
    its heat maps.
    """
    from xstilts.cli.serving import why_not
    from xstilts.run.places import ARTIFACTS
    from xstilts.run.remembered import storage_of
    from xstilts.tracking.moved import bring_along

    results = None
    if name is not None:
        opened = results_of(name, storage, plugins)
        results, uri = opened.details, opened.tracking_uri
    else:
        root = storage_of(storage, None, note)
        if not (root / "mlflow.db").exists():
            raise ConfigError([Problem("--storage", "holds no MLflow store", f'"{root}"')])
        uri = f"sqlite:///{root.resolve() / 'mlflow.db'}"
    if not uri.startswith("sqlite:"):
        out.print(f"The sweep's runs are on the server {uri}")
        _show(_links(results, uri), browser, wait_for=None)
        return
    database = Path(uri.removeprefix("sqlite:///"))
    home = database.parent if results is None else results.places.storage
    bring_along(database, home / ARTIFACTS)
    if reason := why_not(port):
        raise ConfigError([Problem("--port", reason, str(port), "give another one")])
    url = f"http://127.0.0.1:{port}"
    out.print(f"{url} shows {uri}; Ctrl-C ends it", soft_wrap=True)
    _show(_links(results, url), browser, wait_for=port)
    _serve(uri, port)


def _links(results: Results | None, server: str) -> list[tuple[str, str]]:
    """The name and the address of every view of a sweep; none if MLflow does not take them."""
    from xstilts.driver import tracker_of
    from xstilts.report.publish import publish_views, views_of

    if results is None:
        return []
    tracker = tracker_of(results)
    try:
        publish_views(tracker, results)
        number = tracker.experiment()
    except TrackingError as error:
        err.print(f"No links: {error}", style="yellow", markup=False, soft_wrap=True)
        return []
    return [(view.name, view.link(server, number)) for view in views_of(results)]


def _show(links: Sequence[tuple[str, str]], browser: bool | None, wait_for: int | None) -> None:
    """Print links, and open the first, once the port to wait for listens."""
    for name, link in links:
        # A link is copied, so that the terminal wraps it and not we.
        out.print(f"{name}:\n  {link}", markup=False, soft_wrap=True)
    sys.stdout.flush()  # whoever reads them through a pipe is not to wait for the server's end
    if browser is None:
        has_display = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
        browser = out.is_terminal and bool(has_display)
    if browser and links:
        arguments = (links[0][1], wait_for)
        threading.Thread(target=_open, args=arguments, daemon=True).start()


def _open(link: str, port: int | None) -> None:
    from xstilts.cli.serving import why_not

    over = time.monotonic() + START_S
    while port is not None and not why_not(port) and time.monotonic() < over:
        time.sleep(0.5)
    webbrowser.open(link)


def _serve(uri: str, port: int) -> None:
    from xstilts.cli.serving import serve

    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    try:
        raise typer.Exit(serve(command, {**os.environ, **quiet}))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None

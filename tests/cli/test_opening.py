"""`xstilts ui NAME`: its links, and what a browser shows that opens them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from xstilts.report.publish import publish_sweep, write_report
from xstilts.report.results import load_results
from xstilts.run.places import Places
from xstilts.tracking.mlflow import MlflowTracker

from ..report.test_page_in_browser import browser  # noqa: F401
from ..report.test_report import places  # noqa: F401
from ..stories.hosts_of_one import free_port

CELLS = """() => [...document.querySelectorAll('[role=row][row-index] [role=gridcell][col-id]')]
  .map(cell => [cell.getAttribute('col-id'), parseInt(cell.style.left),
                parseInt(cell.closest('[row-index]').getAttribute('row-index')), cell.innerText])"""
OWN = ("metrics.", "params.")
HEADING = r'section-header".{1,400}?>([^<>]+)</div><div[^>]*>\((\d+)\)<'
START_S = 120
SHOWN_S = 120
RUNS, COLUMNS = 8, 6

T = TypeVar("T")


@contextmanager
def opened(places: Places) -> Iterator[dict[str, str]]:  # noqa: F811
    """`xstilts ui`: its links by the name of their view, while it runs."""
    command = [sys.executable, "-m", "xstilts.cli", "ui", places.name, "--no-browser"]
    server = subprocess.Popen(
        [*command, "--storage", str(places.storage), "--port", str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        first, *lines = [server.stdout.readline().strip() for _ in range(7)]
        wait_for_the_server(first.partition(" ")[0])
        yield dict(zip([name[:-1] for name in lines[::2]], lines[1::2], strict=True))
    finally:
        server.terminate()  # what runs in the background ignores SIGINT
        server.communicate(timeout=60)


def wait_for_the_server(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=10).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.2)


def shown(chromium: Any, link: str, read: Callable[[Any], T], is_whole: Callable[[T], bool]) -> T:
    """What is read off a page once that is whole, or has had all the time there is: its parts come
    one after the other, and late on a machine that is busy."""
    page = chromium.new_page(viewport={"width": 3000, "height": 1200})
    try:
        page.goto(link)
        deadline = time.monotonic() + SHOWN_S
        while not is_whole(found := read(page)) and time.monotonic() < deadline:
            page.wait_for_timeout(200)
    finally:
        page.close()
    return found


def test_the_links_open_runs_sorted_by_the_objective_with_their_scores(
    browser: Any,  # noqa: F811
    places: Places,  # noqa: F811
) -> None:
    results = load_results(places)
    write_report(results)
    uri, artifacts = f"sqlite:///{places.storage / 'mlflow.db'}", places.storage / "mlartifacts"
    publish_sweep(MlflowTracker(uri, "s", artifacts), results)
    with opened(places) as links:
        of_runs, of_charts, of_pictures = links.values()
        by_column = shown(browser, of_runs, cells, has_all_rows)
        compared, heat_maps = (
            shown(browser, link, lambda page: str(page.content()), has)
            for link, has in (
                (of_charts, lambda dom: "Group: none" in dom and "Group: nli" in dom),
                (of_pictures, lambda dom: "<img" in dom and bool(headings(dom))),
            )
        )
    assert by_column["metrics.`dev/avg`"] == ["99", "62", "60", "55", "55", "52", "50", "-"]
    assert by_column["params.`intermediate`"] == [*["nli"] * 5, "none", "none", "-"]
    assert by_column["metrics.`mini_xnli/avg`"][0] == "99"
    assert list(by_column) == [
        "params.`intermediate`",
        "metrics.`dev/avg`",
        "metrics.`search_gain/avg`",
        "metrics.`mini_xnli/avg`",
        "metrics.`mini_tatoeba/avg`",
        "params.`lr/target/mini_xnli`",
    ]
    assert list(links) == [
        "Runs by dev/avg",
        "Intermediates by dev/avg (search)",
        "Heat maps of the sweep (search)",
    ]
    assert headings(compared)[:2] == [("Objective", 1), ("Targets", 2)]
    assert "Group: nli" in compared and "Group: none" in compared
    assert headings(heat_maps)[0] == ("heat maps", 2)
    assert heat_maps.index("<img") > heat_maps.index(">heat maps<")


def has_all_rows(found: dict[str, list[str]]) -> bool:
    return len(found) == COLUMNS and all(len(texts) == RUNS for texts in found.values())


def cells(page: Any) -> dict[str, list[str]]:
    """The texts of the table's own columns from the top, by the column's name from the left. A page
    holds rows, cells and their attributes in any order, and says of each where it stands."""
    found: dict[tuple[int, str], dict[int, str]] = {}
    for name, left, row, text in page.evaluate(CELLS):
        if name.startswith(OWN):
            found.setdefault((left, name), {})[row] = "".join(text.split())
    return {
        name: [texts[row] for row in sorted(texts)] for (_, name), texts in sorted(found.items())
    }


def headings(dom: str) -> list[tuple[str, int]]:
    """Those of the sections of charts, with the number of their charts, from the top."""
    return [(name, int(count)) for name, count in re.findall(HEADING, dom)]

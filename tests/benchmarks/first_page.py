"""How long MLflow's first page takes in Chromium until scores stand in its table.

    python -m tests.benchmarks.first_page --trials 300 --storage /tmp/results

writes a storage as `tests.benchmarks.results` does and MLflow's file in it, unless it is there, and
opens the links of `xstilts ui` to the best runs and to all of them in turn. It prints a line of
JSON for each: the view, milliseconds of the page's own clock, those at which the request for runs
was sent and answered, the answer's bytes, and the machine's load.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.benchmarks.results import write_storage
from xstilts.driver import tracker_of
from xstilts.report.publish import views_of
from xstilts.report.results import load_results
from xstilts.run.places import Places
from xstilts.tracking.runs import trial_run

SCORES = """() => [...document.querySelectorAll('.ag-row [col-id="metrics.`dev/avg`"]')]
  .filter(cell => /^[0-9]{2}/.test(cell.innerText)).length > 10"""

ASKED = """() => performance.getEntriesByType('resource')
  .filter(one => one.name.endsWith('runs/search')).map(one =>
  ({asked_ms: one.startTime, answered_ms: one.responseEnd, bytes: one.transferSize}))[0]"""


def opened(browser: Browser, link: str) -> dict[str, Any]:
    """When a page could be used, and when it had asked for its runs and had them."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(link, wait_until="commit")
    page.wait_for_function(SCORES, timeout=120_000)
    usable_ms = page.evaluate("performance.now()")
    found = {"usable_ms": usable_ms, **page.evaluate(ASKED)}
    page.close()
    return {name: round(value) for name, value in found.items()}


def main() -> None:
    """Make what is missing, serve it, open it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=5055)
    chosen = parser.parse_args()
    if not chosen.storage.exists():
        write_storage(chosen.storage, chosen.trials, -1)
    results = load_results(Places(chosen.storage.resolve(), "generated"))
    tracker = tracker_of(results)
    if not (chosen.storage / "mlflow.db").exists():
        for record in results.records:
            tracker.write(trial_run(results.sweep, record, {}, ()))
    server = f"http://127.0.0.1:{chosen.port}"
    command = [sys.executable, "-m", "xstilts.cli", "ui", "generated", "--no-browser"]
    command += ["--storage", str(chosen.storage), "--port", str(chosen.port)]
    serving = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(server)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            for _ in range(chosen.rounds):
                for view in [one for one in views_of(results) if not one.has_charts]:
                    found = opened(browser, view.link(server, tracker.experiment()))
                    load = round(os.getloadavg()[0], 1)
                    print(json.dumps({"view": view.name, **found, "load": load}), flush=True)
    finally:
        serving.terminate()
        serving.wait()


def wait_for(server: str) -> None:
    """Until it answers."""
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{server}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(server)


if __name__ == "__main__":
    main()

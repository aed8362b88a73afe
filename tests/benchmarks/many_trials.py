"""What commands cost over a sweep of thousands of finished trials: XTREME, nine targets.

    python -m tests.benchmarks.many_trials --trials 500 1000 5000 --storage /tmp/many

writes for each size a storage of finished trials, as `control_plane.py` leaves them but without
Ray, five seeds a configuration, and prints JSON: for each command, each time in a process of its
own, CPU-seconds (user and system), seconds, and the most memory, in MB. `cold` is the first call
after all caches were removed, `warm` the one after it. The storages stay, to be used again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from xstilts.files import write_json
from xstilts.run.places import Places

NAME = "many"
SEEDS = (0, 1, 2, 3, 4)

COMMANDS = {
    "start": ["-m", "xstilts.cli", "--help"],
    "status": ["-m", "xstilts.cli", "status", NAME],
    "status --json": ["-m", "xstilts.cli", "status", NAME, "--json"],
    "report": ["-m", "xstilts.cli", "report", NAME],
    "report --json": ["-m", "xstilts.cli", "report", NAME, "--json"],
    "open_results": ["-c", "import xstilts\nr = xstilts.open_results('many', {storage!r})\n"
                     "print(len(r.trials), len(r.best))"],
    "take up": ["-m", "tests.benchmarks.many_trials", "--take-up", "{storage}"],
    "links of ui": ["-m", "tests.benchmarks.many_trials", "--links", "{storage}"],
}  # fmt: skip


def sweep_of_many(storage: Path, trials: int, is_race: bool = False) -> Any:
    """The sweep of `control_plane.py` with five seeds, whose configurations chance draws."""
    from tests.benchmarks.control_plane import sweep_of

    sweep = sweep_of(NAME, storage, trials, None, is_race)
    encoder = sweep.search.encoder.model_copy(
        update={
            "trials": trials // len(SEEDS),
            "sampler": sweep.search.encoder.sampler.model_copy(update={"name": "random"}),
        }
    )
    search = sweep.search.model_copy(update={"encoder": encoder})
    return sweep.model_copy(update={"search": search, "seeds": SEEDS})


def write_storage(storage: Path, trials: int) -> None:
    """A storage with one finished sweep of so many trials."""
    from tests.benchmarks.control_plane import inventory_of
    from xstilts.run.storage import open_storage
    from xstilts.search import launch

    storage.mkdir(parents=True, exist_ok=True)
    open_storage(storage)
    sweep, places = sweep_of_many(storage, trials), Places(storage, NAME)
    with launch.prepared(sweep, places, inventory_of()) as ready:
        points = list(points_of(trials // len(SEEDS)))
        for point in points:  # asking Optuna for a thousand takes a minute
            ready.proposals._begin(point)
        with ProcessPoolExecutor(2) as pool:
            parts = [points[i::8] for i in range(8)]
            list(pool.map(_write_trials, [storage] * 8, [trials] * 8, parts))
        places.begin(ready.lease.number)


def points_of(count: int) -> Iterator[dict[str, Any]]:
    """So many configurations: the baseline, then the intermediates in turn, drawn by chance."""
    from tests.benchmarks.control_plane import TASKS

    random = np.random.default_rng(0)
    yield {"model": "m", "intermediate": "none"}
    for number in range(count - 1):
        rate = float(np.exp(random.uniform(np.log(1e-6), np.log(1e-4))))
        name = TASKS[number % len(TASKS)]
        yield {"model": "m", "intermediate": name, "intermediate.learning_rate": rate}


def _write_trials(storage: Path, trials: int, points: list[dict[str, Any]]) -> None:
    """The trials of some configurations."""
    from tests.benchmarks.control_plane import inventory_of
    from xstilts.plan.plan import Planner
    from xstilts.search.proposals import target_points

    sweep = sweep_of_many(storage, trials)
    planner = Planner(sweep, inventory_of(), target_points(sweep))
    for point in points:
        for seed in SEEDS:
            write_trial(planner, Places(storage, NAME), point, seed)


def write_trial(planner: Any, places: Places, point: Any, seed: int, **others: Any) -> Any:
    """What a trial leaves in its folder, its score table and picture empty; its record. `others` is
    what else `Planner.plan` takes."""
    from tests.benchmarks.control_plane import record_of

    record = record_of(planner, {"point": point, "seed": seed, **others})
    folder = places.trials / record.trial
    folder.mkdir(exist_ok=True)
    for name in ("0001.lease", "scores.parquet", "scores.json", "languages.png"):
        (folder / name).touch()
    times = {"started": record.started, "updated": record.started}
    status = {"stage": "no-op", "done": 0.0, **times}
    attempt = {"started": record.started, "host": "host", "pid": 1, "progress": ""}
    attempt |= {"ended": record.ended, "how": "finished"}
    write_json(folder / "status.json", status, is_durable=False)
    write_json(folder / "0001.json", attempt, is_durable=False)
    write_json(folder / "record.json", record.to_json(), indent=None, is_durable=False)
    return record


def take_up(storage: Path) -> None:
    """What the command `sweep` does of a sweep that is done, to where it would start Ray."""
    from tests.benchmarks.control_plane import inventory_of
    from xstilts.report.results import load_results
    from xstilts.search import completion, launch

    places = Places(storage, NAME)
    trials = len(os.listdir(places.trials))  # noqa: PTH208 # as fast as it goes
    sweep = sweep_of_many(storage, trials)
    with launch.prepared(sweep, places, inventory_of()) as ready:
        assert completion.is_complete(ready)
        load_results(places)
        places.begin(ready.lease.number)


def links(storage: Path) -> None:
    """What `ui` does before MLflow's server starts."""
    from xstilts.cli.opening import _links
    from xstilts.report.results import load_results

    assert _links(load_results(Places(storage, NAME)), "http://127.0.0.1:5000")


def measure(storage: Path, command: list[str]) -> dict[str, float]:
    """CPU-seconds, seconds and most memory of one process."""
    filled = [part.replace("{storage}", str(storage)) for part in command]
    filled = [part.replace("{storage!r}", repr(str(storage))) for part in filled]
    if filled[:2] == ["-m", "xstilts.cli"] and NAME in filled:
        filled += ["--storage", str(storage)]
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, *filled], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{filled}: exit status {status}")
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "s": round(time.monotonic() - begun, 2),
        "mb": round(used.ru_maxrss / 1e3),
    }


def main() -> None:
    """Write the storages that are missing, and time the commands over them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 1000, 5000])
    parser.add_argument("--storage", type=Path, help="for the storages, which stay")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--take-up", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--links", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.take_up or chosen.links:
        (take_up if chosen.take_up else links)(chosen.take_up or chosen.links)
        return
    found: dict[str, Any] = {}
    for trials in chosen.trials:
        storage = chosen.storage.resolve() / f"{trials}"
        if not (storage / "written").exists():
            begun = time.monotonic()
            write_storage(storage, trials)
            (storage / "written").touch()
            print(f"written in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        own = found[str(trials)] = {"load": round(os.getloadavg()[0], 1)}
        for name in chosen.only:
            for path in (storage / "caches").glob("*"):
                if path.is_file():
                    path.unlink()
            command = COMMANDS[name]
            own[name] = {way: measure(storage, command) for way in ("cold", "warm")}
            print(trials, name, own[name], file=sys.stderr)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

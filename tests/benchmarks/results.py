"""What it takes to open the results of a thousand trials: XTREME, nine targets in all languages.

    python -m tests.benchmarks.results --trials 1000 --layers 24

writes a storage of generated records, as trials of an encoder of so many layers leave them, and
prints JSON: megabytes of records, rows of the score table, and seconds for each table, one after
the other: cold, from the records alone; warm, from the cache; each in a process of its own.
`import` is what it takes to load pandas and the package, `all` comes after it, `all_cpu` is what
of it the process computed, whatever else the machine did. `--layers -1` leaves each target the
metrics that make its score.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xstilts.config.derive import languages_of
from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.storage import open_storage
from xstilts.score_rows import ScoreRows
from xstilts.tasks import Task, lookup

TARGETS = ["xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba"]
INTERMEDIATES = ("none", "mnli", "squad_v2", "hellaswag", "qqp")
POINTS = tuple({"learning_rate": rate} for rate in (1e-5, 3e-6, 3e-5))
CELLS = len(POINTS)
"""Learning rates that each target was trained with."""

MEASURED = """
import json, sys, time
begun = time.perf_counter()
import pandas, xstilts.api
imported, cpu = time.perf_counter(), time.process_time()
results = xstilts.open_results(sys.argv[1])
seconds = {"import": imported - begun}
for name in sys.argv[2:]:
    before = time.perf_counter()
    rows = len(getattr(results, name))
    seconds[name] = time.perf_counter() - before
    if name == "scores":
        seconds["score_rows"] = rows
seconds["all"] = time.perf_counter() - imported
seconds["all_cpu"] = time.process_time() - cpu
print(json.dumps({name: round(value, 3) for name, value in seconds.items()}))
"""


def write_storage(storage: Path, trials: int, layers: int) -> Path:
    """A storage with one sweep of generated records; the sweep's folder."""
    storage.mkdir(parents=True, exist_ok=True)
    open_storage(storage)
    places = Places(storage.resolve(), "generated")
    for folder in (places.sweep, places.launches, places.trials, places.launch(1)):
        folder.mkdir()
    sweep = _sweep(storage, trials)
    for name in (TARGET_POINTS, INVENTORY):
        write_json(places.launch(1) / name, {})
    resolved = sweep.model_dump(mode="json", by_alias=True)
    write_json(places.launch(1) / SWEEP, resolved)
    for number in range(trials):
        record = _record(sweep, number, layers)
        record["scores"] = asdict(ScoreRows.of(record["scores"]))
        (places.trials / record["trial"]).mkdir()
        path = places.trials / record["trial"] / "record.json"
        write_json(path, record, indent=None, is_durable=False)
    return places.sweep


def metrics_of(task: Task, layers: int) -> list[str]:
    """What an evaluation leaves of a task: the metrics that count, and what is told beside them."""
    beside: dict[str, list[str]] = {
        "tagging": ["precision", "recall"],
        "mining": ["precision", "recall", "gold_threshold/f1"],
        "retrieval": ["centred", "csls", "anisotropy"],
    }
    by_layer = [f"by_layer/{i:02d}" for i in range(layers + 1)]
    found = [*task.metrics, *(beside.get(task.kind, []) if layers >= 0 else [])]
    return found + (by_layer if task.kind == "retrieval" else [])


def _sweep(storage: Path, trials: int) -> Sweep:
    return parse_sweep(
        {
            "name": "generated",
            "benchmark": "xtreme",
            "recipe": "phang2020",
            "models": {"m": {"path": "FacebookAI/xlm-roberta-large"}},
            "data": {"root": "mirror"},
            "intermediates": {name: {"tasks": [name]} for name in INTERMEDIATES[1:]},
            "targets": TARGETS,
            "search": {
                "encoder": {
                    "trials": trials,
                    "space": {
                        "intermediate.learning_rate": {"float": [1e-6, 1e-4], "log": True},
                        "target.epochs": {"choice": [1, 2, 3]},
                    },
                },
                "target": {
                    "trials": CELLS,
                    "space": {"learning_rate": {"float": [1e-6, 3e-5], "log": True, "levels": 5}},
                },
            },
            "storage": str(storage),
        },
        "generated",
    )


def _record(sweep: Sweep, number: int, layers: int) -> dict[str, Any]:
    """A finished trial's record, with scores and times from its number."""
    random = np.random.default_rng(number)
    intermediate = INTERMEDIATES[number % len(INTERMEDIATES)]
    config = f"{number:012x}"
    trial = f"{intermediate}-{config[-8:]}-s0"
    about = {"trial": trial, "config": config, "intermediate": intermediate, "model": "m"}
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {"cost/hours": 1.0, "dev/avg": float(random.uniform(40, 90))}
    for task in map(lookup, sweep.targets):
        cells = (
            [(f"{config[-8:]}{i}", i == 0) for i in range(CELLS)] if "dev" in task.splits else []
        )
        places = [("dev", task.train_language, cell, chosen) for cell, chosen in cells]
        places += [("test", language, "", True) for language in languages_of(sweep, task)]
        for split, language, cell, is_chosen in places:
            for metric in task.metrics if split == "dev" else metrics_of(task, layers):
                place = {"target": task.name, "language": language, "split": split}
                value = {"metric": metric, "value": float(random.uniform(40, 90)), "n": 1000}
                own = {**about, "cell": cell, **place, **value, "seed": 0, "is_chosen": is_chosen}
                rows.append(own)
            metrics[f"{task.name}/{language}"] = rows[-1]["value"]
    stages = [_stage(f"{name}-{config}", random) for name in _stage_names(sweep)]
    curve = [{"step": float(i), "loss": float(random.uniform(0, 2))} for i in range(100)]
    point: dict[str, Any] = {"intermediate": intermediate, "model": "m", "target.epochs": 2}
    if intermediate != "none":
        point["intermediate.learning_rate"] = float(random.uniform(1e-6, 1e-4))
    heads = dict.fromkeys(task.head for task in _trained(sweep))
    return {
        **about, "attempt": 1, "sweep": sweep.name, "state": "finished", "error": "",
        "diverged": False, "point": point, "seed": 0, "rates": {}, "examples": {}, "missing": [],
        "learning_rate": point.get("intermediate.learning_rate"),
        "chosen": {head: {"learning_rate": 1e-5, "stage": f"target-{head}"} for head in heads},
        "metrics": metrics, "collapsed": [], "undecided": [], "retries": {},
        "objective": metrics["dev/avg"], "scores": rows, "stages": stages,
        "curves": dict.fromkeys(["intermediate", *heads], curve), "environment": {},
        "processes": 1, "precision": "bf16", "started": 1000.0 * number,
        "ended": 1000.0 * number + 900,
    }  # fmt: skip


def _trained(sweep: Sweep) -> list[Task]:
    return [task for task in map(lookup, sweep.targets) if "dev" in task.splits]


def _stage_names(sweep: Sweep) -> list[str]:
    heads = dict.fromkeys(task.head for task in _trained(sweep))
    names = ["intermediate-mnli", *(f"target-{head}" for head in heads for _ in range(CELLS))]
    return names + [f"evaluate-{name}" for name in sweep.targets]


def _stage(name: str, random: np.random.Generator) -> dict[str, Any]:
    return {
        "name": name, "fingerprint": "0" * 64, "is_reused": False, "asked": 0.0, "started": 0.0,
        "seconds": float(random.uniform(10, 1000)), "wait_s": 0.0, "threads": 1,
        "tokens": 10**6, "steps": 1000, "loader_s": 0.1, "checkpoint_s": 0.1, "max_tokens": 0,
    }  # fmt: skip


def measure(folder: Path, tables: tuple[str, ...] = ("scores", "best", "trials", "stages")) -> Any:
    """Seconds of a process that opens a sweep and asks for its tables."""
    command = [sys.executable, "-c", MEASURED, f"{folder}", *tables]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Write the storage, then open it cold and warm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--storage", type=Path, help="kept; a temporary one if not given")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        storage = chosen.storage or Path(temporary) / "runs"
        folder = storage.resolve() / "sweeps" / "generated"
        if not folder.exists():
            begun = time.monotonic()
            write_storage(storage, chosen.trials, chosen.layers)
            print(f"written in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        records = list(folder.glob("trials/*/record.json"))
        found: dict[str, Any] = {
            "trials": len(records),
            "records_mb": round(sum(path.stat().st_size for path in records) / 1e6),
            "cold": [],
            "warm": [],
        }
        for _ in range(chosen.rounds):
            for path in (storage / "caches").glob("results-*"):
                path.unlink()
            found["cold"].append(measure(folder))
            found["warm"].append(measure(folder))
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

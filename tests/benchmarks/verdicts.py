"""What verdicts of a large sweep take: 60 trials, 9 targets in 40 languages, 300 items in each.

    python -m tests.benchmarks.verdicts

writes a storage of generated records and outcomes: 12 candidates searched with two seeds, each
target's three leaders and the baseline confirmed with nine; five targets by accuracy, four by F1
over a corpus, whose items are resampled. Prints JSON: seconds of a new process for
`open_results(…).best`, cold from the records, and warm from their cache. The budget is 5 seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.run.confirmation import CHOICE
from xstilts.run.outcomes import Items, outcomes_path, write_outcomes
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.stage_results import next_folder, seal
from xstilts.run.storage import STORE, open_storage
from xstilts.scores.outcomes import Outcomes

TARGETS, LANGUAGES, ITEMS = 9, 40, 300
CANDIDATES, SEEDS, LEADERS, FRESH = 12, (0, 1), 3, 9
BUDGET_S = 5.0

MEASURED = """
import json, sys, time
import pandas, xstilts.api
begun, cpu = time.perf_counter(), time.process_time()
best = xstilts.open_results(sys.argv[1]).best
seconds = {"best": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
print(json.dumps({"verdicts": dict(best["verdict"].value_counts()), **seconds}, default=int))
"""


def sweep_of(storage: Path, languages: int) -> Sweep:
    """Targets are tasks of the sweep's own, for no published one has 40 languages and labels."""
    names = [f"l{i:02d}" for i in range(languages)]
    test = {language: f"{language}.tsv" for language in names}
    files = {"train": "train.tsv", "dev": "dev.tsv", "test": test}
    kinds: list[dict[str, Any]] = [
        {"kind": "sentence", "labels": ["no", "yes"], "columns": {"text": "t", "label": "l"}},
        {"kind": "tagging", "labels": ["O", "B-X"], "columns": {"tokens": "t", "tags": "l"}},
    ]
    tasks = {
        f"t{i}": {**kinds[i % 2], "files": files, "train_language": names[0]}
        for i in range(TARGETS)
    }
    return parse_sweep(
        {
            "name": "generated", "benchmark": "custom", "recipe": "phang2020",
            "models": {"m": {"path": "FacebookAI/xlm-roberta-large"}}, "data": {"root": "mirror"},
            "tasks": tasks, "targets": list(tasks), "seeds": list(SEEDS), "storage": str(storage),
            "intermediates": {f"i{i}": {"tasks": ["mnli"]} for i in range(1, CANDIDATES)},
        },
        "generated",
    )  # fmt: skip


def write_storage(storage: Path, languages: int = LANGUAGES, items: int = ITEMS) -> Path:
    """A storage with one sweep of generated records and outcomes; the sweep's folder."""
    storage.mkdir(parents=True, exist_ok=True)
    open_storage(storage)
    places = Places(storage.resolve(), "generated")
    for folder in (places.sweep, places.launches, places.trials, places.launch(1)):
        folder.mkdir()
    sweep = sweep_of(storage, languages)
    for name in (TARGET_POINTS, INVENTORY):
        write_json(places.launch(1) / name, {})
    write_json(places.launch(1) / SWEEP, sweep.model_dump(mode="json", by_alias=True))
    names = ["none", *sweep.intermediates]
    write_json(places.launch(1) / CHOICE, _choice(sweep, names))
    random = np.random.default_rng(0)
    difficulty = random.normal(0, 1, (TARGETS, languages, items))
    runs: list[tuple[str, int, Any]] = [(name, seed, None) for name in names for seed in SEEDS]
    fresh = [1000 + i for i in range(FRESH)]
    confirmed: dict[str, Any] = {target: {} for target in sweep.targets}
    runs += [(name, seed, confirmed) for name in names[: LEADERS + 1] for seed in fresh]
    for number, (name, seed, confirms) in enumerate(runs):
        skill = 0.2 * names.index(name) * (name != "none") + random.normal(0, 0.1)
        _write_trial(places, sweep, f"{name}-c-s{seed}", difficulty - skill, confirms, number)
    return places.sweep


def _choice(sweep: Sweep, names: list[str]) -> dict[str, Any]:
    chosen = [
        {"config": f"{name}-c", "intermediate": name, "point": {}, "dev": 1.0, "target_point": {}}
        for name in names
    ]
    own = {"first": "i1-c", "leaders": chosen[1 : LEADERS + 1], "baseline": chosen[0]}
    return {"search": "x", "seeds": [], "targets": dict.fromkeys(sweep.targets, own)}


def _write_trial(
    places: Places,
    sweep: Sweep,
    trial: str,
    difficulty: np.ndarray,
    confirms: dict[str, Any] | None,
    number: int,
) -> None:
    name, _, seed = trial.partition("-c-s")
    about = {"trial": trial, "config": f"{name}-c", "intermediate": name, "model": "m"}
    random = np.random.default_rng(number)
    rows: list[dict[str, Any]] = []
    stages = []
    for target, own in zip(sweep.targets, difficulty, strict=True):
        metric = "f1" if int(target[1:]) % 2 else "accuracy"
        found = {}
        for i, of_items in enumerate(own):
            right = (random.logistic(0, 1, len(of_items)) > of_items).astype(float)
            found[f"l{i:02d}"] = _items(metric, right, random)
        stage = f"evaluate-{target}-{number:012x}"
        _write_stage(places, stage, target, found)
        stages.append({"name": stage, "fingerprint": "0", "is_reused": False, "seconds": 60.0,
                       "wait_s": 0.0, "tokens": 0})  # fmt: skip
        scores = {name: one.outcomes.scores[metric] for name, one in found.items()}
        for split, language, value in [("dev", "l00", scores["l00"])] + [
            ("test", *one) for one in scores.items()
        ]:
            place = {"target": target, "language": language, "split": split, "metric": metric}
            rest = {"value": value, "n": len(of_items), "seed": int(seed), "is_chosen": True}
            rows.append({**about, "cell": "", **place, **rest})
    record = {
        **about, "sweep": sweep.name, "state": "finished", "error": "", "seed": int(seed),
        "point": {"intermediate": name}, "rates": {}, "learning_rate": None, "chosen": {},
        "metrics": {"cost/hours": 1.0}, "missing": [], "collapsed": [], "undecided": [],
        "objective": 1.0, "scores": rows, "stages": stages, "curves": {}, "environment": {},
        "started": 0.0, "ended": 1.0, "confirms": confirms,
        "phase": "search" if confirms is None else "confirm",
    }  # fmt: skip
    (places.trials / trial).mkdir()
    write_json(places.trials / trial / "record.json", record, is_durable=False)


def _items(metric: str, right: np.ndarray, random: np.random.Generator) -> Items:
    ones = np.ones(len(right))
    if metric == "accuracy":
        keys: list[str | None] = [str(i) for i in range(len(right))]
        return Items(Outcomes.of({metric: [(right, ones, ones)]}), keys)
    gold = 1 + random.poisson(3, len(right))
    agree = random.binomial(gold, 0.3 + 0.5 * right)
    return Items(Outcomes.of({metric: [(agree, gold, gold)]}), [None] * len(right))


def _write_stage(places: Places, name: str, target: str, found: dict[str, Items]) -> None:
    folder = places.storage / STORE / name
    folder.mkdir(parents=True)
    result = next_folder(folder)
    result.mkdir()
    write_outcomes(result, target, found)
    assert outcomes_path(result, target).exists()
    seal(result, {})


def measure(folder: Path) -> Any:
    """What a process that asks for the verdicts takes."""
    command = [sys.executable, "-c", MEASURED, f"{folder}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Write the storage, then open it cold and warm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_storage(Path(temporary) / "runs", items=chosen.items)
        trials = len(list(folder.glob("trials/*")))
        print(json.dumps({"trials": trials, "cold": measure(folder), "warm": measure(folder)}))


if __name__ == "__main__":
    main()

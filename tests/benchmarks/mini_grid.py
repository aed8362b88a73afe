"""Records a grid of the miniature benchmark for the replay: real runs at three shares of a budget.

    python -m tests.benchmarks.mini_grid FOLDER [--seeds 8] [--branches] [--world NAME]

sweeps every candidate - six intermediates at two learning rates, and none - on the four targets
with every seed, once for each rung: intermediate and targets train on that share of their examples.
It writes `FOLDER/grid.csv`, which `xstilts.search.replay` plays; costs are trained tokens. One seed
of the lowest rung takes two minutes on two cores; what was interrupted goes on.

With `--branches` the rungs below 1 are what branches off one long stage of a constant rate would
be: at the peak, and down to 0 over the last fifth of their steps. `--world` names another one than
the shipped; it is built in the folder first (`mini_worlds.py`).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xstilts
from tests.benchmarks.mini_worlds import SHIPPED, STEPS, WORLDS, Built, world_of
from xstilts.config.derive import NONE, recipe_of
from xstilts.config.load import parse_sweep
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.report.results import load_results
from xstilts.run.places import Places
from xstilts.search.recorded import COLUMNS
from xstilts.tasks import lookup

RUNGS = (0.1, 0.3, 1.0)
RATES = (5.0e-4, 8.0e-4)
TARGETS = ("mini_xnli", "mini_udpos", "mini_xquad", "mini_tatoeba")
CANDIDATES: dict[str, tuple[list[str], int]] = {
    "nli": (["mini_nli"], 6000),
    "choice": (["mini_choice"], 600),
    "qa": (["mini_qa"], 900),
    "mix": (["mini_nli", "mini_choice", "mini_qa"], 1600),
    "nli_qa": (["mini_nli", "mini_qa"], 1600),
    "nli_mlm": (["mini_nli", "mini_mlm"], 1600),
}
"""Intermediates by name: their tasks, and the examples of the whole budget."""


BRANCH = {"schedule": "constant_then_decay", "decay_share": 0.2}


def sweep_of(folder: Path, world: Built, rung: float, seeds: int, branches: bool) -> Sweep:
    """The sweep over all candidates at one rung."""
    is_branch = branches and rung < 1
    config: dict[str, Any] = {
        "name": f"{'branch' if is_branch else 'rung'}-{rung:g}",
        "benchmark": "mini", "recipe": "mini", "models": {"mini": {"path": world.model}},
        "data": {"root": world.data},
        "intermediates": {
            name: {"tasks": tasks, "budget": {"examples": max(round(rung * examples), 1)}}
            for name, (tasks, examples) in CANDIDATES.items()
        },
        "targets": list(TARGETS), "languages": "all", "seeds": list(range(seeds)),
        "search": {
            "encoder": {
                "trials": 1 + len(CANDIDATES) * len(RATES),
                "sampler": {"name": "grid"},
                "space": {
                    "intermediate": {"choice": [NONE, *CANDIDATES]},
                    "intermediate.learning_rate": {"choice": list(RATES)},
                },
            },
            "target": {"trials": 1, "space": {}},
        },
        "resources": {"gpus_per_trial": 0, "cpus_per_trial": 1},
        "storage": str(folder / "runs"),
    }  # fmt: skip
    whole = recipe_of(parse_sweep(config, "grid"))
    shares = {
        name: {"epochs": rung * whole.for_task("target", name, {}).epochs}
        for name in TARGETS
        if lookup(name).is_trained
    }
    recipe: dict[str, Any] = {"name": "mini", "targets": shares}
    if is_branch:
        recipe["adapt"] = {"arms": {"branch": BRANCH}, "intermediate": "branch", "target": "branch"}
    return parse_sweep({**config, "recipe": recipe}, "grid")


def rows_of(sweep: Sweep, record: TrialRecord, rung: float) -> Iterator[dict[str, Any]]:
    """A trial's rows of the grid, one a target. A target without a dev set of its own is chosen for
    by the mean over the others'."""
    rate = record.point.get("intermediate.learning_rate")
    candidate = record.intermediate if rate is None else f"{record.intermediate}@{rate:g}"
    tokens = {entry.name.rpartition("-")[0]: entry.tokens for entry in record.stages}
    for target in sweep.targets:
        yield {
            "candidate": candidate,
            "target": target,
            "seed": record.seed,
            "rung": rung,
            "dev": record.metrics.get(f"dev/{target}", record.metrics["dev/avg"]),
            "test": record.metrics[f"{target}/avg"],
            "cost": tokens.get(f"target-{lookup(target).head}", 0),
            "shared_cost": sum(
                entry.tokens for entry in record.stages if entry.name.startswith("intermediate-")
            ),
        }


def main() -> None:
    """Runs what is missing, and writes the grid."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rungs", type=float, nargs="+", default=RUNGS)
    parser.add_argument("--branches", action="store_true", help="off a constant rate, below 1")
    parser.add_argument("--world", choices=[SHIPPED, *WORLDS], default=SHIPPED)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    world = world_of(given.world, given.folder.resolve() / "worlds", STEPS)
    rows: list[dict[str, Any]] = []
    for rung in given.rungs:
        sweep = sweep_of(given.folder, world, rung, given.seeds, given.branches)
        xstilts.run_sweep(sweep, progress=True)
        results = load_results(Places((given.folder / "runs").resolve(), sweep.name))
        for record in results.searched:
            rows += rows_of(sweep, record, rung)
    with (given.folder / "grid.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()

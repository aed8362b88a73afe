"""What Ray Tune itself holds of trials that have ended, with the sweep's watch over it.

    python -m tests.benchmarks.tune_memory --trials 500 5000

runs trials that report four numbers, one at a time, without records, journal or MLflow, and prints
JSON: the driver's memory in MB and its CPU-seconds when so many have ended, and after Tune's end.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from xstilts.search.connection import QUIETLY, quieten
from xstilts.search.nodes import AllStopped, SweepWatch


class Idle(tune.Trainable):  # type: ignore[misc]
    """A trial that reports what a sweep's trials report, and does nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        """See the class."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """See the class."""
        return True

    def step(self) -> dict[str, Any]:
        """See the class."""
        return {"done": True, "outcome": "finished", "objective": 60.0, "diverged": False}


class Proposer(Searcher):  # type: ignore[misc]
    """Trials of new learning rates; what the process uses is noted at the `marks`."""

    def __init__(self, marks: Sequence[int]):
        super().__init__(metric="objective", mode="max")
        self.used: dict[str, dict[str, float]] = {}
        self._marks, self._count = marks, 0
        self.is_done = False

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial, until the last mark."""
        if self._count in self._marks:
            self.used[str(self._count)] = used()
        if self._count == max(self._marks):
            self.is_done = True
            return str(Searcher.FINISHED)
        self._count += 1
        rate = {"intermediate.learning_rate": 1e-8 * self._count}
        point = {"model": "m", "intermediate": "mnli", **rate}
        whole = {"confirms": None, "targets": None, "rung": 1.0}
        return {"trial": {"point": point, "seed": 0, **whole}}

    def on_trial_complete(self, trial_id: str, *args: Any, **kwargs: Any) -> None:
        """Nothing to learn."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


def used() -> dict[str, float]:
    """This process's memory in MB, and its CPU-seconds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    mb = round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
    return {"mb": mb, "cpu_s": round(time.process_time(), 1)}


def measure(marks: Sequence[int], folder: Path) -> dict[str, dict[str, float]]:
    """Run as many trials as the last mark says."""
    for name in ("ray.tune.execution.experiment_state", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    proposer = Proposer(marks)
    told = (lambda: False, lambda: proposer.is_done)
    watch = SweepWatch(*told, lambda: None, len, folder / "usage.json", print)
    tuner = tune.Tuner(
        tune.with_resources(Idle, {"cpu": 1}),
        param_space={"storage": str(folder), "identity": "i", "sweep": "s", "launch": 1},
        tune_config=tune.TuneConfig(
            search_alg=proposer, num_samples=-1, max_concurrent_trials=1, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[watch],
        ),
    )
    with suppress(AllStopped):
        tuner.fit()
    return {**proposer.used, "end": used()}


def main() -> None:
    """Measure on a Ray of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 5000])
    chosen = parser.parse_args()
    quieten(None)
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, **QUIETLY)
    with tempfile.TemporaryDirectory(prefix="tune-memory-") as folder:
        print(json.dumps(measure(chosen.trials, Path(folder)), indent=1))


if __name__ == "__main__":
    main()

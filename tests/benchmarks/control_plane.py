"""What a sweep costs beside its training: real Tune, Optuna and MLflow over trials that do nothing.

    python -m tests.benchmarks.control_plane --trials 1000 --concurrency 64

prints JSON: CPU-seconds of the driver for a trial and for a run (a race runs a trial again for
further targets), its memory at a tenth, a half and the end of the trials, seconds to take the
finished sweep up again, and seconds of a report over it. A trial writes the record of nine targets
in all their languages, with scores from a seed; it imports no torch.
`driver.csv` in the storage has what the driver has used every ten seconds, so that a run that is
ended early has told something.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from xstilts.config.derive import benchmark_of
from xstilts.config.load import parse_sweep
from xstilts.files import derive_seed, read_json, write_json
from xstilts.lease import Lease
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.plan.plan import Planner
from xstilts.records import Chosen, TrialRecord
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.trial_states import TrialState
from xstilts.tasks import lookup

USAGE, NOTE_EVERY_S = "driver.csv", 10.0

TASKS = ("mnli", "squad_v2", "hellaswag", "qqp")
TARGETS = ["xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba"]


def sweep_of(name: str, storage: Path, trials: int, uri: str | None, is_race: bool) -> Any:
    """A sweep over all of XTREME: a search of so many trials, or a race of half as many candidates,
    which comes to about so many trials."""
    race = {"strategy": "race"} if is_race else {}
    candidates = trials // 2 if is_race else trials
    space = {"intermediate.learning_rate": {"float": [1e-6, 1e-4], "log": True}}
    return parse_sweep(
        {
            "name": name,
            "benchmark": "xtreme",
            "recipe": "phang2020",
            "models": {"m": {"path": "FacebookAI/xlm-roberta-large"}},
            "data": {"root": "mirror"},
            "intermediates": {task: {"tasks": [task]} for task in TASKS},
            "targets": TARGETS,
            "search": {**race, "encoder": {"trials": candidates, "space": space}},
            "seeds": [0, 1, 2] if is_race else [0],
            "storage": str(storage),
            "tracking": {"uri": uri},
        },
        "control plane",
    )


def inventory_of() -> Inventory:
    """As if every data set lay there, with 1,000 rows for everything."""
    rows, data = {}, {}
    for task in map(lookup, {*TASKS, *TARGETS, *(lookup(name).head for name in TARGETS)}):
        for use in task.splits:
            for source in task.sources_of(use):
                data[source.hub_id] = source.hub_id
            for language in task.languages_of(use):
                rows[row_key(task, use, language)] = 1000
    return Inventory({"m": ModelFacts("/", "w", "t", 24, 2 * 10**9)}, {}, data, rows)


def record_of(planner: Planner, trial: dict[str, Any]) -> TrialRecord:
    """A finished trial's record: scores about a mean that its configuration draws."""
    from xstilts.config.derive import languages_of, measured_by
    from xstilts.scores.aggregate import averages
    from xstilts.scores.table import Score, ScoreTable
    from xstilts.tracking.tracker import metric_name

    plan, sweep = planner.plan(**trial), planner.sweep
    random = np.random.default_rng(derive_seed(plan.seed, plan.config_id))
    mean = np.random.default_rng(derive_seed(0, plan.config_id)).uniform(55, 65)
    tasks = [lookup(name) for name in plan.targets]
    split = sweep.evaluation.split
    languages = {task.name: languages_of(sweep, task) for task in tasks}
    scores = []
    for task in tasks:
        splits = [("dev", [task.train_language])] if "dev" in task.splits else []
        scores += [
            Score(
                trial=plan.trial_id,
                config=plan.config_id,
                cell="",
                intermediate=plan.intermediate,
                model=plan.model,
                target=task.name,
                language=language,
                split=name,
                metric=metric,
                value=float(random.uniform(mean - 25, mean + 25)),
                n=1000,
                seed=plan.seed,
                is_chosen=True,
            )
            for name, some in (*splits, (split, list(languages[task.name])))
            for language in some
            for metric in task.metrics
        ]
    table, is_whole = ScoreTable(scores), len(tasks) == len(sweep.targets)
    found = averages(table.chosen, tasks, languages, benchmark_of(sweep), split, is_whole)
    metrics = {metric_name(metric): value for metric, value in found.metrics.items()}
    chosen = {
        group.name: Chosen(f"target-{group.name}-{plan.config_id}", {"learning_rate": 1e-5})
        for group in plan.target_sets
        if group.cells
    }
    now = time.time()
    return TrialRecord(
        trial=plan.trial_id,
        config=plan.config_id,
        sweep=sweep.name,
        state="finished",
        error="",
        point=plan.point,
        seed=plan.seed,
        phase=plan.phase,
        targets=None if plan.subset is None else list(plan.subset),
        model=plan.model,
        intermediate=plan.intermediate,
        rates=dict(plan.rates),
        learning_rate=plan.point.get("intermediate.learning_rate"),
        chosen=chosen,
        metrics={**metrics, "cost/hours": 1.0},
        missing=list(found.missing),
        collapsed=[],
        undecided=[],
        objective=metrics.get(measured_by(sweep)),
        scores=table.rows,
        stages=[],
        curves={},
        environment={},
        processes=planner.world_size,
        precision=planner.precision,
        started=now,
        ended=now,
    )


class NoOp(tune.Trainable):
    """A trial that only writes what a trial leaves."""

    def setup(self, config: dict[str, Any]) -> None:
        self._places = Places(Path(config["storage"]), config["sweep"])
        folder = self._places.launch(config["launch"])
        self._places.begin(config["launch"])
        self._planner = Planner(
            parse_sweep(read_json(folder / SWEEP), "sweep"),
            Inventory.from_json(read_json(folder / INVENTORY)),
            read_json(folder / TARGET_POINTS),
        )
        self._trial = config["trial"]
        self._drawn: Path | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._trial = new_config["trial"]
        return True

    def step(self) -> dict[str, Any]:
        record = record_of(self._planner, self._trial)
        folder = self._places.trials / record.trial
        folder.mkdir(exist_ok=True)
        lease = Lease(folder)
        assert lease.acquire()
        with lease.held():
            self._write(record, folder, lease.number)
        assert "torch" not in sys.modules
        return {"done": True, "outcome": "finished", "objective": record.objective}

    def _write(self, record: TrialRecord, folder: Path, number: int) -> None:
        from xstilts.report.trial_files import write_trial_files
        from xstilts.run import attempts
        from xstilts.run.records import write_record

        attempts.begin(folder, number, "", None)
        times = {"started": record.started, "updated": record.started}
        write_json(folder / "status.json", {"stage": "no-op", "done": 0.0, **times})
        if self._drawn is None:
            write_trial_files(self._planner.sweep, self._places, record)
            self._drawn = folder
        else:  # drawing a thousand pictures would be most of the work, and not the driver's
            for name in ("scores.parquet", "scores.json", "languages.png"):
                shutil.copyfile(self._drawn / name, folder / name)
        write_record(folder, record)
        attempts.end(folder, number, "finished")


class Usage:
    """What this process has used since it was made, by how many trials have ended: a line of `file`
    every ten seconds, and its memory at the `marks`."""

    def __init__(self, file: Path, marks: Sequence[int]):
        self._file = file
        self._marks = list(marks)
        self._begun, self._noted = time.monotonic(), 0.0
        self._cpu_s = time.process_time()
        self.mb: dict[int, float] = {}

    @property
    def cpu_s(self) -> float:
        """CPU-seconds, user and system."""
        return time.process_time() - self._cpu_s

    def step(self, states: Sequence[TrialState]) -> None:
        """Note it, where it is time to."""
        ended = sum(state.is_ended for state in states)
        while self._marks and ended >= self._marks[0]:
            self.mb[self._marks.pop(0)] = _resident_mb()
        if (now := time.monotonic()) - self._noted >= NOTE_EVERY_S:
            self._noted = now
            told = (now - self._begun, ended, self.cpu_s, _resident_mb(), os.getloadavg()[0])
            header = "" if self._file.exists() else "s,trials,cpu_s,mb,load\n"
            with self._file.open("a") as stream:
                stream.write(f"{header}{','.join(f'{value:.1f}' for value in told)}\n")


def run(name: str, storage: Path, trials: int, uri: str | None, is_race: bool) -> dict[str, Any]:
    """Launch the sweep as the command does, and measure this process."""
    from rich.console import Console

    from xstilts.report.glance import Noter
    from xstilts.report.live import watching
    from xstilts.report.mirror import Mirror
    from xstilts.report.publish import try_publish, write_report
    from xstilts.report.results import load_results
    from xstilts.run import attempts
    from xstilts.run.kept_weights import Keeper
    from xstilts.run.storage import open_storage
    from xstilts.search import completion, launch
    from xstilts.tracking.mlflow import MlflowTracker

    sweep = sweep_of(name, storage, trials, uri, is_race)
    places = Places(storage, name)
    open_storage(storage)
    begun = time.monotonic()
    with launch.prepared(sweep, places, inventory_of()) as ready:
        is_complete = completion.is_complete(ready)
        resumed_s = time.monotonic() - begun
        results = load_results(places)
        tracker = MlflowTracker(places.tracking_uri(sweep), name, storage / "mlartifacts")
        mirror = Mirror(tracker, results)
        keeper = Keeper(sweep, places, ready.lease.number, ready.check)
        noter = Noter(ready.sweep, places, ready.folder)
        usage = Usage(storage / USAGE, (trials // 10, trials // 2, trials))
        started = time.monotonic()
        if not is_complete:
            beside = (keeper.step, mirror.step, noter.step, usage.step)
            with watching(Console(stderr=True), sweep, ready.states, *beside):
                launch.run_trials(ready, "auto", print, trainable=NoOp)
        cpu_s, wall_s, mb = usage.cpu_s, time.monotonic() - started, _resident_mb()
        report_begun = time.monotonic()
        results = load_results(places)
        write_report(results)
        report_s = time.monotonic() - report_begun
        publish_begun = time.monotonic()
        trouble = try_publish(tracker, results)
        publish_s = time.monotonic() - publish_begun
    runs = sum(len(attempts.read(places.trials / x.trial)) for x in results.finished)
    return {
        "trials": len(results.finished),
        "runs": runs,
        "wall_s": round(wall_s, 1),
        "driver_cpu_s_per_trial": round(cpu_s / max(1, len(results.finished)), 4),
        "driver_cpu_s_per_run": round(cpu_s / max(1, runs), 4),
        "driver_mb": {**usage.mb, "end": mb},
        "take_up_s": round(resumed_s, 2),
        "report_s": round(report_s, 2),
        "publish_s": round(publish_s, 2),
        "mlflow": trouble,
    }


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def main() -> None:
    """Run it on a Ray of logical CPUs, then take it up again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--tracking", help="a server; SQLite beside the storage if not given")
    parser.add_argument("--storage", type=Path)
    parser.add_argument("--race", action="store_true", help="a race instead of everything")
    parser.add_argument("--again", action="store_true", help="only take the sweep up again")
    chosen = parser.parse_args()
    storage = chosen.storage or Path(tempfile.mkdtemp(prefix="control-"))
    arguments = ["--trials", str(chosen.trials), "--storage", str(storage), "--again"]
    if chosen.tracking:
        arguments += ["--tracking", chosen.tracking]
    if chosen.race:
        arguments += ["--race"]
    if chosen.again:
        told = run("noop", storage, chosen.trials, chosen.tracking, chosen.race)
        print(json.dumps(told, indent=1))
        return
    from ray.cluster_utils import Cluster

    from xstilts.search.own_ray import with_own_token

    with with_own_token():
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": chosen.concurrency, "object_store_memory": 200 * 2**20},
        )
        environment = {**os.environ, "RAY_ADDRESS": cluster.address}
        try:
            for _ in range(2):
                subprocess.run([sys.executable, __file__, *arguments], env=environment, check=True)
        finally:
            cluster.shutdown()


if __name__ == "__main__":
    main()

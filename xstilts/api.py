"""The public functions of the package; `import xstilts` gives them, and imports nothing heavy.

The command line is a thin layer over them. What stands in `xstilts.__all__` stays: later versions
add arguments with defaults, columns and fields, and rename none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts.errors import SweepStopped

if TYPE_CHECKING:
    import pandas as pd

    from xstilts.config.schema import Sweep
    from xstilts.records import TrialRecord
    from xstilts.report.sweep_results import SweepResults
    from xstilts.scores.official import Official

logger = logging.getLogger(__name__)

QUICKSTART = "builtin:quickstart"
"""Names the sweep file that the package brings."""


@dataclass(frozen=True, slots=True)
class Range:
    """From the least, of a race the expected, to the most; equal where no sampler decides."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sweep will do, before it does it.

    `stages` are numbers of distinct stages by class (`intermediate`, `target`, `evaluation`, and
    `final` where targets are trained again after selection),
    `num_done` of them are there already; `disk_gb` is the most that weights take, and
    `disk_gb_a_running_trial` what each trial that runs needs besides. `hours` are at the rates of
    `bench`, else of GPUs at an assumed rate, in `hours_unit`; None on CPUs without a `bench`.
    """

    sweep: str
    num_configurations: int
    num_seeds: int
    num_trials: int
    stages: Mapping[str, Range]
    num_done: int
    disk_gb: float
    disk_gb_a_running_trial: float
    free_gb: float
    hours: Range | None
    hours_unit: str
    warnings: tuple[str, ...]
    num_confirming: int
    """Trials that confirm search's choice, at most."""
    summary: Mapping[str, Any] = field(repr=False)
    """All of it as `xstilts plan --json` prints it."""

    @property
    def tasks(self) -> pd.DataFrame:
        """A row for each task of each training stage: `stage`, `task`, `rows`, `examples`, `batch`,
        `steps`, `epochs`, `tokens`, `is_counted` (whether the tokens are counted, not bounded)."""
        import pandas as pd

        return pd.DataFrame(list(self.summary["tasks"]))


def load_sweep(
    path: str | Path,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    *,
    part: str | None = None,
) -> Sweep:
    """Read and check a sweep file.

    Args:
        path: the file, or `builtin:quickstart`.
        overrides: values that replace the file's, by the path of their key
            (`{"search.encoder.trials": 4}`), or `a.b=value` texts with the value in YAML.
        part: of its study, whose models alone it runs; all of them if None.

    Raises:
        ConfigError: its `problems` are all that is wrong with the file.
    """
    from xstilts.config.load import load_sweep as load
    from xstilts.config.study_parts import of_part

    if isinstance(overrides, Mapping):
        overrides = [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    sweep = load(sweep_file(str(path)), overrides)
    return sweep if part is None else of_part(sweep, part)


def plan(
    sweep: Sweep,
    *,
    bench: str | Path | None = None,
    cluster: str | Path | None = None,
    prices: Mapping[str, float] | None = None,
    tell: Callable[[str], Any] = logger.info,
) -> Forecast:
    """What a sweep will do: trials, stages, what exists, examples, steps, disk, hours.

    Args:
        bench: a file of `xstilts bench --out`, for the hours.
        cluster: a file of `ray up`; `summary["cluster"]` says how many trials its nodes run.
        prices: of its node types, an hour; adds what they cost.
        tell: called with notes on the inputs, a line each.

    Raises:
        ConfigError: an input is missing, the storage cannot serve, or a file is none of its sort.
    """
    from xstilts.driver import inputs_of
    from xstilts.plan.plan import Planner
    from xstilts.report.forecast import forecast
    from xstilts.run.store import Store
    from xstilts.search.proposals import target_points

    places, inventory = inputs_of(sweep, tell)
    measured, nodes = (None if file is None else Path(file) for file in (bench, cluster))
    planner = Planner(sweep, inventory, target_points(sweep))
    summary = forecast(planner, Store(places.storage), places, measured, nodes, prices)
    hours = summary.get("hours")
    return Forecast(
        sweep=summary["sweep"],
        num_configurations=summary["configurations"],
        num_seeds=summary["seeds"],
        num_trials=summary["trials"],
        stages={
            name: Range(bounds["least"], bounds["most"])
            for name, bounds in summary["stages"].items()
            if name != "done"
        },
        num_done=summary["stages"]["done"],
        disk_gb=summary["disk_gb"],
        disk_gb_a_running_trial=summary["disk_gb_a_running_trial"],
        free_gb=summary["free_gb"],
        hours=Range(hours["least"], hours["most"]) if hours else None,
        hours_unit=hours["unit"] if hours else "",
        warnings=tuple(summary["warnings"]),
        num_confirming=summary["confirm"]["trials"],
        summary=summary,
    )


def run_sweep(
    sweep: Sweep,
    *,
    address: str | None = None,
    rehearse: bool | None = None,
    retrain: bool = False,
    progress: bool = False,
) -> SweepResults:
    """Launch a sweep, or resume it after an interruption: the same call. Needs the main thread.

    Ctrl-C (or SIGTERM) once: running trials write a checkpoint, the report is written, and
    `SweepStopped` is raised; twice: the same at once. Trials that failed for their own reason raise
    nothing: `results.trials` has their `state` and `error`, and the next call tries them again.

    Args:
        address: of a running Ray cluster (`auto`: this machine's); None starts one of this
            machine's resources, which ends with the call.
        rehearse: whether to try every sort of stage for at most 20 steps first; None: on a cluster.
        retrain: whether to train finished stages again where a trial has other processes.
        progress: whether to show the trials on standard error while they run; nothing is printed
            otherwise.

    Raises:
        ConfigError: an input is wrong, and nothing was started.
        SweepStopped: it was told to stop, and goes on with the same call.
        StageError: what no trial can mend: a full disk, no node left.
        StoreError: another process has taken the sweep over, or the storage is gone.
    """
    from rich.console import Console

    from xstilts.driver import Log, Terminal, drive, inputs_of
    from xstilts.report.sweep_results import SweepResults
    from xstilts.search.connection import check_address, quieten

    quieten(address)
    if address is not None:
        check_address(address)
    console = Console(stderr=True, highlight=False)
    view = Terminal(console, console) if progress else Log()
    places, inventory = inputs_of(sweep, view.tell)
    with_rehearsal = address is not None if rehearse is None else rehearse
    driven = drive(sweep, places, inventory, view, address, with_rehearsal, retrain)
    if driven.trouble:
        view.warn(f"MLflow is not up to date: {driven.trouble}")
    if driven.was_stopped and not driven.is_complete:
        raise SweepStopped(f"{sweep.name}: stopped; the same call goes on where it was")
    return SweepResults(driven.places, with_plugins=True)


def run_trial(
    sweep: Sweep,
    point: Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    trial: str | None = None,
    tell: Callable[[str], Any] = logger.info,
) -> TrialRecord:
    """Run one trial in this process, without Ray; stages that exist are read.

    Args:
        point: its parameters, such as `{"intermediate": "nli"}`; absent ones take their first
            value, and the baseline is run if there are none.
        seed: one of the sweep's; its first if not given.
        trial: instead of both, a trial of the sweep that is rebuilt from its record.
        tell: called with notes on the inputs and the traceback of a failure.

    Returns:
        The trial's record. One that failed for its own reason raises nothing: its `state` is
        `failed`.

    Raises:
        ConfigError: an input is wrong, or there is no such trial, parameter or seed.
        Preempted: SIGTERM or Ctrl-C; the same call goes on from the checkpoint.
        StoreError: the storage is full or gone, or another process has taken the trial over.
    """
    from xstilts.driver import inputs_of
    from xstilts.plan.plan import Planner
    from xstilts.run.places import Places
    from xstilts.run.single import record_of, run_single
    from xstilts.search.proposals import target_points

    if trial is not None:
        record_of(Places.of(sweep), trial)  # before a storage is made in which none can lie
    places, inventory = inputs_of(sweep, tell)
    planner = Planner(sweep, inventory, target_points(sweep))
    given = {"intermediate": "none"} if point is None else point
    return run_single(planner, places, trial, given, seed, tell)


def open_results(
    name_or_folder: str | Path,
    storage: str | Path | None = None,
    *,
    with_plugins: bool = False,
    tell: Callable[[str], Any] = logger.info,
) -> SweepResults:
    """The results of a sweep, finished or running, as far as its trials have ended.

    Args:
        name_or_folder: the sweep's name, or its folder `<storage>/sweeps/<name>`.
        storage: the folder that the sweep file names under `storage`; unless given, a name is
            looked for in `./runs`, then in the storage of the last sweep.
        with_plugins: whether modules that the stored sweep names under `plugins` may be imported.
            Tables and submissions need none of them; labels and models of tasks of plugins do, and
            sweeps that an older version has launched.
        tell: called with a line where the last storage is taken, or one of an older format.

    Raises:
        ConfigError: there is no sweep of that name, or it cannot be read without a plugin.
    """
    from xstilts.report.sweep_results import SweepResults
    from xstilts.run.remembered import find_sweep

    root = None if storage is None else Path(storage)
    return SweepResults(find_sweep(name_or_folder, root, tell), with_plugins)


def languages() -> pd.DataFrame:
    """The table of languages, a row a language, its code the index: family, script, resources,
    morphology, order, distances. What is not known is missing.

    `attrs["about"]` and `attrs["source"]` say of each column what it is and where it is from.
    """
    import pandas as pd

    from xstilts.tasks.languages import COLUMNS, LANGUAGES

    rows = [one.values for one in LANGUAGES.values()]
    dtypes = {"text": "string", "class": "Int64", "number": "float64"}
    frame = pd.DataFrame(rows).astype({name: dtypes[x.values] for name, x in COLUMNS.items()})
    frame.attrs = {
        "about": {name: column.about for name, column in COLUMNS.items()},
        "source": {name: column.source for name, column in COLUMNS.items()},
    }
    return frame.set_index("code")


def score_submission(
    predictions: str | Path, labels: str | Path, benchmark: str = "xtreme"
) -> Official:
    """Score a folder in XTREME's or XTREME-R's submission layout exactly as the official scorer
    does.

    Args:
        predictions: `<task>/test-<language>.tsv` (QA and Mewsli-X: `.json`, XCOPA: `.jsonl`) for
            each task; `lareqa/predictions.json`.
        labels: the gold, in the same layout; `lareqa/labels.json`.
        benchmark: `xtreme` or `xtreme-r`: which tasks, in which languages.

    Raises:
        ConfigError: there is no scorer of the benchmark, the folders share no task, a language's
            file is missing or unreadable, or the numbers of examples differ.
    """
    from xstilts.scores.official import score_folder

    return score_folder(Path(predictions), Path(labels), benchmark)


def sweep_file(text: str) -> Path:
    """The path of a sweep file that a user named."""
    if text != QUICKSTART:
        return Path(text)
    # In a wheel it lies beside the benchmark, in a checkout at its place among the sweep files.
    package = Path(__file__).parent
    packed = package / "mini" / "quickstart.yaml"
    return packed if packed.exists() else package.parent / "sweeps" / "quickstart.yaml"

"""Which fine-tuned weights stay: those of the best trials of each target, by dev, of each sweep.

Predictions, scores and manifests of all stages stay in any case; weights are what fills a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.plan.trial_plan import target_sets
from xstilts.run.confirmation import is_confirming
from xstilts.run.places import Places, sweep_names
from xstilts.run.records import read_record
from xstilts.run.store import Store
from xstilts.run.trial_states import TrialState

KEPT = "kept.json"
"""In the folder of a launch: the stages whose weights the sweep keeps."""


def best_stages(sweep: Sweep, records: Iterable[Mapping[str, Any]]) -> set[str]:
    """The target stages of the best `keep_target_weights` trials by dev, of every target set.

    `records` are those of finished trials.
    """
    best: set[str] = set()
    for name, targets in target_sets(sweep).items():
        scored = [
            (_dev_of(record["metrics"], targets), record["chosen"][name]["stage"])
            for record in records
            if name in record["chosen"]
        ]
        # Equal scores: the name decides, so that the choice does not hang on the order of trials.
        scored.sort(key=lambda pair: (-pair[0], pair[1]))
        best |= {stage for _, stage in scored[: sweep.resources.keep_target_weights]}
    return best


def _dev_of(metrics: Mapping[str, float], targets: Sequence[str]) -> float:
    """The dev score that targets with one training stage share; a trial may be older than some."""
    return next(metrics[f"dev/{name}"] for name in targets if f"dev/{name}" in metrics)


class Keeper:
    """Drops the weights of one sweep's trials as better ones come in.

    `check` is called before every write, and raises where the sweep is another driver's.
    """

    def __init__(self, sweep: Sweep, places: Places, launch: int, check: Callable[[], None]):
        self._sweep = sweep
        self._places = places
        self._launch = launch
        self._check = check
        self._store = Store(places.storage)
        self._records: dict[str, Mapping[str, Any]] = {}
        self._there: set[str] = set()
        self._ended: dict[str, float] = {}

    def step(self, states: Sequence[TrialState]) -> None:
        """Take in the trials that have ended since the last step."""
        found = []
        for state in states:
            if state.ended is not None and self._ended.get(state.trial) != state.ended:
                found.append(read_record(self._places.trials / state.trial))
                self._ended[state.trial] = state.ended
        if found:
            self.add([record for record in found if record is not None])

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Note ended trials; drop what is no longer among the best, here or in other sweeps.

        One that failed keeps its weights, for it is tried again by the next launch.
        """
        for record in records:
            if record["state"] == "finished":
                # Of a thousand records no more is held than the choice needs.
                names = [f"dev/{target}" for target in self._sweep.targets]
                dev = {key: x for key in names if (x := record["metrics"].get(key)) is not None}
                slim = {"metrics": dev, "chosen": record["chosen"]}
                if not is_confirming(record):  # a seed more is no better configuration
                    self._records[record["trial"]] = slim
                self._there |= {chosen["stage"] for chosen in record["chosen"].values()}
        kept = best_stages(self._sweep, self._records.values())
        self._check()
        write_json(self._places.launch(self._launch) / KEPT, sorted(kept))
        for name in self._there - kept_by_all(self._places.storage):
            self._check()
            self._store.drop_weights(name)
        self._there &= kept


def kept_by_all(storage: Path, names: Sequence[str] | None = None) -> set[str]:
    """The stages whose weights some sweep of the storage, or one of those named, keeps."""
    kept: set[str] = set()
    for name in sweep_names(storage) if names is None else names:
        stages: list[str] = Places(storage, name).latest(KEPT, [])
        kept |= set(stages)
    return kept

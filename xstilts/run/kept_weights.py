"""Which fine-tuned weights stay: those of the best trials of each target, by dev, of each sweep.

Predictions, scores and manifests of all stages stay in any case; weights are what fills a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.plan.stage import class_of
from xstilts.plan.trial_plan import target_sets
from xstilts.records import TrialRecord
from xstilts.run.places import Places, sweep_names
from xstilts.run.records import read_record
from xstilts.run.stage_results import base_of
from xstilts.run.storage import STORE
from xstilts.run.store import Store
from xstilts.run.trial_states import TrialState
from xstilts.scores.aggregate import DEV, Metric
from xstilts.tracking.tracker import metric_name

KEPT = "kept.json"
"""In the folder of a launch: the stages whose weights the sweep keeps."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the choice needs of a finished trial: its dev scores by target, and the stages that it
    chose by the name of their targets' set."""

    dev: Mapping[str, float]
    stages: Mapping[str, str]

    @classmethod
    def of(cls, sweep: Sweep, record: TrialRecord) -> Kept:
        """What its record says."""
        found = {name: record.metrics.get(metric_name(Metric(name, DEV))) for name in sweep.targets}
        return cls(
            dev={name: score for name, score in found.items() if score is not None},
            stages={name: chosen.stage for name, chosen in record.chosen.items()},
        )


def best_stages(sweep: Sweep, trials: Collection[Kept]) -> set[str]:
    """The target stages of the best `keep_target_weights` trials by dev, of every target set."""
    best: set[str] = set()
    for name, targets in target_sets(sweep).items():
        scored = [
            # The targets of a set share their dev score; a trial may be older than some of them.
            (next(trial.dev[target] for target in targets if target in trial.dev), stage)
            for trial in trials
            if (stage := trial.stages.get(name)) is not None
        ]
        # Equal scores: the name decides, so that the choice does not hang on the order of trials.
        scored.sort(key=lambda pair: (-pair[0], pair[1]))
        best |= {stage for _, stage in scored[: sweep.resources.keep_target_weights]}
    return best


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
        self._trials: dict[str, Kept] = {}
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

    def add(self, records: Iterable[TrialRecord]) -> None:
        """Note ended trials; drop what is no longer among the best, here or in other sweeps.

        One that failed keeps its weights, for it is tried again by the next launch.
        """
        for record in records:
            if record.state == "finished":
                # Of a thousand records no more is held than the choice needs.
                kept = Kept.of(self._sweep, record)
                if record.is_searching:  # a seed more, or less training, is no better one
                    self._trials[record.trial] = kept
                # What trials to come share is not one trial's to drop.
                self._there |= {
                    name
                    for name in with_bases(self._places.storage, kept.stages.values())
                    if class_of(name) != "intermediate"
                }
        best = best_stages(self._sweep, self._trials.values())
        # What a trial scored stays, so that one that is none of the best will never be.
        self._trials = {
            name: kept
            for name, kept in self._trials.items()
            if not best.isdisjoint(kept.stages.values())
        }
        self._check()
        write_json(self._places.launch(self._launch) / KEPT, sorted(best))
        for name in self._there - kept_by_all(self._places.storage):
            self._check()
            self._store.drop_weights(name)
        self._there &= with_bases(self._places.storage, best)


def kept_by_all(storage: Path, names: Sequence[str] | None = None) -> set[str]:
    """The stages whose weights some sweep of the storage, or one of those named, keeps; with those
    that adapters among them belong to."""
    kept: set[str] = set()
    for name in sweep_names(storage) if names is None else names:
        stages: list[str] = Places(storage, name).latest(KEPT, [])
        kept |= set(stages)
    return with_bases(storage, kept)


def with_bases(storage: Path, names: Iterable[str]) -> set[str]:
    """Stages, and all those whose weights theirs are merged into."""
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += filter(None, [base_of(storage / STORE / name)])
    return found

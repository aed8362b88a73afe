"""The objective dev/weighted in a search: what trials tell of it, and what the sampler is told.

The study keeps the plain mean of a configuration and, beside it, its dev scores. What the sampler
is told is made of those whenever it draws, by the weights of the round, so that earlier and later
configurations are measured alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from statistics import fmean

from optuna.trial import FrozenTrial, TrialState

from xstilts.config.derive import selected_targets
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.run.rounds import Dev, Rounds

POINT = "point"
"""User attribute of a study's trial: the point, without which a trial is no proposal."""

DIVERGED = "diverged"
"""User attribute of a study's trial that was told the worst value, for it gave none."""

DEV = "dev"
"""User attribute of a study's trial: its dev scores by target, with their sampling variances."""


def weighted(
    proposed: Mapping[str, FrozenTrial], rounds: Rounds, measure: str, is_max: bool
) -> dict[str, FrozenTrial]:
    """Proposals, by their ids, with the values of the current round in the place of those that they
    ended with; before the first round as they are. What ended without dev scores is left out:
    nothing is known of it by this measure.

    Args:
        measure: see `xstilts.run.rounds.Round`.
        is_max: whether more is better.
    """
    ended = {name: x for name, x in proposed.items() if x.state == TrialState.COMPLETE}
    told = {name: x.user_attrs[DEV] for name, x in ended.items() if DEV in x.user_attrs}
    current = rounds.current(measure, told)
    targets = set() if current is None else {*current.targets}
    whole = {name: dev for name, dev in told.items() if dev.keys() >= targets}
    if current is None or not whole:
        return dict(proposed)
    values = dict(zip(whole, current.scores([*whole.values()]), strict=True))
    worst = (min if is_max else max)(values.values())
    values |= {name: worst for name, x in ended.items() if DIVERGED in x.user_attrs}
    return {
        name: _with_value(trial, values[name]) if name in values else trial
        for name, trial in proposed.items()
        if name in values or name not in ended
    }


def as_believed(
    proposed: Mapping[str, FrozenTrial], beliefs: Mapping[str, tuple[float, Dev]]
) -> dict[str, FrozenTrial]:
    """Proposals of a race, by their ids, as if each of which something is believed had ended so.

    Args:
        beliefs: the objective and the dev scores of configurations, by their ids.
    """
    found = dict(proposed)
    for config in proposed.keys() & beliefs.keys():
        (value, dev), trial = beliefs[config], proposed[config]
        found[config] = _with_value(trial, value)
        found[config].state = TrialState.COMPLETE
        found[config].user_attrs = {POINT: trial.user_attrs[POINT], DEV: dev}
    return found


def _with_value(trial: FrozenTrial, value: float) -> FrozenTrial:
    found = copy(trial)
    found.value = value
    return found


def dev_of(sweep: Sweep, record: TrialRecord) -> dict[str, list[float]]:
    """A trial's dev score by target with its sampling variance, of targets that share a training
    stage once. Values of 0-100 with mean s have a variance of at most s (100 - s) over a set of n,
    which an accuracy has: what is taken for noise is never too little."""
    sizes = {
        row["target"]: row["n"]
        for row in record.scores
        if row["split"] == "dev" and row["is_chosen"]
    }
    found: dict[str, list[float]] = {}
    for name in {task.head: task.name for task in reversed(selected_targets(sweep))}.values():
        score = record.metrics.get(f"dev/{name}")
        if score is not None and sizes.get(name):
            found[name] = [score, score * (100 - score) / sizes[name]]
    return found


def mean_dev(found: Sequence[Dev]) -> dict[str, list[float]]:
    """Means over seeds of one configuration, of targets that all have. They share the dev set, so
    that the mean is as uncertain by its rows as one of them."""
    shared = set.intersection(*(set(one) for one in found)) if found else set()
    return {name: [fmean(one[name][i] for one in found) for i in (0, 1)] for name in sorted(shared)}

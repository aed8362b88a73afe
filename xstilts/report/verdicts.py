"""The verdict of every target of a sweep, with the trials that it stands on.

Search's choice is confirmed, or not, by runs with fresh seeds alone: scores, seeds and items of
finished trials are put together here, and `xstilts.scores.verdict` says what they allow to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from threadpoolctl import threadpool_limits

from xstilts.config.derive import NONE, candidates
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.report.comparison import best_of, entries_of
from xstilts.report.item_noise import item_noise
from xstilts.run.confirmation import TargetChoice, newest_choice
from xstilts.run.places import Places
from xstilts.run.store import Store
from xstilts.scores.arm_gains import ArmGain, arm_gains
from xstilts.scores.best import Best, Entry, TrialScores
from xstilts.scores.verdict import TargetRuns, Verdict, verdicts


@dataclass(frozen=True, slots=True)
class FreshRuns:
    """The runs of one arm with fresh seeds: how many there are, how many of them learnt, and the
    mean `score` of those, None where there are none."""

    runs: int
    learnt: int
    score: float | None


@dataclass(frozen=True, slots=True)
class TargetVerdict:
    """A verdict and what it is about.

    `config` is the configuration of its `best`, `trials` the finished runs of that which it stands
    on, by seed: of confirmation, or of search where nothing is confirmed. `search` is search's
    line, None where no configuration has all its seeds. `exported` is the trial that `best` means
    in `export`, None where there is none. `was_tried` is whether runs with fresh seeds have ended.
    `arms` are all candidates with a run, and `none`; `runs` the trials, by seed, of each. `fresh`
    are the runs with fresh seeds of those that have any, search's leaders first; `ranked` all
    candidates that search has run, its best by dev first.
    """

    target: str
    verdict: Verdict
    config: str | None = None
    trials: tuple[str, ...] = ()
    search: Best | None = field(default=None, repr=False)
    exported: str | None = None
    was_tried: bool = False
    arms: Mapping[str, ArmGain] = field(default_factory=dict, repr=False)
    runs: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    fresh: Mapping[str, FreshRuns] = field(default_factory=dict, repr=False)
    ranked: tuple[str, ...] = ()

    @property
    def is_confirmed(self) -> bool:
        """Whether fresh seeds have said it."""
        return self.verdict.verdict != "not confirmed"


def runs_of_target(
    sweep: Sweep,
    places: Places,
    target: str,
    trials: Sequence[TrialScores],
    fresh: Sequence[TrialScores],
) -> TargetRuns:
    """All finished runs of one target, an arm an intermediate: its best configuration of search, or
    the one that was chosen to be confirmed. Arguments as of `target_verdicts`."""
    choice = newest_choice(places)
    chosen = choice.targets.get(target) if choice is not None else None
    search = next((best for best in best_of(sweep, trials) if best.target == target), None)
    entries = entries_of(sweep, trials)[target]
    members = _members(target, (), entries, search, chosen, trials, fresh)
    with threadpool_limits(1, user_api="blas"):
        return _target_runs(sweep, Store(places.storage), target, members)


@dataclass(frozen=True, slots=True)
class _Members:
    """The runs of a target by arm: those of search and those of confirmation."""

    search: Mapping[str, list[TrialScores]]
    fresh: Mapping[str, list[TrialScores]]
    leaders: tuple[str, ...]
    configs: Mapping[str, str]
    ranked: tuple[str, ...]


def target_verdicts(
    sweep: Sweep, places: Places, trials: Sequence[TrialScores], fresh: Sequence[TrialScores]
) -> dict[str, TargetVerdict]:
    """The verdict of every target, in the file's order.

    Args:
        trials: the finished ones of search.
        fresh: those of confirmation.
    """
    choice = newest_choice(places)
    chosen = choice.targets if choice is not None else {}
    search = {best.target: best for best in best_of(sweep, trials)}
    entries = entries_of(sweep, trials)
    parked = candidates(sweep) if sweep.search.is_race else ()
    members = {
        target: _members(
            target, parked, entries[target], search.get(target), chosen.get(target), trials, fresh
        )
        for target in sweep.targets
    }
    store = Store(places.storage)
    # Thousands of small products: threads for each would cost several times what they save, and
    # make the last bits of sums hang on the number of cores.
    with threadpool_limits(1, user_api="blas"):
        runs = {target: _target_runs(sweep, store, target, own) for target, own in members.items()}
        found = verdicts(runs)
    return {
        target: _told(target, said, members[target], search.get(target), runs[target])
        for target, said in found.items()
    }


def _members(
    target: str,
    parked: Sequence[str],
    entries: Mapping[str, Entry],
    search: Best | None,
    chosen: TargetChoice | None,
    trials: Sequence[TrialScores],
    fresh: Sequence[TrialScores],
) -> _Members:
    """One configuration an arm: search's best of the intermediate, or the one that was chosen to be
    confirmed."""
    # An intermediate that a race has not run may be the best: an arm of which nothing is known.
    unrun = dict.fromkeys(parked, "")
    configs = {NONE: "", **unrun, **{name: entry.config for name, entry in entries.items()}}
    leaders: tuple[str, ...] = () if search is None else (search.best.intermediate,)
    confirmed: dict[str, list[TrialScores]] = {}
    if chosen is not None:
        by_config: dict[str, list[TrialScores]] = {}
        for trial in fresh:
            if target in trial.scores:
                by_config.setdefault(trial.config, []).append(trial)
        own = {one.intermediate: one.config for one in (*chosen.leaders, chosen.baseline)}
        confirmed = {name: by_config.get(config, []) for name, config in own.items()}
        if any(confirmed.values()):
            configs |= own
            leaders = tuple(one.intermediate for one in chosen.leaders)
    names = {config: name for name, config in configs.items()}
    searched: dict[str, list[TrialScores]] = {name: [] for name in configs}
    for trial in trials:
        if target in trial.scores and trial.config in names:
            searched[names[trial.config]].append(trial)
    ranked = tuple(name for name in entries if name != NONE)
    return _Members(searched, confirmed, leaders, configs, ranked)


def _target_runs(sweep: Sweep, store: Store, target: str, members: _Members) -> TargetRuns:
    names = tuple(members.configs)
    rows = [
        (trial, names.index(name), is_fresh)
        for runs, is_fresh in ((members.search, False), (members.fresh, True))
        for name, of_arm in runs.items()
        for trial in of_arm
    ]
    trials = [trial for trial, _, _ in rows]
    arms = np.array([arm for _, arm, _ in rows], dtype=np.int64)
    hours = np.array([trial.hours.get(target, np.nan) for trial in trials])
    noise = None
    if members.leaders:
        evaluations = [trial.evaluations.get(target, "") for trial in trials]
        metrics = find_task(sweep, target).metrics
        noise = item_noise(store, target, metrics, evaluations, arms)
    return TargetRuns(
        names=names,
        arms=arms,
        seeds=np.array([trial.seed for trial in trials], dtype=np.int64),
        scores=np.array([trial.scores[target] for trial in trials], dtype=np.float64),
        learnt=np.array([target not in trial.collapsed for trial in trials], dtype=bool),
        confirms=np.array([is_fresh for _, _, is_fresh in rows], dtype=bool),
        leaders=members.leaders,
        hours=hours if np.isfinite(hours).all() else None,
        covariance=None if noise is None else noise[0],
        num_items=None if noise is None else noise[1],
        looks=len(sweep.seeds) if sweep.search.is_race else 1,
    )


def _told(
    target: str, said: Verdict, members: _Members, search: Best | None, of_arms: TargetRuns
) -> TargetVerdict:
    if said.best is None:
        return TargetVerdict(target, said, search=search)
    runs = members.search if said.verdict == "not confirmed" else members.fresh
    own = _by_seed(runs.get(said.best, []))
    arms = arm_gains(of_arms, said)
    members_of = {True: members.fresh, False: members.search}
    runs_of = {name: _by_seed(members_of[arm.is_fresh][name]) for name, arm in arms.items()}
    # Where no intermediate is worth it, or the baseline's mean is the higher one, it is exported.
    exported = own
    is_better = said.verdict != "none" and said.gain is not None and said.gain > 0
    if said.verdict != "not confirmed" and not is_better:
        exported = _by_seed(runs.get(NONE, []))
    learnt = [trial for trial in exported if target not in trial.collapsed]
    return TargetVerdict(
        target,
        said,
        config=members.configs[said.best],
        trials=tuple(trial.trial for trial in own),
        search=search,
        exported=next((trial.trial for trial in (*learnt, *exported)), None),
        was_tried=any(members.fresh.values()),
        arms=arms,
        runs={name: tuple(one.trial for one in trials) for name, trials in runs_of.items()},
        fresh={name: _fresh(target, runs) for name, runs in members.fresh.items() if runs},
        ranked=members.ranked,
    )


def _fresh(target: str, runs: Sequence[TrialScores]) -> FreshRuns:
    learnt = [trial.scores[target] for trial in runs if target not in trial.collapsed]
    return FreshRuns(len(runs), len(learnt), fmean(learnt) if learnt else None)


def _by_seed(trials: Sequence[TrialScores]) -> list[TrialScores]:
    return sorted(trials, key=lambda trial: trial.seed)

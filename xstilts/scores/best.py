"""The best intermediate for a target: by dev score, with its baseline chosen by the same rule.

Seeds of one configuration are replicates: a configuration's dev and evaluation scores are means
over its finished seeds, and configurations are compared only if all their seeds are there; those
of a race in the order in which it believes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean, stdev
from typing import Any

import numpy as np

from xstilts.config.derive import NONE
from xstilts.scores.expected_best import expected_best


@dataclass(frozen=True, slots=True)
class TrialScores:
    """What the comparison needs of one finished trial.

    `dev` are the dev scores by target, with their mean as `avg`; `scores` those of the evaluation,
    means over languages. What is incomplete is absent. `hours` is what a run takes that has one
    target and one point of the inner search, by target; `evaluations` names the stage that scored
    each.
    """

    trial: str
    config: str
    intermediate: str
    model: str
    seed: int
    dev: Mapping[str, float]
    scores: Mapping[str, float]
    collapsed: Sequence[str] = ()
    hours: Mapping[str, float] = field(default_factory=dict)
    evaluations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A configuration's result on one target, over all its seeds.

    `spread` is the standard deviation over them. `collapsed` of the seeds did not learn the target,
    `learnt` is the score of the others, None if there are none.
    """

    config: str
    intermediate: str
    dev: float
    score: float
    spread: float | None
    seeds: int
    collapsed: int = 0
    learnt: float | None = None


@dataclass(frozen=True, slots=True)
class Best:
    """One line of the table. `candidates` counts the configurations the best was chosen from, by
    the dev score of `selected_on`: the target, or `avg`. `expected` is the score that the best of
    as many as the baseline was chosen from would have had on average; None without a baseline."""

    target: str
    best: Entry
    baseline: Entry | None
    candidates: int
    baseline_candidates: int
    selected_on: str
    expected: float | None = None

    @property
    def gain(self) -> float | None:
        """Points over the baseline; None without one."""
        return None if self.baseline is None else self.best.score - self.baseline.score

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON-able dict."""
        return {
            "target": self.target,
            "best": _entry_json(self.best),
            "baseline": _entry_json(self.baseline) if self.baseline else None,
            "gain": self.gain,
            "expected": self.expected,
            "configurations": self.candidates,
            "baseline_configurations": self.baseline_candidates,
            "selected_on": f"dev/{self.selected_on}",
            "status": "search",
        }


def entries_for(
    trials: Sequence[TrialScores],
    target: str,
    selected_on: str,
    num_seeds: int,
    ranks: Mapping[str, int] | None = None,
) -> list[Entry]:
    """Every complete configuration on a target, best dev first; ties go to the smaller id.

    Of a race, which gives configurations unlike numbers of runs, all that have a run are there, in
    the order of `ranks`, by id, 0 the best.

    Runs that collapsed count like all others, in dev and in score: how often that happens is a
    result of its own, and to leave them out would be to choose by the outcome.
    """
    by_config: dict[str, list[TrialScores]] = {}
    for trial in trials:
        if selected_on in trial.dev and target in trial.scores:
            by_config.setdefault(trial.config, []).append(trial)
    entries = []
    for config, members in by_config.items():
        is_short = len({member.seed for member in members}) < num_seeds
        if is_short if ranks is None else config not in ranks:
            continue
        scores = [member.scores[target] for member in members]
        learnt = [
            score
            for score, member in zip(scores, members, strict=True)
            if target not in member.collapsed
        ]
        entries.append(
            Entry(
                config=config,
                intermediate=members[0].intermediate,
                dev=fmean(member.dev[selected_on] for member in members),
                score=fmean(scores),
                spread=_spread(tuple(scores)) if len(scores) > 1 else None,
                seeds=len(members),
                collapsed=len(scores) - len(learnt),
                learnt=fmean(learnt) if learnt else None,
            )
        )
    if ranks is not None:
        return sorted(entries, key=lambda entry: ranks[entry.config])
    return sorted(entries, key=lambda entry: (-entry.dev, entry.config))


@lru_cache(maxsize=100_000)
def _spread(scores: tuple[float, ...]) -> float:
    """Their standard deviation. It is exact, which takes its time, and tables ask again."""
    return stdev(scores)


def best_for(
    trials: Sequence[TrialScores],
    target: str,
    selected_on: str,
    num_seeds: int,
    ranks: Mapping[str, int] | None = None,
) -> Best | None:
    """The best configuration for a target and the best baseline, by the same rule."""
    entries = entries_for(trials, target, selected_on, num_seeds, ranks)
    if not entries:
        return None
    baselines = [entry for entry in entries if entry.intermediate == NONE]
    return Best(
        target=target,
        best=entries[0],
        baseline=baselines[0] if baselines else None,
        candidates=len(entries),
        baseline_candidates=len(baselines),
        selected_on=selected_on,
        expected=expected_of(entries, len(baselines)) if baselines else None,
    )


def expected_of(entries: Sequence[Entry], count: int) -> float:
    """The expected score of the best by dev of `count` of some configurations."""
    dev, scores = (np.array([getattr(one, name) for one in entries]) for name in ("dev", "score"))
    return expected_best(dev, count, scores)


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__slots__}

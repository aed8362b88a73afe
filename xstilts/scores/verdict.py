"""What a sweep may say of a target: one word, and the figures that it stands on.

Runs of a target go in, those of search and those that confirmed its leaders with fresh seeds; a
verdict comes out, a pure function of them. docs/statistics.md has its table in plain words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from xstilts.config.derive import NONE
from xstilts.scores.arms import Arms, arms_of
from xstilts.scores.better import Comparison, compare, holm
from xstilts.scores.collapse import CollapseRate, collapse_rate, lowest_over_all_runs
from xstilts.scores.items import refuse
from xstilts.scores.settling import MARGIN, Settling, check_margin, seeds_to_settle, why_never
from xstilts.scores.ties import ALPHA, spend, ties
from xstilts.scores.variance import CONFIDENCE, Gain, check_share

Word = Literal["best", "ties", "none", "within noise", "harms", "not confirmed"]

_MIN_LEARNT = 2


@dataclass(frozen=True, slots=True)
class Criteria:
    """What verdicts are judged by.

    Gains within `margin` points make no difference; "better than none" may be said wrongly with
    probability `alpha`; intervals hold with probability `confidence`.

    Raises: ConfigError where one is out of range.
    """

    margin: float = MARGIN
    alpha: float = ALPHA
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        check_margin(self.margin)
        check_share("alpha", self.alpha)
        check_share("confidence", self.confidence)


DEFAULTS = Criteria()


@dataclass(frozen=True, slots=True, eq=False)
class TargetRuns:
    """All finished runs of one target.

    `names` (arms,) are the candidates, `none` among them; `arms` (runs,) their numbers, `seeds`
    (runs,), `scores` (runs,), 0-100, means over the target's languages; `learnt` (runs,) false
    where a run collapsed; `confirms` (runs,) true for runs with fresh seeds. `leaders` are
    search's, its first ahead, as fixed before any run confirmed. `hours` (runs,) and `covariance`
    (runs, runs), of `xstilts.scores.items` over `num_items` items, may be missing. `looks` are the
    numbers of runs that search may give a candidate by what earlier ones gave; 1 where all have as
    many.
    """

    names: tuple[str, ...]
    arms: np.ndarray
    seeds: np.ndarray
    scores: np.ndarray
    learnt: np.ndarray
    confirms: np.ndarray
    leaders: tuple[str, ...]
    hours: np.ndarray | None = None
    covariance: np.ndarray | None = None
    num_items: int | None = None
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target's verdict; None where not known.

    `best` is the candidate that it is about, `ties` are all that may be the best. `score`, `none`
    and `gain` are means of runs that learnt; `low` and `high` bound the gain, `p_null` is the
    probability of one as large under no effect, `p_best` that `best` is the best candidate.
    `collapsed` has (collapsed, runs) of `best` and of `none`; `over_all` whether the gain holds
    over all runs, collapsed ones too. Where the verdict is "not confirmed" the gain is a search
    gain. `settling` is what `hours_to_settle` comes of, None where nothing is to be settled.
    """

    verdict: Word
    best: str | None = None
    ties: tuple[str, ...] = ()
    score: float | None = None
    none: float | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    p_best: float | None = None
    p_null: float | None = None
    collapsed: Mapping[str, tuple[int, int]] | None = None
    over_all: bool | None = None
    runs: int = 0
    seeds: int = 0
    hours_to_settle: float | None = None
    settling: Settling | None = field(default=None, repr=False)

    @property
    def gain_name(self) -> str:
        """What the gain is to be called."""
        return "search gain" if self.verdict == "not confirmed" else "gain"


def verdicts(
    targets: Mapping[str, TargetRuns], criteria: Criteria = DEFAULTS
) -> dict[str, Verdict]:
    """The verdicts of a sweep's targets. "Better than none" of any target, said wrongly, has
    probability `alpha` over all of them (Holm); the rest is said target by target.

    Raises: ConfigError where a target has no `none` among its names.
    """
    compared = {name: _compare(runs, criteria.confidence) for name, runs in targets.items()}
    known = [name for name, value in compared.items() if value is not None]
    p = [value.p for value in compared.values() if value is not None]
    better = dict(zip(known, holm(p, criteria.alpha), strict=True))
    return {
        name: verdict(
            runs,
            criteria,
            is_better=bool(better.get(name, False)),
            level=criteria.alpha / max(len(known), 1),
        )
        for name, runs in targets.items()
    }


def verdict(
    runs: TargetRuns,
    criteria: Criteria = DEFAULTS,
    *,
    is_better: bool | None = None,
    level: float | None = None,
) -> Verdict:
    """The verdict of one target, by the first line of this table that is true:

    | verdict | where |
    |---|---|
    | not confirmed | no leader, or not `none`, has two confirmation runs that learnt |
    | best | better than none, and alone in the set of ties |
    | ties | better than none, and others may be the best as well |
    | harms | the interval of the gain lies below 0 |
    | none | the interval lies below the margin: no gain that would matter |
    | within noise | otherwise |

    Better than none: `is_better`, as Holm says of the sweep's targets - by itself of the target
    alone - and an interval above 0. It is about search's first that learnt, with an interval of
    its own, unless that is out of the set of ties or only another leader's gain is above 0: then
    about the highest of those, with an interval that holds for all leaders at once. `level` is
    the one-sided level that hours to settle are reckoned for.
    """
    comparison = _compare(runs, criteria.confidence)
    if comparison is None:
        return _not_confirmed(runs, criteria, level)
    if is_better is None:
        is_better = comparison.p <= criteria.alpha
    fresh, leaders = _confirmed(runs)
    baseline = runs.names.index(NONE)
    inside = _set_of_ties(runs, leaders, criteria.alpha)
    best, gain = _about(comparison, fresh, leaders, inside)
    word = _word(gain, is_better, inside == [best], criteria.margin)
    rates = {arm: _collapsed(runs, arm, criteria.confidence) for arm in (best, baseline)}
    none = float(fresh.means[baseline])
    members = runs.confirms & (runs.arms == best)
    settling = (
        _settling(runs, fresh, best, gain.gain, criteria, level) if word == "within noise" else None
    )
    return Verdict(
        verdict=word,
        best=runs.names[best],
        ties=tuple(runs.names[arm] for arm in inside),
        score=float(fresh.means[best]),
        none=none,
        gain=gain.gain,
        low=gain.low,
        high=gain.high,
        p_best=_p_best(runs, leaders, best),
        p_null=gain.p,
        collapsed={runs.names[arm]: (rate.collapsed, rate.runs) for arm, rate in rates.items()},
        over_all=_holds_over_all(runs, gain, none, rates[best], rates[baseline]),
        runs=int(members.sum()),
        seeds=len(np.unique(runs.seeds[members])),
        hours_to_settle=0.0 if settling is None else settling.hours,
        settling=settling,
    )


def _word(gain: Gain, is_better: bool, is_alone: bool, margin: float) -> Word:
    """What the table of `verdict` says of a confirmed gain."""
    if is_better and gain.low > 0:
        return "best" if is_alone else "ties"
    if gain.high < 0:
        return "harms"
    return "none" if gain.high < margin else "within noise"


def _confirmed(runs: TargetRuns) -> tuple[Arms, list[int]]:
    """The arms by confirmation runs that learnt, and those leaders that can be judged by them."""
    if NONE not in runs.names:
        raise refuse(
            "verdict", f"a target's arms have {NONE} among them", ", ".join(runs.names), "add it"
        )
    fresh = arms_in(runs, runs.confirms & runs.learnt)
    numbers = [runs.names.index(name) for name in runs.leaders]
    return fresh, [arm for arm in numbers if fresh.runs[arm] >= _MIN_LEARNT]


def arms_in(runs: TargetRuns, chosen: np.ndarray) -> Arms:
    """A target's arms by some of its runs alone, `chosen` (runs,)."""
    covariance = runs.covariance
    return arms_of(
        runs.scores[chosen],
        runs.arms[chosen],
        len(runs.names),
        baseline=runs.names.index(NONE),
        covariance=None if covariance is None else covariance[np.ix_(chosen, chosen)],
        num_items=runs.num_items,
    )


def _compare(runs: TargetRuns, confidence: float) -> Comparison | None:
    """The leaders against `none`; None where too few confirmation runs learnt."""
    fresh, leaders = _confirmed(runs)
    baseline = runs.names.index(NONE)
    if not leaders or fresh.runs[baseline] < _MIN_LEARNT:
        return None
    return compare(fresh, baseline, leaders, confidence)


def _about(
    comparison: Comparison, fresh: Arms, leaders: list[int], inside: list[int]
) -> tuple[int, Gain]:
    """The candidate that the verdict is about, and its gain."""
    first, gains = leaders[0], dict(zip(leaders, comparison.gains, strict=True))
    tied = [arm for arm in leaders if arm in inside]
    better = [arm for arm in tied if gains[arm].low > 0]
    if first in tied and (comparison.gain_first.low > 0 or not better):
        return first, comparison.gain_first
    best = max(better or tied, key=lambda arm: float(fresh.means[arm]))
    return best, gains[best]


def _set_of_ties(runs: TargetRuns, leaders: list[int], alpha: float) -> list[int]:
    """All candidates that may be the best, leaders ahead.

    Two looks, two parts of alpha: leaders are judged by confirmation runs alone, which did not
    choose them, and the candidates that search left behind by search's runs against those. Where
    their number hung on what they gave, each number is a look of its own.
    """
    candidates = [arm for arm, name in enumerate(runs.names) if name != NONE]
    behind = [arm for arm in candidates if arm not in leaders]
    looks = 2 if behind else 1
    fresh = arms_in(runs, runs.confirms & runs.learnt & np.isin(runs.arms, leaders))
    kept = ties(fresh, alpha=alpha, look=looks, looks=looks).inside
    inside = [arm for arm in leaders if kept[arm]]
    if behind:
        merged = _merged(runs, leaders)
        apart = ties(merged, alpha=alpha, look=1, looks=2)
        counts = np.clip(merged.runs, 1, runs.looks)
        levels = [spend(apart.level, int(count), runs.looks) for count in counts]
        inside += [arm for arm in behind if apart.p[arm] > levels[arm]]
    return inside


def _merged(runs: TargetRuns, leaders: list[int]) -> Arms:
    """All candidates: leaders by their confirmation runs, others by search's."""
    fits = np.where(np.isin(runs.arms, leaders), runs.confirms, ~runs.confirms)
    return arms_in(runs, runs.learnt & fits & (runs.arms != runs.names.index(NONE)))


def _p_best(runs: TargetRuns, leaders: list[int], best: int) -> float:
    return float(_merged(runs, leaders).p_best()[best])


def _collapsed(runs: TargetRuns, arm: int, confidence: float) -> CollapseRate:
    own = runs.confirms & (runs.arms == arm)
    return collapse_rate(int((own & ~runs.learnt).sum()), int(own.sum()), confidence)


def _holds_over_all(
    runs: TargetRuns, gain: Gain, none: float, best: CollapseRate, baseline: CollapseRate
) -> bool | None:
    """None where no run of the target shows what a collapsed one scores."""
    if runs.learnt.all():
        return None
    collapsed = float(runs.scores[~runs.learnt].mean())
    return lowest_over_all_runs(gain, none, best, baseline, collapsed) > 0


def _settling(
    runs: TargetRuns,
    arms: Arms,
    arm: int,
    gain: float,
    criteria: Criteria,
    level: float | None,
) -> Settling:
    """What it takes until the gain is settled; of search's runs all that a confirmation takes."""
    both = [arm, runs.names.index(NONE)]
    if not np.isfinite(gain) or not arms.known[both].all():
        return Settling(reason=_lacking(runs, both))
    learnt = runs.confirms & runs.learnt
    have = int(min((learnt & (runs.arms == one)).sum() for one in both))
    seeds = float((arms.seed_variances[both] * arms.runs[both]).sum())
    items = float(arms.item_variances[both[0], both[1]])
    need_of = partial(
        seeds_to_settle,
        gain,
        seed_variance=seeds,
        margin=criteria.margin,
        level=level,
        confidence=criteria.confidence,
    )
    need = need_of(item_variance=items)
    if need is None:
        return Settling(reason=why_never(runs.num_items, items, need_of(item_variance=0.0)))
    more = max(need - have, 0)
    if runs.hours is None:
        return Settling(more)
    return Settling(more, more * float(sum(runs.hours[runs.arms == x].mean() for x in both)))


def _lacking(runs: TargetRuns, arms: list[int]) -> str:
    """Why nothing is known of how far the runs of two arms spread: which has too few."""
    for arm, name in ((arm, runs.names[arm]) for arm in arms):
        own = runs.arms == arm
        own &= runs.confirms if (runs.confirms & np.isin(runs.arms, arms)).any() else ~runs.confirms
        learnt, count = int((own & runs.learnt).sum()), int(own.sum())
        if learnt < _MIN_LEARNT:
            return f"of {name} {learnt} of {count} runs learnt, and their spread takes two"
    return "the runs that chose it are one an arm, and show no spread"


def _not_confirmed(runs: TargetRuns, criteria: Criteria, level: float | None) -> Verdict:
    """What search alone says: a gain that is flattered by having been chosen."""
    if not runs.leaders:
        return Verdict("not confirmed")
    first, baseline = runs.names.index(runs.leaders[0]), runs.names.index(NONE)
    found = arms_in(runs, ~runs.confirms & runs.learnt)
    score, none = (float(found.means[arm]) for arm in (first, baseline))
    gain = score - none
    members = ~runs.confirms & (runs.arms == first)
    settling = None
    if first != baseline:
        settling = _settling(runs, found, first, gain, criteria, level)
    return Verdict(
        verdict="not confirmed",
        best=runs.leaders[0],
        score=_known(score),
        none=_known(none),
        gain=_known(gain),
        collapsed=_counted(runs, (first, baseline)),
        runs=int(members.sum()),
        seeds=len(np.unique(runs.seeds[members])),
        hours_to_settle=None if settling is None else settling.hours,
        settling=settling,
    )


def _counted(runs: TargetRuns, arms: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """How many runs collapsed, of how many: of confirmation where an arm has any, else of search's.
    A confirmation of which nothing learnt is told so."""
    found = {}
    for arm in arms:
        own = runs.arms == arm
        own &= runs.confirms if (own & runs.confirms).any() else ~runs.confirms
        found[runs.names[arm]] = int((own & ~runs.learnt).sum()), int(own.sum())
    return found


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None

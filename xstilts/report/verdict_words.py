"""What to use for a target, and what stands behind that: clauses, the decision first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xstilts.config.derive import NONE, is_fixed
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord

if TYPE_CHECKING:
    from xstilts.report.results import Results
    from xstilts.report.verdicts import TargetVerdict

BESIDE_NONE = {
    "none": "gains nothing that matters",
    "within noise": "is not told apart from it",
    "harms": "is worse",
}
"""What a verdict says of its best where `none` is to be used."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How runs of one arm were trained. `rates` are shares of a mixture's tasks, `learning_rates`
    by phase, None where there is no such phase or the runs chose different ones; `budget` are the
    examples of the intermediate stage, None where there is none."""

    rates: Mapping[str, float]
    learning_rates: Mapping[str, float | None]
    budget: int | None


def recipe_of(
    sweep: Sweep, target: str, trials: Sequence[str], records: Mapping[str, TrialRecord]
) -> Recipe:
    """How trials of one arm were trained for a target.

    Args:
        records: the sweep's, by trial.
    """
    own = [records[name] for name in trials if name in records]
    head = find_task(sweep, target).head
    chosen = {one.chosen[head].learning_rate if head in one.chosen else None for one in own}
    before = {one.learning_rate for one in own}
    drawn = {sum(sum(counts.values()) for counts in one.examples.values()) for one in own}
    return Recipe(
        rates=dict(own[0].rates) if own else {},
        learning_rates={
            name: next(iter(rates)) if len(rates) == 1 else None
            for name, rates in (("intermediate", before), ("target", chosen))
        },
        budget=(next(iter(drawn)) or None) if len(drawn) == 1 else None,
    )


def is_of_none(told: TargetVerdict) -> bool:
    """Whether the trial that is exported is one of the baseline, or there is none."""
    return told.exported is None or told.exported.startswith(f"{NONE}-")


def behind(results: Results, told: TargetVerdict, records: Mapping[str, TrialRecord]) -> list[str]:
    """What to use for a target, and what stands behind that, in clauses."""
    sweep, said = results.sweep, told.verdict
    if said.best is None or told.exported is None:
        return ["no configuration has all its seeds"]
    has_head = find_task(sweep, find_task(sweep, told.target).head).is_trained
    recipe = recipe_of(sweep, told.target, [told.exported], records)
    used = NONE if is_of_none(told) else said.best
    parts = [f"use {_how(recipe, used)}"]
    if not told.is_confirmed and used != NONE:
        parts[0] += ", as search has it"
    if not has_head:
        parts[0] += f": its model is the encoder{' as it is' if used == NONE else ''}"
    if told.exported not in told.trials:
        parts.append(told.exported)
        how = _how(recipe_of(sweep, told.target, told.trials, records), said.best)
        parts.append(f"{how}, {BESIDE_NONE[said.verdict]}: {_trials(told.trials)}")
    else:
        parts.append(_trials(told.trials))
    if is_fixed(sweep, told.target, NONE):
        parts.append(f"{NONE} is not trained: the same for every seed")
    return [*parts, *_ties(told), *_collapses(told), *_settling(told)]


def _how(recipe: Recipe, name: str) -> str:
    """`mix (mini_nli 0.5, mini_qa 0.5), 1,600 examples at 6.3e-04, target at 5e-04`."""
    rates, before = recipe.rates, recipe.learning_rates["intermediate"]
    mixed = ", ".join(f"{task} {rate:g}" for task, rate in rates.items()) if len(rates) > 1 else ""
    parts = [f"{name} ({mixed})" if mixed else name]
    if recipe.budget is not None:
        parts.append(f"{recipe.budget:,} examples" + (f" at {before:.1e}" if before else ""))
    if (rate := recipe.learning_rates["target"]) is not None:
        parts.append(f"target at {rate:.1e}")
    return ", ".join(parts)


def _ties(told: TargetVerdict) -> list[str]:
    """Who else may be the best, and what compares those that have no fresh seeds."""
    others = [name for name in told.verdict.ties if name != told.verdict.best]
    if not others:
        return []
    said = f"{told.verdict.best} is not known to be better than {', '.join(others)}"
    apart = [name for name in others if name not in told.fresh and name in told.ranked]
    if not apart:
        return [said]
    top = 1 + max(map(told.ranked.index, apart))
    has = "has" if len(apart) == 1 else "have"
    who = "which" if apart == others else f"of which {', '.join(apart)}"
    return [f"{said}, {who} {has} no fresh seeds: confirm --top {top} compares them too"]


def _collapses(told: TargetVerdict) -> list[str]:
    said, parts = told.verdict, []
    if told.was_tried and not told.is_confirmed:
        arms = ", ".join(
            f"{name} {'' if one.score is None else f'{one.score:.1f} '}"
            f"({one.learnt} of {one.runs} learnt)"
            for name, one in told.fresh.items()
        )
        return [f"fresh seeds: {arms}: too few to confirm or refute it"]
    counts = {name: (k, n) for name, (k, n) in (said.collapsed or {}).items() if k}
    if counts:
        parts.append(
            "collapsed: "
            + ", ".join(f"{k} of {n} runs of {name}" for name, (k, n) in counts.items())
        )
    if counts and all(k == n for k, n in (said.collapsed or {}).values()):
        parts.append("nothing was learnt")
    elif said.over_all is not None and said.gain is not None and said.gain > 0:
        parts.append(f"{'' if said.over_all else 'not shown to be '}better over all runs")
    return parts


def _settling(told: TargetVerdict) -> list[str]:
    """What it takes to know more, or why that is not known."""
    it = told.verdict.settling
    if it is None:
        return []
    if it.more is None:
        return [f"not known how many seeds would settle it: {it.reason}"]
    if not it.more:
        return ["it has the seeds that settle it four times in five; more may"]
    seeds = "1 more fresh seed" if it.more == 1 else f"{it.more} more fresh seeds"
    took = f", about {_time(it.hours)} of {told.verdict.best} and none" if it.hours else ""
    return [f"about {seeds} would settle it{took}"]


def _trials(names: Sequence[str]) -> str:
    """Trials of one configuration: the name once, then the seeds."""
    first, *others = names
    return ", ".join([first, *(f"-{name.rpartition('-')[2]}" for name in others)])


def _time(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(60 * hours, 1):.0f} minutes"

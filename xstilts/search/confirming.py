"""Confirmation within a launch: the choice is made once search has ended, and its trials follow.

Only the driver chooses, and writes into the folder of its own launch; workers get a trial's plan
with its targets and points, and know no choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from xstilts.config.check import LEAST_SEEDS
from xstilts.config.derive import candidates, confirm_seeds
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.report.leaders import choose
from xstilts.report.results import load_results
from xstilts.run.confirmation import (
    Afforded,
    Choice,
    confirmed_seeds,
    confirming_plans,
    read_choice,
    write_choice,
)
from xstilts.run.places import Places
from xstilts.search.budget import Budget


def check_fresh(sweep: Sweep, places: Places) -> None:
    """Refuse seeds for search that have confirmed before: they would be fresh no more.

    Raises:
        ConfigError: with those seeds.
    """
    if used := sorted(confirmed_seeds(places) & {*sweep.seeds}):
        rule = "search does not use seeds that have confirmed its choice"
        raise ConfigError([Problem("seeds", rule, f"{used}", "add others")])


def plans_to_confirm(
    planner: Planner,
    places: Places,
    folder: Path,
    tell: Callable[[Any], Any],
    budget: Budget | None = None,
) -> list[TrialPlan]:
    """The trials that confirm what search has chosen; the choice is made and told now, if it is not
    made yet.

    Args:
        folder: of this launch.
        budget: how much of it is paid for.
    """
    sweep = planner.sweep
    if sweep.confirm is None:
        return []
    choice = read_choice(places, sweep)
    seeds = list(confirm_seeds(sweep))
    if choice is None:
        choice = choose(load_results(places), planner)
        if budget is not None:
            choice = budget.afforded(choice)
        for line in _told(choice, sweep):
            tell(line)
        choice = replace(choice, seeds=sorted({*seeds, *confirmed_seeds(places)}))
        write_choice(folder, choice)
    elif more := [seed for seed in seeds if seed not in choice.seeds]:
        if budget is not None:
            choice = budget.afforded(choice)
        choice = replace(choice, seeds=[*choice.seeds, *more])
        write_choice(folder, choice)
    return confirming_plans(choice, planner)


def _told(choice: Choice, sweep: Sweep) -> list[str]:
    """What was chosen, a line a target."""
    if not choice.targets:
        return ["Search has ended without a baseline and a leader on any target to confirm"]
    seeds = choice.seeds_of(sweep)
    if not seeds:
        return [
            f"Search has ended; the budget leaves too little for {LEAST_SEEDS} fresh seeds of one "
            "leader and none: nothing is confirmed"
        ]
    lines = [
        f"Search has ended; its choice is confirmed with the seeds {', '.join(map(str, seeds))}:",
        *(
            f"  {target}: {', '.join(one.intermediate for one in choice.arms(target)[:-1])}, and "
            "none"
            for target in choice.targets
        ),
    ]
    if choice.afforded is not None and sweep.confirm is not None:
        paid = choice.afforded
        top = min(sweep.confirm.top, len(candidates(sweep)) - 1)
        asked = Afforded(top, len(confirm_seeds(sweep)))
        if paid != asked:
            lines.append(
                f"The budget pays for {paid.leaders} of {asked.leaders} leaders a target, and for "
                f"{paid.seeds} of {asked.seeds} seeds"
            )
    return lines

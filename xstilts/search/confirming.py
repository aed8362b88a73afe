"""Confirmation within a launch: the choice is made once search has ended, and its trials follow.

Only the driver chooses, and writes into the folder of its own launch; workers get a trial's plan
with its targets and points, and know no choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from xstilts.config.derive import confirm_seeds
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.report.leaders import choose
from xstilts.report.results import load_results
from xstilts.run.confirmation import (
    Choice,
    confirmed_seeds,
    confirming_plans,
    read_choice,
    write_choice,
)
from xstilts.run.places import Places


def check_fresh(sweep: Sweep, places: Places) -> None:
    """Refuse seeds for search that have confirmed before: they would be fresh no more.

    Raises:
        ConfigError: with those seeds.
    """
    if used := sorted(confirmed_seeds(places) & {*sweep.seeds}):
        rule = "search does not use seeds that have confirmed its choice"
        raise ConfigError([Problem("seeds", rule, f"{used}", "add others")])


def plans_to_confirm(
    planner: Planner, places: Places, folder: Path, tell: Callable[[Any], Any]
) -> list[TrialPlan]:
    """The trials that confirm what search has chosen; the choice is made and told now, if it is not
    made yet.

    Args:
        folder: of this launch.
    """
    sweep = planner.sweep
    if sweep.confirm is None:
        return []
    choice = read_choice(places, sweep)
    seeds = list(confirm_seeds(sweep))
    if choice is None:
        choice = choose(load_results(places), planner)
        for line in _told(choice, seeds):
            tell(line)
        choice = replace(choice, seeds=sorted({*seeds, *confirmed_seeds(places)}))
        write_choice(folder, choice)
    elif more := [seed for seed in seeds if seed not in choice.seeds]:
        choice = replace(choice, seeds=[*choice.seeds, *more])
        write_choice(folder, choice)
    return confirming_plans(choice, planner)


def _told(choice: Choice, seeds: list[int]) -> list[str]:
    """What was chosen, a line a target."""
    if not choice.targets:
        return ["Search has ended without a baseline and a leader on any target to confirm"]
    return [
        f"Search has ended; its choice is confirmed with the seeds {', '.join(map(str, seeds))}:",
        *(
            f"  {target}: {', '.join(one.intermediate for one in own.leaders)}, and none"
            for target, own in choice.targets.items()
        ),
    ]

"""What of a sweep is done, and what is left: its trials, its race, its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from xstilts.config.derive import confirm_seeds, num_configurations
from xstilts.errors import ConfigError, Problem
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.run.confirmation import confirming_plans, read_choice
from xstilts.run.records import is_finished, is_of, is_probed, read_record
from xstilts.run.spending import is_spent, write_spent
from xstilts.search.budget import Budget
from xstilts.search.hints import known_cells
from xstilts.search.racing import Race, UnderWay

if TYPE_CHECKING:
    from xstilts.search.launch import Launch


def read_final(launch: Launch, plan: TrialPlan) -> TrialRecord | None:
    """A trial's record if nothing of it is left to do."""
    record = read_record(launch.places.trials / plan.trial_id)
    if record is None or not is_finished(record, launch.store):
        return None
    planner = launch.planner
    how = (planner.world_size, planner.precision)
    is_whole = is_of(record, plan.targets, *how) and is_probed(record, plan, launch.sweep.retries)
    return record if is_whole else None


def is_complete(launch: Launch) -> bool:
    """Whether every trial that the sweep asks for, and its space has and its budget pays for, is
    finished; those that confirm search's choice too."""
    # What a spent budget has left of search stays undone.
    if not is_spent(launch.places, launch.sweep) and not _is_searched(launch):
        return False
    if launch.sweep.confirm is None:
        return True
    choice = read_choice(launch.places, launch.sweep)
    if choice is None or not {*confirm_seeds(launch.sweep)} <= {*choice.seeds}:
        return False
    plans = confirming_plans(choice, launch.planner)
    return all(read_final(launch, plan) is not None for plan in plans)


def _is_searched(launch: Launch) -> bool:
    """Whether all trials of search are finished."""
    if len(launch.proposals.made) < num_configurations(launch.sweep):
        return False
    if launch.sweep.search.is_race:
        return race_of(launch).is_over()
    return all(read_final(launch, plan) is not None for plan in _searching(launch))


def check_ended(launch: Launch) -> None:
    """See that every trial of search has ended, finished or failed for its own reason.

    Raises:
        ConfigError: with the number of those that have not.
    """
    left = num_configurations(launch.sweep) * len(launch.sweep.seeds)
    if is_spent(launch.places, launch.sweep):
        left = 0
    elif launch.sweep.search.is_race:
        race = race_of(launch, with_failed=True)
        left = num_configurations(launch.sweep) - len(launch.proposals.made)
        left += len(race.owed) + sum(map(len, race.wanted()))
    else:
        for plan in _searching(launch):
            record = read_record(launch.places.trials / plan.trial_id)
            has_failed = record is not None and record.state == "failed"
            left -= has_failed or read_final(launch, plan) is not None
    if left:
        raise ConfigError(
            [
                Problem(
                    "NAME",
                    "a choice is confirmed once search has ended",
                    f"{launch.sweep.name} has {left} trials left",
                    "`xstilts sweep FILE` goes on; with `confirm` in the file it confirms too",
                )
            ]
        )


def budget_of(launch: Launch) -> Budget | None:
    """The account of a sweep that has a budget, as its records have it."""
    if launch.sweep.budget is None:
        return None
    return Budget(launch.planner, launch.places, launch.store)


def end_within(launch: Launch, budget: Budget, tell: Callable[[Any], Any]) -> None:
    """Note that nothing more of search fits, and say so, once."""
    if budget.has_ended_search:
        return
    write_spent(launch.folder, launch.sweep)
    spec, beside = budget.spec, " beside confirmation" if launch.sweep.confirm else ""
    tell(
        f"The budget of {spec.text(spec.total)} ends search: {spec.text(budget.spent)} are spent, "
        f"and no further trial fits{beside}"
    )


def race_of(launch: Launch, with_failed: bool = False) -> Race:
    """The race of a sweep that is one, as its records have it.

    Args:
        with_failed: whether a trial that failed is over; a launch tries it again.
    """
    return Race(
        launch.planner,
        list(launch.proposals.made.values()),
        lambda plan: read_final(launch, plan),
        lambda plan: read_record(launch.places.trials / plan.trial_id),
        UnderWay.of(launch.places, launch.folder),
        with_failed,
        known_cells(launch.sweep, launch.places, launch.folder),
    )


def _searching(launch: Launch) -> Iterator[TrialPlan]:
    """The plans of search's trials that have been proposed."""
    for proposal in launch.proposals.made.values():
        for seed in launch.sweep.seeds:
            yield launch.planner.plan(proposal.point, seed)

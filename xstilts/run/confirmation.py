"""What search chose to be confirmed, written down once, and the trials that confirm it.

The choice lies in the folder of the launch that made it: a sweep that goes on confirms the same
configurations, whatever has come in meanwhile. One that has grown since chooses anew, from search's
trials alone; confirmation's never choose.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xstilts.config.derive import confirm_seeds, most_confirmed, searched
from xstilts.config.schema import Sweep
from xstilts.config.space import Point
from xstilts.files import read_json_if_whole, sha256_of, write_json
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord, typed
from xstilts.run.places import Places

CHOICE = "confirm.json"
"""In the folder of a launch: what search chose to be confirmed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A configuration that is confirmed on a target. `dev` is its mean over search's seeds;
    `target_point` the point of the inner search that is best over them, empty where none trains."""

    config: str
    intermediate: str
    point: dict[str, Any]
    dev: float
    target_point: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TargetChoice:
    """What is confirmed on one target: search's leaders, the best by dev first, each with another
    intermediate, and the baseline by the same rule. `first` is search's first leader, the one that
    is compared with the baseline."""

    first: str
    leaders: list[Chosen]
    baseline: Chosen


@dataclass(frozen=True, slots=True)
class Afforded:
    """How many leaders of a target, and how many seeds, a budget pays for."""

    leaders: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Choice:
    """All that is confirmed, by target. `search` stands for the search that it was chosen from,
    `seeds` are those that confirmed it when it was written. `afforded` is how much of it a
    budget pays for, None where there is none."""

    search: str
    seeds: list[int]
    targets: dict[str, TargetChoice]
    schema: int = 0
    afforded: Afforded | None = None

    def arms(self, target: str) -> list[Chosen]:
        """What is run on a target: the leaders, as many as are paid for, and the baseline."""
        own = self.targets[target]
        top = len(own.leaders) if self.afforded is None else self.afforded.leaders
        return [*own.leaders[:top], own.baseline] if top else []

    def seeds_of(self, sweep: Sweep) -> tuple[int, ...]:
        """The seeds that it is confirmed with, as many as are paid for."""
        return confirm_seeds(sweep)[: None if self.afforded is None else self.afforded.seeds]


def search_of(sweep: Sweep) -> str:
    """Stands for what a choice is made from, and how: other candidates, targets or seeds of search
    make it another one, and so does another budget."""
    assert sweep.confirm is not None
    within = [] if sweep.budget is None else [sweep.budget.model_dump(mode="json")]
    return sha256_of([*searched(sweep), sweep.confirm.top, *within])[:12]


def write_choice(folder: Path, choice: Choice) -> None:
    """Write a choice into the folder of a launch."""
    write_json(folder / CHOICE, asdict(choice))


def read_choice(places: Places, sweep: Sweep) -> Choice | None:
    """The choice of the newest launch that made one for this search; None before."""
    if sweep.confirm is None:
        return None
    found = (choice for choice in _choices(places) if choice.search == search_of(sweep))
    return next(found, None)


def newest_choice(places: Places) -> Choice | None:
    """The choice that was made last, whatever the sweep has gained or asks for since."""
    return next(iter(_choices(places)), None)


def confirmed_seeds(places: Places) -> set[int]:
    """All seeds that have confirmed a choice of the sweep, whatever it was made from."""
    return {seed for choice in _choices(places) for seed in choice.seeds}


def _choices(places: Places) -> list[Choice]:
    folders = places.launch_folders()
    found = [(folder, read_json_if_whole(folder / CHOICE, dict)) for folder in folders]
    return [
        typed(value, Choice, str(folder / CHOICE)) for folder, value in found if value is not None
    ]


def confirming_plans(choice: Choice, planner: Planner) -> list[TrialPlan]:
    """The trials that confirm a choice, seed by seed. A configuration that leads several targets
    is one trial a seed; each trains those targets alone."""
    confirmed: dict[str, tuple[Point, dict[str, Point]]] = {}
    for target in choice.targets:
        for one in choice.arms(target):
            _, targets = confirmed.setdefault(one.config, (one.point, {}))
            targets[target] = one.target_point
    return [
        planner.plan(point, seed, targets)
        for seed in choice.seeds_of(planner.sweep)
        for point, targets in confirmed.values()
    ]


def num_confirming(places: Places, sweep: Sweep) -> int:
    """How many trials confirm the sweep's choice; before it is made, how many there are at most."""
    choice = read_choice(places, sweep)
    if choice is None:
        return most_confirmed(sweep)
    chosen = (one for target in choice.targets for one in choice.arms(target))
    return len({one.config for one in chosen}) * len(choice.seeds_of(sweep))


def plan_of(planner: Planner, record: TrialRecord) -> TrialPlan:
    """The plan of the trial that left a record."""
    return planner.plan(record.point, record.seed, record.confirms, record.targets, record.rung)

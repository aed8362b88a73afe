"""One trial in this process, without Ray: by its parameters, or rebuilt from its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xstilts.config.derive import encoder_space
from xstilts.config.schema import Sweep
from xstilts.config.space import Choice, Float, Int, Point, Simplex
from xstilts.errors import ConfigError, Problem
from xstilts.files import names_in
from xstilts.plan.plan import Planner
from xstilts.records import TrialRecord
from xstilts.run.confirmation import plan_of
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.stopping import stopping_on_signals
from xstilts.tasks import suggest


def point_of(sweep: Sweep, given: Mapping[str, Any]) -> Point:
    """A point with the given values; what is active and not given takes its first value.

    Raises:
        ConfigError: a value is not in the space, or belongs to no active parameter.
    """
    point: Point = {}
    problems = []
    space = encoder_space(sweep)
    for parameter in space.parameters:
        if parameter.is_active(point):
            value = given.get(parameter.name, _first(parameter.dimension))
            if not _holds(parameter.dimension, value):
                rule = "is not in the search space"
                problems.append(Problem(f"--point: {parameter.name}", rule, repr(value)))
            point[parameter.name] = value
    known = {parameter.name for parameter in space.parameters}
    problems += [
        Problem(f"--point: {name}", "no active parameter", repr(name), suggest(name, known))
        for name in given
        if name not in point
    ]
    if problems:
        raise ConfigError(problems)
    return point


def run_single(
    planner: Planner,
    places: Places,
    trial: str | None,
    given: Mapping[str, Any],
    seed: int | None,
    tell: Callable[[str], Any],
) -> TrialRecord:
    """Run one trial and return its record.

    Args:
        trial: rebuilt from its record; if None, the other two say which trial.
        given: parameters; absent ones take their first value.
        seed: the file's first, if None.
        tell: called with the traceback of a failure.

    Raises:
        ConfigError: the trial, the point or the seed is unknown.
    """
    sweep = planner.sweep
    if trial is not None:
        plan = plan_of(planner, record_of(places, trial))
    else:
        seed = sweep.seeds[0] if seed is None else seed
        if seed not in sweep.seeds:
            raise ConfigError([Problem("--seed", "is one of the file's seeds", str(seed))])
        plan = planner.plan(point_of(sweep, given), seed)
    # Torch and all above it take seconds to import; what is wrong with the input is told before.
    from xstilts.run.reopen import workshop_of
    from xstilts.run.trial import run_trial

    workshop = workshop_of(planner, places)
    for folder in (places.sweep, places.trials):
        folder.mkdir(exist_ok=True)
    with stopping_on_signals() as workshop.must_stop:
        return run_trial(plan, planner, workshop, places.trials / plan.trial_id, tell)


def record_of(places: Places, trial: str) -> TrialRecord:
    """The record of a trial of a sweep.

    Raises:
        ConfigError: the storage has none.
    """
    known = names_in(places.trials)
    record = read_record(places.trials / trial) if trial in known else None
    if record is None:
        rule = f'the sweep "{places.name}" has no such trial with a record in {places.storage}'
        elsewhere = "a record lies in the storage that its sweep was run with: --set storage=FOLDER"
        raise ConfigError(
            [Problem("--trial", rule, f'"{trial}"', suggest(trial, known) if known else elsewhere)]
        )
    return record


def _first(dimension: Choice | Float | Int | Simplex) -> Any:
    if isinstance(dimension, Choice):
        return dimension.values[0]
    if isinstance(dimension, Simplex):
        return {task: round(1 / len(dimension.tasks), 6) for task in dimension.tasks}
    return dimension.low


def _holds(dimension: Choice | Float | Int | Simplex, value: Any) -> bool:
    if isinstance(dimension, Choice):
        return value in dimension.values
    if isinstance(dimension, Simplex):
        return (
            isinstance(value, dict)
            and set(value) == set(dimension.tasks)
            and all(isinstance(rate, (int, float)) and rate >= 0 for rate in value.values())
            and sum(value.values()) > 0
        )
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and dimension.low <= value <= dimension.high

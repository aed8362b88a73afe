"""The declared search space: choice, float, int, simplex, with conditions.

A space turns suggestions into one point: a flat dict of the *active* parameters. Who suggests is
not its business: Optuna's trial, a grid's enumeration and a seeded generator all fit `Suggest`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

Point = dict[str, Any]
"""Active parameters by name; a simplex is a dict of rates by task that sums to 1."""

WHEN = Mapping[str, tuple[Any, ...]]


class Suggest(Protocol):
    """The part of Optuna's trial that a space needs."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def draw(self, name: str, suggest: Suggest) -> Any:
        """Suggest by position, so that values of any type keep their type."""
        return self.values[self.values.index(suggest.suggest_categorical(name, list(self.values)))]

    def grid(self) -> Sequence[Any] | None:
        """All values."""
        return self.values


@dataclass(frozen=True, slots=True)
class Float:
    """A number in [low, high]; with `levels` one of that many, evenly spaced (on a log scale)."""

    low: float
    high: float
    log: bool = False
    levels: int | None = None

    def draw(self, name: str, suggest: Suggest) -> float:
        """A level is suggested by its index, which keeps the levels ordered for the sampler."""
        if self.levels is None:
            return float(suggest.suggest_float(name, self.low, self.high, log=self.log))
        return self.level(suggest.suggest_int(f"{name}.level", 0, self.levels - 1))

    def level(self, index: int) -> float:
        """The value of one level, rounded to six digits so that equal levels are equal numbers."""
        assert self.levels is not None
        if index == 0 or index == self.levels - 1:
            return self.low if index == 0 else self.high
        share = index / (self.levels - 1)
        if self.log:
            value = math.exp((1 - share) * math.log(self.low) + share * math.log(self.high))
        else:
            value = (1 - share) * self.low + share * self.high
        return float(f"{value:.6g}")

    def grid(self) -> Sequence[Any] | None:
        """All levels, or None where the interval is continuous."""
        return None if self.levels is None else [self.level(i) for i in range(self.levels)]


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in [low, high]."""

    low: int
    high: int
    step: int = 1

    def draw(self, name: str, suggest: Suggest) -> int:
        """One whole number."""
        return int(suggest.suggest_int(name, self.low, self.high, step=self.step))

    def grid(self) -> Sequence[Any] | None:
        """All whole numbers of the range."""
        return range(self.low, self.high + 1, self.step)


@dataclass(frozen=True, slots=True)
class Simplex:
    """Rates of some tasks that sum to 1, uniform over the simplex, in multiples of `step`.

    Normalised exponentials of uniform draws are Dirichlet(1, ..., 1). Rounding keeps the sum: the
    units that remain go to the largest remainders.
    """

    tasks: tuple[str, ...]
    step: float

    @property
    def units(self) -> int:
        """How many steps make up 1."""
        return round(1 / self.step)

    def draw(self, name: str, suggest: Suggest) -> dict[str, float]:
        """One point of the simplex; a rate of 0 means that the task takes no part."""
        uniform = [suggest.suggest_float(f"{name}/{task}", 1e-6, 1.0) for task in self.tasks]
        exponentials = [-math.log(u) for u in uniform]
        total = sum(exponentials)
        shares = (
            [e / total for e in exponentials] if total > 0 else [1 / len(uniform)] * len(uniform)
        )
        counts = [math.floor(share * self.units) for share in shares]
        by_remainder = sorted(
            range(len(shares)), key=lambda i: (counts[i] - shares[i] * self.units, i)
        )
        for i in by_remainder[: self.units - sum(counts)]:
            counts[i] += 1
        return self._rates(counts)

    def grid(self) -> Sequence[Any] | None:
        """Every point: all ways to share the units among the tasks."""
        parts = len(self.tasks)
        points = []
        for bars in itertools.combinations(range(self.units + parts - 1), parts - 1):
            edges = (-1, *bars, self.units + parts - 1)
            counts = [after - before - 1 for before, after in itertools.pairwise(edges)]
            points.append(self._rates(counts))
        return points

    def _rates(self, counts: Sequence[int]) -> dict[str, float]:
        pairs = zip(self.tasks, counts, strict=True)
        return {task: round(count / self.units, 6) for task, count in pairs}


Dimension = Choice | Float | Int | Simplex


@dataclass(frozen=True, slots=True)
class Parameter:
    """A dimension under a name, active where all of `when` holds.

    `name` is the key in the point; several parameters may share it under conditions that exclude
    each other (rates of different mixtures). `label` is its unique name for the sampler.
    """

    name: str
    dimension: Dimension
    when: WHEN = field(default_factory=dict)
    label: str = ""

    def is_active(self, point: Point) -> bool:
        """Whether the parameters drawn before allow this one."""
        return all(point.get(parent) in allowed for parent, allowed in self.when.items())


@dataclass(frozen=True, slots=True)
class Space:
    """Parameters in an order in which every parent stands before its children."""

    parameters: tuple[Parameter, ...]

    def draw(self, suggest: Suggest) -> Point:
        """One point; inactive parameters are absent."""
        point: Point = {}
        for parameter in self.parameters:
            if parameter.is_active(point):
                label = parameter.label or parameter.name
                point[parameter.name] = parameter.dimension.draw(label, suggest)
        return point

    def grid(self) -> Iterator[Point]:
        """Every point of a finite space, the last parameter fastest.

        Raises:
            ValueError: a parameter is continuous; `config` refuses such a grid before.
        """

        def expand(point: Point, rest: tuple[Parameter, ...]) -> Iterator[Point]:
            if not rest:
                yield point
                return
            head, *tail = rest
            if not head.is_active(point):
                yield from expand(point, tuple(tail))
                return
            values = head.dimension.grid()
            if values is None:
                raise ValueError(f"{head.name} is continuous")
            for value in values:
                yield from expand({**point, head.name: value}, tuple(tail))

        yield from expand({}, self.parameters)

    def values_of(self, name: str) -> Sequence[Any]:
        """The values of a choice."""
        (choice,) = (p.dimension for p in self.parameters if p.name == name)
        return choice.grid() or ()

    def where(self, name: str, allowed: Collection[Any]) -> Space:
        """The part of the space in which a choice takes only these values."""
        rest = Choice(tuple(value for value in self.values_of(name) if value in allowed))
        return Space(
            tuple(replace(p, dimension=rest) if p.name == name else p for p in self.parameters)
        )

    @property
    def is_finite(self) -> bool:
        """Whether `grid` can enumerate the space."""
        return all(
            isinstance(parameter.dimension, (Choice, Int, Simplex))
            or parameter.dimension.levels is not None
            for parameter in self.parameters
        )


def in_dependency_order(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The parameters with every parent before its children, otherwise in the given order.

    Raises:
        ValueError: the conditions form a circle; its text names the parameters.
    """
    names = {parameter.name for parameter in parameters}
    placed: list[Parameter] = []
    waiting = list(parameters)
    while waiting:
        waiting_names = {parameter.name for parameter in waiting}
        ready = [
            parameter
            for parameter in waiting
            if not any(parent in waiting_names & names for parent in parameter.when)
        ]
        if not ready:
            raise ValueError(", ".join(sorted(waiting_names)))
        placed.append(ready[0])
        waiting.remove(ready[0])
    return tuple(placed)

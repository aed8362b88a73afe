"""What the searched parameters did to the objective, each among the trials that have it.

A parameter with a condition - an intermediate's rate, the shares of one mixture - is in some
configurations alone. Rankings that fill the others in take its presence for its effect; here it is
compared within those that have it, beside what their intermediates differ by, and in points, so
that one which half of the configurations have stands beside one that all have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xstilts.report.frames import parameters_of

if TYPE_CHECKING:
    from xstilts.report.results import Results

GROUPS = 4
"""A number with more values is cut into so many groups of equal size."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration of search: its parameters and its objective, the mean over its seeds."""

    config: str
    parameters: dict[str, Any]
    objective: float


@dataclass(frozen=True, slots=True)
class Importance:
    """What a parameter did, among the `n` of all configurations that have it.

    `effect` is the standard deviation in points that its choice gives the objective: 0 where groups
    differ by no more than chance would make them. `p` is the probability of such differences by
    chance (F test). None where too few configurations tell.
    """

    parameter: str
    n: int
    groups: int
    effect: float | None
    p: float | None


def configurations(results: Results) -> list[Configuration]:
    """Search's configurations whose finished seeds have an objective, in the order of their ids."""
    found: dict[str, list[Any]] = {}
    for record in results.searched:
        if record.objective is not None and math.isfinite(record.objective):
            found.setdefault(record.config, []).append(record)
    return [
        Configuration(
            config,
            {"intermediate": own[0].intermediate, "model": own[0].model}
            | dict(parameters_of(own[0].point)),
            math.fsum(one.objective for one in own) / len(own),
        )
        for config, own in sorted(found.items())
    ]


def by_intermediate(one: Configuration) -> str:
    """What configurations of search differ by beside their parameters."""
    return str(one.parameters["intermediate"])


def importances(
    found: Sequence[Configuration], beside: Callable[[Configuration], str] = by_intermediate
) -> list[Importance]:
    """Every parameter that has two values or more, the strongest first; see `importance`."""
    names = dict.fromkeys(name for one in found for name in one.parameters)
    told = [
        importance(name, found, beside)
        for name in names
        if len({one.parameters[name] for one in found if name in one.parameters}) > 1
    ]
    return sorted(told, key=lambda one: (-(one.effect or 0.0), one.parameter))


def importance(
    name: str,
    found: Sequence[Configuration],
    beside: Callable[[Configuration], str] = by_intermediate,
) -> Importance:
    """One parameter's effect, in an additive model of what is told `beside` it and the parameter's
    groups by least squares: the variance that the groups add, less what chance would (omega squared
    without its denominator, Hays 1963). An intermediate's own effect is beside nothing."""
    from scipy.stats import f  # what it imports takes as long as a sweep's tables

    own = [one for one in found if name in one.parameters]
    groups = _groups([one.parameters[name] for one in own])
    is_block = name == "intermediate" and beside is by_intermediate
    blocks = _numbered(["" if is_block else beside(one) for one in own])
    # What blocks explain is their means (Frisch and Waugh 1933), however many they are.
    objective = _within(np.array([[one.objective] for one in own]), blocks)[:, 0]
    after, gained = _residual(_within(_dummies(groups), blocks), objective)
    left = len(own) - (int(blocks.max()) + 1) - gained
    if gained < 1 or left < 1:
        return Importance(name, len(own), len(set(groups)), None, None)
    noise = after / left
    explained = float(objective @ objective) - after
    effect = math.sqrt(max(0.0, explained - gained * noise) / len(own))
    ratio = explained / gained / noise if noise > 0 else math.inf
    return Importance(name, len(own), len(set(groups)), effect, float(f.sf(ratio, gained, left)))


def _groups(values: Sequence[Any]) -> list[Any]:
    """Values as groups: themselves, or a number's quantiles where it has many."""
    distinct = set(values)
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in distinct)
    if not is_number or len(distinct) <= GROUPS:
        return [str(value) for value in values]
    numbers = np.asarray(values, dtype=np.float64)
    bounds = np.quantile(numbers, np.linspace(0, 1, GROUPS + 1)[1:-1])
    return [int(group) for group in np.searchsorted(bounds, numbers, side="left")]


def _dummies(groups: Sequence[Any]) -> np.ndarray:
    """(values, groups), one in each row's group."""
    names = list(dict.fromkeys(groups))
    return np.array([[float(group == name) for name in names] for group in groups])


def _numbered(names: Sequence[str]) -> np.ndarray:
    """Each name's number among those that differ, from 0."""
    return np.unique(np.array(names), return_inverse=True)[1]


def _within(columns: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """(rows, columns) less the mean of each row's block."""
    sums = np.zeros((int(blocks.max()) + 1, columns.shape[1]))
    np.add.at(sums, blocks, columns)
    means = sums / np.bincount(blocks)[:, None]
    return np.asarray(columns - means[blocks])


def _residual(columns: np.ndarray, values: np.ndarray) -> tuple[float, int]:
    """The sum of squares that least squares leave, and the rank."""
    fit, _, rank, _ = np.linalg.lstsq(columns, values, rcond=None)
    return float(((values - columns @ fit) ** 2).sum()), int(rank)

"""Simulated sweeps whose truth is known: tables of seeds by items, worlds of candidates, grids.

What `tests.benchmarks.coverage` measures is measured on these. All draws come from the generator
that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

LANGUAGES = 11
ITEMS = 400


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Outcomes of two arms, (seeds, items, languages), 0 or 100, and the gain that is true."""

    candidate: np.ndarray
    baseline: np.ndarray
    gain: float


def table(
    generator: np.random.Generator,
    seeds: int,
    spreads: tuple[float, float],
    *,
    shift: float = 0.02,
    shared: float = 0.0,
    languages: int = LANGUAGES,
    items: int = ITEMS,
) -> Table:
    """A crossed table of a parallel evaluation set, by a probit model.

    `spreads` are the standard deviations over seeds of baseline and candidate, 0.05 being about
    one point; `shared` is the share of the seeds' variance that both arms have in common. Beside
    seeds and items there are effects of languages, of a seed in a language, of an arm on an item
    and of a seed on an item. The true gain is over all seeds and items that could be drawn.
    """
    levels = np.linspace(-0.2, 1.0, languages)
    item, by_language, own, meeting = 1.0, 0.5, 0.3, 0.3
    common = generator.normal(0, item, (items, 1)) + generator.normal(
        0, by_language, (items, languages)
    )
    both = generator.normal(0, 1, seeds)
    arms, truths = [], []
    for spread, gain in zip(spreads, (0.0, shift), strict=True):
        run = spread * (shared**0.5 * both + (1 - shared) ** 0.5 * generator.normal(0, 1, seeds))
        propensity = (
            levels
            + gain
            + common
            + generator.normal(0, own, (items, 1))
            + run[:, None, None]
            + 0.3 * spread * generator.normal(0, 1, (seeds, 1, languages))
            + meeting * generator.normal(0, 1, (seeds, items, 1))
        )
        arms.append(100.0 * (generator.random(propensity.shape) < ndtr(propensity)))
        variance = 1 + item**2 + by_language**2 + own**2 + meeting**2 + 1.09 * spread**2
        truths.append(100 * float(ndtr((levels + gain) / variance**0.5).mean()))
    return Table(arms[1], arms[0], truths[1] - truths[0])


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Candidates' true means and standard deviations over seeds, both (candidates,), in units of
    one run's, and the rates at which their runs collapse."""

    means: np.ndarray
    spreads: np.ndarray
    collapse: np.ndarray


def _world(means: np.ndarray, spreads: np.ndarray | None = None, collapse: float = 0.0) -> World:
    count = len(means)
    rates = np.where(np.arange(count) < count // 3, collapse, 0.0)
    return World(means, np.ones(count) if spreads is None else spreads, rates)


WORLDS: dict[str, Callable[[np.random.Generator, int], World]] = {
    "all equal but for 0.05 sd": lambda g, n: _world(g.normal(0, 0.05, n)),
    "spaced by 1 sd": lambda g, n: _world(g.permutation(n).astype(float)),
    "sd 1:5": lambda g, n: _world(g.normal(0, 0.05, n), g.permutation(np.linspace(1, 5, n))),
    "sd 1:5, the best has 5": lambda g, n: _world(
        np.where(np.arange(n) == 0, 0.05, 0.0), np.linspace(5, 1, n)
    ),
    "a third collapse in 20 %": lambda g, n: _world(g.normal(0, 0.05, n), collapse=0.2),
    "one winner by 4 sd": lambda g, n: _world(np.where(np.arange(n) == 0, 4.0, 0.0)),
}
"""By name, worlds of so many candidates."""


def scores_of(
    world: World, generator: np.random.Generator, seeds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the runs that learnt and their candidates' numbers, both (runs,)."""
    shape = len(world.means), seeds
    scores = world.means[:, None] + world.spreads[:, None] * generator.normal(0, 1, shape)
    learnt = generator.random(shape) >= world.collapse[:, None]
    return scores[learnt], np.nonzero(learnt)[0]


def grid(generator: np.random.Generator, candidates: int = 21, seeds: int = 3) -> np.ndarray:
    """Scores (candidates, seeds) as grids of intermediate tasks by target have them.

    Means spread by 1.6 times a typical run's standard deviation, with a tail of candidates that
    harm; standard deviations over seeds that differ two- to threefold, log-normally.
    """
    means = 1.6 * generator.normal(0, 1, candidates)
    means -= generator.exponential(1.5, candidates) * (generator.random(candidates) < 0.3)
    spreads = np.exp(generator.normal(0, 0.5, candidates))
    return np.asarray(
        means[:, None] + spreads[:, None] * generator.normal(0, 1, (candidates, seeds))
    )

"""Simulated score tables of studies whose truth is known, from a generator that no model fits.

A table has differences of intermediate languages' arms from a baseline, on target languages and
tasks, by seed. Runs' standard deviations are those of the recorded grid of the miniature benchmark
(docs/replay.md): 5.2, 1.9 and 6.2 points over seeds on its span, tagging and pair targets, a mean
over languages, and between candidates of a target log-normal with 0.35; what they do by language,
and between languages, no grid of the project has, and is varied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from xstilts.scores.slopes import Differences

RUN_SPREADS = (5.2, 1.9, 6.2)
BETWEEN_CELLS = 0.35


@dataclass(frozen=True, slots=True)
class World:
    """What a case draws from; standard deviations in points, of slopes by standard deviation of the
    covariate.

    `slopes` are those of an intermediate over targets and of a target over intermediates, of each
    the share `clustered` belongs to its family; `task_slopes` those of an intermediate on one task;
    `collapses` is the share of runs that did not learn and are left out. `run_share` is how much
    of a run's noise all languages have in common; the rest is by language.
    """

    sources: int = 8
    targets: int = 16
    tasks: int = 1
    seeds: int = 5
    families: int = 6
    slopes: tuple[float, float] = (1.0, 1.0)
    task_slopes: float = 0.7
    clustered: float = 0.4
    pair: float = 0.7
    language: float = 2.0
    run_share: float = 0.7
    items: tuple[float, float] = (0.5, 2.5)
    tails: float = 6.0
    collapses: float = 0.04


CASES: Mapping[str, World] = {
    "slopes of both sides": World(clustered=0.0),
    "the same on two tasks": World(clustered=0.0, tasks=2),
    "family clusters": World(clustered=0.7),
    "steep on the intermediates' side": World(slopes=(2.0, 0.3)),
    "steep on the targets' side": World(slopes=(0.3, 2.0)),
    "no slopes": World(slopes=(0.0, 0.0), task_slopes=0.0, pair=0.0),
    "heavy tails, a fifth collapsed": World(tails=3.0, collapses=0.2),
    "six intermediates, twelve targets": World(sources=6, targets=12, families=5),
    "thirteen by thirty": World(sources=13, targets=30, families=10),
}


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A table with its languages' covariates and families; `planted` is the coefficient of the
    interaction, by unit of both."""

    rows: Differences
    of_sources: Mapping[str, float]
    of_targets: Mapping[str, float]
    families: Mapping[str, str]
    planted: float = field(default=0.0)


def languages(world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Covariates of sources and targets, standard normal with families that lean one way, then
    their families' numbers. They are the same in every table of a world: a study knows them."""
    generator = np.random.default_rng([41, world.sources, world.targets, world.families])
    lean = generator.normal(size=world.families)
    sides = []
    for count in (world.sources, world.targets):
        # One family has a third of the languages, as Indo-European has nearly half.
        rest = np.arange(count - count // 3) % (world.families - 1) + 1
        family = np.concatenate([np.zeros(count // 3, int), rest])
        values = 0.7 * lean[family] + 0.7 * generator.normal(size=count)
        sides += [(values - values.mean()) / values.std(), family]
    return sides[0], sides[2], sides[1], sides[3]


def drawn(world: World, seed: int, planted: float = 0.0) -> Drawn:
    """A table: differences by row, rows of runs that collapsed left out."""
    generator = np.random.default_rng([42, seed])
    x, z, source_family, target_family = languages(world)
    shape = world.sources, world.targets, world.tasks, world.seeds

    def heavy(*size: int) -> np.ndarray:
        spread = (world.tails / (world.tails - 2)) ** 0.5
        return np.asarray(generator.standard_t(world.tails, size) / spread)

    def clustered(families: np.ndarray) -> np.ndarray:
        own, common = heavy(len(families)), heavy(world.families)[families]
        return np.asarray((1 - world.clustered) ** 0.5 * own + world.clustered**0.5 * common)

    over_targets = world.slopes[0] * clustered(source_family)
    over_sources = world.slopes[1] * clustered(target_family)
    by_task = world.task_slopes * heavy(world.sources, 1, world.tasks)
    points = (planted * x[:, None] * z + over_targets[:, None] * z + over_sources * x[:, None])[
        ..., None
    ]
    points = points + by_task * z[:, None] + world.pair * heavy(world.sources, world.targets, 1)
    points = points + world.language * (
        clustered(target_family)[:, None] + heavy(world.targets, world.tasks)
    )
    points = points + world.language * heavy(world.sources, 1, world.tasks)
    points = points[..., None] + _runs(world, generator, z)
    learnt = generator.random((world.sources, 1, world.tasks, world.seeds)) >= world.collapses
    kept = np.broadcast_to(learnt, shape).ravel()
    places = [codes.ravel()[kept] for codes in np.indices(shape)]
    names = [
        np.array([f"{side}{n:02}" for n in range(count)])
        for side, count in zip(("s", "t", "task", "seed"), shape, strict=True)
    ]
    labels = [own[place] for own, place in zip(names, places, strict=True)]
    families = dict(zip(names[0].tolist(), [f"f{n}" for n in source_family], strict=True))
    families |= dict(zip(names[1].tolist(), [f"f{n}" for n in target_family], strict=True))
    return Drawn(
        rows=Differences(points.ravel()[kept], *labels),
        of_sources=dict(zip(names[0].tolist(), x.tolist(), strict=True)),
        of_targets=dict(zip(names[1].tolist(), z.tolist(), strict=True)),
        families=families,
        planted=planted,
    )


def _runs(world: World, generator: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """What runs add, of the arm and of its baseline, whose runs all arms share."""
    spreads = np.resize(RUN_SPREADS, world.tasks)[:, None]
    out = np.zeros((world.sources, world.targets, world.tasks, world.seeds))
    items = generator.uniform(*world.items, (1, world.targets, world.tasks, 1))
    for sources in (world.sources, 1):
        own = spreads * np.exp(generator.normal(0, BETWEEN_CELLS, (sources, 1, world.tasks, 1)))
        common = own * generator.normal(size=(sources, 1, world.tasks, world.seeds))
        tilt = 0.3 * own * generator.normal(size=(sources, 1, world.tasks, world.seeds))
        by_language = own * generator.normal(
            size=(sources, world.targets, world.tasks, world.seeds)
        )
        out = out + world.run_share**0.5 * common + tilt * z[:, None, None]
        out = out + 0.5 * (1 - world.run_share) ** 0.5 * by_language
        out = out + items * generator.normal(size=(sources, world.targets, world.tasks, 1))
    return np.asarray(out)

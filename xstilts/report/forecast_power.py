"""What the test of a contrast can show, told before it runs: power, seeds, the smallest effect.

Power is that of seeds alone, at the spread of finished runs where there are some, else at one that
is assumed and said; what items add is known only when they are there. Of a slope it hangs on how
far languages are from the line as well, which no run tells before all have ended: that is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from xstilts.config.derive import encoder_space
from xstilts.config.schema import Sweep
from xstilts.config.study import ArmSpec, ContrastSpec, StudySpec
from xstilts.config.study_arms import (
    languages_of_arm,
    languages_trained,
    members,
    models_of,
    selects,
)
from xstilts.errors import ConfigError
from xstilts.records import TrialRecord
from xstilts.scores.equivalence import (
    power_of_equivalence,
    seeds_for_equivalence,
    smallest_difference,
)
from xstilts.scores.slope_checks import detectable
from xstilts.scores.slopes import (
    LEAST_INTERMEDIATES,
    LEAST_TARGETS,
    Differences,
    Slope,
    interaction,
    slope,
)
from xstilts.tasks.languages import UNKNOWN, language

SPREAD = 1.0
"""Points that runs of a configuration are assumed to spread by, as fine-tuning of base encoders
on thousands of examples does, where none have finished."""

OWN = 1.0
"""Points that a language's difference is assumed to be from the line, and its slope from that of
others where a covariate is a standard deviation further."""

DRAWS = 100


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of runs about their configuration, in points: of a run's `mean` over the
    cells, of what moves all of its cells alike (`run`), and of the rest of a `cell`; told by
    `runs`, or assumed where those are 0."""

    mean: float
    run: float
    cell: float
    runs: int


def power_of(
    sweep: Sweep,
    study: StudySpec,
    contrast: ContrastSpec,
    found: Mapping[str, tuple[str, ...]],
    alpha: float,
    records: list[TrialRecord],
) -> dict[str, Any]:
    """What the test of a contrast can show with the sweep's seeds."""
    spread, seeds = _spread(sweep, study, contrast, found, records), len(sweep.seeds)
    told: dict[str, Any] = {
        "seeds": seeds,
        "spread": spread.mean,
        "spread_runs": spread.runs,
        "alpha": alpha,
    }
    if contrast.test in ("slope", "interaction"):
        told["languages"] = _languages(sweep, study, contrast, found)
        if told["languages"]["suffices"]:
            told["detectable"] = _detectable(sweep, study, contrast, found, alpha, spread)
        return told
    # Of an arm, a seed gives the mean over its members' runs.
    means = fmean(1 / _runs_of_a_seed(sweep, study, study.arms[name]) for name in contrast.arms)
    of_a_seed = spread.mean * means**0.5
    told["spread_of_a_seed"] = of_a_seed
    how: dict[str, Any] = {"is_paired": True, "alpha": alpha}  # runs of a seed are a pair
    if contrast.test == "difference":
        return {**told, "detectable": smallest_difference(seeds, of_a_seed, **how)}
    how["one_sided"] = contrast.test == "non_inferiority"
    power = power_of_equivalence(seeds, of_a_seed, study.margin, **how)[0]
    needed = seeds_for_equivalence(of_a_seed, study.margin, **how)
    return {**told, "power": float(power), "seeds_needed": needed}


def _runs_of_a_seed(sweep: Sweep, study: StudySpec, arm: ArmSpec) -> int:
    """How many runs of an arm a seed has: of each member with each model the one that is chosen. Of
    an arm that chooses no models, in a study with parts, those of one: a part answers by itself."""
    drawn = encoder_space(sweep).values_of("model")
    models = [name for name in models_of(sweep, arm) if name in drawn] or list(drawn)
    if study.models and arm.models is None:
        models = models[:1]
    return len(members(sweep, arm)) * len(models)


def _spread(
    sweep: Sweep,
    study: StudySpec,
    contrast: ContrastSpec,
    found: Mapping[str, tuple[str, ...]],
    records: list[TrialRecord],
) -> Spread:
    """How far runs of a configuration are from it on a contrast's cells; assumed where none tell,
    alike in what all cells share and in each."""
    names = [f"{target}/{code}" for target, codes in found.items() for code in codes]
    arms = [study.arms[name] for name in contrast.arms]
    groups: dict[str, list[list[float]]] = {}
    for record in records:
        if any(name not in record.metrics for name in names):
            continue  # no average over a hole
        if any(selects(sweep, arm, record.point) for arm in arms):
            cells = [record.metrics[name] for name in names]
            groups.setdefault(record.config, []).append(cells)
    several = [np.array(own) - np.mean(own, axis=0) for own in groups.values() if len(own) > 1]
    if not several:
        return Spread(SPREAD, SPREAD, SPREAD, 0)
    dof = sum(len(own) - 1 for own in several)
    means = [own.mean(1, keepdims=True) for own in several]
    mean = sum(float((own**2).sum()) for own in means) / dof
    rest = sum(float(((x - own) ** 2).sum()) for x, own in zip(several, means, strict=True))
    cell = rest / (dof * max(len(names) - 1, 1))
    run = max(mean - cell / len(names), 0.0)
    return Spread(mean**0.5, run**0.5, cell**0.5, sum(map(len, several)))


def _languages(
    sweep: Sweep,
    study: StudySpec,
    contrast: ContrastSpec,
    found: Mapping[str, tuple[str, ...]],
) -> dict[str, Any]:
    """Languages whose covariate is known, of either side, and whether they suffice for a test."""
    targets = {code for codes in found.values() for code in codes}
    sides = {"target": (targets, LEAST_TARGETS)}
    if contrast.test == "interaction":
        own = {*languages_of_arm(sweep, study.arms[contrast.arms[0]])}
        sides["intermediate"] = (own, LEAST_INTERMEDIATES)
    column = str(contrast.covariate)
    told: dict[str, Any] = {"covariate": column}
    for side, (codes, least) in sides.items():
        known = {code for code in codes if language(code).values[column] is not None}
        told[side] = {"known": len(known), "unknown": sorted(codes - known), "needed": least}
    told["suffices"] = all(told[side]["known"] >= told[side]["needed"] for side in sides)
    return told


def _detectable(
    sweep: Sweep,
    study: StudySpec,
    contrast: ContrastSpec,
    found: Mapping[str, tuple[str, ...]],
    alpha: float,
    spread: Spread,
) -> float | None:
    """The smallest slope or interaction that is shown with a probability of 80 %, in points between
    the outer thirds of the covariate, by simulation; None where none can be fitted."""
    one, other = (study.arms[name] for name in contrast.arms)
    sources = [languages_trained(sweep, name) for name in members(sweep, one)]
    if contrast.test == "interaction" and any(len(own) != 1 for own in sources):
        return None
    column, confidence = str(contrast.covariate), 1 - alpha
    is_interaction = contrast.test == "interaction"
    names = sorted({*map(min, sources)}) if is_interaction else [contrast.arms[0]]
    targets = [code for codes in found.values() for code in codes]
    rows = _rows(names, sorted({*targets}), 1 if is_interaction else len(sweep.seeds))
    codes = {*targets, *(names if is_interaction else ())}
    values = {code: _number(code, column) for code in codes}
    families = {code: own for code in codes if (own := language(code).family) != UNKNOWN}
    with threadpool_limits(1, user_api="blas"):
        try:
            if is_interaction:
                line = interaction(rows, values, values, families, confidence)
            else:
                line = slope(rows, values, families, confidence)
        except ConfigError:
            return None
        tasks = len(targets) / len({*targets})
        runs = [_runs_of_a_seed(sweep, study, arm) for arm in (one, other)]
        variances = _variances(line, spread, tasks, runs, len(names), len(sweep.seeds))
        return detectable(line, variances=variances, draws=DRAWS, confidence=confidence)


def _number(code: str, column: str) -> float | None:
    value = language(code).values[column]
    return None if value is None or isinstance(value, str) else float(value)


def _rows(names: list[str], targets: list[str], seeds: int) -> Differences:
    """The rows of a design without anything in them, a language's tasks being one: terms for tasks
    make a table ten times slower to fit, and change what it can show by less than a tenth."""
    labels = [
        (name, code, "all", seed) for name in names for code in targets for seed in range(seeds)
    ]
    columns = [np.array(own) for own in zip(*labels, strict=True)]
    return Differences(np.random.default_rng(0).normal(size=len(columns[0])), *columns)


def _variances(
    line: Slope, spread: Spread, tasks: float, runs: list[int], intermediates: int, seeds: int
) -> np.ndarray:
    """Variances of a model's terms, points squared, the residual's last: runs as they spread, and
    languages and pairs of them with an own difference, languages with an own slope, which terms
    that hold the same share alike.

    Of an interaction a row is a mean over seeds: what all cells of a run share is in its
    intermediate's intercept, and what the runs that it is compared with are in a cell, in the
    target's.
    """
    terms = [term.name for term in line.terms]
    cell = spread.cell**2 / tasks
    own = dict.fromkeys(terms, 0.0)
    shared = [name for name in terms if name in ("target", "family")]
    own |= dict.fromkeys(shared, OWN**2 / len(shared))
    if line.intermediates is None:
        of_seed = 1 / runs[0] + 1 / runs[1]
        own |= {name: spread.run**2 * of_seed for name in terms if name == "seed"}
        return np.array([*own.values(), cell * of_seed])
    of_source = intermediates / runs[0] / seeds
    slopes = [name for name in terms if name in ("target slope", "family slope")]
    by_source = float(np.var(line.intermediates.values))
    own |= dict.fromkeys(slopes, OWN**2 / len(slopes) / by_source)
    own["intermediate slope"] = OWN**2 / float(np.var(line.targets.values))
    own["intermediate"] = OWN**2 + spread.run**2 * of_source
    own["target"] += cell / runs[1] / seeds
    return np.array([*own.values(), OWN**2 + cell * of_source])

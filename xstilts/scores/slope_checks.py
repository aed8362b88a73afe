"""What stands beside the mixed model of a slope: plainer answers, and what it could have found.

A model is believed where a plainer one says the same: one slope for each language of a side,
compared by an ordinary t test; the covariate dealt anew among languages of a family. And "no
difference" is said beside the smallest difference that the design would have shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from xstilts.scores.items import refuse
from xstilts.scores.mixed import fit
from xstilts.scores.mixed_dof import Estimate, expected_inverse, judge, t_estimate
from xstilts.scores.slopes import Differences, Slope, over_seeds
from xstilts.scores.variance import CONFIDENCE, check_share

POWER = 0.8


def by_intermediate(rows: Differences, found: Slope, confidence: float = CONFIDENCE) -> Estimate:
    """The interaction in points by one slope an intermediate language, over the target languages'
    covariate, and their regression on the intermediates': t with their number less 2.

    It asks only that intermediates are alike, but takes the target languages as they are: that a
    target language has a slope of its own over intermediates is no noise to it.
    Raises: ConfigError where `found` is no interaction, or fewer than three intermediates have
    three target languages.
    """
    names, slopes = _slopes(rows, found, "intermediates")
    if found.intermediates is None or len(slopes) < 3:
        raise refuse(
            "slopes by intermediate",
            "three intermediates or more have three target languages",
            f"{len(slopes)}",
            "",
        )
    x, dof = found.intermediates.centred(names), len(slopes) - 2.0
    x, about = x - x.mean(), slopes - slopes.mean()
    line = float(x @ about / (x @ x))
    error = float(((about - line * x) ** 2).sum() / dof / (x @ x)) ** 0.5
    return t_estimate(line, error, dof, confidence).times(found.unit)


def permutation_p(
    rows: Differences,
    found: Slope,
    families: Mapping[str, str],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> float:
    """The two-sided p of the slope or interaction where a covariate is dealt anew among languages
    of a family, those that are alone in theirs among one another.

    It compares the regression of languages' values - their mean difference, or its slope over the
    other side - on the covariate; of an interaction for either side in turn, and the larger p
    counts: dealing one side anew takes the other side's languages as they are. Nothing is assumed
    of distributions; what only differs between families it cannot see. NaN where no two languages
    can change places.
    """
    if found.intermediates is None:
        names = np.array(found.targets.languages)
        values = np.array([rows.points[rows.targets == name].mean() for name in names])
        sides = [(found.targets.centred(names), names, values)]
    else:
        sides = []
        for side, own in (("targets", found.targets), ("intermediates", found.intermediates)):
            names, values = _slopes(rows, found, side)
            sides.append((own.centred(names), names, values))
    generator = np.random.default_rng(seed)
    return max(
        _dealt_p(covariate, _groups(names, families), values, draws, generator)
        for covariate, names, values in sides
    )


def _groups(names: np.ndarray, families: Mapping[str, str]) -> list[np.ndarray]:
    """Places of languages that may change places."""
    own = [families.get(str(name), str(name)) for name in names]
    joined = np.array([family if own.count(family) > 1 else "" for family in own])
    return [np.flatnonzero(joined == family) for family in np.unique(joined)]


def _dealt_p(
    covariate: np.ndarray,
    groups: list[np.ndarray],
    values: np.ndarray,
    draws: int,
    generator: np.random.Generator,
) -> float:
    """The share of deals whose regression is as steep, the one that is there among them."""
    if max(map(len, groups)) < 2:
        return float("nan")
    about = values - values.mean()
    dealt = np.tile(covariate, (draws, 1))
    for group in groups:
        dealt[:, group] = generator.permuted(dealt[:, group], axis=1)
    as_steep = np.abs(dealt @ about) >= abs(float(covariate @ about)) * (1 - 1e-12)
    return float((1 + as_steep.sum()) / (1 + draws))


def detectable(
    found: Slope,
    *,
    variances: np.ndarray | None = None,
    power: float = POWER,
    draws: int = 200,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> float:
    """The smallest effect in points that this design shows with probability `power`: significant
    and of the right sign.

    By simulation: tables without an effect are drawn from the fitted model and fitted again, each
    with variances of its own, as far from those that were fitted as a few languages leave open. An
    effect moves an estimate and leaves its error as it is, so one set of tables serves all effects:
    the smallest is where the share `power` of them has its lower bound above zero. With `variances`
    (terms + 1,), the residual's last, tables have those: of a design that has not run.

    Raises: ConfigError where power is no share.
    """
    check_share("power", power)
    generator = np.random.default_rng(seed)
    draw = _drawing(found, variances)
    lacking = []
    for _ in range(draws):
        again = fit(draw(generator), found.fixed, found.terms)
        lacking.append(-judge(again, found.weights, confidence=confidence).low)
    return float(np.quantile(lacking, power)) * abs(found.unit)


def _drawing(found: Slope, known: np.ndarray | None) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws responses (rows,) without any fixed effect from a fitted model, or by variances that
    are `known`."""
    designs = [term.columns() for term in found.terms]
    rows, variances = len(found.fixed), np.append(found.fit.variances, found.fit.residual)
    errors = np.sqrt(np.diag(expected_inverse(found.fit)))

    def draw(generator: np.random.Generator) -> np.ndarray:
        drawn = _variances(variances, errors, generator) if known is None else known
        response = drawn[-1] ** 0.5 * generator.normal(size=rows)
        for variance, design in zip(drawn, designs, strict=False):
            response += design @ (variance**0.5 * generator.normal(size=design.shape[1]))
        return np.asarray(response)

    return draw


def _variances(
    variances: np.ndarray, errors: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Variances (terms + 1,) that may be behind those that were estimated: v d / chi²(d) with d of
    Satterthwaite, 2 v² / error²; half a normal distribution where the estimate is zero. None is
    further above than four errors: with hardly a degree of freedom chi² has no mean."""
    known = variances > 0
    freedom = np.where(known, 2 * variances**2 / np.maximum(errors, 1e-300) ** 2, 1.0)
    scaled = variances * freedom / np.maximum(generator.chisquare(freedom), 1e-12)
    drawn = np.where(known, scaled, np.abs(errors * generator.normal(size=len(errors))))
    return np.asarray(np.minimum(drawn, variances + 4 * errors))


def _slopes(rows: Differences, found: Slope, side: str) -> tuple[np.ndarray, np.ndarray]:
    """A side's languages and their slopes over the other side's covariate, from means over seeds
    and about the mean of each task; languages with fewer than three of the other side have none."""
    if found.intermediates is None:
        raise refuse("slopes by language", "they are those of an interaction", "a slope", "")
    kept = np.isin(rows.intermediates, found.intermediates.languages)
    kept &= np.isin(rows.targets, found.targets.languages)
    points, intermediates, targets, tasks = over_seeds(rows.of(kept))
    sides = (found.intermediates, intermediates), (found.targets, targets)
    (own, labels), (other, others) = sides if side == "intermediates" else sides[::-1]
    across, task = other.centred(others), np.unique(tasks, return_inverse=True)[1]
    names, slopes = [], []
    for name in own.languages:
        chosen = labels == name
        if len(np.unique(across[chosen])) < 3:
            continue
        by_task = np.eye(int(task.max()) + 1)[task[chosen]]
        design = np.column_stack([across[chosen], by_task[:, by_task.any(0)]])
        slopes.append(float(np.linalg.lstsq(design, points[chosen], rcond=None)[0][0]))
        names.append(name)
    return np.array(names), np.array(slopes)

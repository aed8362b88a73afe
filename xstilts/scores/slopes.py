"""How differences between arms change with a covariate of languages: slopes and interactions.

A study asks whether a difference grows with a target language's complexity or distance, or whether
it does so more for intermediate languages that are complex themselves. Languages are a sample here,
of both sides, and come in families; a mixed model (`mixed`) lets each language have its own
intercept and its own slope over the other side, so that thirteen intermediate languages count as
thirteen and not as thousands of scores. Every answer is a t interval, never Wald's z.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xstilts.scores.items import refuse
from xstilts.scores.mixed import MixedFit, Term, fit
from xstilts.scores.mixed_dof import Estimate, judge
from xstilts.scores.terciles import Terciles, terciles
from xstilts.scores.variance import CONFIDENCE

LEAST_TARGETS = 12
LEAST_INTERMEDIATES = 6
"""With fewer languages a slope over them is not tested: the test would have next to no power, and
its assumptions could not be seen to fail."""


@dataclass(frozen=True, slots=True, eq=False)
class Differences:
    """Differences in points, a row each: of an intermediate language's arm from its baseline, on a
    target language and task, with a seed. All are (rows,), labels but for `points`. A run that did
    not learn, or was not scored, has no row."""

    points: np.ndarray
    intermediates: np.ndarray
    targets: np.ndarray
    tasks: np.ndarray
    seeds: np.ndarray

    def of(self, rows: np.ndarray) -> Differences:
        """Some of the rows."""
        return Differences(
            self.points[rows],
            self.intermediates[rows],
            self.targets[rows],
            self.tasks[rows],
            self.seeds[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """What a covariate does to differences.

    `coefficient` is by unit of the covariate, or of both; `effect` is in points: between the means
    of the upper and the lower third of the languages, of both sides for an interaction. Both are
    None where `withheld` says why nothing is tested. `unknown` names languages that were left out
    because the covariate is not known of them. `fit` is the model, `unit` the factor between the
    two, `weights` (fixed,) picks the coefficient.
    """

    coefficient: Estimate | None
    effect: Estimate | None
    withheld: str
    unknown: tuple[str, ...]
    targets: Terciles
    intermediates: Terciles | None
    unit: float
    weights: np.ndarray
    fit: MixedFit
    terms: tuple[Term, ...]
    fixed: np.ndarray


def interaction(
    rows: Differences,
    of_intermediates: Mapping[str, float | None],
    of_targets: Mapping[str, float | None],
    families: Mapping[str, str],
    confidence: float = CONFIDENCE,
) -> Slope:
    """How the slope over target languages' covariate changes with the intermediate's.

    points ~ x + z + x z, with x of the intermediate and z of the target, both centred over their
    languages; random intercepts of intermediate, target, family, task and, with several tasks, of
    the pair of languages; random slopes of each intermediate over z, and over x of each target and
    of each family of targets. Intermediates' families have none: a dozen languages cannot tell it
    from their own slopes, and intervals were then far too wide (docs/study_statistics.md). Seeds
    are averaged first, those that are there: an intermediate's runs are its own, so what they do is
    within its intercept and its slope.

    Raises: ConfigError where nothing can be fitted.
    """
    rows, unknown = _known(rows, of_intermediates, of_targets)
    points, intermediates, targets, tasks = over_seeds(rows)
    sources = terciles({name: of_intermediates[name] for name in np.unique(intermediates)})
    sinks = terciles({name: of_targets[name] for name in np.unique(targets)})
    x, z = sources.centred(intermediates), sinks.centred(targets)
    family = np.array([families.get(name, name) for name in targets.tolist()])
    terms = [Term("intermediate", intermediates), Term("target", targets)]
    terms += [Term("intermediate slope", intermediates, z), Term("target slope", targets, x)]
    if _clusters(family, targets):
        terms += [Term("family", family), Term("family slope", family, x)]
    if len(np.unique(tasks)) > 1:
        pairs = np.char.add(np.char.add(intermediates.astype(str), "/"), targets.astype(str))
        terms += [Term("task", tasks), Term("pair", pairs)]
    fixed = np.column_stack([np.ones(len(points)), x, z, x * z])
    withheld = _withheld(len(sinks.languages), len(sources.languages))
    return _slope(points, fixed, terms, sinks, sources, withheld, unknown, confidence)


def slope(
    rows: Differences,
    of_targets: Mapping[str, float | None],
    families: Mapping[str, str],
    confidence: float = CONFIDENCE,
) -> Slope:
    """How one arm's differences change with the target languages' covariate z.

    points ~ z, with random intercepts of target, family, task and, with several tasks, of the
    language on the task; seeds stay, each with its intercept and its slope: all languages are
    scored by the same runs, and a run that suits far languages suits them all.

    Raises: ConfigError where nothing can be fitted.
    """
    rows, unknown = _known(rows, None, of_targets)
    sinks = terciles({name: of_targets[name] for name in np.unique(rows.targets)})
    z = sinks.centred(rows.targets)
    family = np.array([families.get(name, name) for name in rows.targets.tolist()])
    terms = [Term("target", rows.targets)]
    if len(np.unique(rows.seeds)) > 1:
        terms += [Term("seed", rows.seeds), Term("seed slope", rows.seeds, z)]
    if _clusters(family, rows.targets):
        terms.append(Term("family", family))
    if len(np.unique(rows.tasks)) > 1:
        cells = np.char.add(np.char.add(rows.targets.astype(str), "/"), rows.tasks.astype(str))
        terms += [Term("task", rows.tasks), Term("language on task", cells)]
    fixed = np.column_stack([np.ones(len(z)), z])
    withheld = _withheld(len(sinks.languages), None)
    return _slope(rows.points, fixed, terms, sinks, None, withheld, unknown, confidence)


def over_seeds(rows: Differences) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means over the seeds that are there, and each mean's intermediate, target and task."""
    keys = [
        np.unique(labels, return_inverse=True)
        for labels in (rows.intermediates, rows.targets, rows.tasks)
    ]
    sizes = [len(names) for names, _ in keys]
    cell = np.ravel_multi_index([codes for _, codes in keys], sizes)
    cells, codes = np.unique(cell, return_inverse=True)
    means = np.bincount(codes, rows.points) / np.bincount(codes)
    places = np.unravel_index(cells, sizes)
    labels = [names[place] for (names, _), place in zip(keys, places, strict=True)]
    return means, labels[0], labels[1], labels[2]


def _slope(
    points: np.ndarray,
    fixed: np.ndarray,
    terms: Sequence[Term],
    targets: Terciles,
    intermediates: Terciles | None,
    withheld: str,
    unknown: tuple[str, ...],
    confidence: float,
) -> Slope:
    fitted = fit(points, fixed, terms)
    weights = np.eye(fixed.shape[1])[-1]
    unit = targets.distance * (intermediates.distance if intermediates else 1.0)
    judged = None if withheld else judge(fitted, weights, confidence=confidence)
    return Slope(
        coefficient=judged,
        effect=judged.times(unit) if judged else None,
        withheld=withheld,
        unknown=unknown,
        targets=targets,
        intermediates=intermediates,
        unit=unit,
        weights=weights,
        fit=fitted,
        terms=tuple(terms),
        fixed=fixed,
    )


def _known(
    rows: Differences,
    of_intermediates: Mapping[str, float | None] | None,
    of_targets: Mapping[str, float | None],
) -> tuple[Differences, tuple[str, ...]]:
    """The rows whose languages' covariates are known, and the languages that are left out."""
    kept, unknown = np.ones(len(rows.points), bool), set()
    for labels, values in ((rows.intermediates, of_intermediates), (rows.targets, of_targets)):
        if values is None:
            continue
        for name in np.unique(labels).tolist():
            if values.get(name) is None:
                kept &= labels != name
                unknown.add(name)
    if not kept.any():
        raise refuse(
            "slope",
            "the covariate is known of some languages",
            "of none",
            "choose a covariate that the languages have",
        )
    return rows.of(kept), tuple(sorted(unknown))


def _withheld(targets: int, intermediates: int | None) -> str:
    """Why a slope over so many languages is not tested; empty where it is."""
    if targets < LEAST_TARGETS:
        return (
            f"not tested: {targets} target languages have the covariate, {LEAST_TARGETS} are needed"
        )
    if intermediates is not None and intermediates < LEAST_INTERMEDIATES:
        return (
            f"not tested: {intermediates} intermediate languages have the covariate, "
            f"{LEAST_INTERMEDIATES} are needed"
        )
    return ""


def _clusters(families: np.ndarray, languages: np.ndarray) -> bool:
    """Whether there are two families or more, and fewer than languages."""
    return 1 < len(np.unique(families)) < len(np.unique(languages))

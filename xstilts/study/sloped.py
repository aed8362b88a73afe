"""Slopes and interactions of a contrast: how its differences grow with a covariate of languages.

Rows of differences are made of the runs that learnt, those of a seed in both arms; a run that did
not has no row, and no mean over members is taken without it. Of an interaction each member of the
first arm is an intermediate language, compared with the second arm's runs of the same seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from xstilts.config.schema import Sweep
from xstilts.config.study import ContrastSpec
from xstilts.config.study_arms import languages_trained
from xstilts.errors import ConfigError
from xstilts.scores.mixed_dof import Estimate, judge
from xstilts.scores.slope_checks import by_intermediate, detectable, permutation_p
from xstilts.scores.slopes import Differences, Slope, interaction, slope
from xstilts.scores.terciles import NAMES
from xstilts.study.answer import Contrast, Interval, Line
from xstilts.study.arm_items import ArmItems
from xstilts.study.arm_runs import Member
from xstilts.study.differences import Difference
from xstilts.study.item_checks import beside, of_slope
from xstilts.tasks.languages import UNKNOWN, language

LINE_POINTS = 13


def sloped(
    items: ArmItems, found: Difference, told: Contrast, spec: ContrastSpec, clear: float
) -> Contrast:
    """A contrast with its slope or interaction tested, or why it is not. What could have been found
    is worked out, by simulation, where the p is not below `clear`."""
    assert spec.covariate is not None
    sweep = items.runs.sweep
    sources = {member: _language(sweep, member) for member in found.candidate.members}
    if spec.test == "interaction" and (several := [m for m, own in sources.items() if not own]):
        names = ", ".join(member.intermediate for member in several)
        return replace(told, withheld=f"not tested: {names} is not in one language")
    rows = _rows(found, sources if spec.test == "interaction" else None)
    codes = {*(code for _, code in found.cells), *filter(None, sources.values())}
    values = {code: value_of(code, spec.covariate) for code in codes}
    families = {code: language(code).family for code in codes}
    families = {code: family for code, family in families.items() if family != UNKNOWN}
    try:
        if spec.test == "interaction":
            line = interaction(rows, values, values, families, found.confidence)
        else:
            line = slope(rows, values, families, found.confidence)
    except ConfigError as error:
        problem = error.problems[0]
        return replace(told, withheld=f"not tested: {problem.rule}; got {problem.got}")
    told = replace(told, unknown=line.unknown, withheld=line.withheld)
    if line.effect is None:
        return told
    permuted = permutation_p(rows, line, families)
    could = None
    if line.effect.p > clear:
        could = detectable(line, confidence=found.confidence)
    told = beside(told, of_slope(found, line, items, sources), found.confidence)
    return replace(
        told,
        effect=_interval(line.effect),
        p=line.effect.p,
        detectable=could,
        lines=tuple(_lines(line, found.confidence)),
        variances=_variances(line),
        by_intermediate=_by_intermediate(rows, line, found.confidence),
        permutation_p=permuted if np.isfinite(permuted) else None,
    )


def value_of(code: str, column: str) -> float | None:
    """A language's number in a column of the table of languages; None where it is not known."""
    value = language(code).values[column]
    return None if value is None or isinstance(value, str) else float(value)


def _language(sweep: Sweep, member: Member) -> str | None:
    """The language that an intermediate trains in; None where it has several, and of none."""
    found = languages_trained(sweep, member.intermediate)
    return next(iter(found)) if len(found) == 1 else None


def _rows(found: Difference, sources: Mapping[Member, str | None] | None) -> Differences:
    """The rows of a slope, or, where `sources` has the languages of the members, of an interaction:
    of all seeds and cells whose runs learnt."""
    one, other = found.candidate, found.baseline
    if sources is None:
        points, learnt = one.by_seed[None], np.asarray(one.learnt.all(0))[None]
        names = np.array([one.name])
    else:
        points, learnt = one.scores, one.learnt
        names = np.array([sources[member] for member in one.members])
    member, seed, cell = np.nonzero(np.logical_and(learnt, other.learnt.all(0)))
    targets, codes = (np.array(labels) for labels in zip(*found.cells, strict=True))
    return Differences(
        points[member, seed, cell] - other.by_seed[seed, cell],
        names[member],
        codes[cell],
        targets[cell],
        np.array(one.seeds)[seed],
    )


def _interval(found: Estimate) -> Interval:
    dof = found.dof if np.isfinite(found.dof) else None
    return Interval(found.estimate, found.low, found.high, dof)


def _by_intermediate(rows: Differences, line: Slope, confidence: float) -> Interval | None:
    if line.intermediates is None:
        return None
    try:
        return _interval(by_intermediate(rows, line, confidence))
    except ConfigError:  # too few intermediates have runs that learnt
        return None


def _variances(line: Slope) -> dict[str, float]:
    own = {term.name: float(v) for term, v in zip(line.terms, line.fit.variances, strict=True)}
    return {**own, "residual": float(line.fit.residual)}


def _lines(line: Slope, confidence: float) -> Iterator[Line]:
    """The fitted line over the target languages, of an interaction for the mean of each third of
    the intermediate ones."""
    values = line.targets.values
    shown = np.linspace(values.min(), values.max(), LINE_POINTS)
    centred = shown - values.mean()
    sides: dict[str, list[np.ndarray]] = {"": [np.array([1.0, z]) for z in centred]}
    if line.intermediates is not None:
        of_sources = line.intermediates.values - line.intermediates.values.mean()
        middles = {
            name: float(of_sources[line.intermediates.third == i].mean())
            for i, name in enumerate(NAMES)
            if (line.intermediates.third == i).any()
        }
        sides = {
            name: [np.array([1.0, x, z, x * z]) for z in centred] for name, x in middles.items()
        }
    for side, weights in sides.items():
        found = [judge(line.fit, own, confidence=confidence) for own in weights]
        yield Line(
            side,
            tuple(shown.tolist()),
            tuple(one.estimate for one in found),
            tuple(one.low for one in found),
            tuple(one.high for one in found),
        )

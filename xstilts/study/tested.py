"""A contrast of a study, tested as the study states: numbers, cells, groups, and why not.

A contrast whose runs are not all there is withheld whole: no number is made over a hole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xstilts.config.study import ContrastSpec
from xstilts.config.study_checks import cells, confounds
from xstilts.errors import ConfigError
from xstilts.scores.equivalence import equivalence, non_inferiority
from xstilts.scores.terciles import NAMES, terciles
from xstilts.study.answer import Cell, Contrast, Group, Standing
from xstilts.study.arm_items import ArmItems
from xstilts.study.arm_runs import StudyRuns
from xstilts.study.differences import (
    Difference,
    detectable,
    groups_of,
    interval_of,
    seeds_needed,
)
from xstilts.study.item_checks import beside, of_difference
from xstilts.study.sloped import sloped, value_of
from xstilts.tasks.languages import COLUMNS, UNKNOWN, language

WORST = 5
LOSS = 1.0
"""In points: a language that loses more is one that is harmed."""


@dataclass(frozen=True, slots=True)
class Tester:
    """What tests the contrasts of a study."""

    runs: StudyRuns
    items: ArmItems

    def contrast(self, name: str, standing: Standing) -> tuple[Contrast, tuple[str, ...]]:
        """A contrast, not yet judged among the others and without its sentence, and the runs that
        it lacks, a line each."""
        study = self.runs.study
        spec = study.contrasts[name]
        places = cells(self.runs.sweep, study, spec)
        own = tuple((target, code) for target, codes in places.items() for code in codes)
        candidate, baseline = (self.runs.arm(arm, own) for arm in spec.arms)
        empty = self._empty(name, standing, spec, own)
        counted = tuple(int(np.isfinite(arm.scores).all(-1).sum()) for arm in (candidate, baseline))
        empty = replace(empty, runs=(counted[0], counted[1]))
        missing = (*candidate.missing, *baseline.missing)
        if missing:
            wanted = sum(len(arm.members) * len(arm.seeds) for arm in (candidate, baseline))
            lacks = f"{wanted - sum(counted)} of its {wanted} runs are missing"
            return replace(empty, withheld=lacks), missing
        if self.runs.unfinished:
            return replace(empty, withheld=self.runs.unfinished), ()
        outcomes = self.items.outcomes(candidate, baseline)
        found = Difference(candidate, baseline, outcomes, 1 - study.alpha)
        told = replace(
            empty,
            difference=interval_of(found.whole.difference),
            collapsed=found.collapsed(),
            learnt=found.learnt(),
            cells=tuple(_cells(found, spec.covariate)),
            groups=tuple(_groups(found, spec)),
            **_of_languages(found),
        )
        return self._tested(found, told, spec), ()

    def _empty(
        self,
        name: str,
        standing: Standing,
        spec: ContrastSpec,
        own: tuple[tuple[str, str], ...],
    ) -> Contrast:
        covariate = spec.covariate
        languages = tuple(dict.fromkeys(code for _, code in own))
        return Contrast(
            name=name,
            standing=standing,
            test=spec.test,
            arms=spec.arms,
            differ_in=spec.differ_in,
            confounds=confounds(self.runs.sweep, self.runs.study, spec),
            covariate=covariate,
            targets=tuple(dict.fromkeys(target for target, _ in own)),
            languages=languages,
            runs=(0, 0),
            difference=None,
            effect=None,
            p=None,
            adjusted=None,
            holds=False,
            detectable=None,
            seeds_needed=None,
            withheld="",
            unknown=tuple(x for x in languages if covariate and value_of(x, covariate) is None),
            cells=(),
            groups=(),
            lines=(),
            variances={},
            by_intermediate=None,
            permutation_p=None,
            items_p=None,
            says="",
        )

    def _tested(self, found: Difference, told: Contrast, spec: ContrastSpec) -> Contrast:
        """The contrast by the test that it states."""
        study = self.runs.study
        if spec.test in ("slope", "interaction"):
            # Below that it holds, whatever the others' are.
            clear = study.alpha / len(study.contrasts)
            return sloped(self.items, found, told, spec, clear)
        over = found.whole
        gain, seeds = over.difference, len(found.candidate.seeds)
        told = replace(
            told,
            effect=told.difference,
            variances=found.variances(),
            items_p=found.items_p(),
        )
        told = beside(told, of_difference(found), found.confidence)
        if not gain.variance:
            return replace(
                told, effect=None, withheld="not tested: nothing varies between its runs"
            )
        if spec.test == "difference":
            return replace(told, p=over.p, detectable=detectable(gain, study.alpha))
        one_sided = spec.test == "non_inferiority"
        test = non_inferiority if one_sided else equivalence
        return replace(
            told,
            p=test(gain, study.margin),
            seeds_needed=seeds_needed(gain, seeds, study.margin, study.alpha, one_sided),
        )


def _cells(found: Difference, covariate: str | None) -> Iterator[Cell]:
    """The difference in each cell."""
    for i, (target, code) in enumerate(found.cells):
        gain = found.over(np.array([i])).difference
        value = value_of(code, covariate) if covariate else None
        yield Cell(target, code, gain.gain, gain.low, gain.high, value, language(code).family)


def _of_languages(found: Difference) -> dict[str, Any]:
    """How many languages lose more than a point, and what the worst of them have."""
    pairs = found.candidate.by_seed.mean(0) - found.baseline.by_seed.mean(0)
    codes = np.array([code for _, code in found.cells])
    means = np.sort([pairs[codes == code].mean() for code in dict.fromkeys(codes.tolist())])
    return {"losing": int((means < -LOSS).sum()), "worst": float(means[:WORST].mean())}


def _groups(found: Difference, spec: ContrastSpec) -> Iterator[Group]:
    codes = [code for _, code in found.cells]
    labels: dict[str, Mapping[int, str]] = {}
    if spec.strata is not None and spec.strata != "tercile":
        labels["stratum"] = _strata(codes, spec.strata)
    if spec.covariate is not None:
        labels["third"] = _thirds(codes, spec.covariate)
    labels["family"] = {i: language(code).family for i, code in enumerate(codes)}
    labels["target"] = {i: target for i, (target, _) in enumerate(found.cells)}
    for kind, own in labels.items():
        groups = list(groups_of(own))
        if kind == "third":
            groups.sort(key=lambda group: NAMES.index(group[0]))
        for name, numbers in groups:
            gain = found.over(numbers).difference
            inside = tuple(dict.fromkeys(codes[i] for i in numbers.tolist()))
            yield Group(
                kind,  # type: ignore[arg-type] # the keys above
                name,
                gain.gain,
                gain.low,
                gain.high,
                inside,
                len(numbers),
            )


def _strata(codes: list[str], column: str) -> Mapping[int, str]:
    """The stratum of each cell: a text, a class, a third of a number."""
    if COLUMNS[column].values == "number":
        return _thirds(codes, column)
    values = [language(code).values[column] for code in codes]
    return {i: UNKNOWN if value is None else str(value) for i, value in enumerate(values)}


def _thirds(codes: list[str], column: str) -> Mapping[int, str]:
    """The third of each cell whose language has a value; none where there are no thirds."""
    known = {code: value_of(code, column) for code in codes}
    try:
        found = terciles({code: value for code, value in known.items() if value is not None})
    except ConfigError:
        return {}
    thirds = dict(zip(found.languages, found.third.tolist(), strict=True))
    return {i: NAMES[thirds[code]] for i, code in enumerate(codes) if code in thirds}

"""What items alone say of a contrast, beside its test: two intervals of the checkpoints at hand.

A contrast's effect is a weighted sum of its cells: of a difference their mean, of a slope their
regression on the covariate, about each target's mean, of an interaction that of the slopes which
each row has over the intermediate languages. By the bootstrap the items are a sample and the
languages are not; by the linear model of differences by item both are. Neither draws a seed: they
speak of the checkpoints that were trained and not of the method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from xstilts.errors import ConfigError
from xstilts.scores.clustered import clustered
from xstilts.scores.contrasts import Outcomes
from xstilts.scores.item_bootstrap import item_bootstrap
from xstilts.scores.slopes import Slope
from xstilts.study.answer import Contrast, Interval
from xstilts.study.arm_items import ArmItems
from xstilts.study.arm_runs import Member
from xstilts.study.differences import Difference


@dataclass(frozen=True, slots=True, eq=False)
class CellModel:
    """An effect as a linear model of cells: the sum of the effects times `weights` (effects,) where
    the cells' means of `outcomes`, a run of differences, are fitted by `design` (cells, effects);
    `languages` (cells,) are the cells'."""

    outcomes: Outcomes
    design: np.ndarray
    weights: np.ndarray
    languages: np.ndarray

    def by_items(self, confidence: float) -> Interval | None:
        """The effect with the interval of a joint bootstrap of its items; None where a cell has
        too few."""
        shares = self.weights @ np.linalg.pinv(self.design)
        cells = self.outcomes.cells
        means = np.bincount(cells, self.outcomes.values[0]) / np.bincount(cells)
        try:
            drawn = item_bootstrap(self.outcomes)[:, 0] @ shares
        except ConfigError:
            return None
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Interval(float(shares @ means), float(low), float(high))

    def by_items_and_languages(self, confidence: float) -> Interval | None:
        """The effect by a linear model of rows, of which each cell's count as one, with the
        interval of errors that are alike within items and within languages; None with one
        language."""
        cells = self.outcomes.cells
        scale = np.bincount(cells)[cells] ** -0.5
        try:
            found = clustered(
                self.outcomes.values[0] * scale,
                self.design[cells] * scale[:, None],
                [self.outcomes.items, self.languages[cells]],
                self.weights,
                confidence,
            )
        except ConfigError:
            return None
        known = np.isfinite([found.low, found.high, found.dof]).all()
        return Interval(found.estimate, found.low, found.high, found.dof) if known else None


def beside(told: Contrast, model: CellModel | None, confidence: float) -> Contrast:
    """A contrast with both intervals, where its items are known."""
    if model is None:
        return told
    return replace(
        told,
        by_items=model.by_items(confidence),
        by_items_and_languages=model.by_items_and_languages(confidence),
    )


def of_difference(found: Difference) -> CellModel | None:
    """The mean over cells of a difference; None where its items are not known."""
    if found.outcomes is None:
        return None
    seeds = len(found.candidate.seeds)
    values = found.outcomes.values
    rows = values[:seeds].mean(0) - values[seeds:].mean(0)
    ones = np.ones((len(found.cells), 1))
    codes = np.array([code for _, code in found.cells])
    outcomes = Outcomes(rows[None], found.outcomes.cells, found.outcomes.items)
    return CellModel(outcomes, ones, np.ones(1), codes)


def of_slope(
    found: Difference,
    line: Slope,
    items: ArmItems,
    sources: Mapping[Member, str | None],
) -> CellModel | None:
    """A slope or an interaction, by the seeds of which all runs learnt; None where there are none,
    or items are not known. `sources` are the languages of an interaction's members."""
    learnt = found.candidate.learnt.all((0, 2)) & found.baseline.learnt.all((0, 2))
    if found.outcomes is None or not learnt.any():
        return None
    seeds = learnt / learnt.sum()
    sums = [(found.candidate, np.outer(_shares(found, line, sources), seeds)[None])]
    if line.intermediates is None:
        members = np.full(len(found.baseline.members), -1 / len(found.baseline.members))
        sums.append((found.baseline, np.outer(members, seeds)[None]))
    outcomes = items.sums(found.cells, sums)
    assert outcomes is not None  # they are those of the difference
    targets, codes = (np.array(labels) for labels in zip(*found.cells, strict=True))
    kept = np.isin(codes, line.targets.languages)
    outcomes = outcomes.of(kept[outcomes.cells])
    number = np.cumsum(kept) - 1
    outcomes = Outcomes(outcomes.values, number[outcomes.cells], outcomes.items)
    by_target = targets[kept][:, None] == np.unique(targets[kept])
    design = np.column_stack([by_target, line.targets.centred(codes[kept])])
    weights = np.append(np.zeros(by_target.shape[1]), line.unit)
    return CellModel(outcomes, design.astype(float), weights, codes[kept])


def _shares(found: Difference, line: Slope, sources: Mapping[Member, str | None]) -> np.ndarray:
    """What each member of the first arm counts for in a row (members,): of a slope alike, of an
    interaction as in the regression on the covariate of its language, in which what all are
    compared with has no part."""
    members = found.candidate.members
    if line.intermediates is None:
        return np.full(len(members), 1 / len(members))
    own = np.array([sources[member] for member in members])
    known = np.isin(own, line.intermediates.languages)
    shares = np.zeros(len(members))
    x = line.intermediates.centred(own[known])
    shares[known] = x - x.mean()
    return np.asarray(shares / (shares @ shares))

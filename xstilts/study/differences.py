"""The difference of two arms: over all cells of a contrast, over groups of them, in each.

Runs are paired by seed, which gives both arms of a contrast the same draws; the variance has a part
of seeds and a part of items (`scores.variance`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import nctdtrinc, stdtrit

from xstilts.scores.contrasts import Contrast as Tested
from xstilts.scores.contrasts import Outcomes, contrast
from xstilts.scores.equivalence import seeds_for_equivalence
from xstilts.scores.settling import POWER
from xstilts.scores.variance import Gain
from xstilts.study.answer import Interval
from xstilts.study.arm_runs import ArmRuns, Cell

LEAST_PAIRS = 2
ITEM_DRAWS = 2000
_AT_ONCE = 100


@dataclass(frozen=True, eq=False)
class Difference:
    """Two arms on the same cells, without holes; `outcomes` of their items where they are known.
    Intervals hold with probability `confidence`."""

    candidate: ArmRuns
    baseline: ArmRuns
    outcomes: Outcomes | None
    confidence: float

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells."""
        return self.candidate.cells

    @cached_property
    def whole(self) -> Tested:
        """The difference over all cells."""
        return self.over(np.arange(len(self.cells)))

    def over(self, chosen: np.ndarray) -> Tested:
        """The difference over some of the cells, by their numbers."""
        outcomes = None
        if self.outcomes is not None:
            outcomes = self.outcomes.of(np.isin(self.outcomes.cells, chosen))
        one, other = (arm.by_seed[:, chosen] for arm in (self.candidate, self.baseline))
        return contrast(one, other, outcomes, paired=True, confidence=self.confidence)

    def collapsed(self) -> tuple[str, ...]:
        """The runs that did not learn a target, by name."""
        names: dict[str, list[str]] = {}
        for arm in (self.candidate, self.baseline):
            for i, j, k in zip(*np.nonzero(~arm.learnt), strict=True):
                name = f"{arm.members[i].intermediate} on {arm.members[i].model}"
                own = names.setdefault(f"{name}, seed {arm.seeds[j]}", [])
                own += [self.cells[k][0]] if self.cells[k][0] not in own else []
        return tuple(f"{name}: {', '.join(targets)}" for name, targets in names.items())

    def learnt(self) -> Interval | None:
        """The difference without the seeds of which a run collapsed, by seeds alone; None where
        none did, or fewer than two are left."""
        kept = self.candidate.learnt.all((0, 2)) & self.baseline.learnt.all((0, 2))
        if kept.all() or kept.sum() < LEAST_PAIRS:
            return None
        one, other = (arm.by_seed[kept] for arm in (self.candidate, self.baseline))
        found = contrast(one, other, paired=True, confidence=self.confidence)
        return interval_of(found.difference)

    def variances(self) -> dict[str, float]:
        """Variances of a difference of one pair of runs, points squared: between seeds, and over
        samples of items where they are known."""
        found = self.whole.difference
        own = {"seed": found.seed_part * len(self.candidate.seeds)}
        return own if self.outcomes is None else own | {"items": found.item_part}

    def items_p(self, seed: int = 0) -> float | None:
        """The two-sided p of the difference by items alone: each item, in all its languages, may
        have its arms' outcomes exchanged. It takes the checkpoints as they are. None where items
        are not known."""
        if self.outcomes is None:
            return None
        number = len(self.candidate.seeds)
        values = self.outcomes.values
        rows = values[:number].mean(0) - values[number:].mean(0)
        rows = rows / np.bincount(self.outcomes.cells)[self.outcomes.cells] / len(self.cells)
        by_item = np.bincount(self.outcomes.items, rows).astype(np.float32)
        as_far: int = 1
        least = abs(float(by_item.sum())) * (1 - 1e-6)
        generator = np.random.default_rng(seed)
        for _ in range(0, ITEM_DRAWS, _AT_ONCE):
            drawn = generator.bytes(_AT_ONCE * (-(-len(by_item) // 8)))
            bits = np.unpackbits(np.frombuffer(drawn, np.uint8).reshape(_AT_ONCE, -1), axis=1)
            # Twice what is kept less all: items that are not kept have the other sign.
            sums = 2 * (bits[:, : len(by_item)].astype(np.float32) @ by_item) - by_item.sum()
            as_far += int((np.abs(sums) >= least).sum())
        return as_far / (1 + ITEM_DRAWS)


def interval_of(gain: Gain) -> Interval:
    """A difference as an answer has it."""
    dof = gain.dof if np.isfinite(gain.dof) else None
    return Interval(gain.gain, gain.low, gain.high, dof)


def detectable(gain: Gain, alpha: float, power: float = POWER) -> float:
    """The smallest difference in points that a two-sided t test of this variance and these degrees
    of freedom shows with probability `power`: by the noncentral t distribution."""
    dof = min(gain.dof, 1e6)
    critical = float(stdtrit(dof, 1 - alpha / 2))
    return float(nctdtrinc(dof, 1 - power, critical) * gain.variance**0.5)


def seeds_needed(
    gain: Gain, seeds: int, margin: float, alpha: float, one_sided: bool
) -> int | None:
    """Seeds of each arm with which equality, or non-inferiority, would be shown at the spread of
    the pairs that were seen, where there is no difference; None where a thousand are too few."""
    spread = (gain.seed_part * seeds / 2) ** 0.5
    return seeds_for_equivalence(
        spread,
        margin,
        item_variance=gain.item_part,
        one_sided=one_sided,
        is_paired=True,
        alpha=alpha,
    )


def groups_of(labels: Mapping[int, str]) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers of cells by their label, in the labels' order."""
    for label in sorted(set(labels.values())):
        yield label, np.array([cell for cell, own in labels.items() if own == label])

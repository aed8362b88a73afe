"""Contrasts of a study: one arm less another, on targets and languages chosen beforehand.

A contrast is the mean difference over its cells - a target task in a language each - which both
arms have from every run; its variance is that of verdicts, seeds and items (`variance`). The
primary contrasts of a study share one error by Holm's procedure; all others are exploratory and
share a false discovery rate (Benjamini & Hochberg 1995).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xstilts.scores.better import holm_adjusted
from xstilts.scores.items import item_covariance, refuse
from xstilts.scores.variance import CONFIDENCE, Gain, gain, item_part


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What runs gave for every item of a contrast's cells: `values` (runs, rows), 0-100, the
    candidate's runs first; `cells` (rows,) names a row's task and language, `items` (rows,) its
    item, equal where rows are translations of one another."""

    values: np.ndarray
    cells: np.ndarray
    items: np.ndarray

    def of(self, rows: np.ndarray) -> Outcomes:
        """Some of the rows."""
        return Outcomes(self.values[:, rows], self.cells[rows], self.items[rows])


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference of two arms with its interval; `p` is two-sided."""

    difference: Gain
    p: float
    runs: tuple[int, int]
    cells: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A contrast's standing in its study: `p` as adjusted for the others of its `family`, and
    whether that `holds` at alpha."""

    p: float
    family: Literal["primary", "exploratory"]
    holds: bool


def contrast(
    candidate: np.ndarray,
    baseline: np.ndarray,
    outcomes: Outcomes | None = None,
    *,
    paired: bool = False,
    confidence: float = CONFIDENCE,
) -> Contrast:
    """The contrast of two arms' runs, (runs, cells) each, scores 0-100 in the same cells.

    Every cell counts alike. Items that several cells share, as translations do, are one draw in all
    of them, which `outcomes` say; without them the interval speaks of seeds alone. `paired` means
    that equal places are equal seeds, as in `variance.gain`.

    Raises: ConfigError where a run lacks a cell, or an arm has fewer than two runs.
    """
    candidate, baseline = np.asarray(candidate, float), np.asarray(baseline, float)
    both = np.concatenate([candidate, baseline])
    if not np.isfinite(both).all() or not both.shape[1]:
        raise refuse(
            "contrast",
            "both arms have every cell in every run",
            f"{int((~np.isfinite(both)).sum())} holes in {both.shape[1]} cells",
            "leave out a cell that a run lacks, or the run",
        )
    variance, items = 0.0, None
    if outcomes is not None:
        covariance = item_covariance(outcomes.values, outcomes.items, outcomes.cells)
        number = np.arange(len(both))
        variance = item_part(covariance, number[: len(candidate)], number[len(candidate) :])
        items = len(np.unique(outcomes.items))
    found = gain(
        candidate.mean(1),
        baseline.mean(1),
        item_variance=variance,
        num_items=items,
        paired=paired,
        confidence=confidence,
    )
    p = 2 * min(found.p, 1 - found.p)
    return Contrast(found, p, (len(candidate), len(baseline)), both.shape[1])


def claims(p: Mapping[str, float], primary: Sequence[str], alpha: float = 0.05) -> dict[str, Claim]:
    """The standing of every contrast by its two-sided p, those named `primary` by Holm, the others
    by Benjamini and Hochberg. A contrast without a p (NaN), as one that is withheld, claims
    nothing and counts for none of the others.

    Raises: ConfigError where a primary contrast is not there, or alpha is no share.
    """
    lacking = [name for name in primary if name not in p]
    if lacking:
        raise refuse(
            "primary contrasts",
            "they are contrasts of the study",
            f"{lacking[0]!r}, which is none of {', '.join(p)}",
            "name one that is defined",
        )
    known = {name: value for name, value in p.items() if np.isfinite(value)}
    first = [name for name in known if name in primary]
    others = [name for name in known if name not in primary]
    adjusted = dict.fromkeys(p, float("nan"))
    adjusted |= dict(zip(first, holm_adjusted([known[name] for name in first]), strict=True))
    if others:
        from scipy.stats import false_discovery_control  # what it imports takes a second

        rates = false_discovery_control([known[name] for name in others])
        adjusted |= dict(zip(others, rates.tolist(), strict=True))
    return {
        name: Claim(value, "primary" if name in primary else "exploratory", bool(value <= alpha))
        for name, value in adjusted.items()
    }

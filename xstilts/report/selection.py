"""How well English dev chose: what its choice scores beside the best choice, and how both rank.

Evaluation scores are looked at here to judge the choice, after it is made; nothing is chosen by
them. The best of many noisy scores is flattered, so a regret is an upper bound of the true one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from xstilts.report.results import Results

LEAST = 3
"""With fewer configurations a rank correlation says nothing."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A target's choice by dev among `dev` and `scores`, (configurations,), the chosen one first;
    `names` are their intermediates.

    `regret` is what the highest score lies above the chosen one's, in points; `spearman` and
    `kendall` (tau b) are correlations of ranks, None with fewer than three configurations or where
    all are equal.
    """

    target: str
    selected_on: str
    names: tuple[str, ...]
    dev: tuple[float, ...]
    scores: tuple[float, ...]
    regret: float
    spearman: float | None
    kendall: float | None


def selections(results: Results) -> list[Selection]:
    """The choice on every target that has one, among all complete configurations."""
    found = []
    for best in results.best:
        row = results.configurations[best.target]
        entries = sorted(
            (entry for own in row.values() for entry in own),
            key=lambda entry: entry.config != best.best.config,
        )
        dev, scores = ([getattr(one, name) for one in entries] for name in ("dev", "score"))
        found.append(
            Selection(
                target=best.target,
                selected_on=f"dev/{best.selected_on}",
                names=tuple(entry.intermediate for entry in entries),
                dev=tuple(dev),
                scores=tuple(scores),
                regret=max(scores) - best.best.score,
                spearman=_rank_correlation("spearmanr", dev, scores),
                kendall=_rank_correlation("kendalltau", dev, scores),
            )
        )
    return found


def _rank_correlation(which: str, some: list[float], others: list[float]) -> float | None:
    from scipy import stats  # what it imports takes as long as a sweep's tables

    if len(some) < LEAST or len(set(some)) < 2 or len(set(others)) < 2:
        return None
    value = float(getattr(stats, which)(some, others).statistic)
    return value if np.isfinite(value) else None

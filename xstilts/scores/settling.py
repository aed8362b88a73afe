"""What it takes to settle a gain: seeds until it is better or as good as equal.

From the variance components of what was run so far and the power of the t interval; a plan, not a
result: it takes the gain seen so far for the true one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtr, stdtr, stdtrit

from xstilts.scores.items import refuse
from xstilts.scores.variance import CONFIDENCE, Parts, check_share, satterthwaite

MARGIN = 0.5
"""Points below which a difference makes none."""

POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True, slots=True)
class Settling:
    """What it takes until a gain is settled: so many `more` seeds of both arms, and the `hours` of
    their runs, None where not known. `reason` says why `more` is not."""

    more: int | None = None
    hours: float | None = None
    reason: str = ""


def seeds_to_settle(
    gain: float,
    *,
    seed_variance: float,
    item_variance: float,
    margin: float = MARGIN,
    level: float | None = None,
    confidence: float = CONFIDENCE,
) -> int | None:
    """Seeds that each arm needs until a gain is shown with probability 0.8: better, worse, or
    equal within `margin` points. None where no number of seeds shows it, because the items alone
    are too few.

    `seed_variance` is that of a difference of one candidate's run and one baseline's, squared
    points; `item_variance` what seeds do not lower. `level` is the one-sided level of "better",
    where a correction makes it smaller than the interval's. By the noncentral t distribution.

    Raises: ConfigError where the margin or a share is out of range.
    """
    check_margin(margin)
    check_share("confidence", confidence)
    tail = (1 - confidence) / 2
    counts = np.unique(np.geomspace(2, MOST_SEEDS, 400).astype(int))
    variances = np.stack([seed_variance / counts, np.full(len(counts), item_variance)], -1)
    known = np.stack([2.0 * (counts - 1), np.full(len(counts), np.inf)], -1)
    dof = satterthwaite(Parts(variances, known, np.zeros(known.shape, bool)))
    dof = np.minimum(dof, 1e6)
    error = np.sqrt(np.maximum(variances.sum(-1), 1e-18))
    half = -stdtrit(dof, tail)
    shown = -stdtrit(dof, min(tail, tail if level is None else level))
    # Better and worse are the two sides of the noncentral t, equality is what lies between.
    toward, away = (shown, half) if gain >= 0 else (half, shown)
    apart = abs(gain) / error
    settled = 1 - _below(toward, dof, apart) + _below(-away, dof, apart)
    room = margin / error - half
    inside = stdtr(dof, room - gain / error) - stdtr(dof, -room - gain / error)
    settled = np.where(room > shown, 1.0, settled + np.where(room > 0, inside, 0.0))
    enough = np.flatnonzero(settled >= POWER)
    return int(counts[enough[0]]) if len(enough) else None


def why_never(num_items: int | None, item_variance: float, seeds_alone: int | None) -> str:
    """Why `seeds_to_settle` gave None: the items, where `seeds_alone`, without their variance, are
    some; else the seeds."""
    if item_variance > 0 and seeds_alone is not None:
        count = "" if num_items is None else f" ({num_items:,})"
        return f"the items{count} are too few, whatever the number of seeds"
    return f"it takes more than {MOST_SEEDS:,}"


def _below(x: np.ndarray, dof: np.ndarray, noncentrality: np.ndarray) -> np.ndarray:
    """P(noncentral t < x) for a noncentrality of 0 or more. Deep in the tail, where it is 0 to
    every digit that counts, scipy 1.17 gives NaN at some arguments and negative numbers at others
    (its issue 25470)."""
    return np.asarray(np.clip(np.nan_to_num(nctdtr(dof, noncentrality, x)), 0, 1))


def check_margin(margin: float) -> None:
    """Refuses a margin that is none."""
    if not 0 < margin <= 100:
        raise refuse("margin", "it is in points, above 0", f"{margin:g}", "as 0.5")

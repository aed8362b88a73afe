"""What it takes to settle a gain: seeds until it is better or as good as equal.

From the variance components of what was run so far and the power of the t interval; a plan, not a
result: it takes the gain seen so far for the true one.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import nct
from scipy.stats import t as student

from xstilts.scores.items import refuse
from xstilts.scores.variance import CONFIDENCE, Parts, check_share, satterthwaite

MARGIN = 0.5
"""Points below which a difference makes none."""

POWER = 0.8
MOST_SEEDS = 1000


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
    half = student.isf(tail, dof)
    shown = student.isf(min(tail, tail if level is None else level), dof)
    # Better and worse are the two sides of the noncentral t, equality is what lies between.
    settled = nct.sf(shown, dof, gain / error) + nct.cdf(-half, dof, gain / error)
    room = margin / error - half
    inside = student.cdf(room - gain / error, dof) - student.cdf(-room - gain / error, dof)
    settled = np.where(room > shown, 1.0, np.nan_to_num(settled) + np.where(room > 0, inside, 0.0))
    enough = np.flatnonzero(settled >= POWER)
    return int(counts[enough[0]]) if len(enough) else None


def check_margin(margin: float) -> None:
    """Refuses a margin that is none."""
    if not 0 < margin <= 100:
        raise refuse("margin", "it is in points, above 0", f"{margin:g}", "as 0.5")

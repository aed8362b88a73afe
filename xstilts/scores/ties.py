"""The set of ties of a target: the candidates that may be the best, which no test tells apart.

A candidate leaves the set only where another is better beyond doubt; what has hardly been tried
stays. The set holds the best candidate with probability 1 - alpha or more (subset selection, Gupta
1965; multiple comparisons with the best, Hsu 1984), over all looks that are taken at a sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xstilts.scores.arms import Arms
from xstilts.scores.items import refuse
from xstilts.scores.max_t import any_above, deviates, is_rare
from xstilts.scores.variance import check_share

ALPHA = 0.05
_SPENDING = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """`inside` (candidates,): whether each may be the best. `p` (candidates,): were it the best,
    the probability that some rival looks as much better as one does; out is what has p <= level."""

    inside: np.ndarray
    p: np.ndarray
    level: float


def ties(arms: Arms, *, alpha: float = ALPHA, look: int = 1, looks: int | None = 1) -> Ties:
    """The set of ties among all `arms`, which are the candidates, without the baseline.

    Each candidate's rivals are tested at once: the largest of their t statistics over it, by
    Dunnett's joint distribution for unequal variances and numbers of seeds (`max_t`). The level
    is what this look may spend (`spend`); whoever keeps out what an earlier look put out has
    1 - alpha over all of them.

    Raises: ConfigError where alpha or the look is out of range.
    """
    level = spend(alpha, look, looks)
    p = np.ones(len(arms.runs))
    for arm, largest, loadings in _rivalled(arms):
        p[arm] = any_above(np.array([largest]), loadings)[0]
    return Ties(p > level, p, level)


def out_at(arms: Arms, levels: Sequence[float]) -> np.ndarray:
    """Which arms have a `p` of `Ties` of their level or less, (arms,), `levels` one an arm.

    Of hundreds of candidates few need `p` itself, which is an integral over all rivals.
    """
    out = np.zeros(len(arms.runs), bool)
    for arm, largest, loadings in _rivalled(arms):
        out[arm] = is_rare(largest, loadings, levels[arm])
    return out


def _rivalled(arms: Arms) -> Iterator[tuple[int, float, np.ndarray]]:
    """Each arm that can be compared, how far its strongest rival lies above it, as a normal
    deviate, and the correlations of all rivals' differences with the arm's noise, (rivals,)."""
    for arm in range(len(arms.runs)):
        t, dof, loadings = arms.t_over(arm)
        rivals = ~np.isnan(t)
        if rivals.any():
            yield arm, float(deviates(t[rivals], dof[rivals]).max()), loadings[rivals]


def spend(alpha: float, look: int, looks: int | None = 1) -> float:
    """The level of one look of several, which together spend alpha.

    After look k of `looks`, alpha (k / looks)^2 is spent (the power family of Kim and DeMets
    1987): little while candidates have few runs, most at the end. Each look is tested at its own
    increment, which holds whatever looks have in common. `looks` None: nobody knows how many
    will come, and look k has alpha 6 / (pi k)^2.

    Raises: ConfigError where alpha is no share, or the look is not one of those planned.
    """
    check_share("alpha", alpha)
    if look < 1 or (looks is not None and look > looks):
        raise refuse(
            "looks",
            "a look is one of those planned, counted from 1",
            f"look {look} of {'any number' if looks is None else looks}",
            "plan as many looks as are taken",
        )
    if looks is None:
        return alpha * 6 / (np.pi * look) ** 2
    return float(alpha * ((look / looks) ** _SPENDING - ((look - 1) / looks) ** _SPENDING))

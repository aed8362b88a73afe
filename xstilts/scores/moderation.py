"""Variances of few runs, moderated by those of their neighbours (Smyth 2004, limma).

Three runs say little about their own variance; the candidates of a target say together what a
variance is like there, and how alike they are. The degrees of freedom that this is worth are
estimated from the spread of the log variances. A variance is never judged by its own runs alone
where there are neighbours, nor by the pooled one alone. docs/statistics.md has the measurements
behind the three departures from the textbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, fdtrc, polygamma


@dataclass(frozen=True, slots=True)
class Prior:
    """What a target's variances have in common: `variance`, worth `dof` degrees of freedom, and
    the `limit` that no moderated variance goes beyond: those of all runs together."""

    variance: float
    dof: float
    limit: float

    def moderated(self, own: np.ndarray, dof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Moderated variances and their degrees of freedom, both (arms,), from sample variances
        `own` on `dof`; an arm with dof 0 has the prior's, whatever its variance says.

        The prior counts for an arm as far as the arm is like it: its degrees of freedom are
        multiplied by twice the probability of a variance as large, where that is below one.
        Otherwise the one arm that is five times as noisy as the others would be called as steady
        as they are (limma's robust priors have the same aim).
        """
        known = dof > 0
        own = np.where(known, own, 0.0)
        alike = np.ones(len(own))
        if self.variance > 0:
            ratio = own[known] / self.variance
            alike[known] = np.minimum(2 * fdtrc(dof[known], self.dof, ratio), 1.0)
        weight = self.dof * alike
        total = weight + dof
        variances = (weight * self.variance + dof * own) / total
        return variances, np.minimum(total, self.limit)


def estimate_prior(variances: Sequence[float] | np.ndarray, dof: np.ndarray) -> Prior | None:
    """The prior of a target's candidates, from their sample variances (arms,) and runs - 1.

    None where fewer than two variances are known: one arm has no neighbours. Smyth 2004, "Linear
    models and empirical Bayes methods for assessing differential expression", section 6.2: the
    variance of the log variances, less what is noise, is the trigamma function at half the
    prior's degrees of freedom. Two departures: it is taken to be one standard error or more, since
    a dozen noisy variances cannot show that all are equal (the textbook then pools them), and the
    prior's variance is the geometric mean, which does not fall where the estimate is cautious.
    """
    variances, dof = np.asarray(variances, dtype=np.float64), np.asarray(dof, dtype=np.float64)
    known = dof > 0
    if known.sum() < 2:
        return None
    own, half = variances[known], dof[known] / 2
    # Runs that agree to the last digit have no logarithm; the floor is limma's.
    own = np.maximum(own, 1e-5 * np.median(own))
    limit = float(dof.sum())
    if not (own > 0).all():
        return Prior(0.0, float(dof[known].mean()), limit)
    logs = np.log(own) - digamma(half) + np.log(half)
    noise = float(polygamma(1, half).mean())
    spread = float(logs.var(ddof=1)) - noise
    least = noise * (2 / (len(own) - 1)) ** 0.5
    return Prior(float(np.exp(logs.mean())), 2 * _inverse_trigamma(max(spread, least)), limit)


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value > 0, by Newton's method on its reciprocal (Smyth 2004)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x

"""The arms of a target - its candidates, its baseline - ready to be compared with one another.

Scores of runs go in; each arm's mean comes out, with a moderated variance over seeds and what the
items add to any difference. Ties, the best and what is better than the baseline all start here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from xstilts.scores.items import refuse
from xstilts.scores.moderation import Prior, estimate_prior
from xstilts.scores.variance import (
    CONFIDENCE,
    Gain,
    Parts,
    interval,
    item_parts,
    joined,
    satterthwaite,
)

_NODES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """What is known of every arm; NaN where nothing is.

    `means` (arms,) are over an arm's runs, 0-100. `seed_variances` (arms,) are those of the means,
    on `seed_dof`, `is_own` (arms,) where they are moderated by none; `item_variances` (arms, arms)
    are those of differences of means over samples of items, of `num_items`.
    """

    runs: np.ndarray
    means: np.ndarray
    seed_variances: np.ndarray
    seed_dof: np.ndarray
    is_own: np.ndarray
    item_variances: np.ndarray
    num_items: int | None
    prior: Prior | None

    @property
    def known(self) -> np.ndarray:
        """Which arms can be compared (arms,): those with a mean and a variance."""
        return np.asarray(np.isfinite(self.means) & np.isfinite(self.seed_variances))

    @property
    def variances(self) -> np.ndarray:
        """The variance of each arm's own noise (arms,): what its mean does that no other's does."""
        return np.asarray(self.seed_variances + self._own_items())

    @property
    def dof(self) -> np.ndarray:
        """Degrees of freedom of `variances` (arms,)."""
        seed = self._seed_parts(np.arange(len(self.runs))[:, None])
        return satterthwaite(joined(seed, self._item_parts(self._own_items()[:, None])))

    def t_over(self, arm: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How far all others lie above an arm: t statistics, their degrees of freedom, and the
        correlation of each difference with the arm's own noise; all (arms,), NaN for itself."""
        others = np.arange(len(self.runs)) != arm
        pairs = np.stack([np.arange(len(self.runs)), np.full(len(self.runs), arm)], -1)
        parts = joined(self._seed_parts(pairs), self._item_parts(self.item_variances[arm][:, None]))
        variance = parts.variances.sum(-1)
        difference, own = self.means - self.means[arm], self.variances
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(variance > 0, difference / np.sqrt(variance), np.sign(difference) * np.inf)
            shared = np.nan_to_num(own[arm] / (own[arm] + own), nan=0.5)
        t = np.where(others & self.known & self.known[arm] & ~np.isnan(t), t, np.nan)
        return t, satterthwaite(parts), np.sqrt(shared)

    def gain(self, arm: int, baseline: int, confidence: float = CONFIDENCE) -> Gain:
        """The gain of one arm over another, with its own t interval.

        Raises: ConfigError where either has no run, or one run and no neighbours.
        """
        if not (self.known[arm] and self.known[baseline]):
            raise refuse(
                "gain",
                "an arm needs two runs or more, or one and two neighbours that have two",
                f"{self.runs[arm]} and {self.runs[baseline]} runs",
                "train it with more seeds",
            )
        return interval(
            float(self.means[arm] - self.means[baseline]),
            self._seed_parts(np.array([arm, baseline])),
            self._item_parts(self.item_variances[[arm], baseline]),
            confidence,
        )

    def p_best(self) -> np.ndarray:
        """The probability of each arm to be the best of those known, (arms,), NaN for others.

        From independent t distributions about the means, by quadrature: the arm's density times
        the probability of all others to lie below.
        """
        chances = np.full(len(self.runs), np.nan)
        known = np.flatnonzero(self.known)
        if not len(known):
            return chances
        scale = np.sqrt(np.maximum(self.variances[known], 1e-12))[:, None]
        # Sites at equal probability of each arm, so that none falls between the nodes.
        dof = np.minimum(self.dof[known], 1e6)
        inner = stdtrit(dof[:, None], (np.arange(_NODES) + 0.5) / _NODES)
        sites = self.means[known][:, None] + scale * inner
        below = stdtr(
            dof[:, None, None],
            (sites[None] - self.means[known][:, None, None]) / scale[:, :, None],
        )
        below[np.arange(len(known)), np.arange(len(known))] = 1.0
        shares = below.prod(0).mean(-1)
        chances[known] = shares / shares.sum()
        return chances

    def _seed_parts(self, arms: np.ndarray) -> Parts:
        return Parts(self.seed_variances[arms], self.seed_dof[arms], self.is_own[arms])

    def _item_parts(self, variances: np.ndarray) -> Parts:
        return item_parts(variances, self.num_items)

    def _own_items(self) -> np.ndarray:
        """The item variances of differences, divided among the two arms by least squares."""
        count = len(self.runs)
        if count == 1:
            return np.zeros(1)
        if count == 2:
            return np.full(2, float(self.item_variances[0, 1]) / 2)
        sums = self.item_variances.sum(1)
        every = sums.sum() / (2 * (count - 1))
        return np.asarray(np.maximum((sums - every) / (count - 2), 0.0))


def arms_of(
    scores: np.ndarray,
    arm_of: np.ndarray,
    num_arms: int,
    *,
    baseline: int | None = None,
    covariance: np.ndarray | None = None,
    num_items: int | None = None,
) -> Arms:
    """The arms of a target from its runs: `scores` (runs,), 0-100, `arm_of` (runs,), their arms'
    numbers below `num_arms`.

    Leave out runs that did not learn; an arm without any is one of which nothing is known. The
    variances of all but `baseline` are moderated; a baseline of one run is judged by the
    candidates' prior. `covariance` (runs, runs) is that of `xstilts.scores.items`, of `num_items`;
    without it differences have no item part.

    Raises: ConfigError where shapes do not fit or a score is missing.
    """
    scores, arm_of = np.asarray(scores, dtype=np.float64), np.asarray(arm_of)
    if scores.shape != arm_of.shape or scores.ndim != 1 or not np.isfinite(scores).all():
        raise refuse(
            "arms",
            "every run has a finite score and an arm",
            f"{scores.shape} scores of {arm_of.shape} arms, {(~np.isfinite(scores)).sum()} holes",
            "leave out runs without a score",
        )
    runs = np.bincount(arm_of, minlength=num_arms)
    members = np.zeros((num_arms, len(scores)))
    members[arm_of, np.arange(len(scores))] = 1
    with np.errstate(divide="ignore", invalid="ignore"):
        means = members @ scores / runs
        deviations = scores - means[arm_of]
        own = members @ deviations**2 / np.maximum(runs - 1, 1)
    dof = np.maximum(runs - 1.0, 0.0)
    candidates = np.arange(num_arms) != baseline
    prior = estimate_prior(own[candidates], dof[candidates])
    variances, moderated_dof = np.where(dof > 0, own, np.nan), dof.copy()
    judged = candidates | (dof == 0) if prior is not None else np.zeros(num_arms, dtype=bool)
    if prior is not None:
        variances[judged], moderated_dof[judged] = prior.moderated(own[judged], dof[judged])
    with np.errstate(divide="ignore", invalid="ignore"):
        seed_variances = np.where(runs > 0, variances / runs, np.nan)
    items = np.zeros((num_arms, num_arms))
    if covariance is not None:
        items = _item_variances(np.asarray(covariance), members, runs)
    return Arms(runs, means, seed_variances, moderated_dof, ~judged, items, num_items, prior)


def _item_variances(covariance: np.ndarray, members: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """`variance.item_part` of every pair of arms, (arms, arms); 0 with an arm without runs."""
    between = members @ covariance @ members.T
    diagonal = members @ np.diag(covariance)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = between / np.outer(runs, runs)
        # Two different runs of an arm share the items alone; one run has no other.
        own = np.where(runs > 1, (np.diag(between) - diagonal) / (runs * (runs - 1)), diagonal)
    pairs = own[:, None] + own - 2 * means
    np.fill_diagonal(pairs, 0.0)
    return np.asarray(np.maximum(np.nan_to_num(pairs), 0.0))

"""The arms of a target - its candidates, its baseline - ready to be compared with one another.

Scores of runs go in; each arm's mean comes out, with a moderated variance over seeds and what the
items add to any difference. Ties, the best and what is better than the baseline all start here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from xstilts.scores.items import refuse
from xstilts.scores.moderation import Prior, estimate_prior
from xstilts.scores.variance import CONFIDENCE, Gain, interval, satterthwaite


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """What is known of every arm; NaN where nothing is.

    `means` (arms,) are over an arm's runs, 0-100. `seed_variances` (arms,) are those of the means,
    on `seed_dof`; `item_variances` (arms, arms) those of differences of means over samples of
    items, on `item_dof`.
    """

    runs: np.ndarray
    means: np.ndarray
    seed_variances: np.ndarray
    seed_dof: np.ndarray
    item_variances: np.ndarray
    item_dof: float
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
        items = np.full(len(self.runs), self.item_dof)
        return satterthwaite(
            np.stack([self.seed_variances, self._own_items()], -1),
            np.stack([self.seed_dof, items], -1),
        )

    def t_over(self, arm: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How far all others lie above an arm: t statistics, their degrees of freedom, and the
        correlation of each difference with the arm's own noise; all (arms,), NaN for itself."""
        others = np.arange(len(self.runs)) != arm
        parts = np.stack(
            [
                self.seed_variances,
                np.full(len(self.runs), self.seed_variances[arm]),
                self.item_variances[arm],
            ],
            -1,
        )
        kinds = np.stack(
            [
                self.seed_dof,
                np.full(len(self.runs), self.seed_dof[arm]),
                np.full(len(self.runs), self.item_dof),
            ],
            -1,
        )
        difference, own = self.means - self.means[arm], self.variances
        with np.errstate(divide="ignore", invalid="ignore"):
            t = difference / np.sqrt(parts.sum(-1))
            t = np.where(parts.sum(-1) > 0, t, np.sign(difference) * np.inf)
            shared = np.nan_to_num(own[arm] / (own[arm] + own), nan=0.5)
        t = np.where(others & self.known & self.known[arm] & ~np.isnan(t), t, np.nan)
        return t, satterthwaite(parts, kinds), np.sqrt(shared)

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
        both = [arm, baseline]
        return interval(
            float(self.means[arm] - self.means[baseline]),
            (self.seed_variances[both], self.seed_dof[both]),
            (self.item_variances[[arm], baseline], np.array([self.item_dof])),
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
        inner = student.ppf((np.arange(400) + 0.5) / 400, self.dof[known][:, None])
        sites = self.means[known][:, None] + scale * inner
        below = student.cdf(
            (sites[None] - self.means[known][:, None, None]) / scale[:, :, None],
            self.dof[known][:, None, None],
        )
        below[np.arange(len(known)), np.arange(len(known))] = 1.0
        shares = below.prod(0).mean(-1)
        chances[known] = shares / shares.sum()
        return chances

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
    if prior is not None:
        judged = candidates | (dof == 0)
        variances[judged], moderated_dof[judged] = prior.moderated(own[judged], dof[judged])
    with np.errstate(divide="ignore", invalid="ignore"):
        seed_variances = np.where(runs > 0, variances / runs, np.nan)
    items = np.zeros((num_arms, num_arms))
    if covariance is not None:
        items = _item_variances(np.asarray(covariance), members, runs)
    item_dof = np.inf if num_items is None else max(num_items - 1.0, 1.0)
    return Arms(runs, means, seed_variances, moderated_dof, items, item_dof, prior)


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

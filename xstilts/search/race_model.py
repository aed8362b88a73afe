"""What a race believes of its candidates: a normal model over all targets at once.

A run's score is its target's level, a candidate's effect that all targets share, the pair's own
effect and noise. Effects are shrunk as far as their variances say, which are estimated from the
runs seen; a lower rung counts as far as its rank correlation with the full budget allows. The
model decides what is run next and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from xstilts.scores.ranks import LEAST_PAIRS, rank_correlation

LEAST_CORRELATION = 0.5
"""A rung whose rank correlation with the last is below only orders candidates."""

_STEPS = 8
_NOISE_DOF = 4.0
_MIN_DOF = 6
_MAX_CORRELATION = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """`means` and `variances` (candidates, targets) of candidates' true scores, in points; those
    of a target are comparable with one another. `noise_variances` (targets,) are a run's; `noise`
    is their root mean. `counts_rungs` where a lower rung is part of the means, `counts_prior` where
    one was given that may be."""

    means: np.ndarray
    variances: np.ndarray
    noise_variances: np.ndarray
    counts_rungs: bool
    counts_prior: bool = False

    @property
    def counts_hints(self) -> bool:
        """Whether what orders candidates is part of the means."""
        return self.counts_rungs or self.counts_prior

    @property
    def noise(self) -> float:
        """The standard deviation of a run, over all targets, points."""
        return float(np.sqrt(self.noise_variances.mean()))

    def chances(self, target: int, leader: int) -> np.ndarray:
        """The probability of each candidate (candidates,) to lie above the leader of a target."""
        means, variances = self.means[:, target], self.variances[:, target]
        error = np.sqrt(variances + variances[leader])
        return np.asarray(ndtr((means - means[leader]) / error))


def expected_excess(difference: np.ndarray, error: np.ndarray) -> np.ndarray:
    """E[max(X, 0)] of normal X with these means and standard deviations, any shape."""
    z = difference / error
    return np.asarray(error * np.exp(-z * z / 2) / np.sqrt(2 * np.pi) + difference * ndtr(z))


def believe(scores: np.ndarray, prior: np.ndarray | None = None) -> Belief:
    """The belief that follows from scores (candidates, targets, rungs, draws), NaN where nothing
    was drawn; a target needs two full runs or more.

    `prior` (candidates, targets) is what is known of candidates from elsewhere, in standard
    deviations, NaN unknown. It counts as its rank correlation with what was seen allows.
    """
    runs = scores[:, :, -1]
    counts = np.isfinite(runs).sum(-1)
    means = np.nansum(runs, -1) / np.maximum(counts, 1)
    noise = _noise_variances(runs, counts, means)
    scale = np.sqrt(noise)
    values, precision = means / scale, counts.astype(float)
    found = _shrink(values, precision)
    hints = _pseudo_runs(scores, means, counts, float(found[2]), scale)
    known = None if prior is None else _prior_runs(prior, means, counts, float(found[2]), scale)
    for extra, weight in (one for one in (hints, known) if one is not None):
        total = precision + weight
        values = (precision * values + weight * extra) / np.where(total > 0, total, 1.0)
        precision = total
    if hints is not None or known is not None:
        found = _shrink(values, precision)
    return Belief(found[0] * scale, found[1] * noise, noise, hints is not None, prior is not None)


def _noise_variances(runs: np.ndarray, counts: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The variance of a run on each target (targets,).

    Repeated runs show it; before there are many, a target has its share of the (robust) spread
    of its means, half of it at first and the share that all targets' repeated runs show later.
    """
    seen = counts > 0
    cells = np.where(seen, means, np.nan)
    around = cells - _medians(cells)
    spread = 1.4826 * _medians(np.abs(around))
    # Means that agree to the last digit still have a scale, that of the other targets.
    floor = max(float(np.nanvar(around)), 1e-12) * 1e-3
    guess = np.maximum(spread**2, floor) / 2
    squares = np.nansum((runs - means[..., None]) ** 2, (0, 2))
    dof = np.maximum(counts - 1, 0).sum(0)
    known = dof > 0
    share = ((squares[known] / guess[known]).sum() + _NOISE_DOF) / (dof.sum() + _NOISE_DOF)
    return np.asarray(
        np.maximum((_NOISE_DOF * guess * share + squares) / (_NOISE_DOF + dof), floor)
    )


def _medians(cells: np.ndarray) -> np.ndarray:
    """The median of each column of `cells` (rows, columns), NaN left out, as `np.nanmedian` has
    it in three times the time and more, which would be a third of a decision."""
    ordered, counts = np.sort(cells, 0), np.isfinite(cells).sum(0)
    columns = np.arange(cells.shape[1])
    lower = ordered[np.maximum(counts - 1, 0) // 2, columns]
    return np.asarray((lower + ordered[np.minimum(counts // 2, len(cells) - 1), columns]) / 2)


def _shrink(values: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Means and variances of candidates' true values, and the variance over candidates of them.

    `values` (candidates, targets) are in units of a run's noise, `precision` in runs, 0 where
    nothing is known. The mixed model value = target + candidate + pair + noise with random
    candidates and pairs, by Henderson's equations; variances by a few steps of EM. Their matrix,
    which is a diagonal less one of the rank of the targets, is inverted by Woodbury's identity: a
    thousand candidates cost a thousand times one, not a thousand million times.
    """
    seen = precision > 0
    noise = 1 / np.where(seen, precision, 1.0)
    candidates = len(values)
    main, pair = 0.5, 1.0
    for _ in range(_STEPS):
        weights = np.where(seen, 1 / (pair + noise), 0.0)
        by_target = weights / weights.sum(0)
        diagonal = 1 / (weights.sum(1) + 1 / main)
        scaled = diagonal[:, None] * by_target
        inner = np.linalg.solve(np.eye(values.shape[1]) - weights.T @ scaled, weights.T * diagonal)
        right = (weights * values).sum(1) - by_target @ (weights * values).sum(0)
        effects = diagonal * right + scaled @ (inner @ right)
        uncertain = diagonal + (scaled * inner.T).sum(1)
        levels = (by_target * (values - effects[:, None])).sum(0)
        rest = np.where(seen, values - levels - effects[:, None], 0.0)
        kept = np.where(seen, pair / (pair + noise), 0.0)
        left = pair * (1 - kept)
        main = max(float(effects @ effects + uncertain.sum()) / candidates, 0.01)
        squares = np.where(seen, (kept * rest) ** 2 + left, 0.0).sum()
        pair = max(float(squares) / max(int(seen.sum()) - values.shape[1], 1), 0.05)
    means = levels + effects[:, None] + kept * rest
    variances = left + (1 - kept) ** 2 * uncertain[:, None]
    return means, variances, main + pair


def screening(scores: np.ndarray, target: int) -> np.ndarray:
    """What the lower rungs say of a target's candidates (candidates,): the mean score at the
    lowest rung that any has, in standard deviations; NaN where not drawn."""
    drawn = np.isfinite(scores[:, target, :-1])
    if not drawn.any():
        return np.full(len(scores), np.nan)
    rung = int(drawn.any((0, 2)).argmax())
    counts = drawn[:, rung].sum(-1)
    means = np.nansum(scores[:, target, rung], -1) / np.maximum(counts, 1)
    means = np.where(counts > 0, means, np.nan)
    return np.asarray((means - np.nanmean(means)) / max(float(np.nanstd(means)), 1e-12))


def rung_correlation(scores: np.ndarray) -> float | None:
    """The rank correlation of the lower rung with the last; see `_correlation`."""
    every = np.stack([screening(scores, target) for target in range(scores.shape[1])], 1)
    runs = scores[:, :, -1]
    counts = np.isfinite(runs).sum(-1)
    return _correlation(
        every, np.where(counts, np.nansum(runs, -1) / np.maximum(counts, 1), np.nan)
    )


def _correlation(hints: np.ndarray, means: np.ndarray) -> float | None:
    """The rank correlation of hints with means, both (candidates, targets), NaN where unknown: the
    mean over targets, by number of candidates that have both; None where these are too few."""
    total, dof = 0.0, 0
    for own, seen in zip(hints.T, means.T, strict=True):
        correlation, pairs = rank_correlation(own, seen, LEAST_PAIRS)
        if correlation is not None:
            total += (pairs - 1) * correlation
            dof += pairs - 1
    return total / dof if dof >= _MIN_DOF else None


def _pseudo_runs(
    scores: np.ndarray, means: np.ndarray, counts: np.ndarray, spread: float, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Lower rungs as runs at full budget: values in units of noise and what each is worth, in
    runs, both (candidates, targets); None where they are not to be counted.

    A hint that correlates by r with the true values, whose variance is `spread`, is one of them
    with a noise of variance spread (1 / r^2 - 1).
    """
    if scores.shape[2] == 1:
        return None
    correlation = rung_correlation(scores)
    if correlation is None or correlation < LEAST_CORRELATION:
        return None
    r = min(correlation, _MAX_CORRELATION)
    every = [screening(scores, target) for target in range(means.shape[1])]
    return _as_runs(np.stack(every, 1), r, means, counts, spread, scale)


def _prior_runs(
    prior: np.ndarray, means: np.ndarray, counts: np.ndarray, spread: float, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """What is known from elsewhere as runs, like lower rungs; None where it says nothing.

    It counts by its correlation with the true values: that with the means seen, which noise
    lowers, over the root of their reliability (Spearman 1904).
    """
    correlation = _correlation(prior, np.where(counts > 0, means, np.nan))
    if correlation is None or correlation <= 0:
        return None
    runs = float(counts[counts > 0].mean())
    r = correlation * (1 + 1 / (runs * spread)) ** 0.5
    return _as_runs(prior, min(r, _MAX_CORRELATION), means, counts, spread, scale)


def _as_runs(
    every: np.ndarray,
    r: float,
    means: np.ndarray,
    counts: np.ndarray,
    spread: float,
    scale: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Hints (candidates, targets) that correlate by `r` with the true values, as runs: values in
    units of noise and what each is worth, in runs."""
    values, worth = np.zeros(means.shape), np.zeros(means.shape)
    for target in range(means.shape[1]):
        hints = every[:, target]
        both = np.isfinite(hints) & (counts[:, target] > 0)
        if not both.any():
            continue
        level = means[both, target].mean() / scale[target]
        known = np.isfinite(hints)
        values[known, target] = level + (hints[known] - hints[both].mean()) * spread**0.5 / r
        worth[known, target] = 1 / (spread * (1 / r**2 - 1))
    return values, worth

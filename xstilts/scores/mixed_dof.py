"""What an estimate of a mixed model is worth: its error, its degrees of freedom, a t interval.

The variances of the random terms are estimated from few levels, and an estimate judged by a
normal distribution (Wald's z) forgets that: it is called different from zero far too often. Two
answers: Satterthwaite's degrees of freedom, as lmerTest has them, and Kenward and Roger's, as
pbkrtest has them, which also make the error larger by what the estimated variances hide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from xstilts.scores.mixed import MixedFit, observed, traces
from xstilts.scores.variance import CONFIDENCE, check_share

Method = Literal["satterthwaite", "kenward_roger"]

_TOLERANCE = 1e-8


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its standard `error`, the t interval on `dof` degrees of freedom and the
    two-sided `p` of one as far from zero where it is zero."""

    estimate: float
    error: float
    dof: float
    low: float
    high: float
    p: float

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        ends = sorted((self.low * factor, self.high * factor))
        error = self.error * abs(factor)
        return Estimate(self.estimate * factor, error, self.dof, ends[0], ends[1], self.p)


def t_estimate(
    estimate: float, error: float, dof: float, confidence: float = CONFIDENCE
) -> Estimate:
    """An estimate judged by the t distribution, `dof` being infinite where its error is known."""
    check_share("confidence", confidence)
    known = min(dof, 1e9)
    half = float(stdtrit(known, (1 + confidence) / 2)) * error
    p = 2 * float(stdtr(known, -abs(estimate) / error)) if error else float(estimate == 0)
    return Estimate(estimate, error, dof, estimate - half, estimate + half, p)


def judge(
    fit: MixedFit,
    weights: np.ndarray,
    method: Method = "kenward_roger",
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The sum of the fixed effects times `weights` (fixed,), with its t interval.

    A term whose variance is estimated as zero counts as left out of the model, by Kenward and Roger
    too: what its variance might have been instead widens intervals by more than they miss without
    (docs/study_statistics.md). Where none has a variance, all of them count.
    """
    weights = np.asarray(weights, dtype=np.float64)
    estimate = float(weights @ fit.estimates)
    if method == "satterthwaite":
        error = float(weights @ fit.covariance @ weights) ** 0.5
        return t_estimate(estimate, error, satterthwaite_dof(fit, weights), confidence)
    if (fit.variances > 0).any():
        fit = fit.without_zeros()
    error = float(weights @ adjusted_covariance(fit) @ weights) ** 0.5
    return t_estimate(estimate, error, kenward_roger_dof(fit, weights), confidence)


def satterthwaite_dof(fit: MixedFit, weights: np.ndarray) -> float:
    """Degrees of freedom 2 v² / var(v) of the variance v of an estimate (Satterthwaite 1946;
    Giesbrecht & Burns 1985), the variances' own covariance by the observed information
    (Kuznetsova et al. 2017). A term whose variance is zero counts as left out, as in lmerTest."""
    gradient = _gradient(fit, weights)
    free = np.append(fit.variances > 0, True)
    values, vectors = np.linalg.eigh(observed(fit.products, fit.moments)[np.ix_(free, free)])
    kept = values > _TOLERANCE * values.max()
    along = vectors[:, kept].T @ gradient[free]
    return _dof(fit, weights, float((along**2 / values[kept]).sum()))


def kenward_roger_dof(fit: MixedFit, weights: np.ndarray) -> float:
    """Kenward & Roger 1997 for one estimate: their F has 1 and 2 v² / var(v) degrees of freedom
    and is scaled by 1, var(v) by the expected information of all variances, those at zero too."""
    gradient = _gradient(fit, weights)
    return _dof(fit, weights, float(gradient @ expected_inverse(fit) @ gradient))


def adjusted_covariance(fit: MixedFit) -> np.ndarray:
    """The fixed effects' covariance (fixed, fixed), larger by what it misses because the variances
    were estimated (Kenward & Roger 1997; linear in the variances, so without second
    derivatives)."""
    spread = expected_inverse(fit)
    slopes, curves = _derivatives(fit)
    pairs = np.einsum("kl,kab,bc,lcd->ad", spread, slopes, fit.covariance, slopes)
    lost = np.einsum("kl,klab->ab", spread, curves) - pairs
    return np.asarray(fit.covariance + 2 * fit.covariance @ lost @ fit.covariance)


def _dof(fit: MixedFit, weights: np.ndarray, variance: float) -> float:
    of_estimate = float(weights @ fit.covariance @ weights)
    return 2 * of_estimate**2 / variance if variance > 0 else np.inf


def _gradient(fit: MixedFit, weights: np.ndarray) -> np.ndarray:
    """How an estimate's variance changes with the model's variances, (terms + 1,)."""
    slopes, _ = _derivatives(fit)
    seen = fit.covariance @ weights
    return np.asarray(np.einsum("a,kab,b->k", seen, slopes, seen))


def _derivatives(fit: MixedFit) -> tuple[np.ndarray, np.ndarray]:
    """X'V⁻¹ V_k V⁻¹X (terms + 1, fixed, fixed), and X'V⁻¹ V_k V⁻¹ V_l V⁻¹X for all pairs.

    V_k is Z_k Z_k', or the identity for the residual r, of which V⁻¹ V⁻¹ = (V⁻¹ - Σ v_k V⁻¹ V_k
    V⁻¹) / r; from V = Σ v_k V_k + r.
    """
    moments, starts = fit.moments, fit.products.starts
    terms, effects = len(fit.variances), len(fit.estimates)
    ends = np.append(starts[1:], fit.products.random)
    places = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    slopes = np.zeros((terms + 1, effects, effects))
    curves = np.zeros((terms + 1, terms + 1, effects, effects))
    for k, own in enumerate(places):
        slopes[k] = moments.xvz[:, own] @ moments.xvz[:, own].T
        for other_place, other in enumerate(places):
            inner = moments.zvz[own, other]
            curves[k, other_place] = moments.xvz[:, own] @ inner @ moments.xvz[:, other].T
    v, residual = fit.variances, fit.residual
    slopes[-1] = (moments.xvx - np.einsum("k,kab->ab", v, slopes[:-1])) / residual
    for k in range(terms):
        # X'V⁻¹V_k V⁻¹ V⁻¹X = (X'V⁻¹V_k V⁻¹X - Σ v_l X'V⁻¹V_k V⁻¹V_l V⁻¹X) / r, and its transpose.
        curves[k, -1] = (slopes[k] - np.einsum("l,lab->ab", v, curves[k, :-1])) / residual
        curves[-1, k] = curves[k, -1].T
    curves[-1, -1] = (slopes[-1] - np.einsum("l,lab->ab", v, curves[-1, :-1])) / residual
    return slopes, curves


def expected_inverse(fit: MixedFit) -> np.ndarray:
    """The covariance of the variances' estimates, the residual's last, (terms + 1, terms + 1), by
    the expected information."""
    information = traces(fit.products, fit.moments) / 2
    scale = np.sqrt(np.diag(information))
    sizes = np.outer(scale, scale)
    return np.asarray(np.linalg.pinv(information / sizes, rcond=1e-10) / sizes)

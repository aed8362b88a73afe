"""The largest of several t statistics that share one arm: Dunnett's integral, unequal variances.

Comparisons with a common arm are correlated through it alone, so one integral over its noise
gives their joint probability (Dunnett 1955). Each statistic has degrees of freedom of its own:
it enters as the normal deviate of equal probability.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr, stdtrit

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)
_AT = 8.5 * _NODES
_MASS = 8.5 * _WEIGHTS * np.exp(-(_AT**2) / 2) / np.sqrt(2 * np.pi)
_LEAST = 1e-2
"""Of a deviate's variance, what is at least its own: a step is not integrated between nodes."""


def deviates(t: np.ndarray, dof: np.ndarray) -> np.ndarray:
    """Normal deviates of the same one-sided probabilities; never further out than 37."""
    upper = stdtr(_finite(dof), -np.abs(t))
    return np.asarray(np.copysign(np.minimum(-ndtri(np.maximum(upper, 1e-300)), 37.0), t))


def any_above(z: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """P(some of the correlated deviates exceeds z), each of `z` (points,) under no effect.

    `loadings` (comparisons,) are their correlations with the common arm's noise: the square root
    of its share in the variance of the difference.
    """
    z = np.atleast_1d(np.asarray(z, dtype=np.float64))
    own = np.sqrt(np.maximum(1 - loadings**2, _LEAST))
    inside = ndtr((z[:, None, None] - loadings * _AT[:, None]) / own).prod(-1)
    joint = 1 - inside @ _MASS
    # What the integral's last digits lose, the bounds that always hold give back.
    single = ndtr(-z)
    return np.asarray(np.clip(joint, single, np.minimum(len(loadings) * single, 1)))


def is_rare(z: float, loadings: np.ndarray, level: float) -> bool:
    """Whether `any_above` of z is the `level` or less; the integral is made where its bounds, one
    comparison alone and all of them without correlation, leave that open."""
    single = float(ndtr(-z))
    if single > level or len(loadings) * single <= level:
        return single <= level
    return bool(any_above(np.array([z]), loadings)[0] <= level)


def adjusted(t: np.ndarray, dof: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """One-sided probabilities, for each of `t` (comparisons,), that the largest is as large."""
    return any_above(deviates(t, dof), loadings)


def critical(dof: np.ndarray, loadings: np.ndarray, confidence: float) -> np.ndarray:
    """Half-widths in standard errors, (comparisons,), of intervals that hold all at once."""
    own = np.sqrt(np.maximum(1 - loadings**2, _LEAST))
    shift = loadings * _AT[:, None]

    def missed(z: float) -> float:
        inside = (ndtr((z - shift) / own) - ndtr((-z - shift) / own)).prod(-1)
        return float(inside @ _MASS) - confidence

    z = float(brentq(missed, 0.0, 12.0, xtol=1e-7))
    return np.asarray(-stdtrit(_finite(dof), ndtr(-z)))


def _finite(dof: np.ndarray) -> np.ndarray:
    """Degrees of freedom that the t distribution's functions take."""
    return np.asarray(np.clip(dof, 1e-3, 1e9))

"""The objective dev/weighted: targets count as much as they can tell candidates apart.

A mean over targets follows the one with the largest numbers, be they noise. Here each target is
standardised, and weighs what of its spread over candidates is more than sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xstilts.scores.items import refuse


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Fixed once given: weights (targets,) that sum to 1, and the means and standard deviations,
    both (targets,), by which dev scores are standardised."""

    weights: np.ndarray
    means: np.ndarray
    scales: np.ndarray

    def scores(self, dev: np.ndarray) -> np.ndarray:
        """Weighted scores (candidates,) of dev scores (candidates, targets), 0-100; those of
        candidates that came after the weights too."""
        standard = (np.asarray(dev, dtype=np.float64) - self.means) / self.scales
        return np.asarray(standard @ self.weights)


def weights_of(dev: np.ndarray, sampling: np.ndarray) -> Weights:
    """Weights from dev scores (candidates, targets) and their `sampling` variances, (targets,) or
    of the same shape as `dev`, squared points.

    A target weighs between / (between + sampling), where between is the candidates' variance
    less the sampling variance that is in it: its reliability. A target in which all are equal
    weighs nothing; where that is true of all, all weigh alike.

    Raises: ConfigError with fewer than three candidates, or scores that are missing.
    """
    dev = np.asarray(dev, dtype=np.float64)
    if dev.ndim != 2 or len(dev) < 3 or not np.isfinite(dev).all():
        raise refuse(
            "weights of targets",
            "they need a dev score in every target of three candidates or more",
            f"an array of shape {dev.shape}",
            "use dev/avg until there are",
        )
    noise = np.broadcast_to(np.asarray(sampling, dtype=np.float64), dev.shape).mean(0)
    total = dev.var(0, ddof=1)
    between = np.maximum(total - noise, 0.0)
    reliable = np.divide(
        between, between + noise, out=np.zeros_like(between), where=between + noise > 0
    )
    if not reliable.any():
        reliable = np.ones_like(reliable)
    scales = np.where(total > 0, np.sqrt(total), 1.0)
    return Weights(reliable / reliable.sum(), dev.mean(0), scales)

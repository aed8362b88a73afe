"""Lower rungs as a race's decision sees them: dev scores beside those of whole runs.

A candidate has at most one run at a lower rung on each target, with the first seed; what trials
gave there is read off by `xstilts.scores.rungs`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Lower:
    """Lower rungs as a decision sees them: dev `scores` (candidates, columns, rungs), the lowest
    first, NaN where not run, and which `can_run`, of that shape."""

    scores: np.ndarray
    can_run: np.ndarray

    @classmethod
    def none(cls, seen: np.ndarray) -> Lower:
        """Those of a race without lower rungs; `seen` (candidates, columns, draws) are its runs."""
        shape = (*seen.shape[:2], 0)
        return cls(np.empty(shape), np.empty(shape, dtype=bool))

    def beside(self, seen: np.ndarray) -> np.ndarray:
        """All runs, (candidates, columns, rungs, draws): `seen` are those of the last rung."""
        num_lower = self.scores.shape[2]
        found = np.full((*seen.shape[:2], num_lower + 1, seen.shape[2]), np.nan)
        found[:, :, :num_lower, 0], found[:, :, -1] = self.scores, seen
        return found

    def expected(self) -> np.ndarray:
        """What a run is expected to give, of that shape: the mean of its column at its rung, 0
        where that has none."""
        counts = np.isfinite(self.scores).sum(0)
        means = np.nansum(self.scores, 0) / np.maximum(counts, 1)
        return np.broadcast_to(means, self.scores.shape)

    def around(self, levels: np.ndarray) -> np.ndarray:
        """Candidates' values (candidates, columns) as far from the levels of columns (columns,) as
        their scores at the lowest rung are from the mean there, so that these order them; the level
        itself where there is none. A level that is NaN is that mean."""
        if not self.scores.shape[2]:
            return np.broadcast_to(np.nan_to_num(levels), self.scores.shape[:2]).copy()
        means = self.expected()[:, :, 0]
        places = np.nan_to_num(self.scores[:, :, 0] - means)
        return np.asarray(np.where(np.isnan(levels), means, levels) + places)

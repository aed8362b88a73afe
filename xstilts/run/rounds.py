"""The rounds of a search by dev/weighted: the weights of each, fixed once and written down.

Finished configurations give the weights when there are 4, 8, 16, … of them; until the next round
the sampler is told every configuration by these, earlier ones too. They are written before anything
is proposed by them, so a sweep that is killed goes on by the same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from xstilts.files import write_json
from xstilts.run.places import Places
from xstilts.scores.weighted import Weights, weights_of

WEIGHTS = "weights.json"
"""In the folder of a launch: the rounds so far."""

FIRST = 4
"""Finished configurations of the first round; before it the plain mean of dev scores counts."""

Dev = Mapping[str, Sequence[float]]
"""Target -> its dev score, 0-100, and the sampling variance of that."""


@dataclass(frozen=True, slots=True)
class Round:
    """`weights`, `means` and `scales` are by target, as in `xstilts.scores.weighted`;
    `configurations` gave them. `measure` stands for the sweep's targets and seeds: dev scores over
    others are not comparable."""

    measure: str
    configurations: list[str]
    targets: list[str]
    weights: list[float]
    means: list[float]
    scales: list[float]

    def scores(self, dev: Sequence[Dev]) -> list[float]:
        """The weighted scores of configurations that have all the targets."""
        fixed = Weights(*(np.array(own) for own in (self.weights, self.means, self.scales)))
        table = [[one[target][0] for target in self.targets] for one in dev]
        found: list[float] = fixed.scores(np.array(table)).tolist() if table else []
        return found


class Rounds:
    """All rounds of a sweep. `folder` is that of this launch, None to keep them in memory."""

    def __init__(self, known: Sequence[Round] = (), folder: Path | None = None):
        self._rounds = list(known)
        self._folder = folder

    @classmethod
    def of(cls, places: Places, folder: Path) -> Rounds:
        """Those that launches so far have written; what comes is written into `folder`."""
        return cls(read_rounds(places), folder)

    def current(self, measure: str, dev: Mapping[str, Dev]) -> Round | None:
        """The round that finished configurations are in; begun, and written, where it is a new one.
        None before the first.

        Args:
            dev: of every finished configuration, by its id.
        """
        own = [one for one in self._rounds if one.measure == measure]
        size = FIRST
        while 2 * size <= len(dev):
            size *= 2
        if len(dev) < FIRST or (own and len(own[-1].configurations) >= size):
            return own[-1] if own else None
        targets = sorted(set.intersection(*(set(one) for one in dev.values())))
        if not targets:
            return own[-1] if own else None
        values = np.array([[one[target] for target in targets] for one in dev.values()])
        found = weights_of(values[..., 0], values[..., 1])
        parts = (found.weights, found.means, found.scales)
        begun = Round(measure, list(dev), targets, *(part.tolist() for part in parts))
        self._rounds.append(begun)
        if self._folder is not None:
            write_json(self._folder / WEIGHTS, [asdict(one) for one in self._rounds])
        return begun


def read_rounds(places: Places) -> list[Round]:
    """The rounds of a sweep so far."""
    none: list[dict[str, object]] = []
    return [Round(**one) for one in places.latest(WEIGHTS, none)]  # type: ignore[arg-type]

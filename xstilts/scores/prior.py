"""What finished sweeps say of the candidates of another: standardised dev scores.

A candidate is known by its encoder's weights and its intermediate tasks, whatever its sweep calls
it. Only dev scores are read, and they only order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from xstilts.config.derive import NONE
from xstilts.config.schema import Sweep
from xstilts.scores.seen import Column
from xstilts.scores.signals import standardised


class Candidate(NamedTuple):
    """What another sweep's candidate is known by: the encoder's weights, the intermediate tasks."""

    weights: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnownCell:
    """A finished configuration of another sweep on a target: its dev score, the mean over seeds."""

    sweep: str
    config: str
    weights: str
    tasks: tuple[str, ...]
    target: str
    dev: float

    @property
    def candidate(self) -> Candidate:
        """Whose score it is."""
        return Candidate(self.weights, self.tasks)


def cells_in(written: dict[str, Any]) -> list[KnownCell]:
    """The cells of a file `PRIOR`."""
    return [KnownCell(**{**one, "tasks": tuple(one["tasks"])}) for one in written.get("cells", ())]


def prior_values(
    cells: Sequence[KnownCell], candidates: Sequence[Candidate], columns: Sequence[Column]
) -> np.ndarray:
    """What other sweeps say of candidates, (candidates, columns), in standard deviations, NaN where
    they say nothing.

    A cell is standardised among those of its sweep, weights and target. A candidate has the mean
    of its own on a column's target, or where there is none on all others.
    """
    groups: dict[tuple[str, str, str], list[KnownCell]] = defaultdict(list)
    for cell in cells:
        groups[cell.sweep, cell.weights, cell.target].append(cell)
    known: dict[Candidate, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (_, _, target), group in groups.items():
        if len(group) > 1:
            values = standardised(np.array([cell.dev for cell in group]))
            for cell, value in zip(group, values.tolist(), strict=True):
                known[cell.candidate][target].append(value)
    found = np.full((len(candidates), len(columns)), np.nan)
    for row, candidate in enumerate(candidates):
        of_targets = {name: fmean(values) for name, values in known[candidate].items()}
        for place, column in enumerate(columns):
            own = [of_targets[name] for name in column.targets if name in of_targets]
            if own or of_targets:
                found[row, place] = fmean(own or of_targets.values())
    return found


def candidate_of(sweep: Sweep, weights: str, intermediate: str) -> Candidate:
    """What a sweep's candidate is known by; `weights` are the sha256 of its encoder's."""
    tasks = () if intermediate == NONE else sweep.intermediates[intermediate].tasks
    return Candidate(weights, tuple(sorted(tasks)))

"""What orders the candidates of a race beside its own runs: signals, and finished sweeps.

Both order and do nothing else: no candidate is left out by them, and no mean holds them. What was
known of other sweeps when a sweep began is written into the folder of its launch, so that a race
that was killed goes on by it, though the storage has grown since.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError
from xstilts.files import write_json
from xstilts.plan.inventory import Inventory
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.report.comparison import scores_of
from xstilts.run.places import PRIOR, Places, sweep_names
from xstilts.run.records import read_record
from xstilts.scores.aggregate import AVERAGE
from xstilts.scores.prior import Candidate, KnownCell, candidate_of, cells_in, prior_values
from xstilts.scores.seen import columns_of
from xstilts.scores.signals import Told, known_mean, signal_values, standardised
from xstilts.search.proposals import Proposal

logger = logging.getLogger(__name__)


def known_cells(sweep: Sweep, places: Places, folder: Path) -> list[KnownCell]:
    """What the storage knew when the sweep first asked for it; written into `folder`, the
    launch's, where no launch has. Empty where the sweep does not ask."""
    if sweep.search.prior is None:
        return []
    none: dict[str, Any] = {}
    written = places.latest(PRIOR, none)
    if not written:
        cells = list(_cells_of_others(places))
        write_json(folder / PRIOR, {"cells": [asdict(cell) for cell in cells]})
        return cells
    return cells_in(written)


def _cells_of_others(places: Places) -> Iterator[KnownCell]:
    for name in sweep_names(places.storage):
        other = Places(places.storage, name)
        definition = other.definition() if name != places.name else None
        if definition is None:
            continue
        try:
            sweep = definition.parsed()
        except ConfigError as error:
            logger.warning("%s: is no prior: %s", name, error)
            continue
        models = Inventory.from_json(definition.inventory).models
        scores: dict[tuple[str, Candidate, str], list[float]] = defaultdict(list)
        for record in _searched(other):
            spec = sweep.intermediates.get(record.intermediate)
            if spec is None or record.model not in models:
                continue
            candidate = candidate_of(sweep, models[record.model].weights, record.intermediate)
            for target, dev in scores_of(sweep, record).dev.items():
                if target != AVERAGE:
                    scores[record.config, candidate, target].append(dev)
        for (config, candidate, target), values in sorted(scores.items()):
            yield KnownCell(name, config, *candidate, target, fmean(values))


def _searched(places: Places) -> Iterator[TrialRecord]:
    """The finished trials of search of a sweep, in the order of their names."""
    for folder in sorted(places.trials.glob("*")):
        record = read_record(folder)
        if record is not None and record.state == "finished" and record.is_searching:
            yield record


class Hints:
    """What orders the candidates of one race, as its records tell it."""

    def __init__(self, sweep: Sweep, inventory: Inventory, cells: Sequence[KnownCell] = ()):
        self._sweep, self._inventory, self._cells = sweep, inventory, cells
        self._told: dict[str, Told] = {}

    def note(self, record: TrialRecord) -> None:
        """Take in the signals of a record."""
        if record.signals:
            self._told[record.config] = record.signals

    def lack(self, plan: TrialPlan) -> bool:
        """Whether signals of a trial are not known."""
        told = self._told.get(plan.config_id, {})
        return any(signal.name not in told for signal in plan.signals)

    def of(self, proposals: Sequence[Proposal]) -> np.ndarray | None:
        """The hints of configurations, (configurations, columns): the mean of what is known, each
        in standard deviations over those of whom it is; None where nothing is asked for."""
        search = self._sweep.search
        if not proposals or not (search.signals or search.prior):
            return None
        told = [self._told.get(one.config_id, {}) for one in proposals]
        parts = list(signal_values(self._sweep, told).values())
        if search.prior:
            columns = columns_of(self._sweep)
            models, points = self._inventory.models, (one.point for one in proposals)
            candidates = [
                candidate_of(self._sweep, models[one["model"]].weights, one["intermediate"])
                for one in points
            ]
            parts.append(prior_values(self._cells, candidates, columns))
        return known_mean([standardised(part) for part in parts])

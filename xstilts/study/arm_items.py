"""What every item gave in the runs of two arms, as arrays for the item part of a contrast.

Outcomes lie beside each evaluation in the store. A score over a corpus, as F1, is taken apart into
points of its items (`scores.outcomes.points_of`), so that all scores are means over items. Rows
that are translations of one item are one item in all languages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xstilts.config.own_tasks import find_task
from xstilts.errors import StoreError
from xstilts.run.outcomes import Cells, read_cells
from xstilts.run.store import Store
from xstilts.scores.best import TrialScores
from xstilts.scores.contrasts import Outcomes
from xstilts.scores.outcomes import points_of
from xstilts.study.arm_runs import ArmRuns, Cell, StudyRuns

LEAST_ROWS = 2
"""Of a language: with fewer, nothing is known of how its items vary."""


@dataclass(frozen=True, slots=True, eq=False)
class _Of:
    """A target's rows in a run: `points` (rows,), 0-100, and the rows without what they gave; of
    runs with the same items one and the same."""

    rows: Cells
    points: np.ndarray


@dataclass(frozen=True)
class ArmItems:
    """The outcomes of a study's runs, each read once."""

    runs: StudyRuns

    def outcomes(self, candidate: ArmRuns, baseline: ArmRuns) -> Outcomes | None:
        """The outcomes of two arms by seed, means over each arm's members, the candidate's first;
        None as of `sums`."""
        weighted, begin = [], 0
        for arm in (candidate, baseline):
            number = np.arange(len(arm.seeds))
            shape = (len(candidate.seeds) + len(baseline.seeds), len(arm.members), len(number))
            weights = np.zeros(shape)
            weights[begin + number, :, number] = 1 / len(arm.members)
            weighted.append((arm, weights))
            begin += len(number)
        return self.sums(candidate.cells, weighted)

    def sums(
        self, places: Sequence[Cell], weighted: Sequence[tuple[ArmRuns, np.ndarray]]
    ) -> Outcomes | None:
        """Sums of arms' outcomes in `places`, by weights (sums, members, seeds) of each arm's runs;
        None where a run kept none, or runs were scored on different items, or by a metric whose
        items have no points. Cells are numbered as in `places`."""
        parts: list[Outcomes] = []
        begin = 0
        for target in dict.fromkeys(target for target, _ in places):
            languages = {code: i for i, (one, code) in enumerate(places) if one == target}
            found = self._of_target(target, languages, weighted)
            if found is None:
                return None
            parts.append(Outcomes(found.values, found.cells, found.items + begin))
            begin = int(parts[-1].items.max()) + 1
        values = np.concatenate([one.values for one in parts], axis=1)
        cells, items = (
            np.concatenate([getattr(one, name) for one in parts]) for name in ("cells", "items")
        )
        if np.bincount(cells, minlength=len(places)).min() < LEAST_ROWS:
            return None
        return Outcomes(values, cells, items)

    def _of_target(
        self,
        target: str,
        languages: dict[str, int],
        weighted: Sequence[tuple[ArmRuns, np.ndarray]],
    ) -> Outcomes | None:
        """Likewise on one target; `languages` gives a cell's number by its language."""
        first: Cells | None = None
        values = np.zeros((len(weighted[0][1]), 0))
        for arm, weights in weighted:
            for (member, seed), run in self._runs(arm, target):
                own = self._points(run, target)
                if own is None or not (first is None or own.rows is first):
                    return None
                if first is None:
                    first, values = own.rows, np.zeros((len(values), len(own.points)))
                for place in np.flatnonzero(weights[:, member, seed]):
                    values[place] += weights[place, member, seed] * own.points
        assert first is not None
        names = first.about["language"].to_numpy()
        kept = np.isin(names, list(languages))
        cells = np.array([languages[name] for name in names[kept]], dtype=np.int64)
        return Outcomes(values[:, kept], cells, first.item_numbers[kept])

    def _runs(self, arm: ArmRuns, target: str) -> Iterator[tuple[tuple[int, int], TrialScores]]:
        """An arm's runs by the numbers of their member and seed."""
        for i, member in enumerate(arm.members):
            runs = self.runs.runs_of(member, target)
            yield from (((i, j), runs[seed]) for j, seed in enumerate(arm.seeds))

    def _points(self, run: TrialScores, target: str) -> _Of | None:
        """A run's points; None where its evaluation kept no outcomes, or cannot be read."""
        key = (run.evaluations.get(target, ""), target)
        if key not in self._read:
            self._read[key] = self._read_points(*key)
        return self._read[key]

    def _read_points(self, evaluation: str, target: str) -> _Of | None:
        metrics = find_task(self.runs.sweep, target).metrics
        result = self._store.result(evaluation) if evaluation else None
        try:
            cells = None if result is None else read_cells(result, target)
        except StoreError:  # it cannot be read: the scores are what they are
            return None
        if cells is None or "mcc" in metrics or not {*metrics} <= cells.counts.keys():
            return None
        points = np.empty(len(cells.language_numbers))
        for number in range(int(cells.language_numbers.max(initial=-1)) + 1):
            rows = cells.language_numbers == number
            points[rows] = np.mean([points_of(cells.counts[one][rows]) for one in metrics], axis=0)
        known = self._rows.setdefault(target, [])
        same = next((rows for rows in known if rows.has_same_items(cells)), None)
        if same is None:
            known.append(same := Cells(cells.about, {}))
        return _Of(same, points)

    @cached_property
    def _read(self) -> dict[tuple[str, str], _Of | None]:
        return {}

    @cached_property
    def _rows(self) -> dict[str, list[Cells]]:
        return {}

    @cached_property
    def _store(self) -> Store:
        return Store(self.runs.results.places.storage)

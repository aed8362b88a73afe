"""The crossed table of a target: what every run gave on every item, as arrays for the statistics.

Runs are trials, each a configuration with a seed; items are joined over languages by their keys, so
that a question that stands in eleven languages is one item with eleven cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xstilts.config.derive import NONE
from xstilts.config.own_tasks import find_task
from xstilts.errors import StoreError
from xstilts.records import CONFIRM, TrialRecord
from xstilts.report.results import Results
from xstilts.run.outcomes import Items, outcomes_path, read_outcomes
from xstilts.run.store import Store
from xstilts.scores.outcomes import is_mean, score_of


@dataclass(frozen=True, slots=True)
class Run:
    """A finished trial. `phase` is `search` or `confirm`, of the baseline too; `collapsed` is
    whether it did not learn the target."""

    trial: str
    config: str
    intermediate: str
    model: str
    seed: int
    phase: str
    collapsed: bool

    @property
    def is_baseline(self) -> bool:
        """Whether it has no intermediate."""
        return self.intermediate == NONE


@dataclass(frozen=True, slots=True)
class Crossed:
    """Runs by items of one target.

    A cell is an item in a language: `item` and `language` are (cells,), positions in `items` and
    `languages`. `counts` has (runs, cells, columns, 3) for every metric of the target's score, see
    `xstilts.scores.outcomes`. `without` are the runs whose evaluation is of a version that kept no
    outcomes.
    """

    target: str
    runs: tuple[Run, ...]
    items: tuple[str, ...]
    languages: tuple[str, ...]
    item: np.ndarray
    language: np.ndarray
    counts: Mapping[str, np.ndarray]
    without: tuple[Run, ...] = ()

    @property
    def scores(self) -> np.ndarray:
        """(runs, languages), 0-100: the mean over the metrics, from the counts."""
        found = np.zeros((len(self.runs), len(self.languages)))
        for metric, counts in self.counts.items():
            for i in range(len(self.languages)):
                found[:, i] += score_of(metric, counts[:, self.language == i].sum(1))
        return found / max(1, len(self.counts))

    @property
    def by_item(self) -> np.ndarray:
        """(runs, items), 0-100: what an item contributes, so that a run's score, the mean over its
        languages, is the plain mean over items.

        Raises:
            ValueError: a metric is no mean over items, but one of the whole corpus.
        """
        if corpus := [name for name, counts in self.counts.items() if not is_mean(counts)]:
            raise ValueError(f"{self.target}: {', '.join(corpus)} is no mean over items")
        sizes = np.bincount(self.language, minlength=len(self.languages))
        weights = len(self.items) / (len(self.languages) * sizes[self.language])
        values = sum(counts[:, :, 0, 0] for counts in self.counts.values()) / len(self.counts)
        found = np.zeros((len(self.runs), len(self.items)))
        for own, cells in zip(found, values * weights, strict=True):
            own += np.bincount(self.item, cells, len(self.items))
        return 100 * found


def crossed(results: Results, target: str, phases: Sequence[str] = (CONFIRM,)) -> Crossed:
    """The crossed table of a target over the finished trials of some phases that score it, in the
    order of their names.

    Raises:
        StoreError: an evaluation is no longer in the store, or runs have other items.
    """
    store = Store(results.places.storage)
    records = [
        record
        for record in results.finished
        if record.phase in phases and any(row["target"] == target for row in record.scores)
    ]
    runs: list[Run] = []
    without: list[Run] = []
    tables: list[dict[str, Items]] = []
    for record in sorted(records, key=lambda one: one.trial):
        found = _outcomes(store, record, target)
        (without if found is None else runs).append(_run(record, target))
        if found is not None:
            tables.append(found)
    if not tables:
        empty = np.zeros(0, int)
        return Crossed(target, (), (), (), empty, empty, {}, tuple(without))
    languages = tuple(tables[0])
    cells = [_cells(table) for table in tables]
    for run, own in zip(runs, cells, strict=True):
        if own != cells[0]:
            raise StoreError(
                f"{run.trial}: {target}: it was scored on other items than {runs[0].trial}"
            )
    items = {key: i for i, key in enumerate(dict.fromkeys(key for _, key in cells[0]))}
    metrics = find_task(results.sweep, target).metrics
    return Crossed(
        target,
        tuple(runs),
        tuple(items),
        languages,
        np.array([items[key] for _, key in cells[0]]),
        np.array([languages.index(language) for language, _ in cells[0]]),
        {name: np.stack([_joined(table, name) for table in tables]) for name in metrics},
        tuple(without),
    )


def _run(record: TrialRecord, target: str) -> Run:
    return Run(
        trial=record.trial,
        config=record.config,
        intermediate=record.intermediate,
        model=record.model,
        seed=record.seed,
        phase=record.phase,
        collapsed=target in record.collapsed,
    )


def _outcomes(store: Store, record: TrialRecord, target: str) -> dict[str, Items] | None:
    """What a trial's items gave; None where its evaluation kept no outcomes."""
    for stage in record.stages:
        result = store.result(stage.name)
        if result is None:
            continue
        if outcomes_path(result, target).exists():
            return read_outcomes(result, target)
        if (result / "predictions" / target).is_dir():
            return None
    raise StoreError(
        f"{record.trial}: {target}: its evaluation is no longer in the store; "
        f"`xstilts run FILE --trial {record.trial}` makes it again"
    )


def _cells(table: Mapping[str, Items]) -> list[tuple[str, str]]:
    """The language and the key of every cell; an item that no other language has is its own."""
    return [
        (language, f"{language}/{row}" if key is None else key)
        for language, own in table.items()
        for row, key in zip(own.outcomes.rows.tolist(), own.keys, strict=True)
    ]


def _joined(table: Mapping[str, Items], metric: str) -> np.ndarray:
    return np.concatenate([own.outcomes.counts[metric] for own in table.values()])

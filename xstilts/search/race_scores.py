"""What the trials of a race gave: to the policy that decides, and to Optuna's study.

Optuna's study keeps every configuration open until search ends. Until then its sampler is told
of each that has a run what the model believes of it on all targets, by the values that
`weighting.py` makes of dev scores. At the end one with all its runs is told as it is in any sweep,
and one with fewer as pruned, with the mean of what was seen. This needs no second sampler and no
value that has to be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from xstilts.config.derive import measured_by
from xstilts.config.schema import Sweep
from xstilts.records import TrialRecord
from xstilts.report.comparison import scores_of
from xstilts.run.rounds import Dev
from xstilts.scores.aggregate import AVERAGE
from xstilts.scores.rungs import LowerRungs
from xstilts.scores.seen import SeenScores, columns_of
from xstilts.search.lower_rungs import Lower
from xstilts.search.race_model import believe
from xstilts.search.weighting import dev_of, mean_dev

LEAST_KNOWN = 2
"""Candidates of a column that have run before the model is asked."""


@dataclass(frozen=True, slots=True)
class ConfigurationEnd:
    """What a configuration has in the end: its objective, the mean of what was seen of it, at lower
    rungs where it had nothing else; `dev` if it had all its runs, else how many, and whether one
    diverged."""

    config_id: str
    objective: float | None
    dev: Dev | None = None
    num_runs: int = 0
    diverged: bool = False


def believed(seen: np.ndarray, lower: Lower | None = None) -> np.ndarray:
    """What a run of each candidate on each column is expected to give, (candidates, columns): the
    model's means, or the column's mean where too few have run for a model, with what the lowest
    rung says of the candidate's place."""
    lower, drawn = lower or Lower.none(seen), np.isfinite(seen)
    with np.errstate(invalid="ignore"):
        values = lower.around(np.nansum(seen, (0, 2)) / drawn.sum((0, 2)))
    known = drawn.any(2).sum(0) >= LEAST_KNOWN
    if known.any():
        values[:, known] = believe(lower.beside(seen)[:, known]).means
    return values


class RaceScores:
    """The finished trials of a race, the baseline's too."""

    def __init__(self, sweep: Sweep):
        self._sweep = sweep
        self.lower = LowerRungs(sweep)
        self._columns = columns_of(sweep)
        # Targets without a dev set are chosen for, and measured, by the mean of the others.
        self._with_dev = [i for i, x in enumerate(self._columns) if x.score != AVERAGE]
        self._seen = SeenScores(sweep)
        self._ends: dict[tuple[str, int], tuple[float | None, Dev]] = {}
        self._dev_rows: dict[str, int] = {}
        self._diverged: set[str] = set()

    def note(self, record: TrialRecord) -> None:
        """Take in the record of a trial that has ended."""
        if record.state != "finished":
            self._diverged |= {record.config} if record.diverged else set()
            return
        if record.is_short:
            self.lower.note(record)
        else:
            self._seen.note(scores_of(self._sweep, record))
            dev = dev_of(self._sweep, record)
            self._ends[record.config, record.seed] = record.objective, dev
        for row in record.scores:
            if row["split"] == "dev":
                self._dev_rows[row["target"]] = row["n"]

    def seen(self, configs: Sequence[str]) -> np.ndarray:
        """The dev scores of configurations, (configurations, columns, seeds), NaN where not run."""
        return self._seen.scores(configs)

    def beliefs(self, configs: Sequence[str]) -> dict[str, tuple[float, Dev]]:
        """Configurations that have a run: what the model believes of their objective, and of their
        dev scores with the sampling variances that these would have."""
        seen, lower = self._measured(configs)
        if not seen.size:
            return {}
        values = np.clip(believed(seen, lower), 0, 100)
        has_run = np.isfinite(seen).any((1, 2)) | np.isfinite(lower.scores).any((1, 2))
        found: dict[str, tuple[float, Dev]] = {}
        for row in map(int, np.flatnonzero(has_run)):
            named = zip((self._columns[i].score for i in self._with_dev), values[row], strict=True)
            dev = {
                name: [float(s), float(s * (100 - s)) / self._dev_rows[name]]
                for name, s in named
                if name in self._dev_rows
            }
            found[configs[row]] = self._objective(values[row]), dev
        return found

    def ends(self, configs: Sequence[str]) -> Iterator[ConfigurationEnd]:
        """What came of every configuration."""
        seen, lower = self._measured(configs)
        for config, scores, short in zip(configs, seen, lower.scores, strict=True):
            drawn = np.isfinite(scores)
            trials = [(config, seed) for seed in self._sweep.seeds]
            known = [self._ends[trial] for trial in trials if trial in self._ends]
            objectives = [value for value, _ in known if value is not None]
            if drawn.all() and len(objectives) == len(trials):
                yield ConfigurationEnd(config, fmean(objectives), mean_dev([x for _, x in known]))
                continue
            shown = scores if drawn.any() else short
            with np.errstate(invalid="ignore"):
                mean = self._objective(np.nansum(shown, 1) / np.isfinite(shown).sum(1))
            yield ConfigurationEnd(
                config,
                mean if np.isfinite(mean) else None,
                num_runs=int(drawn.sum() + np.isfinite(short).sum()),
                diverged=config in self._diverged,
            )

    def _measured(self, configs: Sequence[str]) -> tuple[np.ndarray, Lower]:
        """The dev scores of targets that have a dev set, (configurations, columns, seeds), and what
        lower rungs gave of them."""
        scores = self.lower.scores(configs)[:, self._with_dev]
        lower = Lower(scores, np.ones(scores.shape, dtype=bool))
        return self.seen(configs)[:, self._with_dev], lower

    def _objective(self, values: np.ndarray) -> float:
        """The objective by dev scores of columns, without those that are NaN."""
        target = measured_by(self._sweep).removeprefix("dev/")
        columns = (self._columns[i] for i in self._with_dev)
        own = [i for i, column in enumerate(columns) if target in (*column.targets, AVERAGE)]
        known = values[own][np.isfinite(values[own])]
        return float(known.mean()) if len(known) else float("nan")

"""Results of a sweep, read from its folder: records, comparisons, what is missing.

The tables, pictures and the Python API are views of what is loaded here once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts.config.derive import num_configurations
from xstilts.config.schema import Sweep
from xstilts.config.selection_notes import selection_notes
from xstilts.errors import ConfigError, Problem
from xstilts.records import TrialRecord
from xstilts.report.comparison import (
    Compared,
    best_of,
    configurations_of,
    grid_of,
    language_means,
    scores_of,
)
from xstilts.run.places import Places, sweep_names
from xstilts.run.records import read_record
from xstilts.run.spending import cost_of, is_spent
from xstilts.scores.best import Best, Entry, TrialScores
from xstilts.tasks import suggest

if TYPE_CHECKING:
    from xstilts.report.looking_back import LookedBack
    from xstilts.report.table import Table
    from xstilts.report.verdicts import TargetVerdict

VERDICTS = {
    "collapsed": "collapsed (they count)",
    "undecided": "are undecided, above the majority class by no more than the noise of English dev",
}
"""What each verdict on a run means, as the rest of a sentence about trials."""


@dataclass(frozen=True)
class Results:
    """A sweep and the records of its trials, in the order of their names.

    What is derived from a thousand of them is derived once, for every table asks for it.
    """

    sweep: Sweep
    places: Places
    folder: Path
    """Of the launch whose definition this is."""
    records: Sequence[TrialRecord]

    @cached_property
    def finished(self) -> list[TrialRecord]:
        """Records of trials that reached their end."""
        return [record for record in self.records if record.state == "finished"]

    @cached_property
    def searched(self) -> list[TrialRecord]:
        """Finished trials of search, the baseline's too: what choices are made from."""
        return [record for record in self.finished if record.is_searching]

    @cached_property
    def confirmed(self) -> list[TrialRecord]:
        """Finished trials that confirm what search chose, with fresh seeds."""
        return [record for record in self.finished if record.is_confirming]

    @cached_property
    def short(self) -> list[TrialRecord]:
        """Finished trials of a race's lower rungs: what they scored is no result."""
        return [record for record in self.finished if record.is_short]

    @property
    def failed(self) -> list[TrialRecord]:
        """Records of trials that failed for their own reason."""
        return [record for record in self.records if record.state == "failed"]

    @cached_property
    def trials(self) -> list[TrialScores]:
        """The finished trials of search as the comparison reads them."""
        compared = Compared.of(self.sweep)
        return [scores_of(self.sweep, record, compared) for record in self.searched]

    @cached_property
    def fresh(self) -> list[TrialScores]:
        """The finished trials of confirmation, likewise."""
        compared = Compared.of(self.sweep)
        return [scores_of(self.sweep, record, compared) for record in self.confirmed]

    @cached_property
    def best(self) -> list[Best]:
        """The best intermediate of every target that has one, in the file's order."""
        return best_of(self.sweep, self.trials)

    @cached_property
    def entries(self) -> dict[str, dict[str, Entry]]:
        """Target -> intermediate -> its best configuration by dev."""
        return {
            target: {name: entries[0] for name, entries in row.items()}
            for target, row in self.configurations.items()
        }

    @cached_property
    def configurations(self) -> dict[str, dict[str, list[Entry]]]:
        """Target -> intermediate -> its complete configurations, the best by dev first."""
        return configurations_of(self.sweep, self.trials)

    @cached_property
    def grid(self) -> dict[str, dict[str, float]]:
        """Target -> intermediate -> score of its best configuration by dev."""
        return grid_of(self.entries)

    @cached_property
    def languages(self) -> dict[str, dict[str, float]]:
        """Target -> language -> score of the best configuration by dev, mean over its seeds."""
        rows = {
            best.target: [
                row
                for record in self.searched
                if record.config == best.best.config
                for row in record.scores
                if row["target"] == best.target
            ]
            for best in self.best
        }
        return {name: language_means(self.sweep, name, own) for name, own in rows.items()}

    @cached_property
    def verdicts(self) -> dict[str, TargetVerdict]:
        """What the sweep may say of every target, in the file's order."""
        from xstilts.report.verdicts import target_verdicts  # imports scipy

        return target_verdicts(self.sweep, self.places, self.trials, self.fresh)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """All tables of the report by the names of their files, the most wanted first."""
        from xstilts.report.tables import tables  # they are views of this

        return tables(self)

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """The numbers, a row for each target, intermediate and language."""
        from xstilts.report.cells import cells  # imports scipy

        return cells(self)

    @cached_property
    def looked_back(self) -> list[LookedBack]:
        """What selection by dev gave, a line for each target that can say it."""
        from xstilts.report.looking_back import looked_back  # imports scipy

        return looked_back(self)

    @property
    def confirm_cost(self) -> float:
        """Hours that confirmation's trials computed, beside those of search."""
        return math.fsum(record.metrics["cost/hours"] for record in self.confirmed)

    def warnings(self) -> list[str]:
        """What a reader of the tables must know, a line each."""
        lines = []
        for target in self.sweep.targets:
            whole = [record for record in self.finished if not record.is_short]
            have = [r for r in whole if target in (r.confirms or r.targets or (target,))]
            for verdict, meaning in VERDICTS.items():
                trials = [r.trial for r in have if target in getattr(r, verdict)]
                if trials:
                    lines.append(
                        f"{target}: {len(trials)} of {len(have)} trials {meaning}: "
                        f"{', '.join(trials)}"
                    )
        lines += [
            f"{record.trial}: trained again with another seed: "
            + ", ".join(f"{name} ({count}x)" for name, count in record.retries.items())
            for record in self.finished
            if record.retries
        ]
        # One of a race may have failed on targets that it was given later.
        lines += [
            f"{record.trial} failed: {record.error.partition(chr(10))[0]}"
            for record in self.records
            if record.error or record.state == "failed"
        ]
        lines += self._computed_otherwise()
        if is_spent(self.places, self.sweep):
            spec, tried = self.sweep.budget, len({record.config for record in self.searched})
            assert spec is not None
            spent = sum(cost_of(self.sweep, record.metrics) for record in self.records)
            lines.append(
                f"the budget of {spec.text(spec.total)} ended search after {tried} of "
                f"{num_configurations(self.sweep)} configurations; {spec.text(spent)} are spent"
            )
        lines += selection_notes(self.sweep)
        holes = sorted({hole for record in self.finished for hole in record.missing})
        return lines + [f"no {self.sweep.benchmark.name}/avg: {hole}" for hole in holes]

    def _computed_otherwise(self) -> list[str]:
        """That trials of the tables were not all computed alike, where a launch has changed it."""
        stages = [stage for record in self.finished for stage in record.stages]
        threads = {stage.threads for stage in stages if stage.threads}
        processes = {r.processes for r in self.finished if r.processes is not None}
        lines = []
        if len(threads) > 1:
            lines.append(
                f"stages were computed with {_in_words(threads)} threads a process: their sums, "
                "and so the scores, may differ in the last digits"
            )
        if len(processes) > 1:
            lines.append(f"trials were trained by {_in_words(processes)} processes each")
        return lines


def _in_words(numbers: set[int]) -> str:
    *first, last = map(str, sorted(numbers))
    return f"{', '.join(first)} and {last}"


def load_results(places: Places, with_plugins: bool = False) -> Results:
    """Read a sweep's folder.

    Args:
        with_plugins: see `launched`, and there what it raises.
    """
    sweep, folder = launched(places, with_plugins)
    folders: list[Path] = sorted(path for path in places.trials.glob("*") if path.is_dir())
    records = [record for record in map(read_record, folders) if record is not None]
    return Results(sweep, places, folder, records)


def launched(places: Places, with_plugins: bool = False) -> tuple[Sweep, Path]:
    """A sweep as it was launched last, and the folder of that launch.

    Args:
        with_plugins: whether modules that its stored file names may be imported; they are only
            where the launch, one of an older version, has not described what they bring.

    Raises:
        ConfigError: there is no sweep of that name, or it cannot be read without a plugin.
    """
    definition = places.definition()
    if definition is None:
        names = sweep_names(places.storage)
        known = [name for name in names if Places(places.storage, name).definition()]
        raise ConfigError(
            [
                Problem(
                    "NAME",
                    f"no sweep of that name under {places.storage}",
                    f'"{places.name}"',
                    suggest(places.name, known) if known else "launch one with `xstilts sweep`",
                )
            ]
        )
    allowed = definition.sweep.get("plugins", ()) if with_plugins else ()
    return definition.parsed(allowed), definition.folder

"""Which intermediates have ever helped a target: its cells in all sweeps of a storage.

A gain is within its sweep - one encoder, the same languages and recipe, the baseline chosen alike -
so that gains of different sweeps stand beside one another and are never pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from xstilts.config.derive import NONE
from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem, XstiltsError
from xstilts.report.columns import WholeNames
from xstilts.report.record_table import record_table
from xstilts.report.results import launched
from xstilts.report.verdicts import runs_of_target
from xstilts.run.places import Places, sweep_names
from xstilts.scores.arm_gains import ArmGain, arm_gains
from xstilts.scores.verdict import verdict
from xstilts.tasks import suggest


@dataclass(frozen=True, slots=True)
class Cell:
    """One intermediate before the target in one sweep; `tasks` are those of the intermediate."""

    sweep: str
    model: str
    intermediate: str
    tasks: tuple[str, ...]
    said: ArmGain

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; null where not known."""
        said = self.said
        return {
            "sweep": self.sweep,
            "model": self.model,
            "intermediate": self.intermediate,
            "tasks": list(self.tasks),
            "gain": said.gain,
            "low": said.low,
            "high": said.high,
            "score": said.score,
            "n": said.runs,
            "collapsed": said.collapsed,
            "is_fresh": said.is_fresh,
        }


def atlas(storage: Path, target: str, tell: Callable[[str], Any] = lambda line: None) -> list[Cell]:
    """The cells of a target, by encoder, those that gain most first.

    Args:
        tell: called with a line for each sweep that cannot be read.

    Raises:
        ConfigError: no sweep of the storage has the target.
    """
    found: list[Cell] = []
    known: set[str] = set()
    for name in sweep_names(storage):
        places = Places(storage, name)
        try:
            sweep, _ = launched(places)
        except XstiltsError as error:
            tell(f"left out: {error}")
            continue
        known |= {*sweep.targets}
        if target in sweep.targets:
            found += _cells(sweep, places, target)
    if target not in known:
        repair = suggest(target, known) if known else "run a sweep first"
        raise ConfigError([Problem("TASK", f"no target of a sweep in {storage}", target, repair)])
    return sorted(
        found, key=lambda one: (one.model, one.said.gain is None, -(one.said.gain or 0.0))
    )


def _cells(sweep: Sweep, places: Places, target: str) -> Iterator[Cell]:
    table = record_table(sweep, places)
    for model, spec in sweep.models.items():
        trials, fresh = (
            [trial for trial in some if trial.model == model]
            for some in (table.trials, table.fresh)
        )
        runs = runs_of_target(sweep, places, target, trials, fresh)
        for name, said in arm_gains(runs, verdict(runs)).items():
            if name != NONE:
                tasks = sweep.intermediates[name].tasks
                # Names of models are a sweep's own; what they stand for is not.
                yield Cell(sweep.name, spec.path, name, tasks, said)


def atlas_table(cells: list[Cell], target: str) -> WholeNames:
    """The cells for a terminal."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=f"Points over none on {target}",
        title_justify="left",
    )
    for head in ("intermediate", "encoder", "sweep"):
        table.add_column(head, overflow="fold")
    for head in ("gain", "95 %", "n"):
        table.add_column(head, justify="right")
    table.add_column("of")
    for cell in cells:
        said = cell.said
        gain = "-" if said.gain is None else f"{said.gain:+.1f}"
        interval = "-" if said.low is None else f"{said.low:+.1f} to {said.high:+.1f}"
        of = "fresh seeds" if said.is_fresh else "search"
        names = (cell.intermediate, cell.model, cell.sweep)
        table.add_row(*names, gain, interval, str(said.runs), of)
    return WholeNames(table, (0, 1, 2))

"""What stands beside a trial's record for people and programs: its score table and its picture.

The trial's own process writes them, so that the one driver of a thousand trials need not draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.files import write_json
from xstilts.records import TrialRecord
from xstilts.report.pictures import heat_map
from xstilts.run.places import SWEEP_FILE, Places
from xstilts.run.records import RECORD
from xstilts.run.store import Store
from xstilts.score_rows import ScoreRows
from xstilts.scores.table import COLUMNS, ChosenScores


def write_trial_files(sweep: Sweep, places: Places, record: TrialRecord) -> None:
    """Write a trial's score table and heat map, unless they were written since the trial began: it
    may have run again after a stage was lost. One of a lower rung, not evaluated, has none."""
    folder = places.trials / record.trial
    picture = folder / "languages.png"
    is_fresh = picture.exists() and picture.stat().st_mtime >= record.started
    if is_fresh or not record.scores or record.is_short:
        return
    rows = list(record.scores)
    write_scores([record.scores], folder / "scores.parquet")
    write_json(folder / "scores.json", rows, indent=None)
    table = ChosenScores(rows)
    scored = {row["target"] for row in rows}  # confirmation scores some targets
    grid = {
        target: table.score_by_language(target, find_task(sweep, target).metrics)
        for target in sweep.targets
        if target in scored
    }
    heat_map(grid, columns_of(grid), f"{record.trial}: score by language").save(picture)


def trial_artifacts(sweep: Sweep, places: Places, record: TrialRecord) -> dict[str, Path]:
    """A trial's record, score table, heat map and predictions, by their path in its run."""
    write_trial_files(sweep, places, record)
    folder = places.trials / record.trial
    names = ("scores.parquet", "scores.json", "languages.png", RECORD)
    artifacts = {name: folder / name for name in names if (folder / name).exists()}
    artifacts |= sweep_file(places)
    store = Store(places.storage)
    for stage in record.stages:
        if (result := store.result(stage.name)) is not None:
            predictions = result / "predictions"
            for path in sorted(predictions.rglob("*")):
                if path.is_file():
                    artifacts[f"predictions/{path.relative_to(predictions)}"] = path
    return artifacts


def sweep_file(places: Places) -> dict[str, Path]:
    """The resolved sweep file, by its name among the artifacts."""
    definition = places.definition()
    return {SWEEP_FILE: definition.folder / SWEEP_FILE} if definition else {}


def write_scores(scores: Sequence[ScoreRows], path: Path) -> None:
    """Write the rows of the score table of some trials as Parquet."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for one in filter(len, scores):
        for name, column in columns.items():
            column += one.columns[name] if name in one.columns else [one.once[name]] * len(one)
    parquet.write_table(pa.table(columns), path)


def columns_of(grid: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The languages of a grid of targets by languages."""
    return sorted({language for row in grid.values() for language in row})

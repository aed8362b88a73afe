"""The tables of a sweep as pandas frames: names and dtypes of their columns, in one place.

What repeats is a `category`, counts are `Int64`, values `float64`, times `datetime64` in UTC; what
does not apply is missing. Columns are added at the end, and never renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import stdev
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from xstilts.config.derive import NONE
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.plan.stage import class_of
from xstilts.plan.trial_plan import target_sets
from xstilts.records import CONFIRM, RUNG, SEARCH, TrialRecord
from xstilts.report.comparison import configurations_of
from xstilts.report.record_table import RecordTable
from xstilts.run.places import Places
from xstilts.scores.probes import Name
from xstilts.scores.table import COLUMNS

if TYPE_CHECKING:
    from xstilts.report.verdicts import TargetVerdict

TRIAL = ("trial", "config_id", "intermediate", "model", "seed", "phase")
"""What the first columns of most tables say: which trial a row is of."""


def scores_frame(table: RecordTable) -> pd.DataFrame:
    """A row a number of the score table; see `SweepResults.scores`."""
    parents, rows = _flat(table.rows["scores"])
    about = _about(table)
    names = ("target", "language", "metric", "value", "n", "split")
    columns = {name: about[name].take(parents) for name in TRIAL}
    columns |= {name: _series(rows[name]) for name in names}
    columns |= {f"param/{name}": values.take(parents) for name, values in _points(table).items()}
    columns |= {name: _series(rows[name]) for name in ("cell", "is_chosen")}
    return _frame(columns)


def score_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of `scores_frame` as rows of the score table."""
    own = frame.rename(columns={"config_id": "config"})[list(COLUMNS)]
    for row in own.itertuples(index=False, name=None):
        yield dict(zip(COLUMNS, row, strict=True))


def trials_frame(table: RecordTable, sweep: Sweep) -> pd.DataFrame:
    """A row a trial; see `SweepResults.trials`."""
    records = table.records
    columns = _about(table)
    columns |= {
        name: _column(getattr(one, name) for one in records) for name in ("state", "objective")
    }
    for name in ("started", "ended"):
        times = [getattr(one, name) for one in records]
        columns[name] = pd.Series(pd.to_datetime(times, unit="s", utc=True)).dt.as_unit("us")
    stages = _stage_rows(table)
    own = stages[~stages["reused"]]
    sums = {
        "seconds": own.groupby("row")["seconds"],
        "reused_seconds": stages[stages["reused"]].groupby("row")["seconds"],
        "wait_s": stages.groupby("row")["wait_s"],
        "tokens": own.groupby("row")["tokens"],
    }
    columns |= {
        name: groups.sum().reindex(range(len(records)), fill_value=0)
        for name, groups in sums.items()
    }
    for name in ("collapsed", "undecided"):
        columns[name] = pd.Series([", ".join(getattr(one, name)) for one in records], dtype="str")
    columns["error"] = pd.Series([one.error for one in records], dtype="str")
    columns |= {f"param/{name}": values for name, values in _points(table).items()}
    tasks = dict.fromkeys(task for spec in sweep.intermediates.values() for task in spec.tasks)
    columns |= {
        f"rate/{task}": pd.Series([float(one.rates.get(task, 0)) for one in records])
        for task in tasks
    }
    rates = [one.learning_rate for one in records]
    columns["lr/intermediate"] = pd.Series(rates, dtype="float64")
    for target, head in _heads(sweep).items():
        if "train" not in find_task(sweep, head).splits:
            continue  # it is scored as the encoder stands
        chosen = [_rate(one, head) for one in records]
        columns[f"lr/target/{target}"] = pd.Series(chosen, dtype="float64")
    columns["rung"] = pd.Series([one.rung for one in records], dtype="float64")
    return _frame(columns)


def stages_frame(table: RecordTable) -> pd.DataFrame:
    """A row for each stage that a trial computed or read; see `SweepResults.stages`."""
    rows = _stage_rows(table)
    about = _about(table)
    parents = rows.pop("row").to_numpy()
    columns = {name: about[name].take(parents) for name in ("trial", "config_id", "phase")}
    return _frame(columns | {str(name): rows[name] for name in rows})


def probes_frame(table: RecordTable) -> pd.DataFrame:
    """A row a number that probes said of a trial's encoder; see `SweepResults.probes`."""
    about = _about(table)
    told = [
        (i, *Name.of(key), v)
        for i, one in enumerate(table.records)
        for key, v in one.probes.items()
    ]
    rows, probes, languages, layers, values = zip(*told, strict=True) if told else [()] * 5
    columns = {name: about[name].take(list(rows)) for name in TRIAL}
    for name, texts in (("probe", probes), ("language", languages)):
        columns[name] = pd.Series(texts, dtype="str").astype("category")
    columns["layer"] = pd.Series(layers, dtype="Int64")
    columns["value"] = pd.Series(values, dtype="float64")
    return _frame(columns)


def best_frame(
    verdicts: Mapping[str, TargetVerdict], table: RecordTable, sweep: Sweep, places: Places
) -> pd.DataFrame:
    """A row a target that has a best; see `SweepResults.best`."""
    # Loading scipy's statistics takes as long as all other tables.
    from xstilts.report.verdict_table import verdict_json

    records = {record.trial: record for record in table.records}
    scores = {trial.trial: trial.scores for trial in (*table.trials, *table.fresh)}
    entries = configurations_of(sweep, table.trials)
    lines = []
    for target, told in verdicts.items():
        if told.verdict.best is None or told.search is None:
            continue
        line = verdict_json(sweep, places, told, records)
        learnt = [name for name in told.trials if target not in records[name].collapsed]
        own = (entry for row in entries[target].values() for entry in row)
        dev = next((entry.dev for entry in own if entry.config == told.config), None)
        runs = [scores[name][target] for name in learnt]
        rates = line["learning_rates"]
        lines.append(
            {
                **line,
                "target": target,
                "intermediate": line["best"],
                "ties": tuple(line["ties"]),
                "trials": tuple(line["trials"]),
                "config_id": told.config,
                "lr/intermediate": rates["intermediate"],
                "lr/target": rates["target"],
                "dev": dev,
                "selected_on": f"dev/{told.search.selected_on}",
                "spread": stdev(runs) if len(runs) > 1 else None,
                "configs": told.search.candidates,
                "expected": told.search.expected,
            }
        )
    frame = pd.DataFrame(lines, columns=list(BEST))
    return frame.astype(BEST)


BEST = {
    **dict.fromkeys(("target", "verdict", "intermediate"), "str"),
    "ties": "object",
    **dict.fromkeys(("score", "none", "gain", "low", "high"), "float64"),
    "config_id": "str",
    **dict.fromkeys(("lr/intermediate", "lr/target", "dev"), "float64"),
    "selected_on": "str",
    "spread": "float64",
    **dict.fromkeys(("seeds", "configs"), "Int64"),
    "best": "str",
    **dict.fromkeys(("p_best", "p_null"), "float64"),
    "collapsed": "object",
    "runs": "Int64",
    "hours_to_settle": "float64",
    "command": "str",
    "trials": "object",
    "rates": "object",
    "budget": "Int64",
    "expected": "float64",
}
"""The columns of `best_frame` with their dtypes."""


def _rate(record: TrialRecord, head: str) -> float | None:
    """The learning rate that a trial chose for a set of targets."""
    return record.chosen[head].learning_rate if head in record.chosen else None


def _heads(sweep: Sweep) -> dict[str, str]:
    """The set of targets with one training stage that a target belongs to, by its name."""
    return {target: name for name, own in target_sets(sweep).items() for target in own}


def _about(table: RecordTable) -> dict[str, pd.Series]:
    records = table.records
    columns = {
        "trial": [one.trial for one in records],
        "config_id": [one.config for one in records],
        "intermediate": [one.intermediate for one in records],
        "model": [one.model for one in records],
    }
    phases = [_phase(one) for one in records]
    categories = pd.Categorical(phases, categories=[SEARCH, "baseline", CONFIRM, RUNG])
    series: dict[str, pd.Series] = {
        name: pd.Series(values, dtype="str").astype("category") for name, values in columns.items()
    }
    series["seed"] = pd.Series([one.seed for one in records], dtype="Int64")
    series["phase"] = pd.Series(categories)
    return series


def _phase(record: TrialRecord) -> str:
    is_baseline = record.is_searching and record.intermediate == NONE
    return "baseline" if is_baseline else record.phase


def _points(table: RecordTable) -> dict[str, pd.Series]:
    """The trials' parameters; what is a mapping, as the rates of a mixture, a column a key."""
    points = [dict(parameters_of(one.point)) for one in table.records]
    names = dict.fromkeys(name for point in points for name in point)
    return {name: _column(point.get(name) for point in points) for name in sorted(names)}


def parameters_of(point: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A point's parameters by name, but those with columns of their own."""
    for name, value in point.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{key}", part) for key, part in value.items())
        elif name not in ("intermediate", "model"):
            yield name, value


def _column(values: Iterable[Any]) -> pd.Series:
    """Values of one parameter: whole numbers, numbers, truth values or else names."""
    found = list(values)
    sorts = {type(value) for value in found if value is not None}
    if sorts == {int}:
        return pd.Series(found, dtype="Int64")
    if sorts <= {int, float}:
        return pd.Series(found, dtype="float64")
    if sorts == {bool}:
        return pd.Series(found, dtype="boolean")
    names = [None if value is None else str(value) for value in found]
    return pd.Series(names, dtype="str").astype("category")


def _stage_rows(table: RecordTable) -> pd.DataFrame:
    """Stages with the number of their trial's row."""
    parents, rows = _flat(table.rows["stages"])
    names = rows["name"].to_pylist()
    started = pd.to_datetime(_series(rows["started"]), unit="s", utc=True).dt.as_unit("us")
    columns = {
        "row": pd.Series(parents),
        "stage": pd.Series(names, dtype="str"),
        "fingerprint": _series(rows["fingerprint"]),
        "class": pd.Series([class_of(name) for name in names], dtype="str").astype("category"),
        "seconds": _series(rows["seconds"]),
        "tokens": _series(rows["tokens"]),
        "reused": _series(rows["is_reused"]),
        "steps": _series(rows["steps"]),
        "wait_s": _series(rows["wait_s"]),
        "started": started,
    }
    return pd.DataFrame(columns)


def _flat(lists: pa.ChunkedArray) -> tuple[Any, dict[str, pa.Array]]:
    """The elements of all lists as columns, and the row that each is of."""
    array = lists.chunk(0) if lists.num_chunks == 1 else lists.combine_chunks()
    flat = array.flatten()
    columns = dict(zip((field.name for field in flat.type), flat.flatten(), strict=True))
    return pc.list_parent_indices(array).to_numpy(), columns


def _series(array: pa.Array) -> pd.Series:
    if pa.types.is_dictionary(array.type):
        return pd.Series(array.to_pandas())
    if pa.types.is_integer(array.type):
        return pd.Series(array.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get))
    if pa.types.is_string(array.type):
        return pd.Series(array.to_pandas(), dtype="str")
    return pd.Series(array.to_numpy(zero_copy_only=False))


def _frame(columns: Mapping[str, pd.Series]) -> pd.DataFrame:
    return pd.DataFrame({name: series.array for name, series in columns.items()})

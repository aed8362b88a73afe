"""Pools of a sweep's own: candidates from its files, checked whole, written once as a data set.

A file has a candidate a row: `id`, `candidate`, which is its text, and where an id does not say
what it is right for, `keys`. A pool of a data set in the layout of the Hub has these columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xstilts.config.own_tasks import hub_id_of
from xstilts.config.schema import Sweep
from xstilts.config.task_spec import PoolSpec
from xstilts.data.formats import format_of, read_file
from xstilts.data.hub_layout import Row, Split
from xstilts.data.importers.ranked import FEATURES
from xstilts.data.inventory import Hashes
from xstilts.data.own import FOLDER, NOTE, Complaints, is_there, paths_of, publish
from xstilts.data.own_rows import WrongRow
from xstilts.errors import ConfigError, DataError, Problem
from xstilts.files import sha256_of
from xstilts.tasks.task import POOL

VERSION = 1
"""Of what is written of files; it is part of the names of the folders."""

KIND = "dual_encoder"


def check_own_pools(sweep: Sweep) -> list[Problem]:
    """All that is wrong with the files of a sweep's own pools."""
    return [problem for name, spec in sweep.pools.items() for problem in read_pool(name, spec)[1]]


def told_pools(sweep: Sweep) -> list[dict[str, Any]]:
    """What the files of a sweep's own pools hold, as `xstilts.data.own.told` tells of tasks.

    Raises:
        ConfigError: with all that is wrong with them.
    """
    lines, problems = list[dict[str, Any]](), list[Problem]()
    for name, spec in sweep.pools.items():
        rows, wrong = read_pool(name, spec)
        problems += wrong
        files = [] if wrong else list(map(str, _paths(name, spec)))
        line = {"task": name, "use": POOL, "language": "", "rows": len(rows), "labels": {}}
        lines.append({**line, "files": files})
    if problems:
        raise ConfigError(problems)
    return lines


def read_pool(name: str, spec: PoolSpec) -> tuple[list[Row], list[Problem]]:
    """The candidates of a pool, and all that is wrong with its files."""
    try:
        paths = _paths(name, spec)
    except ConfigError as error:
        return [], list(error.problems)
    complaints, rows = Complaints(), list[Row]()
    places: dict[str, str] = {}
    for path in paths:
        try:
            format_of(path, KIND)
            for line, record in read_file(path, KIND, ""):
                try:
                    row = _candidate(record)
                except WrongRow as wrong:
                    complaints.add(path, line, wrong.rule, wrong.got, wrong.repair)
                    continue
                if row["id"] in places:
                    got = f'"{row["id"]}", as {places[row["id"]]}'
                    complaints.add(path, line, "an id stands once in a pool", got)
                places[row["id"]] = f"{path.name}:{line}"
                rows.append(row)
        except DataError as error:
            where, _, rest = str(error).partition(": ")
            complaints.found.setdefault((str(path), rest), Problem(where, rest))
    problems = complaints.problems()
    if not problems and len(rows) < 2:
        rule = "a pool has two candidates at least"
        problems.append(Problem(_where(name), rule, f"{len(rows)}", "add others"))
    return rows, problems


def write_pool(name: str, spec: PoolSpec, storage: Path, hashes: Hashes) -> dict[str, Path]:
    """The data set that the files of a pool become, by its name, written where it is not there yet.

    Raises:
        ConfigError: with all that is wrong with the files.
    """
    files = [[path.suffix, hashes.of(path)] for path in _paths(name, spec)]
    folder = storage / FOLDER / f"{name}-{POOL}-{sha256_of([VERSION, files])[:12]}"
    if not is_there(folder):
        rows, problems = read_pool(name, spec)
        if problems:
            raise ConfigError(problems)
        publish(folder, [Split("candidates", POOL, FEATURES, rows)], NOTE.format(POOL))
    return {hub_id_of(name, POOL): folder}


def _where(name: str) -> str:
    return f"pools.{name}.files"


def _paths(name: str, spec: PoolSpec) -> list[Path]:
    patterns = (spec.files,) if isinstance(spec.files, str) else spec.files
    found = (path for pattern in patterns for path in paths_of(_where(name), pattern))
    return list(dict.fromkeys(found))


def _candidate(record: Mapping[str, Any]) -> Row:
    """A record of a file as a row of a pool."""
    for column in ("id", "candidate"):
        if column not in record:
            repair = f"it has {', '.join(map(str, record))}; a candidate is `id` and `candidate`"
            raise WrongRow(f"has no column {column!r}", repair=repair)
    name, text = record["id"], record["candidate"]
    if name is None or not str(name).strip():
        raise WrongRow("a candidate must have an id", name)
    if not isinstance(text, str) or not text.strip():
        raise WrongRow("'candidate' must have words", text)
    keys = record.get("keys")
    if keys is None:
        keys = [str(name)]
    elif isinstance(keys, str):
        keys = [keys] if keys else []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise WrongRow("'keys' must be a text, or a list of texts", keys)
    return {"id": str(name), "query": "", "candidate": text, "keys": keys}

"""A recorded grid: what every candidate gave on every target with every seed, read from a CSV file.

Policies are played over it as if its runs were made now. A hole would let a policy meet a run that
nobody made, so holes, duplicates and costs that contradict one another are refused with their
place.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xstilts.errors import ConfigError, Problem
from xstilts.scores.signals import known_mean, standardised

COLUMNS = ("candidate", "target", "seed", "rung", "dev", "test", "cost", "shared_cost")

_MOST_PROBLEMS = 10

Cell = tuple[str, str, str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A recorded grid. Names are sorted, `rungs` rise to 1, the full budget.

    `dev`, `test` and `cost` are (candidates, targets, rungs, seeds), NaN where a rung was not
    recorded; `shared_cost` (candidates, rungs, seeds) is paid once, whatever the targets.
    """

    candidates: tuple[str, ...]
    targets: tuple[str, ...]
    rungs: tuple[float, ...]
    seeds: tuple[str, ...]
    dev: np.ndarray
    test: np.ndarray
    cost: np.ndarray
    shared_cost: np.ndarray


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cell: Cell
    dev: float
    test: float
    cost: float
    shared_cost: float


def read_grid(path: Path) -> Grid:
    """The grid of a CSV file with the columns of `COLUMNS`; others are left aside.

    Raises:
        ConfigError: with file and line, or the cell, of everything that is wrong: a column that is
            missing, a value that is none, a cell recorded twice or not at all, two shared costs.
    """
    problems: list[Problem] = []
    rows: list[_Row] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in _rows(path, lines_of=csv.DictReader(lines)):
                if isinstance(row, Problem):
                    problems.append(row)
                else:
                    rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        rule = "a grid is a CSV file in UTF-8"
        raise ConfigError([Problem(str(path), rule, str(error), "name another")]) from error
    if not rows and not problems:
        problems.append(Problem(str(path), "a grid has a row or more", "none", "record some"))
    _refuse(problems)
    _refuse(_repeated(path, rows))
    grid = _grid(rows)
    _refuse(_holes(path, grid))
    return grid


def prior_of(grid: Grid, others: Sequence[Grid]) -> np.ndarray | None:
    """What other grids say of a grid's candidates, (candidates, targets), in standard deviations of
    a target's candidates, NaN unknown; None where they share none.

    Of a cell the mean of its dev scores over all seeds at the full budget, standardised among those
    of its grid and target; the mean over the grids that have it, else over the candidate's other
    targets.
    """
    found = []
    for other in others:
        values = standardised(other.dev[:, :, -1].mean(-1))
        rows = {name: place for place, name in enumerate(other.candidates)}
        places = {name: place for place, name in enumerate(other.targets)}
        own = np.full((len(grid.candidates), len(grid.targets)), np.nan)
        rest = np.full((len(grid.candidates), 1), np.nan)
        for row, candidate in enumerate(grid.candidates):
            if candidate in rows:
                rest[row] = values[rows[candidate]].mean()
                for place, target in enumerate(grid.targets):
                    if target in places:
                        own[row, place] = values[rows[candidate], places[target]]
        found.append((own, np.broadcast_to(rest, own.shape)))
    if not found:
        return None
    own, rest = (known_mean(parts) for parts in zip(*found, strict=True))
    both = np.where(np.isfinite(own), own, rest)
    return both if np.isfinite(both).any() else None


def _rows(path: Path, lines_of: csv.DictReader[str]) -> Iterator[_Row | Problem]:
    names = list(lines_of.fieldnames or ())
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        rule = f"a grid has the columns {', '.join(COLUMNS)}"
        got = f"no {', '.join(missing)}"
        yield Problem(f"{path}, line 1", rule, got, "add them")
        return
    if twice := sorted(name for name in COLUMNS if names.count(name) > 1):
        rule, got = "a column stands once", f"two or more named {', '.join(twice)}"
        yield Problem(f"{path}, line 1", rule, got, "leave one of each")
        return
    for values in lines_of:
        yield _row(path, lines_of.line_num, values)


def _row(path: Path, line: int, values: dict[str, str]) -> _Row | Problem:
    where = f"{path}, line {line}"
    # csv has the key None for what a line has too much, and the value None for what it lacks.
    if None in values or None in values.values():
        rule = "a line has a value for every column"
        return Problem(where, rule, "another number of values", "write the line anew")
    for name in COLUMNS[:3]:
        if not values[name].strip():
            return Problem(f"{where}, {name}", "it has a name", "nothing", "fill it in")
    numbers = {}
    for name in COLUMNS[3:]:
        try:
            numbers[name] = float(values[name])
        except ValueError:
            numbers[name] = math.nan
        if not math.isfinite(numbers[name]):
            rule = "it is a finite number"
            return Problem(f"{where}, {name}", rule, repr(values[name]), "record the run again")
    if not 0 < numbers["rung"] <= 1:
        rule = "a rung is a share of the full budget, above 0 and at most 1"
        return Problem(f"{where}, rung", rule, values["rung"], "divide by the full budget")
    for name in ("cost", "shared_cost"):
        if numbers[name] < 0:
            return Problem(f"{where}, {name}", "a cost is 0 or more", values[name], "mend it")
    candidate, target, seed = (values[name].strip() for name in COLUMNS[:3])
    cell = (candidate, target, seed, numbers.pop("rung"))
    return _Row(line, cell, **numbers)


def _repeated(path: Path, rows: list[_Row]) -> list[Problem]:
    """Cells that stand twice, and shared costs of which there are two."""
    first: dict[Cell, _Row] = {}
    shared: dict[tuple[str, str, float], _Row] = {}
    found = []
    for row in rows:
        where = f"{path}, line {row.line}"
        earlier = first.setdefault(row.cell, row)
        if earlier is not row:
            rule = "a cell is recorded once"
            got = f"{_named(row.cell)}, which line {earlier.line} has"
            found.append(Problem(where, rule, got, "delete one of the two"))
        candidate, _, seed, rung = row.cell
        other = shared.setdefault((candidate, seed, rung), row)
        if other.shared_cost != row.shared_cost:
            rule = "equal candidate, seed and rung have one shared_cost"
            got = f"{row.shared_cost:g}, and {other.shared_cost:g} in line {other.line}"
            found.append(Problem(f"{where}, shared_cost", rule, got, "write what was paid once"))
    return found


def _grid(rows: list[_Row]) -> Grid:
    columns = list(zip(*(row.cell for row in rows), strict=True))
    candidates, targets, seeds = (tuple(sorted(set(column))) for column in columns[:3])
    # A file without full runs still has the place where they are missing.
    rungs = tuple(sorted({*columns[3], 1.0}))
    shape = len(candidates), len(targets), len(rungs), len(seeds)
    places = [
        {name: place for place, name in enumerate(names)}
        for names in (candidates, targets, rungs, seeds)
    ]
    dev, test, cost = (np.full(shape, np.nan) for _ in range(3))
    shared = np.zeros((shape[0], shape[2], shape[3]))
    for row in rows:
        candidate, target, seed, rung = row.cell
        at = (places[0][candidate], places[1][target], places[2][rung], places[3][seed])
        dev[at], test[at], cost[at] = row.dev, row.test, row.cost
        shared[at[0], at[2], at[3]] = row.shared_cost
    return Grid(candidates, targets, rungs, seeds, dev, test, cost, shared)


def _holes(path: Path, grid: Grid) -> list[Problem]:
    """Cells that a policy could ask for and nobody recorded."""
    missing = np.isnan(grid.dev)
    absent = missing.all(-1, keepdims=True)
    absent[:, :, -1] = False
    rule = "what is recorded of a candidate on a target at a rung has all seeds of the file"
    full = "every candidate has full runs, rung 1, on every target"
    found = []
    for candidate, target, rung, seed in np.argwhere(missing & ~absent):
        cell = (
            grid.candidates[candidate],
            grid.targets[target],
            grid.seeds[seed],
            grid.rungs[rung],
        )
        is_empty = bool(missing[candidate, target, rung].all())
        where = f"{path}: {_named(cell)}"
        found.append(Problem(where, full if is_empty else rule, "a hole", "record the run"))
    return found


def _named(cell: Cell) -> str:
    return f"candidate {cell[0]}, target {cell[1]}, seed {cell[2]}, rung {cell[3]:g}"


def _refuse(problems: list[Problem]) -> None:
    if not problems:
        return
    shown = problems[:_MOST_PROBLEMS]
    if left := len(problems) - len(shown):
        shown.append(Problem("the grid", "every such place is mended", f"{left} more of them"))
    raise ConfigError(shown)

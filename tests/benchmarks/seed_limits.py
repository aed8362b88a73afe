"""Prints what a choice by dev loses with every number of seeds, whatever policy makes it.

    python -m tests.benchmarks.seed_limits GRID.csv

A row for each rung and number of seeds: the regret of the candidate with the highest mean dev score
over so many runs there, the mean over all sets of seeds of that size, in points, by target, and
what these runs cost as a share of three full runs each. The last row of rung 1 knows all that dev
can tell of full runs. Rungs that not all candidates have are left out.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

from xstilts.search.recorded import Grid, read_grid

REFERENCE = 3
"""Full runs of a candidate, of whose cost shares are told."""


def regret_of_all(grid: Grid, seeds: int, rung: int) -> np.ndarray:
    """Regret by target (targets,) of everything with so many of the grid's seeds, all at one of its
    rungs, by place."""
    true = grid.test[:, :, -1].mean(-1)
    targets = np.arange(len(grid.targets))
    each = []
    for chosen in combinations(range(len(grid.seeds)), seeds):
        best = grid.dev[:, :, rung, list(chosen)].mean(-1).argmax(0)
        each.append(true.max(0) - true[best, targets])
    return np.asarray(np.mean(each, 0))


def cost_of_all(grid: Grid, seeds: int, rung: int = -1) -> float:
    """What everything costs with so many seeds at a rung, the mean over seeds."""
    a_seed = grid.cost[:, :, rung].sum((0, 1)) + grid.shared_cost[:, rung].sum(0)
    return float(seeds * a_seed.mean())


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("grid", type=Path, metavar="GRID.csv")
    grid = read_grid(parser.parse_args().grid)
    print(f"| rung | seeds | {' | '.join(grid.targets)} | mean | cost |")
    print("|---" * (len(grid.targets) + 4) + "|")
    full = cost_of_all(grid, REFERENCE)
    for place, rung in enumerate(grid.rungs):
        if np.isnan(grid.dev[:, :, place]).any():
            continue
        for seeds in range(1, len(grid.seeds) + 1):
            regrets = regret_of_all(grid, seeds, place)
            numbers = (*regrets, regrets.mean(), cost_of_all(grid, seeds, place) / full)
            print(f"| {rung:g} | {seeds} | {' | '.join(f'{one:.2f}' for one in numbers)} |")


if __name__ == "__main__":
    main()

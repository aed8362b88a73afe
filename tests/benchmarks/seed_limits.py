"""Prints what a choice by dev loses with every number of seeds, whatever policy makes it.

    python -m tests.benchmarks.seed_limits GRID.csv

A row for each number of seeds: the regret of the candidate with the highest mean dev score over so
many full runs, the mean over all sets of seeds of that size, in points, by target. The last row
knows all that dev can tell; what it loses no policy that sees dev alone can be trusted to save.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

from xstilts.search.recorded import Grid, read_grid


def regret_of_all(grid: Grid, seeds: int) -> np.ndarray:
    """Regret by target (targets,) of everything with so many of the grid's seeds."""
    true = grid.test[:, :, -1].mean(-1)
    targets = np.arange(len(grid.targets))
    each = []
    for chosen in combinations(range(len(grid.seeds)), seeds):
        best = grid.dev[:, :, -1, list(chosen)].mean(-1).argmax(0)
        each.append(true.max(0) - true[best, targets])
    return np.asarray(np.mean(each, 0))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("grid", type=Path, metavar="GRID.csv")
    grid = read_grid(parser.parse_args().grid)
    print(f"| seeds | {' | '.join(grid.targets)} | mean |")
    print("|---" * (len(grid.targets) + 2) + "|")
    for seeds in range(1, len(grid.seeds) + 1):
        regrets = regret_of_all(grid, seeds)
        shown = " | ".join(f"{one:.2f}" for one in (*regrets, regrets.mean()))
        print(f"| {seeds} | {shown} |")


if __name__ == "__main__":
    main()

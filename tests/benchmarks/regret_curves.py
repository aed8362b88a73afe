"""Draws regret against cost for all search policies over recorded grids.

    python -m tests.benchmarks.regret_curves PICTURE.png TITLE=GRID.csv [TITLE=GRID.csv ..]

One panel a grid. A policy has a point for each number of seeds that it may draw of a cell at most
(1, 2, 3, 5, where the grid has as many), joined in that order; the race also with two leaders
confirmed by four seeds. Costs are shares of what everything with three seeds costs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from xstilts.search.policies import POLICIES
from xstilts.search.recorded import Grid, read_grid
from xstilts.search.replay import Options, replay

SEEDS = (1, 2, 3, 5)
CONFIRM = (2, 4)


def curve(grid: Grid, policy: str, replays: int) -> list[tuple[float, float]]:
    """Cost and regret of a policy, by the number of seeds that it may draw."""
    found = []
    for seeds in SEEDS if policy != "random" else (3,):
        if seeds <= len(grid.seeds):
            told = replay(grid, [policy], Options(seeds=seeds, replays=replays))[policy]
            found.append((told["cost"], told["regret"]))
    return found


def confirmed(grid: Grid, replays: int) -> list[tuple[float, float]]:
    """The same of the race with its leaders confirmed."""
    told = replay(grid, ["race"], Options(replays=replays, confirm=CONFIRM))["race"]
    return [(told["cost"], told["regret"])]


def draw(grids: dict[str, Grid], replays: int, picture: Path) -> None:
    """Draw a panel for each grid, and print its figures."""
    figure = Figure(figsize=(4.2 * len(grids), 3.6), layout="constrained")
    panels = figure.subplots(1, len(grids), squeeze=False)[0]
    for axes, (title, grid) in zip(panels, grids.items(), strict=True):
        curves = {name: curve(grid, name, replays) for name in POLICIES}
        curves["race, confirmed"] = confirmed(grid, replays)
        whole = curves["all"][SEEDS.index(3)][0]
        for name, points in curves.items():
            costs, regrets = [cost / whole for cost, _ in points], [regret for _, regret in points]
            axes.plot(costs, regrets, marker="*" if len(points) == 1 else "o", label=name)
            told = ", ".join(f"{c:.2f} {r:.2f}" for c, r in zip(costs, regrets, strict=True))
            print(f"{title}: {name}: {told}", flush=True)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("cost, everything with 3 seeds = 1")
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("regret, points")
    panels[-1].legend(fontsize=8)
    figure.savefig(picture, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("grids", nargs="+", metavar="TITLE=GRID.csv")
    parser.add_argument("--replays", type=int, default=100)
    chosen = parser.parse_args()
    named = dict(given.split("=", 1) for given in chosen.grids)
    grids = {title: read_grid(Path(path)) for title, path in named.items()}
    draw(grids, chosen.replays, chosen.picture)


if __name__ == "__main__":
    main()

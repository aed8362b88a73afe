"""Replays of simulated transfer grids: the regret and the runs of the race beside `all`.

    python -m tests.benchmarks.transfer_grids                # some minutes
    python -m tests.benchmarks.transfer_grids --grids 4      # the same with few grids
    python -m tests.benchmarks.transfer_grids --write FILE   # one grid as a CSV file
    python -m tests.benchmarks.transfer_grids --trials 8     # in a sweep's trials, eight at once
    python -m tests.benchmarks.transfer_grids --prior 4      # other settings of a study as a prior

prints the tables of docs/replay.md, or the last figures of docs/race.md. The variances are fitted
to what regrets of recorded grids of 21 sources, 21 targets and 8 seeds look like: `all` with 1, 2,
3 and 5 seeds at about 0.8, 0.5, 0.3 and 0.12 points, 0.8, 0.55, 0.4 and 0.27 with seeds drawn with
replacement. Means of candidates spread by 0.9 of a typical run's noise, with a tail that harms; the
share of a candidate's effect that all targets have in common is not known from such figures and is
varied. Standard deviations of runs differ log-normally between cells (0.5) and targets (0.4). No
recorded grid is part of the project. Run with one thread of BLAS (OPENBLAS_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from xstilts.search.policies import Board, play_race
from xstilts.search.race import may_be_best, ranking
from xstilts.search.racing import Drawing, decide
from xstilts.search.recorded import COLUMNS, Grid
from xstilts.search.replay import Options, replay

SPREAD, SCALE, TAIL = 0.9, 0.95, 0.4


def transfer_grid(
    seed: int,
    *,
    candidates: int = 21,
    targets: int = 21,
    seeds: int = 8,
    rungs: tuple[float, ...] = (1.0,),
    correlation: float = 0.8,
    main: float = 0.3,
    dev_noise: float = 0.0,
    like: tuple[int, float] | None = None,
) -> Grid:
    """A grid whose truth is simulated, in points.

    `main` is the share of a candidate's variance that all targets have in common. A lower rung
    correlates with the candidates' means as `correlation` says at the lowest, and more above.
    `dev_noise` is the noise, in a run's standard deviations, that dev has and test has not. Grids
    that are `like` one number share this much of the variance of their candidates' means, on each
    target: so are settings of one study.
    """
    generator = np.random.default_rng([21, seed])
    shape = candidates, targets
    means = _means(generator, shape, main)
    if like is not None:
        common = _means(np.random.default_rng([22, like[0]]), shape, main)
        means = like[1] ** 0.5 * common + (1 - like[1]) ** 0.5 * means
    spreads = np.exp(generator.normal(0, 0.5, shape))
    scale = SCALE * np.exp(generator.normal(0, 0.4, targets))
    test = np.zeros((*shape, len(rungs), seeds))
    cost, shared = np.zeros(test.shape), np.zeros((candidates, len(rungs), seeds))
    for place, rung in enumerate(rungs):
        r = correlation + (1 - correlation) * place / max(len(rungs) - 1, 1)
        other = means.std(0) * generator.normal(0, 1, shape)
        at_rung = r * means + (1 - r**2) ** 0.5 * other
        noise = generator.normal(0, 1, (*shape, seeds))
        test[:, :, place] = (at_rung[..., None] + spreads[..., None] * noise) * scale[:, None]
        cost[:, :, place], shared[:, place] = rung, 2 * rung
    levels = 60 + 10 * generator.normal(0, 1, targets)
    test += levels[:, None, None]
    dev = test + dev_noise * scale[:, None, None] * generator.normal(0, 1, test.shape)
    return Grid(
        candidates=tuple(f"c{number:02}" for number in range(candidates)),
        targets=tuple(f"t{number:02}" for number in range(targets)),
        rungs=rungs,
        seeds=tuple(str(number) for number in range(seeds)),
        dev=dev,
        test=test,
        cost=cost,
        shared_cost=shared,
    )


def _means(generator: np.random.Generator, shape: tuple[int, int], main: float) -> np.ndarray:
    """True means of candidates on targets, in a typical run's standard deviations."""
    one = shape[0], 1
    means = SPREAD * main**0.5 * generator.normal(0, 1, one)
    means = means + SPREAD * (1 - main) ** 0.5 * generator.normal(0, 1, shape)
    for size, share in ((one, main), (shape, 1 - main)):
        harms = generator.random(size) < TAIL
        means = means - 1.2 * share**0.5 * harms * generator.exponential(1, size)
    return np.asarray(means)


def write_grid(grid: Grid, path: Path) -> None:
    """The grid as the file that `python -m xstilts.search.replay` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for at in zip(*np.nonzero(np.isfinite(grid.dev)), strict=True):
            candidate, target, rung, seed = (int(place) for place in at)
            names = grid.candidates[candidate], grid.targets[target], grid.seeds[seed]
            numbers = (float(array[at]) for array in (grid.dev, grid.test, grid.cost))
            shared = float(grid.shared_cost[candidate, rung, seed])
            writer.writerow([*names, grid.rungs[rung], *numbers, shared])


def measured(grids: list[Grid], policy: str, replays: int, options: Options) -> dict[str, float]:
    """Means over the grids: regrets, runs a target, cost."""
    rows = []
    for number, grid in enumerate(grids):
        own = Options(options.seeds, replays, 1000 * options.seed + number, None, options.confirm)
        found = replay(grid, [policy], own)[policy]
        runs = found["runs"] / len(grid.targets)
        rows.append([found["regret"], found["regret_replaced"], runs, found["cost"]])
    return dict(zip(("regret", "replaced", "runs", "cost"), np.mean(rows, 0).tolist(), strict=True))


def ties_of_race_hold_best(grids: int, *, seed: int = 0) -> tuple[float, float]:
    """How often the race's set of ties holds the candidate that is truly best, percent, and its
    mean size: of grids of 21 candidates by 21 targets whose true means are their test means."""
    held, size, count = 0, 0, 0
    for number in range(grids):
        grid = transfer_grid(seed + number, seeds=400)
        board = Board(grid.dev[..., :3], 3)
        play_race(board, number)
        best = grid.test[:, :, -1].mean(-1).argmax(0)
        for target in range(len(grid.targets)):
            inside = may_be_best(board.full[:, target], 3)
            held, size, count = held + bool(inside[best[target]]), size + inside.sum(), count + 1
    return 100 * held / count, size / count


def play_trials(dev: np.ndarray, workers: int, seed: int) -> tuple[np.ndarray, int]:
    """A race in a sweep's trials, as `xstilts.search.racing` decides them: what was seen,
    (candidates, columns, draws), and the number of trials.

    `dev` has that shape; so many trials run at once, any of which may end next.
    """
    generator = np.random.default_rng(seed)
    seen, running, trials = np.full(dev.shape, np.nan), list[Drawing](), 0
    available = np.ones(dev.shape[:2], dtype=bool)
    while True:
        while len(running) < workers:
            found = decide(seen, running, available, seed)
            begun = {one[:2] for one in running}
            free = [one for one in (*found.first, *found.further) if one[:2] not in begun]
            if not free:
                break
            running.append(free[0])
            trials += 1
        if not running:
            return seen, trials
        candidate, draw, columns, _ = running.pop(int(generator.integers(len(running))))
        at = candidate, list(columns), draw
        assert np.isnan(seen[at]).all(), "no run is drawn twice"
        seen[at] = dev[at]


def print_trials(grids: int, workers: int) -> None:
    """Regret and runs a target of races in trials beside those of `play_race`."""
    rows = []
    for number in range(grids):
        grid = transfer_grid(number)
        truth = grid.test[:, :, 0].mean(-1)
        board = Board(grid.dev[..., :3], 3)
        seen, trials = play_trials(grid.dev[:, :, 0, :3], workers, number)
        row = [float(trials)]
        for chosen, counts in (
            (ranking(seen[:, :, None], 3)[0], np.isfinite(seen)),
            (play_race(board, number)[0], np.isfinite(board.seen)),
        ):
            best = truth[chosen, np.arange(len(chosen))]
            row += [float((truth.max(0) - best).mean()), counts.sum() / len(chosen)]
        rows.append(row)
    found = dict(
        zip(("trials", "regret", "runs", "by run", "runs by run"), np.mean(rows, 0), strict=True)
    )
    print(", ".join(f"{name} {value:.3f}" for name, value in found.items()))


def print_prior(studies: int, replays: int, settings: int = 9) -> None:
    """Regret and runs a target with the other settings of a study as a prior and without, by the
    share of candidates' variance that settings have in common."""
    print("| share in common | regret, none | runs | regret, prior | runs |")
    print("|---|---|---|---|---|")
    for share in (0.0, 0.25, 0.5, 0.75, 0.9):
        rows = []
        for study in range(studies):
            grids = [
                transfer_grid(settings * study + number, like=(study, share))
                for number in range(settings)
            ]
            for grid in grids:
                others = tuple(other for other in grids if other is not grid)
                found = [
                    replay(grid, ["race"], Options(3, replays, study, prior=prior))["race"]
                    for prior in ((), others)
                ]
                values = [[one["regret"], one["runs"] / len(grid.targets)] for one in found]
                rows.append(np.concatenate(values))
        shown = " | ".join(f"{one:.3g}" for one in np.mean(rows, 0))
        print(f"| {share:g} | {shown} |", flush=True)


CASES: tuple[tuple[str, str, Options], ...] = (
    ("all, 3 seeds", "all", Options()),
    ("random", "random", Options()),
    ("halving", "halving", Options()),
    ("hyperband", "hyperband", Options()),
    ("race, 3 seeds", "race", Options()),
    ("race, 3 seeds, confirm 2,4", "race", Options(confirm=(2, 4))),
    ("race, 8 seeds", "race", Options(seeds=8)),
)

WORLDS: tuple[tuple[str, dict[str, object]], ...] = (
    ("21 x 21, 0.3 in common", {}),
    ("21 x 21, 0.1 in common", {"main": 0.1}),
    ("21 x 21, 0.6 in common", {"main": 0.6}),
    ("21 x 21, dev noisier than test", {"dev_noise": 0.5}),
    ("12 x 4, rungs, correlation 0.8", {"candidates": 12, "targets": 4, "rungs": (0.1, 0.3, 1.0)}),
    (
        "12 x 4, rungs, correlation 0",
        {"candidates": 12, "targets": 4, "rungs": (0.1, 0.3, 1.0), "correlation": 0.0},
    ),
)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grids", type=int, default=20)
    parser.add_argument("--replays", type=int, default=2)
    parser.add_argument("--only", help="worlds and policies whose names hold this, as WORLD/POLICY")
    parser.add_argument("--trials", type=int, help="play races in trials, so many at once")
    parser.add_argument("--write", type=Path, help="write one grid and end")
    parser.add_argument("--prior", type=int, help="play with a prior, of so many studies")
    given = parser.parse_args()
    if given.write:
        write_grid(transfer_grid(0), given.write)
        return
    if given.prior:
        print_prior(given.prior, given.replays)
        return
    if given.trials:
        print_trials(given.grids, given.trials)
        return
    world_part, _, policy_part = (given.only or "/").partition("/")
    for world, how in WORLDS:
        if world_part not in world:
            continue
        count = given.grids * (1 if how.get("targets", 21) == 21 else 5)
        grids = [transfer_grid(number, **how) for number in range(count)]  # type: ignore[arg-type]
        print(
            f"\n{world}\n\n| policy | regret | replaced | runs a target | cost |"
            "\n|---|---|---|---|---|"
        )
        for name, policy, options in CASES:
            if name.startswith("all") or policy_part in name:
                found = measured(grids, policy, given.replays, options)
                print(
                    f"| {name} | " + " | ".join(f"{one:.3g}" for one in found.values()) + " |",
                    flush=True,
                )
    if not given.only:
        held, size = ties_of_race_hold_best(given.grids)
        print(f"\nthe race's set of ties holds the best: {held:.1f} %, mean size {size:.1f}")


if __name__ == "__main__":
    main()

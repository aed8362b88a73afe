"""Whether what a sweep says is true as often as it claims, on simulated sweeps of known truth.

    python -m tests.benchmarks.coverage            # all tables, some minutes
    python -m tests.benchmarks.coverage --quick    # the same with few draws, for CI
    python -m tests.benchmarks.coverage --only gains
    python -m tests.benchmarks.coverage --grid GRID.csv    # sizes of sets on a recorded grid

prints the tables of docs/statistics.md: `gains`, how often the 95 % interval of a gain holds the
true one, beside percentile bootstraps of the same runs; `moderated`, the same where a target's
candidates are moderated; `none`, how often noise is called better than none; `ties`, how often
the set of ties holds the best; `grids`, its size on grids; `speed`. Run with one thread of BLAS
(OPENBLAS_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from tests.benchmarks.worlds import WORLDS, Table, grid, scores_of, table
from xstilts.config.derive import NONE
from xstilts.scores.arms import arms_of
from xstilts.scores.better import compare, holm
from xstilts.scores.items import item_covariance
from xstilts.scores.ties import ties
from xstilts.scores.variance import gain, item_part
from xstilts.scores.verdict import TargetRuns, verdicts
from xstilts.search.recorded import read_grid

SEEDS = (3, 5, 8)
SPREADS = ((0.05, 0.05), (0.02, 0.1), (0.1, 0.02), (0.15, 0.15))
"""Standard deviations over seeds of baseline and candidate: about 1 and 1, 0.4 and 2, 2 and 0.4,
3 and 3 points."""

Row = Sequence[object]


def gain_coverage(
    tables: int, seeds: int, spreads: tuple[float, float], *, shared: float = 0.0, seed: int = 0
) -> dict[str, float]:
    """How often 95 % intervals hold the true gain, percent: unpaired and paired t, and percentile
    bootstraps, of seeds alone and of seeds and items, of a quarter of the tables."""
    generator = np.random.default_rng([seed, seeds])
    hits = {"unpaired": 0, "paired": 0, "seeds": 0, "seeds and items": 0}
    bootstraps = max(tables // 4, min(tables, 40))
    for number in range(tables):
        drawn = table(generator, seeds, spreads, shared=shared)
        scores, item_variance, values = _runs(drawn)
        for name in ("unpaired", "paired"):
            found = gain(
                scores[:seeds],
                scores[seeds:],
                item_variance=item_variance,
                num_items=values.shape[1],
                paired=name == "paired",
            )
            hits[name] += found.low <= drawn.gain <= found.high
        if number >= bootstraps:
            continue
        for name in ("seeds", "seeds and items"):
            low, high = _percentiles(values, seeds, generator, items=name != "seeds")
            hits[name] += low <= drawn.gain <= high
    return {
        name: 100 * count / (tables if name.endswith("paired") else bootstraps)
        for name, count in hits.items()
    }


def _runs(drawn: Table) -> tuple[np.ndarray, float, np.ndarray]:
    """Scores of the candidate's runs, then the baseline's; the item part; values by item."""
    seeds, items, languages = drawn.candidate.shape
    outcomes = np.concatenate([drawn.candidate, drawn.baseline])
    covariance = item_covariance(
        outcomes.reshape(2 * seeds, -1),
        np.repeat(np.arange(items), languages),
        np.tile(np.arange(languages), items),
    )
    part = item_part(covariance, np.arange(seeds), np.arange(seeds, 2 * seeds))
    return outcomes.mean((1, 2)), part, outcomes.mean(2)


def _percentiles(
    values: np.ndarray,
    seeds: int,
    generator: np.random.Generator,
    *,
    items: bool,
    resamples: int = 300,
) -> np.ndarray:
    """The percentile interval of a gain where seeds are resampled, and `items` as well or not."""
    count = values.shape[1]
    weights = np.full((resamples, count), 1 / count)
    if items:
        weights = generator.multinomial(count, weights[0], resamples) / count
    scores = weights @ values.T
    picked = [generator.integers(0, seeds, (resamples, seeds)) + begin for begin in (0, seeds)]
    own, other = (np.take_along_axis(scores, places, 1).mean(1) for places in picked)
    return np.asarray(np.quantile(own - other, [0.025, 0.975]))


def moderated_coverage(
    draws: int, seeds: int, spreads: np.ndarray, *, item: float = 0.3, seed: int = 0
) -> np.ndarray:
    """How often the intervals of candidates' gains hold the true 0, percent (candidates,), where
    their variances are moderated; `spreads` (arms,), the baseline's first."""
    generator = np.random.default_rng([seed, seeds])
    arms = len(spreads)
    hits = np.zeros(arms - 1)
    number = np.repeat(np.arange(arms), seeds)
    covariance = item**2 / 2 * (number[:, None] == number)
    for _ in range(draws):
        scores = _noise(generator, spreads, seeds, item)
        found = arms_of(
            scores.ravel(), number, arms, baseline=0, covariance=covariance, num_items=400
        )
        for arm in range(1, arms):
            interval = found.gain(arm, 0)
            hits[arm - 1] += interval.low <= 0 <= interval.high
    return 100 * hits / draws


def _noise(
    generator: np.random.Generator, spreads: np.ndarray, seeds: int, item: float
) -> np.ndarray:
    """Scores (arms, seeds) of arms that are all equal: noise of seeds, and of each arm's items."""
    runs = spreads[:, None] * generator.normal(0, 1, (len(spreads), seeds))
    return np.asarray(runs + item / 2**0.5 * generator.normal(0, 1, (len(spreads), 1)))


def better_by_noise(
    sweeps: int, seeds: int, *, targets: int = 9, candidates: int = 12, seed: int = 0
) -> float:
    """How often a sweep of nothing but noise calls any of its targets better than none, percent.

    Standard deviations between 1 and 5, drawn by target; search takes the three highest of the
    candidates by a run each, which are confirmed with fresh seeds.
    """
    generator = np.random.default_rng([seed, seeds])
    wrong = 0
    for _ in range(sweeps):
        p = []
        for _ in range(targets):
            runs = noise_target(generator, seeds, candidates)
            confirmed = runs.confirms.nonzero()[0]
            covariance = np.asarray(runs.covariance)[np.ix_(confirmed, confirmed)]
            arms = arms_of(
                runs.scores[confirmed],
                runs.arms[confirmed],
                len(runs.names),
                baseline=0,
                covariance=covariance,
                num_items=runs.num_items,
            )
            p.append(compare(arms, 0, [runs.names.index(name) for name in runs.leaders]).p)
        wrong += bool(holm(p, 0.05).any())
    return 100 * wrong / sweeps


def noise_target(
    generator: np.random.Generator, seeds: int, candidates: int, top: int = 3
) -> TargetRuns:
    """A target in which no candidate differs from `none`, searched and confirmed."""
    names = (NONE, *(f"c{number}" for number in range(candidates)))
    spreads, item = generator.permutation(np.linspace(1, 5, len(names))), 0.5
    fixed = item * generator.normal(0, 1, (len(names), 1))
    runs = spreads[:, None] * generator.normal(0, 1, (len(names), 1 + seeds)) + fixed
    order = 1 + np.argsort(-runs[1:, 0])[:top]
    confirmed = np.concatenate([[0], order])
    arms = np.concatenate([np.arange(len(names)), np.repeat(confirmed, seeds)])
    scores = np.concatenate([runs[:, 0], runs[confirmed, 1:].ravel()])
    number = np.concatenate([np.zeros(len(names), int), np.tile(np.arange(1, seeds + 1), top + 1)])
    return TargetRuns(
        names=names,
        arms=arms,
        seeds=number,
        scores=scores,
        learnt=np.ones(len(arms), bool),
        confirms=number > 0,
        leaders=tuple(names[arm] for arm in order),
        covariance=item**2 * (arms[:, None] == arms),
        num_items=400,
    )


def ties_hold_best(
    worlds: int, name: str, seeds: int, *, candidates: int = 12, seed: int = 0
) -> tuple[float, float]:
    """How often the set of ties holds the best candidate, percent, and its mean size."""
    generator = np.random.default_rng([seed, seeds])
    held, size = 0, 0
    for _ in range(worlds):
        world = WORLDS[name](generator, candidates)
        scores, numbers = scores_of(world, generator, seeds)
        inside = ties(arms_of(scores, numbers, candidates)).inside
        held += bool(inside[int(np.argmax(world.means))])
        size += int(inside.sum())
    return 100 * held / worlds, size / worlds


def sizes_on_grids(grids: int, *, seed: int = 0) -> tuple[float, float]:
    """Mean sizes of the set of the best on grids of 21 candidates with 3 seeds: by Bonferroni
    with own variances, and by `ties`."""
    generator = np.random.default_rng(seed)
    sizes = []
    for _ in range(grids):
        scores = grid(generator)
        sizes.append((_bonferroni(scores), _inside(scores).sum()))
    bonferroni, size = np.mean(sizes, 0)
    return float(bonferroni), float(size)


def _inside(scores: np.ndarray) -> np.ndarray:
    """Whether each candidate is in the set of ties, by scores (candidates, seeds)."""
    numbers = np.repeat(np.arange(len(scores)), scores.shape[1])
    return ties(arms_of(scores.ravel(), numbers, len(scores))).inside


def sizes_on_recorded(path: Path, seeds: int = 3) -> list[list[object]]:
    """A row a target of a recorded grid: its name, mean sizes of the set of the best by Bonferroni
    with own variances and by `ties`, their ratio, and how often the second holds the candidate
    with the best mean over all seeds, percent. Every choice of so many seeds is a draw.
    """
    recorded = read_grid(path)
    rows: list[list[object]] = []
    for target, name in enumerate(recorded.targets):
        scores = recorded.test[:, target, -1]
        best = int(scores.mean(1).argmax())
        sizes, held = [], 0
        draws = list(combinations(range(scores.shape[1]), seeds))
        for draw in draws:
            inside = _inside(scores[:, draw])
            sizes.append((_bonferroni(scores[:, draw]), inside.sum()))
            held += bool(inside[best])
        bonferroni, size = map(float, np.mean(sizes, 0))
        rows.append([name, bonferroni, size, size / bonferroni, 100 * held / len(draws)])
    return rows


def _bonferroni(scores: np.ndarray, alpha: float = 0.05) -> int:
    """Candidates that no rival beats by Welch's one-sided test at alpha over all rivals."""
    count, seeds = scores.shape
    means, variances = scores.mean(1), scores.var(1, ddof=1) / seeds
    both = variances + variances[:, None]
    dof = both**2 / ((variances**2 + variances[:, None] ** 2) / (seeds - 1))
    p = student.sf((means - means[:, None]) / np.sqrt(both), dof)
    np.fill_diagonal(p, 1.0)
    return int((p > alpha / (count - 1)).all(1).sum())


def seconds_of_verdicts(
    languages: int = 40, targets: int = 9, trials: int = 60, items: int = 300
) -> float:
    """CPU seconds from outcomes by item to the verdicts of a sweep."""
    generator = np.random.default_rng(0)
    outcomes = 100.0 * (generator.random((trials, items * languages)) < 0.7)
    item_of = np.repeat(np.arange(items), languages)
    language_of = np.tile(np.arange(languages), items)
    names = (NONE, *(f"c{number}" for number in range(12)))
    arms = np.concatenate([np.arange(13), np.arange(13), np.arange(13), np.repeat(np.arange(4), 6)])
    confirms = np.arange(trials) >= trials - 21
    begun = time.process_time()
    verdicts(
        {
            str(target): TargetRuns(
                names=names,
                arms=arms[:trials],
                seeds=np.arange(trials),
                scores=outcomes.mean(1),
                learnt=np.ones(trials, bool),
                confirms=confirms,
                leaders=names[1:4],
                hours=np.ones(trials),
                covariance=item_covariance(outcomes, item_of, language_of),
                num_items=items,
            )
            for target in range(targets)
        }
    )
    return time.process_time() - begun


def _gains(many: int) -> None:
    rows = []
    for spreads in SPREADS:
        for seeds in SEEDS:
            found = gain_coverage(many, seeds, spreads)
            rows.append([f"{spreads[0]:g}, {spreads[1]:g}", seeds, *found.values()])
    found = gain_coverage(many, 5, (0.05, 0.05), shared=0.5)
    rows.append(["0.05, 0.05, half in common", 5, *found.values()])
    _print(
        [
            "sd of baseline, candidate",
            "seeds",
            "unpaired",
            "paired",
            "bootstrap of seeds",
            "of seeds and items",
        ],
        rows,
    )


SPREADS_OF_ARMS: dict[str, Callable[[int], np.ndarray]] = {
    "all 1": lambda arms: np.ones(arms),
    "1 to 5, none 1": lambda arms: np.linspace(1, 5, arms),
    "1 to 5, none 5": lambda arms: np.linspace(5, 1, arms),
    "one of 5, others 1": lambda arms: np.r_[np.ones(arms - 1), 5],
    "none 5, others 1": lambda arms: np.r_[5, np.ones(arms - 1)],
}


def _moderated(many: int) -> None:
    rows = []
    for name, spreads in SPREADS_OF_ARMS.items():
        for seeds in SEEDS:
            found = moderated_coverage(many, seeds, spreads(4))
            rows.append([name, seeds, found.mean(), found.min()])
    _print(["sd of none and three candidates", "seeds", "mean", "lowest candidate"], rows)


def _none(many: int) -> None:
    rows = [[seeds, better_by_noise(many, seeds)] for seeds in SEEDS]
    _print(["seeds", "sweeps with a wrong better than none, %"], rows)


def _ties(many: int) -> None:
    rows = []
    for name in WORLDS:
        for seeds in SEEDS:
            rows.append([name, seeds, *ties_hold_best(many, name, seeds)])
    _print(["world", "seeds", "holds the best, %", "mean size of 12"], rows)


def _grids(many: int) -> None:
    bonferroni, size = sizes_on_grids(max(many // 2, 10))
    _print(
        ["Bonferroni, own variances", "set of ties", "ratio"],
        [[bonferroni, size, size / bonferroni]],
    )


def _speed(many: int) -> None:
    _print(["40 languages x 9 targets x 60 trials x 300 items, CPU s"], [[seconds_of_verdicts()]])


def _print(heads: Sequence[str], rows: Sequence[Row]) -> None:
    print("\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in rows:
        cells = [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row]
        print("| " + " | ".join(cells) + " |", flush=True)


TABLES: dict[str, Callable[[int], None]] = {
    "gains": _gains,
    "moderated": _moderated,
    "none": _none,
    "ties": _ties,
    "grids": _grids,
    "speed": _speed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 draws in place of 1,000")
    parser.add_argument("--only", choices=TABLES, action="append")
    parser.add_argument("--grid", type=Path)
    arguments = parser.parse_args()
    if arguments.grid is not None:
        heads = ["target", "Bonferroni, own variances", "set of ties", "ratio", "holds the best, %"]
        _print(heads, sizes_on_recorded(arguments.grid))
        return
    for name in arguments.only or TABLES:
        begun = time.perf_counter()
        print(f"\n## {name}", flush=True)
        TABLES[name](40 if arguments.quick else 1000)
        print(f"\n{time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()

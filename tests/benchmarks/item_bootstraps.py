"""How long a bootstrap of a study's items takes, and whether blocks give the items' standard error.

    python -m tests.benchmarks.item_bootstraps            # the figures of docs/study_statistics.md
    python -m tests.benchmarks.item_bootstraps --quick    # the same, small

`speed`: ten tasks, six of them parallel, 50 languages, 1,000 items each, two arms of five seeds,
2,000 draws; seconds, CPU-seconds and the most memory. `blocks`: sets above 2,000 items, the
standard error of the difference of two arms by blocks beside that of items, known for a mean.
Run with one thread of BLAS (OPENBLAS_NUM_THREADS=1) where other work shares the machine.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from xstilts.scores.contrasts import Outcomes
from xstilts.scores.item_bootstrap import item_bootstrap


def study(tasks: int, languages: int, items: int, runs: int, seed: int = 0) -> Outcomes:
    """Outcomes 0 or 100 of tasks by languages, six tasks in ten of them parallel."""
    generator = np.random.default_rng(seed)
    values, numbers = [], []
    for task in range(tasks):
        ability = generator.normal(0, 1, (1, languages, 1)) + generator.normal(0, 1, (1, 1, items))
        right = generator.normal(0, 1, (runs, languages, items)) < ability
        values.append(np.where(right, np.float32(100), np.float32(0)).reshape(runs, -1))
        own = np.arange(languages * items)
        is_parallel = task < 0.6 * tasks
        numbers.append(task * languages * items + (own % items if is_parallel else own))
    cells = np.repeat(np.arange(tasks * languages), items)
    return Outcomes(np.concatenate(values, axis=1), cells, np.concatenate(numbers))


def speed(quick: bool) -> dict[str, float]:
    """Seconds, CPU-seconds, and the process's most memory in GB, its outcomes among it."""
    outcomes = study(2, 4, 200, 4) if quick else study(10, 50, 1000, 10)
    begun, cpu = time.perf_counter(), time.process_time()
    drawn = item_bootstrap(outcomes, draws=200 if quick else 2000)
    half = drawn.shape[1] // 2
    assert np.isfinite(drawn[:, :half].mean(1) - drawn[:, half:].mean(1)).all()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "seconds": time.perf_counter() - begun,
        "CPU-seconds": time.process_time() - cpu,
        "GB": memory,
    }


def blocks(items: int, draws: int = 2000, sets: int = 20) -> dict[str, float]:
    """Standard errors of a difference of two arms by blocks, over those of its items: the mean
    ratio, and the furthest from 1; 2,000 draws alone are known to 1.6 %."""
    ratios = []
    for seed in range(sets):
        own = study(1, 1, items, 2, seed)
        drawn = item_bootstrap(own, draws=draws, seed=seed)
        found = (drawn[:, 0, 0] - drawn[:, 1, 0]).std(ddof=1)
        difference = own.values[0] - own.values[1]
        ratios.append(float(found / (difference.std() / items**0.5)))
    return {
        "items": items,
        "mean ratio": float(np.mean(ratios)),
        "furthest": float(np.abs(np.array(ratios) - 1).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    print({name: round(value, 2) for name, value in speed(quick).items()})
    for items in (2500,) if quick else (2500, 5000, 20_000):
        print({k: round(v, 4) for k, v in blocks(items, 500 if quick else 20_000).items()})


if __name__ == "__main__":
    main()

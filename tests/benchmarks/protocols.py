"""Measures what each selection of a checkpoint costs, in worlds of the miniature benchmark.

    python -m tests.benchmarks.protocols FOLDER [--worlds shipped morphology domain] [--seeds 3]

trains every target after every candidate with every seed, and scores each of ten checks by all that
could choose among them (`protocol_runs`). It prints, by target, the regret of each protocol to the
oracle, the check with the highest mean zero-shot test score, and the rank correlation over checks
of what the protocol goes by with that score; of several worlds also how far each protocol's
regret is from that of `best`. A run takes half a minute of one idle core, a world of three
candidates and three seeds ten; what was interrupted goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from scipy.stats import spearmanr

from tests.benchmarks.mini_worlds import SHIPPED, STEPS, WORLDS, world_of
from tests.benchmarks.protocol_runs import (
    ENGLISH,
    TARGETS,
    Bench,
    Check,
    Run,
    Weights,
    mean_of_runs,
    zero_shot,
)
from xstilts.files import read_json, write_json

CANDIDATES = ("none", "nli", "qa")

CRITERIA: dict[str, Callable[[Check], float]] = {
    "best": lambda check: check.sample,
    "best, all rows": lambda check: check.dev[ENGLISH],
    "last": lambda check: check.step,
    "consistency": lambda check: check.consistency,
    "retrieval": lambda check: check.retrieval,
}
"""What the protocols go by that use no label of another language than English."""

WITH_LABELS: dict[str, Callable[[Check, str], float]] = {
    "pivot": lambda check, pivot: (check.dev[ENGLISH] + check.dev[pivot]) / 2,
    "pivot alone": lambda check, pivot: check.dev[pivot],
}
"""What those go by that use the dev labels of one more language."""

PROTOCOLS = (
    *("best", "best, all rows", "last", "average", "seeds", "consistency", "retrieval"),
    *WITH_LABELS,
)


def chosen(values: Sequence[float]) -> int:
    """The check that a protocol chooses: the first of the highest."""
    return max(range(len(values)), key=values.__getitem__)


def rank_correlation(values: Sequence[float], scores: Sequence[float]) -> float | None:
    """Spearman's over checks; None where either says one thing only."""
    if len(set(values)) == 1 or len(set(scores)) == 1:
        return None
    return float(spearmanr(values, scores).statistic)


def measured(run: Run) -> dict[str, tuple[float, float | None]]:
    """By protocol, a run's regret and rank correlation. Where a protocol uses labels of a language,
    that is left out of the scores; every language is the pivot once."""
    scores = [check.zero_shot for check in run.checks]
    found: dict[str, tuple[float, float | None]] = {
        "average": (max(scores) - zero_shot(run.average), None)
    }
    for name, criterion in CRITERIA.items():
        values = [criterion(check) for check in run.checks]
        found[name] = max(scores) - scores[chosen(values)], rank_correlation(values, scores)
    pivots = [language for language in run.average if language != ENGLISH]
    for name, by_pivot in WITH_LABELS.items():
        regrets, correlations = [], []
        for pivot in pivots:
            values = [by_pivot(check, pivot) for check in run.checks]
            rest = [
                zero_shot({x: value for x, value in check.test.items() if x != pivot})
                for check in run.checks
            ]
            regrets.append(max(rest) - rest[chosen(values)])
            correlations.append(rank_correlation(values, rest))
        found[name] = fmean(regrets), _mean(correlations)
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


Averages = Mapping[tuple[str, str], float]
"""The zero-shot test score of the mean of all seeds' weights, by target and candidate."""


def table_of(runs: Sequence[Run], of_seeds: Averages) -> list[list[str]]:
    """Rows of protocol, then by target and over all regret with rank correlation in brackets."""
    every = [(run, measured(run)) for run in runs]
    oracle: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        best = max(check.zero_shot for check in run.checks)
        oracle.setdefault((run.target, run.candidate), []).append(best)
    rows = []
    for protocol in PROTOCOLS:
        cells = []
        for targets in (*((name,) for name in TARGETS), TARGETS):
            if protocol == "seeds":
                # Its oracle is the mean over seeds of the best check of each.
                regrets = [
                    fmean(oracle[key]) - of_seeds[key] for key in of_seeds if key[0] in targets
                ]
                rank = None
            else:
                own = [found[protocol] for run, found in every if run.target in targets]
                regrets, rank = [regret for regret, _ in own], _mean(rank for _, rank in own)
            text = f"{np.mean(regrets):.2f}" if regrets else "-"
            cells.append(text if rank is None else f"{text} ({rank:+.2f})")
        rows.append([protocol, *cells])
    return rows


def compared(by_world: Mapping[str, Sequence[Run]]) -> list[list[str]]:
    """Rows of protocol, its mean regret in each world and over worlds, and how much more that is
    than `best` has, with 95 % by the normal distribution over runs: what a world adds to that, so
    few of them cannot say."""
    regrets = {
        world: [{name: regret for name, (regret, _) in measured(run).items()} for run in runs]
        for world, runs in by_world.items()
    }
    rows = []
    for protocol in PROTOCOLS:
        if protocol == "seeds":  # of which there is one for all seeds
            continue
        means = [fmean(run[protocol] for run in runs) for runs in regrets.values()]
        more = np.array([run[protocol] - run["best"] for runs in regrets.values() for run in runs])
        half = 1.96 * more.std(ddof=1) / len(more) ** 0.5
        cells = [f"{mean:.2f}" for mean in (*means, fmean(means))]
        rows.append([protocol, *cells, f"{more.mean():+.2f} ± {half:.2f}"])
    return rows


def print_table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """A table in Markdown."""
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def measure(folder: Path, world: str, steps: int, seeds: int) -> tuple[list[Run], Averages]:
    """All runs of a world, those that are missing trained now."""
    own = folder / world
    own.mkdir(parents=True, exist_ok=True)
    bench = Bench(world_of(world, folder, steps), own / "runs", CANDIDATES, seeds)
    runs = []
    for seed in range(seeds):
        for candidate in CANDIDATES:
            for target in TARGETS:
                file = own / f"{target}-{candidate}-{seed}.json"
                if not file.exists():
                    run, last = bench.run(target, candidate, seed)
                    torch.save(last, file.with_suffix(".pt"))
                    write_json(file, run.to_json())
                runs.append(Run.of(read_json(file)))
    of_seeds = {}
    for run in runs[: len(CANDIDATES) * len(TARGETS)]:
        name = f"{run.target}-{run.candidate}"
        file = own / f"{name}-{seeds}-seeds.json"
        if not file.exists():
            weights: dict[int, Weights] = {
                seed: torch.load(own / f"{name}-{seed}.pt") for seed in range(seeds)
            }
            together = mean_of_runs(weights, dict.fromkeys(weights, 0))
            write_json(file, {"scores": bench.scores_of(run, together)})
        of_seeds[run.target, run.candidate] = zero_shot(read_json(file)["scores"])
    return runs, of_seeds


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worlds", nargs="+", default=[SHIPPED], choices=[SHIPPED, *WORLDS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS, help="of a world's pretraining")
    given = parser.parse_args()
    torch.set_num_threads(1)
    by_world = {}
    for world in given.worlds:
        runs, of_seeds = measure(given.folder, world, given.steps, given.seeds)
        by_world[world] = runs
        print(f"\n{world}, {given.seeds} seeds: regret to the oracle (rank correlation)\n")
        print_table(table_of(runs, of_seeds), ["protocol", *TARGETS, "mean"])
    if len(by_world) > 1:
        print("\nmean regret by world, and over worlds with what `best` has less\n")
        print_table(compared(by_world), ["protocol", *by_world, "mean", "more than best"])


if __name__ == "__main__":
    main()

"""Whether a study's interaction is true as often as it says, on simulated tables of known truth.

    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.study_coverage            # half an hour
    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.study_coverage --quick    # few tables
    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.study_coverage --cases 0,1

prints the table of docs/study_statistics.md, a row a case of `study_worlds`, which is not the model
that is fitted: how often the 95 % interval covers a planted interaction; how often a difference is
claimed where there is none; and how often one is found, significant and of the right sign, of the
size at which the design's own statement gives a probability of 85 %. That statement is a median
over tables of its own. An effect moves an estimate and leaves its error as it is, so that all three
are read off the same fits.
"""

from __future__ import annotations

import argparse
from dataclasses import astuple, dataclass

import numpy as np

from tests.benchmarks.study_worlds import CASES, World, drawn
from xstilts.scores.mixed_dof import judge
from xstilts.scores.slope_checks import by_intermediate, detectable, permutation_p
from xstilts.scores.slopes import interaction

COLUMNS = (
    *("case", "covers, %", "claims, %", "effect, points", "finds, %", "width, points"),
    *("covers by Satterthwaite, %", "by intermediate, %", "permutation below 0.05, %"),
)
STATED = 0.85
PLANTED = 1.0


@dataclass(frozen=True, slots=True)
class Held:
    """Shares of a case's tables, percent; `effect` and `width` in points."""

    covers: float
    claims: float
    effect: float
    finds: float
    width: float
    satterthwaite: float
    by_intermediate: float
    permuted: float


def measured(world: World, tables: int, *, statements: int = 5, draws: int = 200) -> Held:
    """One case. `statements` tables, which are none of the others, give the power statement."""
    smallest = []
    for seed in range(statements):
        table = drawn(world, 1_000_000 + seed)
        found = interaction(table.rows, table.of_sources, table.of_targets, table.families)
        smallest.append(detectable(found, power=STATED, draws=draws))
    effect = float(np.median(smallest))
    rows = []
    for seed in range(tables):
        table = drawn(world, seed, PLANTED)
        found = interaction(table.rows, table.of_sources, table.of_targets, table.families)
        assert found.effect is not None
        truth = PLANTED * found.unit
        plain = by_intermediate(table.rows, found)
        other = judge(found.fit, found.weights, "satterthwaite")
        without = drawn(world, seed)
        rows.append(
            (
                found.effect.low <= truth <= found.effect.high,
                not found.effect.low - truth <= 0 <= found.effect.high - truth,
                found.effect.low - truth + effect > 0,
                found.effect.high - found.effect.low,
                other.low <= PLANTED <= other.high,
                plain.low <= truth <= plain.high,
                permutation_p(without.rows, found, without.families, draws=99) < 0.05,
            )
        )
    values = np.array(rows, dtype=float)
    shares = 100 * values.mean(0)
    return Held(
        covers=shares[0],
        claims=shares[1],
        effect=effect,
        finds=shares[2],
        width=float(np.median(values[:, 3])),
        satterthwaite=shares[4],
        by_intermediate=shares[5],
        permuted=shares[6],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--cases", default=",".join(map(str, range(len(CASES)))))
    chosen = parser.parse_args()
    names = list(CASES)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for number in map(int, chosen.cases.split(",")):
        held = measured(
            CASES[names[number]],
            20 if chosen.quick else chosen.tables,
            statements=1 if chosen.quick else 5,
            draws=20 if chosen.quick else 200,
        )
        values = " | ".join(f"{value:.1f}" for value in astuple(held))
        print(f"| {names[number]} | {values} |", flush=True)


if __name__ == "__main__":
    main()

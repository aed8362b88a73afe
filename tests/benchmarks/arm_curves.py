"""Each arm of `sweeps/mini_arms.yaml` beside `full`: dev score by step, a panel an arm.

    xstilts sweep sweeps/mini_arms.yaml
    python -m tests.benchmarks.arm_curves runs/sweeps/mini_arms --out docs/arm_curves.png

draws the curves and prints a row an arm: dev and the mean over languages of the test, of seeds that
there are, after the intermediate and without one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt

import xstilts
from xstilts.config.adapt import FULL
from xstilts.config.derive import NONE
from xstilts.records import TrialRecord

TARGET, ARM = "mini_xnli", "adapt.target"
COLUMNS, COLOURS = 4, {False: "#b5541c", True: "#1f5fa8"}


def curve_of(records: list[TrialRecord]) -> tuple[list[float], list[float]]:
    """Steps, and dev scores as means over seeds."""
    curves = [
        [point for point in one.curves[TARGET] if f"dev/{TARGET}" in point] for one in records
    ]
    steps = [point["step"] for point in curves[0]]
    return steps, [fmean(own[i][f"dev/{TARGET}"] for own in curves) for i in range(len(steps))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    found: dict[str, dict[bool, list[TrialRecord]]] = {}
    for record in xstilts.open_results(chosen.sweep).details.searched:
        own = found.setdefault(record.point.get(ARM, FULL), {})
        own.setdefault(record.intermediate != NONE, []).append(record)
    arms = sorted(found.keys() - {FULL})
    rows = -(-len(arms) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(10, 2.2 * rows), sharex=True, sharey=True)
    for panel in axes.flat[len(arms) :]:
        panel.axis("off")
    for label, style in (("after nli", "-"), ("without", ":")):
        axes.flat[-1].plot([], color="black", linestyle=style, label=label)
    axes.flat[-1].plot([], color="#9a9a9a", label="full")
    axes.flat[-1].legend(loc="center", frameon=False, fontsize=9)
    for panel, arm in zip(axes.flat, arms, strict=False):
        for has, records in sorted(found[FULL].items()):
            panel.plot(*curve_of(records), color="#9a9a9a", linestyle="-" if has else ":")
        for has, records in sorted(found[arm].items()):
            style = "-" if has else ":"
            panel.plot(*curve_of(records), color=COLOURS[has], linestyle=style, marker=".")
        panel.set_title(arm, fontsize=9)
        panel.tick_params(labelsize=8)
    figure.supxlabel("step", fontsize=9)
    figure.supylabel("English dev accuracy", fontsize=9)
    figure.tight_layout()
    figure.savefig(chosen.out, dpi=110)
    print("| arm | dev after nli | test | dev without | test |\n|---|---|---|---|---|")
    for arm in (FULL, *arms):
        cells = []
        for has in (True, False):
            metrics = [one.metrics for one in found[arm][has]]
            for name in (f"dev/{TARGET}", f"{TARGET}/zero_shot"):
                cells.append(f"{fmean(one[name] for one in metrics):.1f}")
        print(f"| {arm} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

"""Hours before the launch: what is planned, at the rates that `bench` measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xstilts.config.derive import NONE
from xstilts.errors import ConfigError, Problem
from xstilts.files import read_json
from xstilts.plan.plan import Planner, TrialPlan
from xstilts.plan.stage import Evaluate, Train

SEQUENCES = {"choice": 4, "retrieval": 2}
"""Sequences of an example, where it has several: most multiple-choice tasks give four."""


class Rates:
    """Examples a second by kind, of one model on one sort of machine.

    Raises:
        ConfigError: the file is none that `bench` wrote, or has no rates of the precision.
    """

    def __init__(self, path: Path, precision: str):
        try:
            found = read_json(path)
            rows = {phase: _by_kind(found[phase], precision) for phase in ("train", "evaluate")}
            self.model = str(found["train"][0]["model"])
            self.device = str(found["device"])
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            rule = "is a file that `xstilts bench --out` wrote"
            raise ConfigError([Problem("--bench", rule, f'"{path}"')]) from error
        if "pair" not in rows["train"]:
            rule = f"has rates of mnli in {precision}"
            repair = f"xstilts bench --work mnli,udpos,squad --precision {precision} --out {path}"
            raise ConfigError([Problem("--bench", rule, f'"{path}"', repair)])
        self._train, self._evaluate = rows["train"], rows["evaluate"]

    def train_s(self, stage: Train) -> float:
        """Seconds of a training stage, its checks left out."""
        return sum(
            part.examples / _rate(self._train, part.train.entry.kind) for part in stage.parts
        )

    def evaluate_s(self, stage: Evaluate) -> float:
        """Seconds of an evaluation."""
        return stage.rows.num_rows / _rate(self._evaluate, stage.rows.entry.kind)


def _rate(rates: Mapping[str, float], kind: str) -> float:
    """A kind that was not measured goes at the rate of pairs, a sequence for a pair."""
    return rates.get(kind, rates["pair"] / SEQUENCES.get(kind, 1))


def _by_kind(rows: list[dict[str, Any]], precision: str) -> dict[str, float]:
    return {row["kind"]: row["examples_per_s"] for row in rows if row["dtype"] == precision}


def hours(
    rates: Rates,
    planner: Planner,
    example: Mapping[str, TrialPlan],
    stages: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """Hours of one trial after the other, from the least to the most stages.

    Every intermediate counts as their mean: which of them a sampler will propose is not known.
    """
    encoders = [plan.encoder for plan in example.values() if isinstance(plan.encoder, Train)]
    intermediate_s = sum(map(rates.train_s, encoders)) / max(1, len(encoders))
    baseline = example[NONE]
    cells = [cell for group in baseline.target_sets for cell in group.cells]
    target_s = sum(rates.train_s(cell.stage) for cell in cells) / max(1, len(cells))
    evaluations = []
    for group in baseline.target_sets:
        cell = group.cells[0] if group.cells else None
        evaluations += [planner.evaluation(baseline, name, cell) for name in group.targets]
    evaluate_s = sum(map(rates.evaluate_s, evaluations)) / max(1, len(evaluations))
    seconds = {"intermediate": intermediate_s, "target": target_s, "evaluation": evaluate_s}
    return {
        "rates_of": f"{rates.model} on {rates.device}",
        **{
            bound: sum(stages[name][bound] * value for name, value in seconds.items()) / 3600
            for bound in ("least", "most")
        },
    }

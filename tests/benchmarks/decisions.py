"""How long a race takes to decide who runs next, by how many trials it has seen.

    python -m tests.benchmarks.decisions --trials 500 1000 2000

prints JSON: milliseconds, CPU of this process, for a decision after a trial has ended: `policy` is
the policy alone (`racing.decide`), `whole` everything that the searcher waits for; medians of
`--rounds`. Two trials a candidate have ended, of all targets of XTREME, three seeds are allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.benchmarks.control_plane import TASKS, inventory_of, record_of, sweep_of
from xstilts.files import sha256_of
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.score_rows import ScoreRows
from xstilts.search import racing
from xstilts.search.proposals import Proposal, target_points
from xstilts.search.racing import Race


class Records:
    """Records of a race's trials: one that was made, with other scores."""

    def __init__(self, planner: Planner):
        trial = {"point": {"model": "m", "intermediate": "mnli"}, "seed": 0, "confirms": None}
        self._made = record_of(planner, trial)
        self._found: dict[str, TrialRecord] = {}

    def end(self, plan: TrialPlan) -> None:
        """Have a trial end."""
        random = np.random.default_rng(int(sha256_of(plan.trial_id)[:8], 16))
        columns = dict(self._made.scores.columns)
        columns["value"] = random.uniform(40, 80, len(self._made.scores)).tolist()
        own = {"trial": plan.trial_id, "config": plan.config_id, "seed": plan.seed}
        own |= {"intermediate": plan.intermediate}
        scores = ScoreRows({**self._made.scores.once, **own}, columns)
        self._found[plan.trial_id] = replace(self._made, **own, scores=scores)

    def read(self, plan: TrialPlan) -> TrialRecord | None:
        """The record of a trial that has ended."""
        return self._found.get(plan.trial_id)


def measure(trials: int, rounds: int) -> dict[str, float]:
    """Milliseconds of decisions after so many trials."""
    sweep = sweep_of("decisions", Path("/nowhere"), trials, None, is_race=True)
    planner = Planner(sweep, inventory_of(), target_points(sweep))
    records = Records(planner)
    points: list[dict[str, Any]] = [{"model": "m", "intermediate": "none"}]
    for number, rate in enumerate(np.geomspace(1e-6, 1e-4, trials // 2 - 1)):
        own = {"intermediate": TASKS[number % len(TASKS)], "intermediate.learning_rate": rate}
        points.append({"model": "m", **own})
    proposals = []
    for number, point in enumerate(points):
        proposals.append(Proposal(number, sha256_of(point)[:12], point))
        for seed in sweep.seeds[:2]:
            records.end(planner.plan(point, seed))
    race = Race(planner, proposals, records.read, records.read)
    policy: list[float] = []
    whole: list[float] = []
    real = racing.decide

    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.process_time()
        try:
            return real(*args, **kwargs)
        finally:
            policy.append(1e3 * (time.process_time() - begun))

    racing.decide = timed
    try:
        for _ in range(rounds):
            race._wanted = None  # as after a trial has ended
            begun = time.process_time()
            first, further = race.wanted()
            whole.append(1e3 * (time.process_time() - begun))
            for plan in [*first, *further][:1]:
                race.begin(plan)
                records.end(plan)
                race.end(plan, True)
    finally:
        racing.decide = real
    found = {"policy_ms": median(policy), "whole_ms": median(whole), "load": os.getloadavg()[0]}
    return {name: round(value, 1) for name, value in found.items()}


def main() -> None:
    """Measure at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    print(json.dumps({n: measure(n, chosen.rounds) for n in chosen.trials}, indent=1))


if __name__ == "__main__":
    main()

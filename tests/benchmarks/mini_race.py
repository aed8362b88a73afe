"""Races over trials of the miniature benchmark that were run before: the race beside `all`.

    python -m tests.benchmarks.mini_race FOLDER [--sweeps 20] [--budget 0.55]

FOLDER is that of `tests.benchmarks.mini_grid`, whose full runs are read. Each sweep draws three of
their seeds, and its race decides by the product's own searcher, two trials at a time; a trial that
it hands out ends with the record that the whole sweep has of it, cut to its targets. Nothing is
trained, so that what a race costs is the sum over the stages that it would have: their trained
tokens, and the seconds that their computation took. Printed are both as shares of what `all`
trains with the same seeds, how often the choice lies in the set of ties of everything with five
other seeds, and the regret by the means over all seeds, each beside that of `all`. With `--budget`
a race may train that share of the tokens of `all`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xstilts.config.derive import NONE
from xstilts.config.load import parse_sweep
from xstilts.plan.inventory import Inventory
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Stage, fingerprint
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.report.comparison import scores_of
from xstilts.report.results import Results, load_results
from xstilts.run.places import Places
from xstilts.run.records import write_record
from xstilts.run.store import Store
from xstilts.score_rows import ScoreRows
from xstilts.scores.arms import arms_of
from xstilts.scores.seen import columns_of, seen_scores
from xstilts.scores.ties import ties
from xstilts.search.budget import Budget
from xstilts.search.journal import Journal
from xstilts.search.proposals import Proposals
from xstilts.search.race import ranking
from xstilts.search.racing import Race
from xstilts.search.searcher import StageSearcher

SEEDS, JUDGES, WORKERS = 3, 5, 2


class Trained(Store):
    """Has the stages of the trials that a race has run."""

    def __init__(self, recorded: Recorded):
        super().__init__(Path())
        self._recorded = recorded

    def has(self, stage: Stage) -> bool:
        """See `Store.has`."""
        return fingerprint(stage) in self._recorded.trained


class Recorded:
    """What the whole sweep has of every trial; `ran` are those of a race, as far as it went."""

    def __init__(self, whole: Mapping[str, TrialRecord]):
        self.whole = whole
        self.ran: dict[str, TrialPlan] = {}
        self.trained: set[str] = set()
        self._stages = {
            entry.fingerprint: entry for record in whole.values() for entry in record.stages
        }

    def read(self, plan: TrialPlan) -> TrialRecord | None:
        """The record of a trial that the race has run, with the targets that it had."""
        ran = self.ran.get(plan.trial_id)
        if ran is None:
            return None
        record = self.whole[plan.trial_id]
        rows = [row for row in record.scores if row["target"] in ran.targets]
        dev = {name: score for name, score in record.metrics.items() if name.startswith("dev/")}
        own = {name: score for name, score in dev.items() if name[4:] in ran.targets}
        is_whole = ran.subset is None
        return replace(
            record,
            scores=ScoreRows.of(rows),
            metrics=dev if is_whole else own,
            objective=record.objective if is_whole else None,
        )

    def read_final(self, plan: TrialPlan) -> TrialRecord | None:
        """That record, if it has all targets of the plan."""
        ran = self.ran.get(plan.trial_id)
        return self.read(plan) if ran and {*plan.targets} <= {*ran.targets} else None

    def cost(self, plans: Iterable[TrialPlan]) -> np.ndarray:
        """Trained tokens of the distinct stages of trials, and the seconds that these and their
        evaluations took, (2,)."""
        tokens, seconds, counted = 0, 0.0, set[str]()
        for plan in plans:
            names = tuple(f"evaluate-{target}-" for target in plan.targets)
            entries = [self._stages[fingerprint(stage)] for stage in plan.training_stages]
            entries += [x for x in self.whole[plan.trial_id].stages if x.name.startswith(names)]
            for entry in entries:
                if entry.fingerprint not in counted:
                    counted.add(entry.fingerprint)
                    tokens, seconds = tokens + entry.tokens, seconds + entry.seconds
        return np.array([tokens, seconds])


def race(planner: Planner, recorded: Recorded, seed: int, encoded: Path) -> list[str]:
    """Run a race to its end, either of the running trials ending next; its configurations.
    `encoded` are the rows of its tasks, whose tokens a budget counts."""
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder), planner.sweep.name)
        (places.storage / encoded.name).symlink_to(encoded)
        proposals = Proposals(planner.sweep, Journal(Path(folder) / "journal"))
        own = Race(planner, [], recorded.read_final, recorded.read)
        budget = None
        if planner.sweep.budget is not None:
            budget = Budget(planner, places, Trained(recorded))
        searcher = StageSearcher(
            proposals,
            planner,
            Store(Path(folder)),
            recorded.read_final,
            race=own,
            budget=budget,
        )
        spent, paid = 0.0, defaultdict[str, float](float)
        running: dict[str, TrialPlan] = {}
        number = 0
        while True:
            while len(running) < WORKERS:
                number += 1
                config = searcher.suggest(f"t{number}")
                if not isinstance(config, dict):
                    break
                running[f"t{number}"] = planner.plan(**config["trial"])
            if not running:
                return [one.config_id for one in proposals.made.values()]
            trial = list(running)[int(generator.integers(len(running)))]
            plan = running.pop(trial)
            recorded.ran[plan.trial_id] = plan
            recorded.trained |= {fingerprint(stage) for stage in plan.training_stages}
            before, (spent, _) = spent, recorded.cost(recorded.ran.values())
            paid[plan.trial_id] += spent - before
            record = recorded.read(plan)
            metrics = {**record.metrics, "cost/tokens": paid[plan.trial_id]}
            (places.trials / plan.trial_id).mkdir(parents=True, exist_ok=True)
            write_record(places.trials / plan.trial_id, replace(record, metrics=metrics))
            searcher.on_trial_complete(trial, {"outcome": "finished"})


def play(results: Results, planner: Planner, number: int, budget: float | None) -> dict[str, Any]:
    """One sweep of its own seeds: shares of cost, and for each target the regret of the race and
    of `all`, and whether the race's choice is among the ties of everything. `budget` is a
    share of the tokens of `all`."""
    whole = {record.trial: record for record in results.searched}
    order = np.random.default_rng([number]).permutation(results.sweep.seeds)
    seeds, judges = sorted(order[:SEEDS].tolist()), order[SEEDS : SEEDS + JUDGES].tolist()
    stored = results.sweep.model_dump(mode="json", by_alias=True)
    stored["search"] |= {"strategy": "race"}
    recorded = Recorded(whole)
    everything = [planner.plan(record.point, record.seed) for record in whole.values()
                  if record.seed in seeds]  # fmt: skip
    full = recorded.cost(everything)
    limit = None if budget is None else {"tokens": budget * full[0]}
    sweep = parse_sweep({**stored, "seeds": seeds, "budget": limit}, "race")
    own = Planner(sweep, planner.inventory, planner.target_points)
    made = race(own, recorded, number, results.places.storage / "encoded")
    spent = recorded.cost(recorded.ran.values())
    candidates = sorted({record.config for record in whole.values() if record.intermediate != NONE})
    assert {*candidates} <= {*made}, "every configuration takes part"
    by_race = [scores_of(sweep, recorded.read(plan)) for plan in recorded.ran.values()]
    by_all = [scores_of(sweep, record) for record in whole.values() if record.seed in seeds]
    chosen = [
        ranking(seen_scores(sweep, candidates, x)[:, :, None], SEEDS) for x in (by_race, by_all)
    ]
    found: dict[str, Any] = {"tokens": spent[0] / full[0], "seconds": spent[1] / full[1]}
    for place, column in enumerate(columns_of(sweep)):
        for target in column.targets:
            test = np.array(
                [
                    [whole[f"{name_of(whole, config)}-s{seed}"].metrics[f"{target}/avg"]
                     for seed in results.sweep.seeds]
                    for config in candidates
                ]
            )  # fmt: skip
            true, columns = test.mean(1), [list(results.sweep.seeds).index(x) for x in judges]
            scores = test[:, columns]
            numbers = np.repeat(np.arange(len(candidates)), len(columns))
            inside = ties(arms_of(scores.ravel(), numbers, len(candidates))).inside
            race_choice, all_choice = (int(one[0, place]) for one in chosen)
            found[target] = {
                "regret": true.max() - true[race_choice],
                "all": true.max() - true[all_choice],
                "is_tied": bool(inside[race_choice]),
                "all_is_tied": bool(inside[all_choice]),
                "ties": int(inside.sum()),
            }
    return found


def name_of(whole: Mapping[str, TrialRecord], config: str) -> str:
    """A configuration's trials without their seeds."""
    return next(x.trial for x in whole.values() if x.config == config).rpartition("-s")[0]


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--rung", default="1", help="which sweep of the grid is read")
    parser.add_argument("--budget", type=float, help="as a share of the tokens of `all`")
    given = parser.parse_args()
    results = load_results(Places((given.folder / "runs").resolve(), f"rung-{given.rung}"))
    definition = results.places.definition()
    assert definition is not None, "the grid was recorded"
    inventory = Inventory.from_json(definition.inventory)
    planner = Planner(results.sweep, inventory, definition.target_points)
    each = [play(results, planner, number, given.budget) for number in range(given.sweeps)]
    for what in ("tokens", "seconds"):
        shares = np.array([one[what] for one in each])
        print(f"{what}: {shares.mean():.2f} of all, {shares.min():.2f} to {shares.max():.2f}")
    tied: dict[str, list[list[bool]]] = {"is_tied": [], "all_is_tied": []}
    for target in results.sweep.targets:
        own = [one[target] for one in each]
        for who, found in tied.items():
            found.append([one[who] for one in own])
        by_race, by_all = (sum(found[-1]) for found in tied.values())
        print(
            f"{target}: regret {np.mean([one['regret'] for one in own]):.2f}, of all "
            f"{np.mean([one['all'] for one in own]):.2f}; among the ties "
            f"({np.mean([one['ties'] for one in own]):.1f}) in {by_race} of {len(own)}, of all "
            f"in {by_all}"
        )
    by_race, by_all = (int(np.all(found, 0).sum()) for found in tied.values())
    print(f"on every target at once in {by_race} of {len(each)}, of all in {by_all}")


if __name__ == "__main__":
    main()

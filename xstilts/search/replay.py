"""Plays search policies over a recorded grid: what each would have chosen, and at what cost.

    python -m xstilts.search.replay GRID.csv --policy race,all --replays 100

Policies see dev scores in an order of seeds that each replay draws; their choice is judged by the
grid's test scores over all seeds. docs/replay.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from xstilts.config.derive import NONE
from xstilts.errors import ConfigError, Problem, XstiltsError
from xstilts.scores.signals import standardised
from xstilts.scores.verdict import TargetRuns, Verdict, verdicts
from xstilts.search.policies import POLICIES, Board
from xstilts.search.race import may_be_best
from xstilts.search.recorded import Grid, prior_of, read_grid

SEEDS = 3


@dataclass(frozen=True, slots=True)
class Options:
    """How a grid is played. `seeds` draws of a cell are a policy's at most; then `confirm`
    (leaders, seeds) run with fresh seeds, and `baseline` beside them, whom nobody chooses. The full
    runs of the grids in `prior` are known for nothing."""

    seeds: int = SEEDS
    replays: int = 1
    seed: int = 0
    baseline: str | None = None
    confirm: tuple[int, int] | None = None
    prior: tuple[Grid, ...] = ()


def replay(grid: Grid, policies: Sequence[str], options: Options | None = None) -> dict[str, Any]:
    """What the command prints as JSON: by policy, means over the replays, each replay, and targets.

    Raises:
        ConfigError: an unknown policy or baseline, or more seeds than the grid has.
    """
    options = options or Options()
    _check(grid, policies, options)
    found: dict[str, Any] = {}
    for name in policies:
        each = [_one(grid, name, options, number) for number in range(options.replays)]
        found[name] = _means(each)
    return found


def _one(grid: Grid, name: str, options: Options, number: int) -> dict[str, Any]:
    """One replay of one policy. All policies meet the same orders of seeds."""
    generator = np.random.default_rng([options.seed, number])
    draws = options.seeds + (options.confirm[1] if options.confirm else 0)
    order = generator.permutation(len(grid.seeds))[:draws]
    replaced = generator.integers(0, len(grid.seeds), draws)
    policy_seed = int(generator.integers(2**31))
    chosen = _Played(grid, name, options, order, policy_seed)
    again = _Played(grid, name, options, replaced, policy_seed)
    targets = chosen.targets()
    confirm_runs, confirm_cost = chosen.confirmation()
    return {
        "regret": float(chosen.regrets.mean()),
        "regret_replaced": float(again.regrets.mean()),
        "cost": sum(target["cost"] for target in targets.values()),
        "runs": sum(target["runs"] for target in targets.values()),
        "confirm_runs": confirm_runs,
        "confirm_cost": confirm_cost,
        "targets": targets,
    }


class _Played:
    """A policy that has played a grid in one order of seeds."""

    def __init__(self, grid: Grid, name: str, options: Options, order: np.ndarray, seed: int):
        self.grid, self.options, self.order = grid, options, order
        count = len(grid.candidates)
        self.baseline = None if options.baseline is None else count - 1
        # The baseline is the last row; policies do not see it.
        baseline = options.baseline
        last = [] if baseline is None else [grid.candidates.index(baseline)]
        self.rows = np.array([row for row in range(count) if row not in last] + last)
        self.rivals = self.rows[: count - len(last)]
        confirms = options.confirm[1] if options.confirm else 0
        dev = grid.dev[..., order]
        known = prior_of(grid, options.prior)
        prior = None if known is None else standardised(known[self.rivals])
        self.board = Board(dev[self.rivals], options.seeds, confirms, prior)
        self.base = Board(dev[last], options.seeds, confirms)
        targets = range(len(grid.targets))
        if last:
            for target in targets:
                for _ in range(options.seeds):
                    self.base.draw(0, target)
        ranking = POLICIES[name](self.board, seed)
        self.leaders = ranking[: options.confirm[0] if options.confirm else 1]
        if options.confirm:
            for target in targets:
                for candidate in self.leaders[:, target]:
                    self.board.confirm(int(candidate), target)
                if last:
                    self.base.confirm(0, target)
        self.chosen = [self._choose(target) for target in targets]
        true = grid.test[self.rivals, :, -1].mean(-1)
        self.regrets = true.max(0) - true[self.chosen, np.arange(len(grid.targets))]

    def _choose(self, target: int) -> int:
        """The first, or where leaders were confirmed the highest mean of all their full runs."""
        if not self.options.confirm:
            return int(self.leaders[0, target])
        return int(max(self.leaders[:, target], key=lambda one: self.board.mean(one, target)))

    @property
    def _seen(self) -> np.ndarray:
        """Scores of all arms, the baseline last: (arms, targets, rungs, draws)."""
        return np.concatenate([self.board.seen, self.base.seen])

    def targets(self) -> dict[str, dict[str, Any]]:
        """What is said of every target."""
        runs, cost = self._spent(np.isfinite(self._seen))
        said = self._verdicts()
        found = {}
        for target, name in enumerate(self.grid.targets):
            verdict = said[name] if said else None
            ties = self._names(verdict.ties) if verdict and verdict.ties else self._ties(target)
            found[name] = {
                "chosen": self.grid.candidates[self.rivals[self.chosen[target]]],
                "ties": ties,
                "verdict": verdict.verdict if verdict else None,
                "gain": verdict.gain if verdict else None,
                "low": verdict.low if verdict else None,
                "high": verdict.high if verdict else None,
                "regret": float(self.regrets[target]),
                "runs": int(runs[target]),
                "cost": float(cost[target]),
            }
        return found

    def confirmation(self) -> tuple[int, float]:
        """How many runs confirmed, and what they cost beyond search."""
        drawn = np.isfinite(self._seen)
        search = drawn.copy()
        search[..., self.options.seeds :] = False
        runs, cost = self._spent(drawn)
        search_runs, search_cost = self._spent(search)
        return int((runs - search_runs).sum()), float((cost - search_cost).sum())

    def _spent(self, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Runs and costs of every target (targets,); a shared cost is the first target's that
        drew it, so that the targets add up to the whole."""
        own = np.where(drawn, self.grid.cost[self.rows][..., self.order], 0.0)
        shared = self.grid.shared_cost[self.rows][..., self.order]
        first = drawn & (np.cumsum(drawn, 1) == 1)
        cost = own + np.where(first, shared[:, None], 0.0)
        return drawn.sum((0, 2, 3)), cost.sum((0, 2, 3))

    def _ties(self, target: int) -> list[str]:
        inside = may_be_best(self.board.full[:, target], self.board.full.shape[-1])
        return [self.grid.candidates[row] for row in self.rivals[inside]]

    def _verdicts(self) -> dict[str, Verdict]:
        """Against the baseline, by the rules of every sweep; none without one."""
        if self.baseline is None:
            return {}
        full = self._seen[:, :, -1]
        # Arms go by number, since a candidate of the grid may have any name.
        names = (*(str(arm) for arm in range(len(full) - 1)), NONE)
        targets = {}
        for target, name in enumerate(self.grid.targets):
            arms, places = np.nonzero(np.isfinite(full[:, target]))
            first = [self.chosen[target]] if not self.options.confirm else []
            leaders = first or [int(one) for one in self.leaders[:, target]]
            targets[name] = TargetRuns(
                names=names,
                arms=arms,
                seeds=self.order[places],
                scores=full[arms, target, places],
                learnt=np.ones(len(arms), bool),
                confirms=places >= self.options.seeds,
                leaders=tuple(str(one) for one in leaders),
            )
        return verdicts(targets)

    def _names(self, numbers: Sequence[str]) -> list[str]:
        return [
            self.grid.candidates[self.rivals[int(number)]] for number in sorted(numbers, key=int)
        ]


def _means(each: list[dict[str, Any]]) -> dict[str, Any]:
    """The means of several replays, and each of them."""
    numbers = [name for name in each[0] if name != "targets"]
    found: dict[str, Any] = {name: _mean([one[name] for one in each]) for name in numbers}
    found["each"] = each
    found["targets"] = {
        target: _mean_target([one["targets"][target] for one in each])
        for target in each[0]["targets"]
    }
    return found


def _mean_target(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of a target's numbers; of words the most frequent; of ties those in half or more."""
    ties = Counter(name for one in each for name in one["ties"])
    found: dict[str, Any] = {
        name: _mean([one[name] for one in each])
        for name in ("gain", "low", "high", "regret", "runs", "cost")
    }
    for name in ("chosen", "verdict"):
        found[name] = Counter(one[name] for one in each).most_common(1)[0][0]
    found["ties"] = sorted(name for name, count in ties.items() if 2 * count >= len(each))
    return {name: found[name] for name in each[0]}


def _mean(values: list[Any]) -> Any:
    """The mean of those known; a single value stays as it is."""
    known = [value for value in values if value is not None]
    if len(values) == 1 or not known:
        return values[0]
    return fmean(known)


def _check(grid: Grid, policies: Sequence[str], options: Options) -> None:
    problems = []
    for name in policies:
        if name not in POLICIES:
            rule = f"a policy is one of {', '.join(POLICIES)}"
            problems.append(Problem("--policy", rule, repr(name), "name one of them"))
    for option, value in (
        ("--seeds", options.seeds),
        ("--replays", options.replays),
        ("--confirm", min(options.confirm or (1,))),
    ):
        if value < 1:
            problems.append(Problem(option, "it is 1 or more", f"{value}", "give more"))
    if options.seed < 0:
        problems.append(Problem("--seed", "it is 0 or more", f"{options.seed}", "give another"))
    confirm = options.confirm[1] if options.confirm else 0
    if options.seeds + confirm > len(grid.seeds):
        rule = f"seeds of search and of confirmation are no more than the grid's {len(grid.seeds)}"
        got = f"{options.seeds} and {confirm}"
        problems.append(Problem("--seeds, --confirm", rule, got, "give fewer"))
    if options.baseline is not None and options.baseline not in grid.candidates:
        rule = "the baseline is a candidate of the grid"
        got, repair = repr(options.baseline), f"name one of {', '.join(grid.candidates)}"
        problems.append(Problem("--baseline", rule, got, repair))
    elif options.baseline is not None and len(grid.candidates) == 1:
        rule = "a grid has a candidate beside the baseline"
        problems.append(Problem("--baseline", rule, "it alone", "leave it out"))
    for other in options.prior:
        if not {*other.candidates} & {*grid.candidates}:
            rule = "a prior has candidates of the grid"
            got = f"{', '.join(other.candidates[:3])} and no other of them"
            problems.append(Problem("--prior", rule, got, "name grids of the same candidates"))
    if problems:
        raise ConfigError(problems)


def _priors(text: str | None, grid: Path) -> tuple[Grid, ...]:
    """The grids of `--prior`; the grid itself is none of them."""
    paths = [] if text is None else [Path(name) for name in dict.fromkeys(text.split(","))]
    for path in paths:
        if path.exists() and path.samefile(grid):
            rule, repair = "a grid is no prior of itself", "name others"
            raise ConfigError([Problem("--prior", rule, f"{path}", repair)])
    return tuple(map(read_grid, paths))


def _confirm(text: str) -> tuple[int, int]:
    numbers = text.split(",")
    if len(numbers) != 2 or not all(number.strip().isdecimal() for number in numbers):
        rule, repair = "it is TOP,SEEDS, two whole numbers", "write as 2,4"
        raise ConfigError([Problem("--confirm", rule, repr(text), repair)])
    return int(numbers[0]), int(numbers[1])


def _print(found: dict[str, Any]) -> None:
    for name, one in found.items():
        print(
            f"{name}: regret {one['regret']:.3f} ({one['regret_replaced']:.3f} with seeds drawn "
            f"with replacement), {one['runs'] / len(one['targets']):.1f} runs a target, "
            f"{one['runs']:g} in all, {one['confirm_runs']:g} to confirm; cost {one['cost']:g}"
        )
        for target, said in one["targets"].items():
            line = (
                f"  {target}: {said['chosen']}, regret {said['regret']:.3f}, {said['runs']:g} runs"
            )
            if said["verdict"] is not None:
                line += f"; {said['verdict']}"
            if said["gain"] is not None:
                line += f", gain {said['gain']:.2f}"
            if said["low"] is not None:
                line += f" [{said['low']:.2f}, {said['high']:.2f}]"
            print(f"{line}; {len(said['ties'])} may be the best")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m xstilts.search.replay",
        description="Play search policies over a recorded grid.",
    )
    parser.add_argument(
        "grid", type=Path, metavar="GRID.csv", help="docs/replay.md has its columns"
    )
    parser.add_argument(
        "--policy", required=True, metavar="NAME[,NAME]", help=f"of {', '.join(POLICIES)}"
    )
    help_seeds = "runs of a cell that a policy may draw; what `all` draws (default 3)"
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="K", help=help_seeds)
    help_replays = "orders of seeds to play (default 1)"
    parser.add_argument("--replays", type=int, default=1, metavar="N", help=help_replays)
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    help_baseline = "the candidate that gains are over, which no policy chooses"
    parser.add_argument("--baseline", metavar="NAME", help=help_baseline)
    help_confirm = "run so many leaders with so many fresh seeds"
    parser.add_argument("--confirm", metavar="TOP,SEEDS", help=help_confirm)
    help_prior = "other grids, whose full runs are known for nothing"
    parser.add_argument("--prior", metavar="OTHER.csv[,..]", help=help_prior)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    given = parser.parse_args(arguments)
    try:
        confirm = None if given.confirm is None else _confirm(given.confirm)
        grid = read_grid(given.grid)
        prior = _priors(given.prior, given.grid)
        options = Options(given.seeds, given.replays, given.seed, given.baseline, confirm, prior)
        policies = list(dict.fromkeys(given.policy.split(",")))
        found = replay(grid, policies, options)
    except XstiltsError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    if given.json:
        json.dump(found, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        _print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())

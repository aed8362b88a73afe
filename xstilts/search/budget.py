"""A sweep's budget: what was spent, what runs now, and what comes is expected to cost.

Confirmation is reserved first: a trial of search begins only where it fits beside what was spent,
what is running, and what confirming today's leaders would take. What has begun is finished, so that
a budget is kept as well as its costs are foreseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from xstilts.config.check import LEAST_SEEDS
from xstilts.config.derive import NONE, candidates, confirm_seeds, num_configurations
from xstilts.errors import ConfigError, Problem
from xstilts.plan.plan import Planner
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import CONFIRM, TrialRecord
from xstilts.report.leaders import choose
from xstilts.report.results import load_results
from xstilts.run.confirmation import Afforded, Choice, confirming_plans
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.single import point_of
from xstilts.run.spending import cost_of, is_spent
from xstilts.run.store import Store
from xstilts.search.costs import Costs

GROWTH = 1.1
"""How many times as many trials must have ended before the leaders are looked for again."""


class Budget:
    """The account of one driver. Amounts are GPU-hours or tokens, as the sweep file says."""

    def __init__(self, planner: Planner, places: Places, store: Store):
        assert planner.sweep.budget is not None
        self.spec = planner.sweep.budget
        self._planner, self._places, self._store = planner, places, store
        self._costs = Costs(planner, places, store)
        self._spent: dict[str, float] = {}
        self._running: dict[str, float] = {}
        self._runs: dict[str, set[str]] = defaultdict(set)
        self._short: dict[str, set[str]] = defaultdict(set)
        self._ahead: dict[str, float] = {}
        self._leaders: tuple[int, Choice | None] = (0, None)
        # What was too little once stays so, lest a choice is made from less than what was run.
        self.has_ended_search = is_spent(places, planner.sweep)
        for folder in sorted(places.trials.glob("*")):
            if (record := read_record(folder)) is not None:
                self._note(record)

    @property
    def spent(self) -> float:
        """What trials that have ended took."""
        return sum(self._spent.values())

    @property
    def left(self) -> float:
        """What neither ended trials nor running ones have."""
        return self.spec.total - self.spent - sum(self._running.values())

    @property
    def lacks_candidates(self) -> bool:
        """Whether a candidate has not begun as many runs as each is to have."""
        lacking = self._short_runs() if self._lowest < 1 else self._first_runs()
        return not self.has_ended_search and next(lacking, None) is not None

    def begin(self, plan: TrialPlan) -> None:
        """A trial begins, at its expected cost."""
        self._running[plan.trial_id] = self.cost([plan])
        if plan.phase != CONFIRM and plan.targets:  # else it tells signals alone
            self._begun(plan).add(plan.trial_id)
        self._ahead.clear()

    def end(self, plan: TrialPlan) -> None:
        """A trial has ended, or will be begun again."""
        self._running.pop(plan.trial_id, None)
        self._begun(plan).discard(plan.trial_id)
        if (record := read_record(self._places.trials / plan.trial_id)) is not None:
            self._note(record)
        self._ahead.clear()

    def affords(self, plan: TrialPlan) -> bool:
        """Whether a trial of search fits: the first whole runs of a candidate beside the smallest
        confirmation, those at the lowest rung beside these as well, others beside all first runs
        that have not begun and what confirming today's leaders would take."""
        if self.has_ended_search:
            return False
        # Sums of the same numbers in another order may differ in the last digit.
        left = self.left * (1 + 1e-9)
        wanted = self._wanted_runs(plan.intermediate)
        if not plan.is_short and len(self._runs[plan.intermediate]) < wanted:
            reserve = self._once("smallest", self._smallest_confirmation)
        else:
            reserve = self._once("first", lambda: self.cost(self._first_runs()))
            if plan.is_short:
                reserve += self._once("smallest", self._smallest_confirmation)
            else:
                reserve += self._once("leaders", self._confirmation)
        return self._once(plan.trial_id, lambda: self.cost([plan])) <= left - reserve

    def cost(self, plans: Iterable[TrialPlan]) -> float:
        """What these trials will take, each stage that they share and nobody has finished once."""
        return self._costs.of(plans)

    def check(self) -> None:
        """See that the budget of a sweep that begins leaves one run of every candidate beside the
        smallest confirmation.

        Raises:
            ConfigError: with what these take.
        """
        if self._spent:
            return
        search, confirmation = self.least()
        if search + confirmation > self.spec.total:
            spec, about = self.spec, ""
            if spec.gpu_hours is not None:
                about = f", {self._costs.assumption}"
            both = " and the smallest confirmation" if confirmation else ""
            raise ConfigError(
                [
                    Problem(
                        "budget",
                        f"is at least {spec.text(search + confirmation)}, what one run of every "
                        f"candidate{both} cost{about}",
                        spec.text(spec.total),
                        "raise it, or search fewer candidates, targets or points",
                    )
                ]
            )

    def least(self) -> tuple[float, float]:
        """What one whole run of every candidate takes, with all seeds where only complete
        configurations count, and one at the lowest rung where there are any; and what the smallest
        confirmation does: one leader a target, three seeds."""
        runs = [*self._first_runs(), *self._short_runs()]
        return self.cost(runs), self._smallest_confirmation()

    def afforded(self, choice: Choice) -> Choice:
        """As much of a choice as is paid for: fewer leaders first, then fewer seeds, never below
        one and three; else nothing."""
        most = max((len(own.leaders) for own in choice.targets.values()), default=0)
        seeds = len(confirm_seeds(self._planner.sweep))
        sizes = [Afforded(top, seeds) for top in range(most, 0, -1)]
        sizes += [Afforded(1, fewer) for fewer in range(seeds - 1, LEAST_SEEDS - 1, -1)]
        for size in sizes:
            limited = replace(choice, afforded=size)
            if self.cost(confirming_plans(limited, self._planner)) <= self.left:
                return limited
        return replace(choice, afforded=Afforded(0, 0))

    def _confirmation(self) -> float:
        """What confirming today's leaders would take; more than that before there are as many as
        are asked for."""
        sweep = self._planner.sweep
        if sweep.confirm is None:
            return 0.0
        ended, choice = self._leaders
        if len(self._spent) > GROWTH * ended:
            choice = choose(load_results(self._places), self._planner)
            self._leaders = len(self._spent), choice
        asked = min(sweep.confirm.top, len(candidates(sweep)) - 1)
        leading = [len(own.leaders) for own in choice.targets.values()] if choice else []
        if choice is not None and len(leading) == len(sweep.targets) and min(leading) == asked:
            return self.cost(confirming_plans(choice, self._planner))
        return self._confirmation_at_most(sweep.confirm.top, len(confirm_seeds(sweep)))

    def _wanted_runs(self, name: str) -> int:
        """How many runs each candidate is to have first: with all seeds, where only such a
        configuration counts."""
        sweep = self._planner.sweep
        return len(sweep.seeds) if name == NONE or not sweep.search.is_race else 1

    def _first_runs(self) -> Iterator[TrialPlan]:
        """Examples of the whole runs that candidates are to have first and that have not begun."""
        for name in candidates(self._planner.sweep):
            seeds = self._planner.sweep.seeds[: self._wanted_runs(name)]
            for seed in seeds[len(self._runs[name]) :]:
                yield self._example(name, seed)

    def _short_runs(self) -> Iterator[TrialPlan]:
        """Examples of the runs at the lowest rung that have not begun."""
        sweep = self._planner.sweep
        for name in candidates(sweep) if self._lowest < 1 else ():
            if name != NONE and not self._short[name]:
                yield self._example(name, sweep.seeds[0], self._lowest)

    @property
    def _lowest(self) -> float:
        """The lowest rung; 1 where all runs are whole."""
        return next(iter(self._planner.sweep.search.rungs), 1.0)

    def _begun(self, trial: TrialPlan | TrialRecord) -> set[str]:
        """The runs of a trial's candidate that have begun, of those like it."""
        return (self._short if trial.is_short else self._runs)[trial.intermediate]

    def _once(self, name: str, count: Callable[[], float]) -> float:
        """An amount that stays what it is until a trial begins or ends."""
        if name not in self._ahead:
            self._ahead[name] = count()
        return self._ahead[name]

    def _smallest_confirmation(self) -> float:
        return self._confirmation_at_most(1, LEAST_SEEDS)

    def _confirmation_at_most(self, top: int, seeds: int) -> float:
        """What it takes where every target has leaders of its own, of the dearest candidate."""
        sweep = self._planner.sweep
        names = [name for name in candidates(sweep) if name != NONE]
        if sweep.confirm is None or not names:
            return 0.0
        baseline = self.cost(self._confirming(NONE, seeds))
        encoder = max(self.cost(self._confirming(name, seeds)) - baseline for name in names)
        configs = min(min(top, len(names)) * len(sweep.targets), num_configurations(sweep) - 1)
        # Leaders train their targets beside their intermediates, once for each place.
        return baseline + configs * max(0.0, encoder) + min(top, len(names)) * baseline

    def _confirming(self, name: str, seeds: int) -> list[TrialPlan]:
        sweep, plan = self._planner.sweep, self._example(name, self._planner.sweep.seeds[0])
        points: dict[str, Any] = {
            target: group.cells[0].point if group.cells else {}
            for group in plan.target_sets
            for target in group.targets
        }
        return [
            self._planner.plan(plan.point, seed, points) for seed in confirm_seeds(sweep)[:seeds]
        ]

    def _example(self, name: str, seed: int, rung: float = 1.0) -> TrialPlan:
        point = point_of(self._planner.sweep, {"intermediate": name})
        return self._planner.plan(point, seed, rung=rung)

    def _note(self, record: TrialRecord) -> None:
        self._spent[record.trial] = cost_of(self._planner.sweep, record.metrics)
        if record.phase != CONFIRM and record.targets != []:
            self._begun(record).add(record.trial)
        self._costs.learn(record)

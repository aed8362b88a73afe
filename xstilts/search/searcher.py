"""The searcher that Tune asks for its next trial: hands out only what nobody waits for.

Every proposal is one trial for each seed, in a race as far as it goes (`racing.py`). A trial whose
intermediate stage another running trial trains right now is held back while others can run: it
would sit on its GPU waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from ray.tune.search import Searcher

from xstilts.plan.plan import Planner
from xstilts.plan.stage import Stage, Train, fingerprint
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import CONFIRM, TrialRecord
from xstilts.run.rounds import Dev
from xstilts.run.store import Store
from xstilts.run.trial_states import TrialStates
from xstilts.search.budget import Budget
from xstilts.search.outcomes import ENDED, HALT
from xstilts.search.proposals import Proposal, Proposals
from xstilts.search.racing import Race
from xstilts.search.weighting import dev_of, mean_dev

LOOKAHEAD = 4
"""How many proposals beyond the held-back ones the searcher makes to find one that can run."""

MAX_DEATHS, MAX_DEATHS_S = 10, 300.0
"""How often, and for how long at least, a trial's process may die again and again before the trial
begins: on a busy machine Ray takes a minute or two to notice that a node is gone."""

MAX_PAUSE_S = 30.0
"""The longest pause after a death; the first is 2 seconds, each next twice as long."""

ReadRecord = Callable[[TrialPlan], TrialRecord | None]
"""Gives a trial's record if nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One trial to be run: a proposal with one seed, or of confirmation."""

    config_id: str
    plan: TrialPlan


@dataclass(frozen=True, slots=True)
class End:
    """What the study is told of a trial that is over: its objective, None where it has none,
    whether it diverged, and its dev scores with their sampling variances by target."""

    objective: float | None
    diverged: bool
    dev: Dev = field(default_factory=dict)


class StageSearcher(Searcher):  # type: ignore[misc]
    """Tune's view of the sweep. `read_final` gives a trial's record if nothing is left to do,
    `num_attempts` how often it has begun. `confirm` is called once search has ended, and gives what
    confirms its choice; the study is told nothing of that. `states` hear what is handed out.

    State lives in the journal and the records, so Tune's own snapshots hold none of it. A trial
    whose process, node or card was lost is handed out again, first of all; it goes on from its
    stages and checkpoints.
    """

    def __init__(
        self,
        proposals: Proposals,
        planner: Planner,
        store: Store,
        read_final: ReadRecord,
        num_attempts: Callable[[TrialPlan], int] = lambda plan: 0,
        confirm: Callable[[], Sequence[TrialPlan]] = lambda: (),
        race: Race | None = None,
        budget: Budget | None = None,
        end_within: Callable[[Budget], None] = lambda budget: None,
        states: TrialStates | None = None,
    ):
        super().__init__(metric="objective", mode=planner.sweep.objective.mode)
        self._proposals = proposals
        self._planner = planner
        self._store = store
        self._read_final = read_final
        self._num_attempts = num_attempts
        self._confirm = confirm
        self._is_confirming = False
        self._waiting: list[Unit] = []
        self._running: dict[str, Unit] = {}
        self._ends: dict[str, dict[int, End]] = {}
        self._deaths: dict[str, tuple[int, int, float]] = {}
        self._not_before = 0.0
        self.is_stopping = self.is_done = False
        self.trouble = ""
        self._race, self._budget, self._end_within = race, budget, end_within
        self._states = states
        self._is_out = False
        if race is not None:
            proposals.beliefs = race.beliefs
            return
        for proposal in list(proposals.made.values()):
            self._take(proposal)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher, and nobody reads that."""
        return {}

    def stop(self, trouble: str = "") -> None:
        """Hand out nothing more; `trouble` says why, if not the user asked."""
        self.is_stopping = True
        self.trouble = self.trouble or trouble

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration; None for "not now", FINISHED when none is left."""
        if self.is_stopping:
            return str(Searcher.FINISHED)
        if time.monotonic() < self._not_before:
            return None
        unit = self._next()
        if unit is None and self._is_over:
            if self._budget is not None and self._is_out:
                self._end_within(self._budget)
            self._begin_confirming()
            unit = self._next()
        if unit is None:
            self.is_done = self._is_over
            return str(Searcher.FINISHED) if self.is_done else None
        if (race := self._race_of(unit)) is not None:
            race.begin(unit.plan)
        else:
            self._waiting.remove(unit)
        self._running[trial_id] = unit
        if self._states is not None:
            self._states.begin(unit.plan.trial_id)
        if self._budget is not None:
            self._budget.begin(unit.plan)
        return self.config_of(unit.plan)

    @property
    def _is_over(self) -> bool:
        """Whether nothing is proposed, waits or runs any more, or nothing of it is paid for."""
        if self._running:
            return False
        if self._is_confirming or self._is_out:
            return self._is_out or not self._waiting
        if self._waiting or (self._race is not None and not self._race.is_over()):
            return False
        return self._ask() is None

    def _race_of(self, unit: Unit) -> Race | None:
        """The race that a trial is of; None of one of confirmation, or where there is none."""
        return self._race if unit.plan.phase != CONFIRM else None

    def _begin_confirming(self) -> None:
        """Queue what is left to do of confirmation, once."""
        if not self._is_confirming:
            if self._race is not None:
                self._tell_ends(self._race)
            plans = (plan for plan in self._confirm() if self._read_final(plan) is None)
            self._waiting = [Unit(plan.config_id, plan) for plan in plans]
            self._is_confirming, self._is_out = True, False

    @staticmethod
    def config_of(plan: TrialPlan) -> dict[str, Any]:
        """What the trainable gets, as `Planner.plan` takes it; a point is one value, for its keys
        may hold dots."""
        trial = {"point": plan.point, "seed": plan.seed, "confirms": plan.confirms}
        return {"trial": {**trial, "targets": plan.subset, "rung": plan.rung}}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note a trial's outcome; tell the study when all seeds of its proposal have one."""
        unit = self._running.pop(trial_id, None)
        if unit is None:
            return
        if self._states is not None:
            self._states.end(unit.plan.trial_id)
        if self._budget is not None:
            self._budget.end(unit.plan)
        result = result or {}
        outcome = None if error else result.get("outcome")
        record = self._read_final(unit.plan)
        is_over = record is not None or outcome in ENDED
        if (race := self._race_of(unit)) is not None:
            race.end(unit.plan, is_over)
        elif record is not None:
            self._note(unit, self._end_of(record))
        elif is_over:
            self._note(unit, End(result.get("objective"), result.get("diverged", False)))
        else:
            self._waiting.insert(0, unit)
        if is_over:
            return
        if outcome == HALT:
            self.stop(result["reason"])
        if error:
            self._count_death(unit.plan)

    def take_back(self) -> None:
        """Tune has ended before its trials did: what it was given is handed out again."""
        for trial_id in list(self._running):
            self.on_trial_complete(trial_id)

    def _count_death(self, plan: TrialPlan) -> None:
        """A trial that begins and dies again and again says so in its record; this is about one
        that does not even begin, so that others will not either."""
        now, attempts = time.monotonic(), self._num_attempts(plan)
        begun, deaths, since = self._deaths.get(plan.trial_id, (0, 0, now))
        deaths, since = (deaths + 1, since) if attempts == begun else (1, now)
        self._deaths[plan.trial_id] = attempts, deaths, since
        # Ray takes a while to notice that a node is gone; what it sends there dies in milliseconds.
        self._not_before = now + min(MAX_PAUSE_S, 2.0**deaths)
        if deaths > MAX_DEATHS and now - since >= MAX_DEATHS_S:
            self.stop(
                f"{plan.trial_id}: its process died {deaths} times before the trial began; see "
                "the logs of Ray's workers, session_latest/logs in Ray's folder on each node"
            )

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see the class."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see the class."""

    def _next(self) -> Unit | None:
        """The first trial that can run at once; asks for more proposals where all are held."""
        if self._is_confirming:
            return self._free(self._waiting)
        is_asked = self._is_out = False
        for _ in range(LOOKAHEAD + 1):
            units = [*self._waiting, *self._raced(further=False)]
            paid = self._paid(units)
            unit = self._free(paid)
            if unit is not None:
                return unit
            is_held = bool(units) and not paid and not self._lacks_candidates
            is_asked = is_held or self._ask() is None
            if is_asked:
                break
        # Further runs come behind first ones, of configurations that are not made yet, too.
        further = self._raced(further=True)
        paid_further = self._paid(further)
        # What waits for another's stage is paid for, and comes.
        has_units = bool(units or further)
        self._is_out = is_asked and has_units and not paid and not paid_further
        return self._free(paid_further)

    @property
    def _lacks_candidates(self) -> bool:
        """Whether proposals are worth asking for though what is made is not paid for."""
        return self._budget is not None and self._budget.lacks_candidates

    def _paid(self, units: Sequence[Unit]) -> list[Unit]:
        """What the budget pays for."""
        budget = self._budget
        return [unit for unit in units if budget is None or budget.affords(unit.plan)]

    def _raced(self, further: bool) -> list[Unit]:
        """What the race wants: what it owes and first runs, or further ones."""
        if self._race is None:
            return []
        plans = self._race.wanted()[further]
        if not further:
            plans = [*self._race.owed, *plans]
        return [Unit(plan.config_id, plan) for plan in plans]

    def _free(self, units: Sequence[Unit]) -> Unit | None:
        """The first trial whose intermediate stage nobody trains right now."""
        if not units:
            return None
        running = {
            fingerprint(unit.plan.encoder)
            for unit in self._running.values()
            if isinstance(unit.plan.encoder, Train)
        }
        return next((x for x in units if not self._is_in_work(x.plan.encoder, running)), None)

    def _is_in_work(self, encoder: Stage, running: set[str]) -> bool:
        """Whether one of the running trials, or a living process of another sweep, trains the
        encoder now."""
        if self._store.has(encoder):
            return False
        return fingerprint(encoder) in running or self._store.is_in_work(encoder)

    def _ask(self) -> Proposal | None:
        """Make a proposal and queue what is left to do of it; its trials may all be done."""
        proposal = self._proposals.ask()
        if proposal is not None:
            self._take(proposal)
        return proposal

    def _take(self, proposal: Proposal) -> None:
        if self._race is not None:
            self._race.take(proposal)
            return
        for seed in self._planner.sweep.seeds:
            unit = Unit(proposal.config_id, self._planner.plan(proposal.point, seed))
            record = self._read_final(unit.plan)
            if record is None:
                self._waiting.append(unit)
            else:
                self._note(unit, self._end_of(record))

    def _tell_ends(self, race: Race) -> None:
        """Tell the study what came of the configurations of a race, once it has ended."""
        for end in race.ends():
            if end.num_runs:
                self._proposals.prune(end.config_id, end.objective, end.num_runs)
            else:
                self._proposals.tell(end.config_id, end.objective, end.diverged, end.dev)

    def _end_of(self, record: TrialRecord) -> End:
        dev = dev_of(self._planner.sweep, record)
        return End(record.objective, record.diverged, dev)

    def _note(self, unit: Unit, end: End) -> None:
        """Note a trial that is over; tell the study where it was the last of its proposal."""
        if unit.plan.phase == CONFIRM:
            return
        ends = self._ends.setdefault(unit.config_id, {})
        ends[unit.plan.seed] = end
        if len(ends) == len(self._planner.sweep.seeds):
            known = [one.objective for one in ends.values() if one.objective is not None]
            lacking = [one for one in ends.values() if one.objective is None]
            self._proposals.tell(
                unit.config_id,
                None if lacking else fmean(known),
                diverged=all(one.diverged for one in lacking),
                dev=mean_dev([one.dev for one in ends.values()]),
            )

"""What trials are expected to cost: the stages of theirs that nobody has finished.

Tokens by the rows that a stage draws; hours by what stages of this sweep took so far, or by an
assumption until there are some.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train, class_of, fingerprint, stage_title
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.report.hours import Assumed, Lengths
from xstilts.run.places import Places
from xstilts.run.store import Store


class Costs:
    """Expected costs of the trials of a sweep that has a budget, in its unit."""

    def __init__(self, planner: Planner, places: Places, store: Store):
        assert planner.sweep.budget is not None
        self._counts_tokens = planner.sweep.budget.gpu_hours is None
        self._planner, self._store = planner, store
        self._lengths = Lengths(places.storage, planner.inventory)
        self._known: set[str] = set()
        self._scored: dict[str, frozenset[str]] = {}
        self._train: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._evaluate: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._titles = {stage_title(f"evaluate-{name}-"): name for name in planner.sweep.targets}

    def of(self, plans: Iterable[TrialPlan]) -> float:
        """What these trials will take, each stage that they share and nobody has finished once."""
        stages: dict[str, float] = {}
        for plan in plans:
            for stage in self._trained(plan):
                key = fingerprint(stage)
                if key not in stages:
                    is_there = self._store.has(stage)
                    stages[key] = 0.0 if is_there else self._cost_of_training(plan, stage)
            if not self._counts_tokens:
                scored = self._scored.get(plan.trial_id, frozenset())
                for target in plan.evaluated:
                    if target not in scored:
                        own = self._hours(self._evaluation_s(plan, target))
                        stages[f"{plan.trial_id} {target}"] = own
        return sum(stages.values())

    def learn(self, record: TrialRecord) -> None:
        """Take in what stages of a trial took, for others like them, and what it has scored."""
        self._scored[record.trial] = frozenset(record.scores.columns.get("target", ()))
        for stage in record.stages:
            if stage.name in self._known:
                continue
            self._known.add(stage.name)
            target = self._titles.get(stage_title(stage.name))
            sums = self._train[class_of(stage.name)] if target is None else self._evaluate[target]
            sums[0] += stage.seconds
            sums[1] += stage.tokens if target is None else 1

    @property
    def assumption(self) -> str:
        """What is assumed where nothing was measured."""
        return self._assumed(next(iter(self._planner.sweep.models))).source.partition(" (")[0]

    def _trained(self, plan: TrialPlan) -> Iterator[Train]:
        """All training stages of a trial; of those after selection the longest."""
        yield from plan.training_stages
        for group in plan.target_sets if not plan.is_short else ():
            for cell in group.cells[:1]:
                (part,) = cell.stage.parts
                if (final := self._planner.final(cell.stage, part.num_steps)) is not None:
                    yield final

    def _cost_of_training(self, plan: TrialPlan, stage: Train) -> float:
        tokens = sum(self._lengths.drawn(part, plan.model)[0] for part in stage.parts)
        if self._counts_tokens:
            return tokens
        seconds, trained = self._train[stage.phase]
        if not trained:
            return self._hours(self._assumed(plan.model).train_s(stage))
        return self._hours(tokens * seconds / trained)

    def _evaluation_s(self, plan: TrialPlan, target: str) -> float:
        seconds, count = self._evaluate[target]
        if count:
            return seconds / count
        group = next(group for group in plan.target_sets if target in group.targets)
        cell = group.cells[0] if group.cells else None
        evaluation = self._planner.evaluation(plan, target, cell)
        return self._assumed(plan.model).evaluate_s(evaluation)

    def _assumed(self, model: str) -> Assumed:
        return Assumed(self._lengths, self._planner.inventory, model)

    def _hours(self, seconds: float) -> float:
        return seconds * self._planner.sweep.resources.gpus_per_trial / 3600

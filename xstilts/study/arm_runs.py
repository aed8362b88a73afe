"""The runs of a study's arms, as arrays: chosen alike, no hole filled, none averaged over.

An arm has members, an intermediate on a model each; a member's run is that of the point which dev
chose for the target among its own, by the rule of the report (`scores.best`), which is the same
for both arms of a contrast. With a single point there is nothing to choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xstilts.config.derive import encoder_space, num_configurations
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.config.study import StudySpec
from xstilts.config.study_arms import members, selects
from xstilts.records import TrialRecord
from xstilts.report.comparison import selected_on
from xstilts.report.results import Results
from xstilts.run.spending import is_spent
from xstilts.scores.best import TrialScores, entries_for
from xstilts.scores.table import ChosenScores

Cell = tuple[str, str]
"""A target and a language."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of an `arm`: an intermediate, `none` among them, on a model."""

    intermediate: str
    model: str
    arm: str


@dataclass(frozen=True, slots=True, eq=False)
class ArmRuns:
    """An arm on some cells, `cells` (cells,): `scores` (members, seeds, cells), 0-100, NaN where a
    run is not there, and whether its run `learnt` the cell's target, of the same shape. `missing`
    says which runs are not there, a line a member."""

    name: str
    members: tuple[Member, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    scores: np.ndarray
    learnt: np.ndarray
    missing: tuple[str, ...]

    @property
    def by_seed(self) -> np.ndarray:
        """(seeds, cells): means over the members, a hole where one is missing."""
        return np.asarray(self.scores.mean(0))


@dataclass(frozen=True)
class StudyRuns:
    """The finished runs of search of a sweep that has a study, by member, target and seed."""

    results: Results

    @property
    def sweep(self) -> Sweep:
        """The sweep."""
        return self.results.sweep

    @property
    def study(self) -> StudySpec:
        """What it asks."""
        assert self.sweep.study is not None
        return self.sweep.study

    @cached_property
    def unfinished(self) -> str:
        """Why nothing can be chosen by dev yet; empty where it can, or nothing is to be chosen."""
        sweep = self.sweep
        if not set(sweep.search.encoder.space) - {"intermediate", "model"}:
            return ""
        ended = {(one.config, one.seed) for one in self.results.records if one.is_searching}
        left = num_configurations(sweep) * len(sweep.seeds) - len(ended)
        if left <= 0 or is_spent(self.results.places, sweep):
            return ""
        few = "run" if left == 1 else "runs"
        return f"search has {left} {few} left, and what it chooses by dev may change"

    def members_of(self, arm: str) -> tuple[Member, ...]:
        """The members of an arm, in the order of the sweep: on the models that it names, else on
        those that are run, of which a part of a study has some."""
        spec = self.study.arms[arm]
        run = encoder_space(self.sweep).values_of("model")
        models = [name for name in self.sweep.models if name in (spec.models or run)]
        names = members(self.sweep, spec)
        return tuple(Member(one, model, arm) for one in names for model in models)

    def runs_of(self, member: Member, target: str) -> dict[int, TrialScores]:
        """A member's runs on a target by seed, those of the chosen point; of a seed that is not
        there none."""
        key = (member, target)
        if key not in self._runs:
            spec = self.study.arms[member.arm]
            own = [
                one
                for one in self._of_pair.get((member.intermediate, member.model), [])
                if selects(self.sweep, spec, self._point(one))
            ]
            config = self._chosen(own, target)
            self._runs[key] = {
                one.seed: one for one in own if one.config == config and one.seed in self._seeds
            }
        return self._runs[key]

    def record_of(self, run: TrialScores) -> TrialRecord:
        """The record of a run."""
        return self._records[run.trial]

    def _point(self, run: TrialScores) -> dict[str, Any]:
        return {
            **self.record_of(run).point,
            "intermediate": run.intermediate,
            "model": run.model,
        }

    def arm(self, name: str, cells: Sequence[Cell]) -> ArmRuns:
        """An arm on some cells."""
        own, seeds = self.members_of(name), self.sweep.seeds
        shape = (len(own), len(seeds), len(cells))
        scores, learnt = np.full(shape, np.nan), np.zeros(shape, bool)
        for i, member in enumerate(own):
            for k, (target, language) in enumerate(cells):
                runs = self.runs_of(member, target)
                for j, seed in enumerate(seeds):
                    if (run := runs.get(seed)) is not None:
                        scores[i, j, k] = self._scores(run, target).get(language, np.nan)
                        learnt[i, j, k] = target not in run.collapsed
        missing = _missing(name, own, seeds, cells, ~np.isfinite(scores))
        return ArmRuns(name, own, seeds, tuple(cells), scores, learnt, missing)

    def _chosen(self, runs: Sequence[TrialScores], target: str) -> str | None:
        """The configuration that stands for a member on a target."""
        configs = {run.config for run in runs}
        if len(configs) < 2:
            return next(iter(configs), None)
        chosen_by = selected_on(self.sweep, target)
        entries = entries_for(runs, target, chosen_by, len(self.sweep.seeds))
        return entries[0].config if entries else None

    def _scores(self, run: TrialScores, target: str) -> Mapping[str, float]:
        key = (run.trial, target)
        if key not in self._values:
            metrics = find_task(self.sweep, target).metrics
            rows = self.record_of(run).scores.of_metrics({(target, one) for one in metrics})
            self._values[key] = ChosenScores(rows).score_by_language(target, metrics)
        return self._values[key]

    @cached_property
    def _seeds(self) -> frozenset[int]:
        return frozenset(self.sweep.seeds)

    @cached_property
    def _of_pair(self) -> dict[tuple[str, str], list[TrialScores]]:
        """Runs by intermediate and model."""
        found: dict[tuple[str, str], list[TrialScores]] = {}
        for run in self.results.trials:
            found.setdefault((run.intermediate, run.model), []).append(run)
        return found

    @cached_property
    def _records(self) -> dict[str, TrialRecord]:
        return {record.trial: record for record in self.results.searched}

    @cached_property
    def _runs(self) -> dict[tuple[Member, str], dict[int, TrialScores]]:
        return {}

    @cached_property
    def _values(self) -> dict[tuple[str, str], Mapping[str, float]]:
        return {}


def _missing(
    arm: str,
    own: Sequence[Member],
    seeds: Sequence[int],
    cells: Sequence[Cell],
    holes: np.ndarray,
) -> tuple[str, ...]:
    """What is missing of an arm, `holes` (members, seeds, cells), a line for each member and each
    set of seeds."""
    lines = []
    targets = np.array([target for target, _ in cells])
    for i, member in enumerate(own):
        lacking: dict[tuple[int, ...], list[str]] = {}
        for target in dict.fromkeys(targets.tolist()):
            by_seed = holes[i][:, targets == target]
            lost = tuple(seed for seed, has in zip(seeds, by_seed.any(1), strict=True) if has)
            if lost:
                whole = "" if by_seed.all(1).sum() == len(lost) else " (some languages)"
                lacking.setdefault(lost, []).append(f"{target}{whole}")
        for lost, names in lacking.items():
            few = "seed" if len(lost) == 1 else "seeds"
            lines.append(
                f"{arm}: {member.intermediate} on {member.model}, {few} "
                f"{', '.join(map(str, lost))}: no score on {', '.join(names)}"
            )
    return tuple(lines)

"""A race with a lower rung, trained for real: what it trains, what comes of it nowhere else, and
that it is killed and gone on with as if nothing had been.

Ray is left out: the searcher hands out trials, and this process runs one after the other, so that
decisions hang on scores alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from xstilts.config.load import parse_sweep
from xstilts.files import read_json
from xstilts.plan.plan import Planner
from xstilts.plan.stage import class_of, stage_name
from xstilts.plan.trial_plan import TrialPlan
from xstilts.records import TrialRecord
from xstilts.report.results import Results
from xstilts.report.tables import tables
from xstilts.run.inputs import take_inventory
from xstilts.run.kept_weights import Keeper
from xstilts.run.places import Places
from xstilts.run.records import is_finished, is_of, read_record
from xstilts.run.reopen import workshop_of
from xstilts.run.trial import run_trial
from xstilts.search.journal import Journal
from xstilts.search.proposals import Proposals, target_points
from xstilts.search.racing import UNDER_WAY, Race, UnderWay
from xstilts.search.searcher import StageSearcher
from xstilts.tracking.runs import trial_run

from ..conftest import make_places

pytestmark = pytest.mark.slow

TARGETS = ("mini_xnli", "mini_udpos")
CANDIDATES = ("nli", "choice", "qa")
RACE = {"strategy": "race", "rungs": [0.25, 1]}


class Swept:
    """A sweep in a storage, opened as often as a launch would be."""

    def __init__(self, places: Places, data: Path, **search: Any):
        space = {"intermediate.epochs": {"choice": [0.2]}, "target.epochs": {"choice": [0.02]}}
        told = {
            "name": places.name, "benchmark": "custom", "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}}, "data": {"root": str(data)},
            "intermediates": {
                name: {"tasks": [f"mini_{name}"], "examples": 240} for name in CANDIDATES
            },
            "targets": [*TARGETS], "languages": ["en"], "evaluation": {"examples": 20},
            "seeds": [0, 1], "search": {"encoder": {"trials": 4, "space": space}, **search},
        }  # fmt: skip
        self.sweep = parse_sweep(told, "test")
        self.places = places
        self.planner = Planner(
            self.sweep, take_inventory(self.sweep, places), target_points(self.sweep)
        )
        self.workshop = workshop_of(self.planner, places)
        self.history: list[tuple[str, tuple[str, ...]]] = []

    def read(self, plan: TrialPlan) -> TrialRecord | None:
        return read_record(self.places.trials / plan.trial_id)

    def read_final(self, plan: TrialPlan) -> TrialRecord | None:
        record = self.read(plan)
        if record is None or not is_finished(record, self.workshop.store):
            return None
        how = (self.planner.world_size, self.planner.precision)
        return record if is_of(record, plan.targets, *how) else None

    def open(self) -> StageSearcher:
        """As a launch opens it, from what lies on disk."""
        folder = self.places.launch(1)
        proposals = Proposals(self.sweep, Journal(folder / "journal"))
        known = read_json(folder / UNDER_WAY) if (folder / UNDER_WAY).exists() else []
        race = Race(
            self.planner,
            list(proposals.made.values()),
            self.read_final,
            self.read,
            UnderWay(known, folder),
        )
        store, is_race = self.workshop.store, self.sweep.search.is_race
        return StageSearcher(
            proposals, self.planner, store, self.read_final, race=race if is_race else None
        )

    def go_on(self, most: int | None = None) -> list[TrialRecord]:
        """Run what the searcher hands out, to its end or until so many trials have ended: then one
        more is handed out, which nobody ends. All records."""
        searcher, ended = self.open(), 0
        while isinstance(config := searcher.suggest(f"t{ended}"), dict):
            if most is not None and ended == most:
                break
            plan = self.planner.plan(**config["trial"])
            folder = self.places.trials / plan.trial_id
            record = run_trial(plan, self.planner, self.workshop, folder)
            assert record.state == "finished", record.error
            self.history.append((plan.trial_id, plan.targets))
            searcher.on_trial_complete(f"t{ended}", {"outcome": "finished"})
            ended += 1
        assert most is not None or config == Searcher.FINISHED
        return [x for x in map(read_record, sorted(self.places.trials.glob("*"))) if x is not None]


def stages_of(records: list[TrialRecord]) -> set[str]:
    return {stage.fingerprint for record in records for stage in record.stages}


def rows_of(records: list[TrialRecord]) -> dict[tuple[str, ...], float]:
    """Every number of every trial."""
    names = ("trial", "cell", "target", "split", "language", "metric")
    return {
        tuple(row[name] for name in names): row["value"]
        for record in records
        for row in record.scores
    }


def test_a_race_with_rungs_is_killed_and_decides_alike(tmp_path: Path, shared_mini: Path) -> None:
    places = make_places(tmp_path)
    killed = Swept(places, shared_mini, **RACE)
    before = stages_of(killed.go_on(most=6))
    records = killed.go_on()
    short = [record for record in records if record.is_short]
    whole = [record for record in records if not record.is_short]
    assert {(r.intermediate, r.seed, r.rung) for r in short} == {
        (name, 0, 0.25) for name in CANDIDATES
    }
    assert any(trial.endswith("-r0.25") for trial, _ in killed.history[:6])
    assert before < stages_of(records)
    for record in short:
        assert record.objective is None and {row["split"] for row in record.scores} == {"dev"}
        classes = sorted(class_of(stage.name) for stage in record.stages)
        assert classes == ["intermediate", "target", "target"]
        plan = killed.planner.plan(record.point, 0)
        for own, other in zip(
            killed.planner.plan(record.point, 0, rung=0.25).training_stages,
            plan.training_stages,
            strict=True,
        ):
            tokens = next(x.tokens for x in record.stages if x.name == stage_name(own))
            assert tokens > 0 and own.num_steps <= -(-other.num_steps // 4) + 1
    assert not stages_of(short) & stages_of(whole)

    # In a storage of its own and without a disturbance the same is decided, and trained.
    (tmp_path / "other").mkdir()
    undisturbed = Swept(make_places(tmp_path / "other"), shared_mini, **RACE)
    again = undisturbed.go_on()
    assert undisturbed.history == killed.history
    assert rows_of(again) == rows_of(records)

    # The last rung is what a whole sweep trains: it finds it there, to the last bit.
    every = Swept(Places(undisturbed.places.storage, "whole"), shared_mini)
    for folder in (every.places.sweep, every.places.trials, every.places.launch(1)):
        folder.mkdir(parents=True, exist_ok=True)
    all_records = every.go_on()
    assert stages_of(whole) <= stages_of(all_records)
    assert not stages_of(short) & stages_of(all_records)
    own, scores = rows_of(whole), rows_of(all_records)
    assert own and {key: scores[key] for key in own} == own

    results = Results(killed.sweep, places, places.launch(1), records)
    found = {name: str(table.rows) for name, table in tables(results).items()}
    assert [name for name, text in found.items() if "-r0.25" in text] == ["trials"]
    run = trial_run(killed.sweep, short[0], {}, ())
    names = {point.key for point in run.metrics}
    assert run.tags["xstilts.role"] == "rung" and run.params["rung"] == "0.25"
    assert "rung/dev/mini_xnli" in names
    assert not [name for name in names if name.startswith(("dev/", "mini_"))]
    # No fine-tuned weights of its own stay.
    Keeper(killed.sweep, places, 1, lambda: None).add(records)
    kept = read_json(places.launch(1) / "kept.json")
    assert not {*kept} & {stage.name for record in short for stage in record.stages}

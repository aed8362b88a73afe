"""Lower rungs of a sweep's race: who runs there, what follows, and that a kill changes nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.tune.search import Searcher

from tests.search.test_racing import Records, drive, make_planner, open_race, value_of
from xstilts.plan.plan import Planner
from xstilts.search.lower_rungs import Lower
from xstilts.search.race_scores import believed
from xstilts.search.racing import Drawing, decide

BOTH = {"mini_xnli", "mini_udpos"}
SPACE = {"intermediate.epochs": {"choice": [1, 2, 3, 4]}}


def planner_of(trials: int = 6, rungs: tuple[float, ...] = (0.1, 1.0), **changes: Any) -> Planner:
    search = {"strategy": "race", "rungs": rungs, "encoder": {"trials": trials, "space": SPACE}}
    return make_planner(trials, search=search, **changes)


def empty(shape: tuple[int, ...] = (4, 2, 1)) -> Lower:
    return Lower(np.full(shape, np.nan), np.ones(shape, dtype=bool))


def test_first_comes_the_lowest_rung_and_then_whole_runs_from_top_to_end() -> None:
    seen, available, lower = np.full((4, 2, 3), np.nan), np.ones((4, 2), dtype=bool), empty()
    found = decide(seen, [], available, 0, lower)
    assert sorted(found.first) == [Drawing(row, 0, (0, 1), 0) for row in range(4)]
    # What runs at a lower rung counts as drawn, so that nobody waits for the rung to fill.
    then = decide(seen, found.first, available, 0, lower)
    assert not then.first and {(one.draw, one.rung) for one in then.further} == {(0, 1)}
    lower.scores[:, :, 0] = np.array([[40, 50, 60, 30], [60, 30, 40, 50]]).T
    then = decide(seen, [], available, 0, lower)
    assert sorted(then.further) == [Drawing(0, 0, (1,), 1), Drawing(2, 0, (0,), 1)]


def test_of_several_lower_rungs_the_lowest_that_can_run_is_run() -> None:
    lower = empty((4, 2, 2))
    lower.can_run[2, :, 0] = False
    found = decide(np.full((4, 2, 3), np.nan), [], np.ones((4, 2), dtype=bool), 0, lower)
    assert {(one.candidate, one.rung) for one in found.first} == {(0, 0), (1, 0), (2, 1), (3, 0)}


def test_before_there_is_a_model_a_lower_rung_orders_what_is_believed() -> None:
    seen, lower = np.full((4, 2, 3), np.nan), empty()
    lower.scores[:3, 0, 0] = 10, 20, 30
    assert believed(seen, lower)[:, 0].tolist() == [10, 20, 30, 20]
    seen[0, 0, 0] = 70
    assert believed(seen, lower)[:, 0].tolist() == [60, 70, 80, 70]


def test_every_candidate_has_one_short_run_and_fewer_have_whole_ones(storage: Path) -> None:
    planner = planner_of(9)
    records, proposals = drive(storage, planner, workers=2)
    short = [record for record in records.all.values() if record.is_short]
    racing = {c for c, p in proposals.made.items() if p.point["intermediate"] != "none"}
    assert sorted(one.config for one in short) == sorted(racing) and len(racing) == 8
    assert {(one.seed, one.rung, one.objective) for one in short} == {(0, 0.1, None)}
    assert all({*one.targets} == BOTH for one in short)
    whole = [
        (record.config, target)
        for record in records.all.values()
        for target in record.targets
        if not record.is_short and record.seed == 0
    ]
    baseline = {c for c in proposals.made if c not in racing}
    assert {c for c, _ in whole} >= baseline and {*whole} < {
        (config, target) for config in proposals.made for target in BOTH
    }, "some candidate was parked on some target by its short run"


@pytest.mark.parametrize("workers", [1, 3])
def test_a_race_with_rungs_that_is_killed_decides_as_one_that_is_not(
    tmp_path: Path, workers: int
) -> None:
    planner = planner_of()
    folders = [tmp_path / name for name in ("whole", "killed", "often")]
    for folder in folders:
        folder.mkdir()
    whole, asked = drive(folders[0], planner, workers)
    for number, folder in enumerate(folders[1:]):
        killed, again = drive(folder, planner, workers, random.Random(number))
        assert killed.history == whole.history
        assert [*again.made] == [*asked.made]


def test_the_study_hears_what_was_seen_of_a_parked_configuration(storage: Path) -> None:
    planner = planner_of(9)
    records, proposals = drive(storage, planner)
    whole = {record.config for record in records.all.values() if not record.is_short}
    states = dict(zip(proposals.made, proposals._study.trials, strict=True))
    parked = [config for config in proposals.made if config not in whole]
    assert parked
    for config in parked:
        (short,) = [r for r in records.all.values() if r.config == config]
        seen = [value_of(short.trial, target) for target in BOTH]
        assert states[config].state.name == "PRUNED"
        assert states[config].value == pytest.approx(np.mean(seen))
        assert [*states[config].intermediate_values] == [2]
    assert all(len(states[c].intermediate_values) < 2 for c in whole)


def test_the_sampler_hears_of_short_runs_before_there_are_others(storage: Path) -> None:
    planner = planner_of(5)
    records = Records(planner)
    searcher, race, _ = open_race(storage, planner, records)
    running = {f"t{i}": planner.plan(**searcher.suggest(f"t{i}")["trial"]) for i in range(5)}
    short = {trial: plan for trial, plan in running.items() if plan.is_short}
    assert len(short) == 2
    for trial, plan in short.items():
        records.run(plan)
        searcher.on_trial_complete(trial, {"outcome": "finished"})
    told = race.beliefs()
    assert told.keys() == {plan.config_id for plan in short.values()}
    for plan in short.values():
        value = np.mean([value_of(plan.trial_id, target) for target in BOTH])
        assert told[plan.config_id][0] == pytest.approx(value)


def test_a_short_run_that_failed_is_not_wanted_again_and_keeps_nobody_out(storage: Path) -> None:
    planner = planner_of(3)
    records = Records(planner)
    searcher, race, _ = open_race(storage, planner, records)
    failed = None
    for number in range(60):
        config = searcher.suggest(f"t{number}")
        if not isinstance(config, dict):
            break
        plan = planner.plan(**config["trial"])
        if failed is None and plan.is_short:
            failed = plan
            searcher.on_trial_complete(f"t{number}", {"outcome": "failed", "objective": None})
            continue
        assert plan.trial_id != getattr(failed, "trial_id", "")
        records.run(plan)
        searcher.on_trial_complete(f"t{number}", {"outcome": "finished"})
    assert config == Searcher.FINISHED and failed is not None
    assert any(r.config == failed.config_id and not r.is_short for r in records.all.values())
    # The next launch tries what failed again only where no whole run says more.
    _, race, _ = open_race(storage, planner, records)
    assert race.is_over()


def test_a_target_without_training_is_chosen_for_by_the_short_runs_of_all_others(
    storage: Path,
) -> None:
    planner = planner_of(4, targets=["mini_xnli", "mini_udpos", "mini_tatoeba"])
    records, _ = drive(storage, planner)
    short = [record for record in records.all.values() if record.is_short]
    assert len(short) == 3 and all({*one.targets} == BOTH for one in short)

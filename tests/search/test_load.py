"""What a driver asks of the file system does not grow with its sweep: calls are counted."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.driver_loop import Driver, counted, write_record_of
from xstilts.config.schema import Sweep
from xstilts.plan.inventory import Inventory, ModelFacts, row_key
from xstilts.report import standings
from xstilts.run.places import Places
from xstilts.run.storage import open_storage
from xstilts.search.launch import prepared
from xstilts.tasks import lookup

from ..conftest import make_sweep

FEW, MANY = 12, 48
"""Trials that have ended when the counting begins."""

TASKS = ("mini_nli", "mini_qa", "mini_xnli", "mini_udpos")


def sweep_of(strategy: str) -> Sweep:
    space = {"intermediate.learning_rate": {"float": [1e-6, 1e-4], "log": True}}
    encoder = {"trials": 60, "space": space, "sampler": {"name": "random"}}
    return make_sweep(
        intermediates={name: {"tasks": [f"mini_{name}"]} for name in ("nli", "qa")},
        targets=["mini_xnli", "mini_udpos"],
        seeds=[0, 1, 2],
        search={"strategy": strategy, "encoder": encoder},
    )


def inventory() -> Inventory:
    rows, data = {}, {}
    for task in map(lookup, TASKS):
        for use in task.splits:
            data |= {source.hub_id: task.name for source in task.sources_of(use)}
            rows |= {row_key(task, use, language): 100 for language in task.languages_of(use)}
    labels = {"mini_udpos": ("N", "V")}
    return Inventory({"m": ModelFacts("/m", "w", "t", 2, 1)}, {}, data, rows, labels)


@pytest.mark.parametrize("strategy", ["all", "race"])
def test_calls_a_trial_do_not_grow_with_the_sweep(
    tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Standings read what has ended since their last look; where they rest by the clock, a slow
    # machine would have the records of many trials within the six that are counted.
    monkeypatch.setattr(standings, "STANDINGS_EVERY_S", 0.0)
    monkeypatch.setattr(standings, "STANDINGS_SHARE", math.inf)
    open_storage(tmp_path)
    found: dict[int, tuple[Counter[str], Counter[str]]] = {}
    with prepared(sweep_of(strategy), Places(tmp_path, "s"), inventory()) as launch:
        driver = Driver(launch, write_record_of)
        for size in (FEW, MANY):
            while driver.handed_out < size:
                assert driver.trial()
            trials: Counter[str] = Counter()
            for _ in range(6):
                assert driver.trial(trials)
            second: Counter[str] = Counter()
            with counted(second):
                driver.second()
            found[size] = trials, second
    assert found[MANY][1] == found[FEW][1], "a second in which nothing happens"
    few, many = (found[size][0] for size in (FEW, MANY))
    assert few.total() > 100, "the calls are counted"
    assert many["names"] <= few["names"], "no folder is listed whose names become more"
    # Configurations that are new cost some; both counts have them, a few more or fewer.
    assert many.total() <= 1.1 * few.total(), (few, many)


def test_what_is_handed_out_is_seen_and_what_has_ended_is_left(tmp_path: Path) -> None:
    """Every trial is seen to end, and looked at no more after."""
    open_storage(tmp_path)
    looked: list[Any] = []
    with prepared(sweep_of("all"), Places(tmp_path, "s"), inventory()) as launch:
        driver = Driver(launch, write_record_of)
        for _ in range(5):
            driver.trial()
        states = launch.states
        assert sum(state.is_ended for state in states.look()) == driver.handed_out == 5
        real = states._look_at
        states._look_at = lambda trial: looked.append(trial) or real(trial)  # type: ignore
        driver.trial()
        assert len(states.look()) == 6
        assert len(set(looked)) == 1, "the one that was handed out"

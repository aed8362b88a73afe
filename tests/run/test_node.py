"""What a node says of itself, and what fits on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xstilts.errors import ConfigError
from xstilts.run.node import (
    RACES,
    READY,
    check_resources,
    differences,
    node_facts,
    places_on,
    versions,
)

from ..conftest import make_sweep


def test_a_trial_must_fit_on_one_node() -> None:
    sweep = make_sweep(resources={"gpus_per_trial": 1, "cpus_per_trial": 4})
    check_resources(sweep, [{"CPU": 8, "GPU": 1}])
    with pytest.raises(ConfigError, match=r"2 CPUs, 4 GPUs \| 8 CPUs, 0 GPUs"):
        check_resources(sweep, [{"CPU": 8}, {"CPU": 2, "GPU": 4}])


def test_places_are_what_fits() -> None:
    half = make_sweep(resources={"gpus_per_trial": 0.5, "cpus_per_trial": 2})
    assert [places_on(half, {"CPU": 16, "GPU": 2}), places_on(half, {"CPU": 3, "GPU": 1})] == [4, 1]
    assert places_on(make_sweep(), {"CPU": 2}) == 2


def test_a_node_says_what_it_sees(tmp_path: Path) -> None:
    facts = node_facts(str(tmp_path), [str(tmp_path), "/no/such"], False, 1)
    assert facts["storage"] == "" and facts["missing"] == ["/no/such"]
    assert facts["won"] == list(range(RACES)), "it raced alone"
    assert len(list(tmp_path.glob(f"{READY}{facts['host']}-*"))) == 1
    other = node_facts("/no/such", [], False, 1)
    assert other["storage"] == "not the driver's" and other["won"] == []


def test_nodes_that_race_for_leases_win_each_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(node_facts, str(tmp_path), [], False, 1) for _ in range(4)]
    won = [race for answer in asked for race in answer.result()["won"]]
    assert sorted(won) == list(range(RACES))


def test_versions_differ_by_package_and_by_code() -> None:
    own = versions()
    assert own["torch"] != "absent" and len(own["code"]) == 12
    assert differences(own, own) == []
    other = {**own, "torch": "1.0", "code": "abc"}
    assert differences(own, other) == [
        f"code {own['code']}, not abc",
        f"torch {own['torch']}, not 1.0",
    ]

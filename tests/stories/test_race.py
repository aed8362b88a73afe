"""A race beside the whole sweep: fewer runs, the same numbers, killed and gone on with."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xstilts import open_results

from .conftest import Bench

pytestmark = pytest.mark.ray

SWEEP = """
name: {name}
benchmark: mini
recipe: mini
models: {{mini: {{path: "builtin:mini"}}}}
data: {{root: {data}}}
intermediates:
  nli: {{tasks: [mini_nli], examples: 320}}
  choice: {{tasks: [mini_choice], examples: 320}}
  qa: {{tasks: [mini_qa], examples: 320}}
targets: [mini_xnli, mini_udpos]
languages: [en]
seeds: [0, 1, 2]
search:
  strategy: {strategy}
  encoder:
    trials: 4
    space: {{intermediate.epochs: {{choice: [0.2]}}, target.epochs: {{choice: [0.1]}}}}
"""

SOAK_S = 3000
"""A soak waits so long for what takes minutes on two idle cores."""


def scores_of(records: dict[str, dict[str, Any]]) -> dict[tuple[str, ...], float]:
    """Every number of every trial."""
    names = ("trial", "cell", "target", "split", "language", "metric")
    return {
        tuple(row[name] for name in names): row["value"]
        for record in records.values()
        for row in record["scores"]
    }


def test_a_race_runs_less_and_its_scores_are_those_of_the_whole(
    tmp_path: Path, shared_mini: Path
) -> None:
    bench = Bench(tmp_path)
    for name, strategy in (("small", "race"), ("whole", "all")):
        text = SWEEP.format(name=name, strategy=strategy, data=shared_mini)
        (tmp_path / f"{name}.yaml").write_text(text)
    process = bench.start("sweep", "small.yaml")
    bench.wait_for(lambda: len(bench.records()) >= 4 or process.poll() is not None, timeout_s=200)
    assert process.poll() is None, process.communicate()[0]
    bench.kill(process)
    before, stages = bench.records(), bench.stages()
    under_way = json.loads(bench.launches()[0].joinpath("race.json").read_text())
    text = bench.run("sweep", "small.yaml")
    race, after = bench.records(), bench.stages()
    assert {name: after[name] for name in stages} == stages, "nothing is computed again"
    for told in under_way:
        own = [
            r for r in race.values() if (r["config"], r["seed"]) == (told["config"], told["seed"])
        ]
        assert len(own) == 1 and {*own[0]["targets"]} >= {*told["targets"]}, "decided once"
    for name, record in before.items():
        assert {*record["targets"]} <= {*race[name]["targets"]}
    assert "may be the best: mini_xnli" in text and "not confirmed" in text
    assert "Race" in [line.strip() for line in text.splitlines()]
    assert "everything is done already" in bench.run("sweep", "small.yaml")
    states = bench.mlflow()
    assert states.keys() == {*race, "summary"}
    assert {state for state, _ in states.values()} == {"FINISHED"}

    targets = ("mini_xnli", "mini_udpos")
    runs = {
        (record["intermediate"], target, record["seed"])
        for record in race.values()
        for target in record["targets"]
    }
    assert {run for run in runs if run[0] == "none"} == {
        ("none", target, seed) for target in targets for seed in (0, 1, 2)
    }
    assert 2 * (3 + 3) < len(runs) < 2 * 4 * 3, "more than a first run each, and less than all"

    bench.run("sweep", "whole.yaml")
    whole = scores_of(bench.records("whole"))
    own = scores_of(race)
    assert own and {key: whole[key] for key in own} == own
    assert len(own) < len(whole)
    told = open_results("small", bench.storage).best
    assert [*told["target"]] == [*targets]
    assert {*told["verdict"]} == {"not confirmed"}


@pytest.mark.soak
def test_a_race_that_is_killed_at_ten_random_moments_decides_as_an_undisturbed_one(
    tmp_path: Path, shared_mini: Path
) -> None:
    """With one slot a race meets results in one order, and so decides alike whatever happens."""
    calm, killed = (Bench(tmp_path / name) for name in ("calm", "killed"))
    for bench in (calm, killed):
        bench.folder.mkdir()
        text = SWEEP.format(name="small", strategy="race", data=shared_mini)
        one_slot = {"cpus_per_trial": len(os.sched_getaffinity(0))}
        (bench.folder / "sweep.yaml").write_text(f"{text}resources: {json.dumps(one_slot)}\n")
    calm.run("sweep", "sweep.yaml", timeout_s=SOAK_S)
    assert _kill_at_random(killed, calm, kills=10) == 10, "the race ended before the last"
    killed.run("sweep", "sweep.yaml", timeout_s=SOAK_S)
    assert _targets_of(killed) == _targets_of(calm)
    assert scores_of(killed.records()) == scores_of(calm.records())


def _targets_of(bench: Bench) -> dict[str, list[str]]:
    return {trial: sorted(record["targets"]) for trial, record in bench.records().items()}


def _kill_at_random(bench: Bench, calm: Bench, kills: int) -> int:
    """Kill a race from its beginning to near its end, each time when it has begun a trial, and up
    to half as long as the shortest trial of the calm race took after that: within a stage, between
    two, while it decides. How often it was still running."""
    random = np.random.default_rng(0)
    took_s = [one["ended"] - one["started"] for each in calm.attempts().values() for one in each]
    found = 0
    for number in range(kills):
        begun, ended = len(_attempts(bench)), number * (len(took_s) - 4) // kills
        process = bench.start("sweep", "sweep.yaml")
        bench.wait_for(
            lambda begun=begun, ended=ended, process=process: (
                (len(_attempts(bench)) > begun and _attempts(bench).count("finished") >= ended)
                or process.poll() is not None
            ),
            timeout_s=SOAK_S,
        )
        time.sleep(random.uniform(0, min(took_s) / 2))
        found += process.poll() is None
        bench.kill(process)
    return found


def _attempts(bench: Bench) -> list[str | None]:
    """How every attempt at a trial ended; None where it has not."""
    return [one["how"] for each in bench.attempts().values() for one in each]

"""A race with a lower rung: what it trains, what comes of it nowhere else, and that it is killed
and gone on with as if nothing had been."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from xstilts import open_results

from .conftest import Bench
from .test_race import scores_of

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
seeds: [0, 1]
search:
  {search}
  encoder:
    trials: 4
    space: {{intermediate.epochs: {{choice: [0.2]}}, target.epochs: {{choice: [0.1]}}}}
resources: {{cpus_per_trial: {cpus}}}
"""
"""One trial at a time, whatever the machine: then its decisions hang on scores alone."""

RACE = "strategy: race\n  rungs: [0.3, 1]"


def stages_of(record: dict[str, Any]) -> set[str]:
    return {stage["fingerprint"] for stage in record["stages"]}


def decided(records: dict[str, dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(record["targets"]) for name, record in records.items()}


def test_a_race_with_rungs_is_killed_and_decides_alike(tmp_path: Path, shared_mini: Path) -> None:
    bench = Bench(tmp_path)
    for name, search in (("small", RACE), ("again", RACE), ("whole", "strategy: all")):
        text = SWEEP.format(name=name, search=search, data=shared_mini, cpus=os.cpu_count())
        (tmp_path / f"{name}.yaml").write_text(text)
    process = bench.start("sweep", "small.yaml")
    bench.wait_for(lambda: len(bench.records()) >= 6 or process.poll() is not None, timeout_s=600)
    assert process.poll() is None, process.communicate()[0]
    bench.kill(process)
    before, stages = bench.records(), bench.stages()
    text = bench.run("sweep", "small.yaml")
    race, after = bench.records(), bench.stages()
    assert {name: after[name] for name in stages} == stages, "nothing is computed again"
    assert {name: race[name]["scores"] for name in before} == {
        name: record["scores"] for name, record in before.items()
    }

    short = {name: record for name, record in race.items() if record["phase"] == "rung"}
    whole = {name: record for name, record in race.items() if name not in short}
    assert {(r["intermediate"], r["seed"], r["rung"]) for r in short.values()} == {
        (name, 0, 0.3) for name in ("nli", "choice", "qa")
    }
    for name, record in short.items():
        assert record["objective"] is None and {x["split"] for x in record["scores"]} == {"dev"}
        assert sorted(x["name"].partition("-")[0] for x in record["stages"]) == [
            "intermediate", "target", "target",
        ]  # fmt: skip
        other = whole.get(name.removesuffix("-r0.3"))
        if other is not None:
            assert 0.2 < record["stages"][0]["tokens"] / other["stages"][0]["tokens"] < 0.4
            assert not stages_of(record) & stages_of(other)
    assert "rung 0.3" in text and "everything is done already" in bench.run("sweep", "small.yaml")

    # Without a disturbance it decides the same, and finds all stages there.
    bench.run("sweep", "again.yaml")
    assert decided(bench.records("again")) == decided(race)
    assert bench.stages() == after

    bench.run("sweep", "whole.yaml")
    every = bench.records("whole")
    trained = set[str]().union(*map(stages_of, every.values()))
    for record in whole.values():
        assert stages_of(record) <= trained, "the last rung is what `all` trains"
    for record in short.values():
        assert not stages_of(record) & trained
    own, scores = scores_of(whole), scores_of(every)
    assert own and {key: scores[key] for key in own} == own

    results = open_results("small", bench.storage)
    trials = results.trials
    assert {*trials[trials["phase"] == "rung"]["trial"]} == {*short}
    assert not {*results.scores["trial"]} & {*short}
    states = bench.mlflow()
    for name in short:
        state, metrics = states[name]
        assert state == "FINISHED" and "rung/dev/mini_xnli" in metrics
        assert not [key for key in metrics if key.startswith(("dev/", "mini_"))]

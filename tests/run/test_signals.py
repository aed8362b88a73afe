"""Signals as stages: read off encoders, stored once, part of a trial where they are asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from xstilts.config.load import parse_sweep
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Signal, Train, fingerprint, stage_name
from xstilts.run.inputs import take_inventory
from xstilts.run.places import Places
from xstilts.run.records import read_record
from xstilts.run.reopen import workshop_of
from xstilts.run.trial import run_trial
from xstilts.search.proposals import target_points

from ..conftest import make_places

SEARCH = {
    "strategy": "race",
    "signals": ["retrieval", "probe"],
    "parallel": "mini_parallel",
    "encoder": {"space": {"target.epochs": {"choice": [0.02]}}},
}


def make_planner(data: Path, places: Places, **search: Any) -> Planner:
    sweep = parse_sweep(
        {
            "name": "s",
            "benchmark": "custom",
            "recipe": "mini",
            "models": {"mini": {"path": "builtin:mini"}},
            "data": {"root": str(data)},
            "intermediates": {"nli": {"tasks": ["mini_nli"], "budget": {"examples": 48}}},
            "targets": ["mini_xnli", "mini_xquad", "mini_tatoeba"],
            "languages": ["en", "qaa"],
            "seeds": [0, 1],
            "search": {**SEARCH, **search},
        },
        "test",
    )
    return Planner(sweep, take_inventory(sweep, places), target_points(sweep))


def point_of(intermediate: str) -> dict[str, Any]:
    return {"model": "mini", "intermediate": intermediate, "target.epochs": 0.02}


def test_a_trial_without_targets_tells_the_signals_of_its_encoder(
    tmp_path: Path, shared_mini: Path
) -> None:
    places = make_places(tmp_path)
    planner = make_planner(shared_mini, places)
    workshop = workshop_of(planner, places)
    plan = planner.plan(point_of("nli"), 0, targets=())
    assert [signal.name for signal in plan.signals] == [
        "retrieval/mini_parallel",
        "probe/mini_xnli",
    ], "span QA has no classes, and retrieval no dev set"
    run_trial(plan, planner, workshop, places.trials / plan.trial_id)
    record = read_record(places.trials / plan.trial_id)
    assert record is not None and record.state == "finished" and record.targets == []
    assert not len(record.scores) and record.objective is None
    assert [*record.signals] == [signal.name for signal in plan.signals]
    retrieval, probe = record.signals.values()
    assert retrieval["value"] == retrieval["by_layer/02"]
    assert 0 < probe["value"] < 2 and 20 < probe["linear/04"] <= 100

    # With targets it is the same trial, which computes no signal again.
    more = planner.plan(point_of("nli"), 0, targets=("mini_tatoeba",))
    again = run_trial(more, planner, workshop, places.trials / more.trial_id)
    assert again.trial == record.trial and again.signals == record.signals
    started = {stage.name: stage.started for stage in again.stages}
    assert all(started[stage.name] == stage.started for stage in record.stages)
    # Retrieval is what an evaluation on that text would say.
    signal, probe = plan.signals
    tatoeba = planner.evaluation(more, "mini_tatoeba", None)
    rows = replace(signal.rows, rows=signal.rows.rows[:1])
    found = workshop.run(replace(tatoeba, rows=rows), "test", lambda share: None)
    own = workshop.run(replace(signal, rows=rows), "test", lambda share: None)
    assert own.manifest.values["value"] == found.manifest.scores["qaa"]["accuracy"]
    # One row has one class, which tells nothing: a hole.
    one = replace(probe, rows=replace(probe.rows, rows=(("en", 1),), limit=1))
    assert workshop.run(one, "test", lambda share: None).manifest.values == {}


def test_signals_change_no_other_stage_and_hang_on_the_encoder(
    tmp_path: Path, shared_mini: Path
) -> None:
    places = make_places(tmp_path)
    with_signals = make_planner(shared_mini, places)
    plain = make_planner(shared_mini, places, signals=[], parallel=None)
    for name in ("none", "nli"):
        one, other = (planner.plan(point_of(name), 0) for planner in (with_signals, plain))
        assert [*map(stage_name, one.training_stages)] == [*map(stage_name, other.training_stages)]
        assert one.signals and not other.signals
    plan = with_signals.plan(point_of("nli"), 0)
    assert isinstance(plan.encoder, Train)
    assert all(signal.parent is plan.encoder for signal in plan.signals)
    assert not with_signals.plan(point_of("nli"), 1).signals, (
        "those of the first seed stand for all"
    )
    assert not with_signals.plan(point_of("nli"), 0, confirms={"mini_xnli": {}}).signals
    # A second attempt at the encoder has signals of its own.
    other = with_signals.with_encoder(plan, replace(plan.encoder, seed=7))
    both = {fingerprint(one) for one in (*plan.signals, *other.signals)}
    assert len(both) == 4 and all(one.parent is other.encoder for one in other.signals)
    needed = with_signals.rows_needed("mini")
    assert {signal.rows for signal in plan.signals} <= {*needed}


def test_what_a_signal_is_known_by(tmp_path: Path, shared_mini: Path) -> None:
    planner = make_planner(shared_mini, make_places(tmp_path))
    (signal, probe) = planner.plan(point_of("none"), 0).signals
    assert isinstance(signal, Signal) and stage_name(signal).startswith("signal-retrieval-mini_par")
    changed = [
        replace(signal, layer=1),
        replace(signal, signal="probe"),
        replace(signal, rows=probe.rows),
        replace(signal, precision="bf16", device="gpu"),
    ]
    assert len({fingerprint(one) for one in (signal, *changed)}) == 5


def test_a_record_of_before_signals_has_none(tmp_path: Path) -> None:
    from ..trial_records import record_json

    told = record_json("t")
    told.pop("signals", None)
    (tmp_path / "record.json").write_text(json.dumps(told))
    record = read_record(tmp_path)
    assert record is not None and record.signals == {}

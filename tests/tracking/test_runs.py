"""Records as runs: the names that MLflow shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xstilts.config.load import load_sweep
from xstilts.tracking.runs import trial_run

QUICKSTART = Path(__file__).parents[2] / "sweeps" / "quickstart.yaml"
RECORD: dict[str, Any] = {
    "trial": "mix-1-s0",
    "config": "1",
    "state": "finished",
    "error": "",
    "point": {"intermediate": "mix"},
    "seed": 0,
    "model": "mini",
    "intermediate": "mix",
    "rates": {"mini_nli": 0.75, "mini_qa": 0.25},
    "examples": {"mini_nli": {"en": 75}, "mini_mlm": {"en": 20, "qaa": 5}},
    "learning_rate": 1e-3,
    "chosen": {"mini_xnli": {"learning_rate": 1e-4, "stage": "x"}},
    "metrics": {"dev/avg": 50.0},
    "missing": [],
    "collapsed": [],
    "undecided": [],
    "stages": [],
    "curves": {},
    "started": 1.0,
    "ended": 2.0,
}


def test_drawn_examples_show_by_task_and_by_language_where_there_are_several() -> None:
    run = trial_run(load_sweep(QUICKSTART), RECORD, {}, ())
    drawn = {point.key: point.value for point in run.metrics if point.key.startswith("examples/")}
    assert drawn == {
        "examples/mini_nli": 75,
        "examples/mini_mlm": 25,
        "examples/mini_mlm/en": 20,
        "examples/mini_mlm/qaa": 5,
    }


def test_parameters_are_the_same_in_every_run_of_a_sweep() -> None:
    sweep = load_sweep(QUICKSTART)
    mixed = trial_run(sweep, RECORD, {}, ()).params
    none = {"intermediate": "none", "rates": {}, "examples": {}, "learning_rate": None}
    baseline = trial_run(sweep, {**RECORD, **none, "point": {"intermediate": "none"}}, {}, ())
    assert mixed["rate/mini_nli"] == "0.75" and baseline.params["rate/mini_nli"] == "0"
    assert {key for key in mixed if key.startswith("rate/")} == {
        key for key in baseline.params if key.startswith("rate/")
    }
    assert mixed["log10_lr/intermediate"] == "-3" and mixed["log10_lr/target/mini_xnli"] == "-4"
    assert "log10_lr/intermediate" not in baseline.params
    assert baseline.tags["xstilts.role"] == "baseline" and mixed["seed"] == "0"

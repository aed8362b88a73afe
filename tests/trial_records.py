"""Records of trials as JSON, whole, for tests that care for some of their fields."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from xstilts.records import SCHEMA, StageEntry, TrialRecord, typed


def entry_json(name: str = "intermediate-nli-1", **changes: Any) -> dict[str, Any]:
    """A stage of a record, computed in ten seconds."""
    own: dict[str, Any] = {"is_reused": False, "seconds": 10.0, "wait_s": 0.0, "tokens": 0}
    return asdict(StageEntry(**{"name": name, "fingerprint": "0" * 64, **own, **changes}))


def record_json(trial: str = "t", **changes: Any) -> dict[str, Any]:
    """A finished trial's record without scores and stages."""
    return {
        "trial": trial, "attempt": 1, "config": "c", "sweep": "s", "state": "finished",
        "error": "", "diverged": False, "point": {"intermediate": "none"}, "seed": 0,
        "model": "m", "intermediate": "none", "rates": {}, "examples": {}, "learning_rate": None,
        "chosen": {}, "recipes": {"intermediate": {}, "target": {}}, "metrics": {}, "missing": [],
        "collapsed": [], "undecided": [], "retries": {}, "objective": None, "scores": [],
        "stages": [], "curves": {}, "environment": {}, "processes": 1, "precision": "fp32",
        "started": 100.0, "ended": 200.0, "schema": SCHEMA, **changes,
    }  # fmt: skip


def make_record(trial: str = "t", **changes: Any) -> TrialRecord:
    """The same as it is read."""
    return typed(record_json(trial, **changes), TrialRecord, "test")

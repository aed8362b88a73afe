"""What trials and stages leave on disk comes back typed, whatever version wrote it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import StoreError
from xstilts.records import SCHEMA, Attempt, Outcome, manifest_of, read_if_whole

OUTCOME = Outcome(
    dev={"xnli": {"accuracy": 70.0}},
    dev_rows={"xnli": 100},
    floor={"xnli": 34.0},
    curve=[{"step": 1.0, "loss": 1.1}],
    best_step=1,
    steps=1,
    tokens=100,
    examples={"xnli": {"en": 8}},
    model_s=1.0,
    wait_s=0.1,
    checkpoint_s=0.0,
    total_s=1.2,
    max_tokens=4096,
    halvings=0,
    is_limited=False,
    undecided=["xnli"],
)


def manifest(**changes: Any) -> dict[str, Any]:
    """A training stage's manifest as JSON."""
    value = {
        "name": "target-xnli-1",
        "fingerprint": "1" * 64,
        "lease": 1,
        "schema": SCHEMA,
        "started": 1,
        "seconds": 2.5,
        "computed_by": "s/t",
        "environment": {"device": "cpu", "threads": 1},
        "outcome": asdict(OUTCOME),
        "files": {},
        **changes,
    }
    found: dict[str, Any] = json.loads(json.dumps(value))
    return found


def test_a_manifest_comes_back_typed() -> None:
    read = manifest_of(manifest(), "here")
    assert read.trained == OUTCOME and read.schema == SCHEMA
    assert read.started == 1.0 and read.environment["threads"] == 1
    scored = manifest_of(manifest(outcome=None, scores={"de": {"accuracy": 50}}), "here")
    assert scored.scores == {"de": {"accuracy": 50.0}} and scored.outcome is None


def test_what_version_0_called_collapsed_is_undecided() -> None:
    value = manifest()
    del value["schema"], value["outcome"]["undecided"]
    value["outcome"]["collapsed"] = ["xnli"]
    read = manifest_of(value, "here")
    assert read.schema == 0
    assert read.trained.collapsed == [] and read.trained.undecided == ["xnli"]


def test_what_is_no_manifest_is_refused_with_its_place() -> None:
    with pytest.raises(StoreError, match="here: is no manifest of a stage"):
        manifest_of(manifest(seconds="long"), "here")
    with pytest.raises(StoreError, match="here: a later version of xstilts wrote it"):
        manifest_of(manifest(schema=SCHEMA + 1), "here")


def test_a_file_of_another_form_counts_as_absent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "0001.json"
    assert read_if_whole(path, Attempt) is None
    whole = Attempt(1.0, "host", 2, "a")
    path.write_text(json.dumps(asdict(whole)))
    assert read_if_whole(path, Attempt) == whole
    with caplog.at_level(logging.WARNING):
        path.write_text('{"host": "a"}')
        assert read_if_whole(path, Attempt) is None
    assert str(path) in caplog.text and "counts as absent" in caplog.text


def test_training_knows_the_types_without_pydantic() -> None:
    script = "import sys; sys.modules['pydantic'] = None; import xstilts.training.loop"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

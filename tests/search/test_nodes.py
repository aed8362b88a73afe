"""What a sweep's watch lets go of: counted in what Tune would write down of a trial."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial

from xstilts.search.nodes import AllStopped, SweepWatch

MOST_KEPT_BYTES = 1000
"""Of what was reported of a trial; a result of ours has 20 numbers and strings."""


def watch_in(folder: Path, is_done: bool = False) -> SweepWatch:
    told = (lambda: False, lambda: is_done)
    return SweepWatch(*told, lambda: None, len, folder / "usage.json", print)


def ended_trial() -> Any:
    trial = Trial("trainable", stub=True)
    numbers = {f"number/{place}": float(place) for place in range(20)}
    trial.update_last_result({"done": True, "config": {"trial": {"seed": 0}}, **numbers})
    return trial


def kept_bytes(trial: Any) -> int:
    return sum(
        sys.getsizeof(kept) + sum(map(sys.getsizeof, kept.values()))
        for kept in (trial.last_result, trial.metric_analysis, trial.metric_n_steps)
    )


def test_a_trial_that_has_ended_keeps_no_results(tmp_path: Path) -> None:
    trial = ended_trial()
    assert kept_bytes(trial) > 10 * MOST_KEPT_BYTES
    watch_in(tmp_path).on_trial_complete(1, [trial], trial)
    assert kept_bytes(trial) < MOST_KEPT_BYTES
    # Else Tune asks the trial's actor for what it would have reported.
    assert trial.last_result.keys() > {"trial_id"}


def test_tune_ends_with_the_sweep(tmp_path: Path) -> None:
    watch_in(tmp_path).on_step_end(1, [])
    with pytest.raises(AllStopped):
        watch_in(tmp_path, is_done=True).on_step_end(1, [])

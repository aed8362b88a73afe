"""Attempts at a trial: those that died are counted apart, and a trial that always dies is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.errors import StageError
from xstilts.run import attempts


def test_an_attempt_that_nobody_ended_was_lost(tmp_path: Path) -> None:
    attempts.begin(tmp_path, "a", None)
    before = attempts.read(tmp_path)[0]
    seen = before["started"] + 100
    attempts.begin(tmp_path, "b", seen)
    attempts.end(tmp_path, "stopped")
    tried = attempts.begin(tmp_path, "b", seen)
    assert [attempt["how"] for attempt in tried] == ["lost", "stopped", None]
    assert tried[0]["ended"] == seen
    assert attempts.num_lost(tried) == 1
    assert attempts.read(tmp_path) == tried
    assert tried[-1]["host"] and tried[-1]["pid"]


def test_dying_at_one_place_again_and_again_is_a_failure(tmp_path: Path) -> None:
    for _ in range(attempts.MAX_LOSSES):
        attempts.check_progress(attempts.begin(tmp_path, "same", None))
    with pytest.raises(StageError, match="died 5 times in a row at the same place"):
        attempts.check_progress(attempts.begin(tmp_path, "same", None))


@pytest.mark.parametrize("end", ["gained", "stopped"])
def test_progress_or_an_orderly_end_forgives(tmp_path: Path, end: str) -> None:
    for number in range(attempts.MAX_LOSSES + 3):
        progress = "later" if end == "gained" and number > 2 else "same"
        tried = attempts.begin(tmp_path, progress, None)
        attempts.check_progress(tried)
        if end == "stopped" and number == 3:
            attempts.end(tmp_path, "stopped")

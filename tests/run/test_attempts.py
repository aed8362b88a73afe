"""Attempts at a trial: those that died are counted apart, and a trial that always dies is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.errors import StageError
from xstilts.records import Attempt
from xstilts.run import attempts


def begin(
    folder: Path, number: int, progress: str, last_sign_s: float | None = None
) -> list[Attempt]:
    """Begin an attempt; all of them."""
    attempts.begin(folder, number, progress, last_sign_s)
    return attempts.read(folder)


def test_an_attempt_that_nobody_ended_was_lost(tmp_path: Path) -> None:
    (before,) = begin(tmp_path, 1, "a")
    seen = before.started + 100
    begin(tmp_path, 2, "b", seen)
    attempts.end(tmp_path, 2, "stopped")
    tried = begin(tmp_path, 3, "b", seen)
    assert [attempt.how for attempt in tried] == ["lost", "stopped", None]
    assert tried[0].ended == seen
    assert attempts.num_lost(tried) == 1
    assert attempts.read(tmp_path) == tried
    assert tried[-1].host and tried[-1].pid


def test_who_wakes_up_after_another_has_begun_changes_nothing_of_its_attempt(
    tmp_path: Path,
) -> None:
    """A process that was only stopped ends its own attempt, which others called lost."""
    begin(tmp_path, 1, "a")
    begin(tmp_path, 2, "b")
    attempts.end(tmp_path, 1, "stopped")
    assert [attempt.how for attempt in attempts.read(tmp_path)] == ["stopped", None]
    assert [attempt.progress for attempt in attempts.read(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("text", ["", '{"started": 1', "[]", '{"host": "a"}'])
def test_a_torn_attempt_costs_the_others_nothing(tmp_path: Path, text: str) -> None:
    for number in (8, 9999, 10000):
        begin(tmp_path, number, str(number))
    names = [path.name for path in attempts.paths(tmp_path)]
    assert names == ["0008.json", "9999.json", "10000.json"]
    (tmp_path / "10000.json").write_text(text)
    tried = begin(tmp_path, 10001, "10001")
    assert [attempt.progress for attempt in tried] == ["8", "9999", "10001"]


def test_dying_at_one_place_again_and_again_is_a_failure(tmp_path: Path) -> None:
    for number in range(attempts.MAX_LOSSES):
        attempts.check_progress(begin(tmp_path, number + 1, "same"))
    with pytest.raises(StageError, match="died 5 times in a row at the same place"):
        attempts.check_progress(begin(tmp_path, attempts.MAX_LOSSES + 1, "same"))


@pytest.mark.parametrize("end", ["gained", "stopped"])
def test_progress_or_an_orderly_end_forgives(tmp_path: Path, end: str) -> None:
    for number in range(1, attempts.MAX_LOSSES + 4):
        progress = "later" if end == "gained" and number > 3 else "same"
        attempts.check_progress(begin(tmp_path, number, progress))
        if end == "stopped" and number == 4:
            attempts.end(tmp_path, number, "stopped")

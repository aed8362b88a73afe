"""A study answered from records: what is planted is found, what is not there is not claimed."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.study.analysis import answered

from .stored import launched_places, planted, put_all, study_sweep


def test_a_planted_difference_is_found_and_an_absent_one_is_not_claimed(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    answer = answered(put_all(places, sweep, planted({"mnli_tr": 4, "mnli_sw": 4})))
    first, second = answer.contrasts
    assert (first.standing, second.standing) == ("primary", "exploratory")
    assert first.holds and first.difference is not None
    assert first.difference.value == pytest.approx(4, abs=1)
    print(answer.says)
    assert not second.holds and second.detectable is not None

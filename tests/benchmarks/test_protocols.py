"""What the measurement of protocols computes from a run's checks."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from tests.benchmarks.protocol_runs import Check, Run, agreement, mean_of_runs
from tests.benchmarks.protocols import (
    TARGETS,
    chosen,
    compared,
    measured,
    rank_correlation,
    table_of,
)


def check(step: int, english: float, qaa: float, qab: float, **values: float) -> Check:
    """A check whose dev scores in qaa and qab are its test scores turned around."""
    test = {"en": english, "qaa": qaa, "qab": qab}
    dev = {"en": english, "qaa": qab, "qab": qaa}
    said = {"consistency": 0.0, "retrieval": 0.0, **values}
    return Check(step, english, dev, test, said["consistency"], said["retrieval"])


RUN = Run(
    "mini_xnli",
    "none",
    0,
    [
        check(1, 50, 40, 30, consistency=9, retrieval=1),
        check(2, 70, 60, 40, consistency=9, retrieval=2),
        check(3, 80, 20, 50, consistency=5, retrieval=3),
    ],
    {"en": 80.0, "qaa": 50.0, "qab": 54.0},
)
"""Zero-shot means 35, 50, 35."""


def test_regret_is_what_the_oracle_has_more() -> None:
    found = measured(RUN)
    assert found["best"] == (15.0, pytest.approx(0.0, abs=0.01))
    assert found["last"][0] == 15.0 and found["average"] == (-2.0, None)
    assert found["consistency"][0] == 15.0, "the first of equals"
    # qaa selects by (50+30, 70+40, 80+50)/2 and is judged by qab: 0 below the best; qab by
    # (50+40, 70+60, 80+20)/2, judged by qaa: 0.
    assert found["pivot"][0] == 0.0
    # By qaa alone the third (judged by qab: 0), by qab alone the second (judged by qaa: 0).
    assert found["pivot alone"][0] == 0.0


def test_the_first_of_the_highest_is_chosen_and_a_constant_has_no_rank() -> None:
    assert chosen([1.0, 3.0, 3.0]) == 1
    assert rank_correlation([1.0, 1.0], [1.0, 2.0]) is None
    assert rank_correlation([1.0, 2.0, 3.0], [1.0, 2.0, 9.0]) == pytest.approx(1.0)


def test_the_table_has_every_protocol_by_target() -> None:
    rows = table_of([RUN], {("mini_xnli", "none"): 49.0})
    cells = {row[0]: row[1:] for row in rows}
    assert len(cells) == 9 and all(len(row) == len(TARGETS) + 1 for row in cells.values())
    assert cells["best"][0] == "15.00 (+0.00)" and cells["best"][1] == "-"
    assert cells["seeds"][0] == cells["seeds"][3] == "1.00"


def test_worlds_are_compared_with_best() -> None:
    rows = {row[0]: row[1:] for row in compared({"one": [RUN, RUN], "two": [RUN]})}
    assert "seeds" not in rows and len(rows) == 8
    assert rows["best"] == ["15.00", "15.00", "15.00", "+0.00 ± 0.00"]
    assert rows["average"] == ["-2.00", "-2.00", "-2.00", "-17.00 ± 0.00"]


def test_translations_agree_as_far_as_they_say_the_same() -> None:
    assert agreement(["a", "b"], ["a", "c"]) == 0.5
    tags = [Counter(["NOUN", "VERB"])], [Counter(["NOUN", "NOUN", "DET", "VERB"])]
    assert agreement(*tags) == pytest.approx(4 / 6)


def test_weights_of_runs_with_other_heads_are_no_points_of_one_valley() -> None:
    weights = {0: {"x": torch.tensor([1.0])}, 1: {"x": torch.tensor([3.0])}}
    assert mean_of_runs(weights, {0: 0, 1: 0})["x"].equal(torch.tensor([2.0]))
    with pytest.raises(ValueError, match=r"one head; got heads of seeds \[0, 1\]"):
        mean_of_runs(weights, {0: 0, 1: 1})

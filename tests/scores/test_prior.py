"""What finished sweeps say of candidates: of their own target first, in standard deviations."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.scores.prior import Candidate, KnownCell, cells_in, prior_values
from xstilts.scores.seen import Column

NLI, QA, NEW = (Candidate("w", (task,)) for task in ("mini_nli", "mini_qa", "mini_choice"))
COLUMNS = (Column("x", ("x",), ("x",)), Column("y", ("y", "z"), ("y", "z")))


def cell(
    candidate: Candidate, target: str, dev: float, sweep: str = "a", config: str = "c"
) -> KnownCell:
    return KnownCell(sweep, config, *candidate, target, dev)


def test_a_candidate_has_its_own_targets_place_or_that_on_all_others() -> None:
    cells = [cell(NLI, "x", 60), cell(QA, "x", 50), cell(NLI, "v", 20), cell(QA, "v", 30)]
    found = prior_values(cells, [NLI, QA, NEW], COLUMNS)
    assert found[:2].tolist() == [[1, 0], [-1, 0]], "of y nothing is known: the mean of x and v"
    assert np.isnan(found[2]).all(), "of whom nothing is known, nothing is said"
    # Points of another sweep are no points of this one: places are.
    more = [*cells, cell(NLI, "y", 1, "b"), cell(QA, "y", 3, "b"), cell(NEW, "y", 2, "b")]
    spread = (2 / 3) ** 0.5
    assert prior_values(more, [NLI, QA, NEW], COLUMNS)[:, 1] == pytest.approx(
        [-1 / spread, 1 / spread, 0]
    )


def test_an_encoder_is_known_by_its_weights() -> None:
    cells = [cell(NLI, "x", 60), cell(QA, "x", 50)]
    other = [Candidate("v", one.tasks) for one in (NLI, QA)]
    assert np.isnan(prior_values(cells, other, COLUMNS)).all()
    # One candidate alone has no place among others.
    assert np.isnan(prior_values(cells[:1], [NLI], COLUMNS)).all()


def test_cells_are_written_and_read() -> None:
    one = cell(NLI, "x", 60.5)
    assert cells_in({"cells": [{**{n: getattr(one, n) for n in KnownCell.__slots__}}]}) == [one]
    assert cells_in({}) == []

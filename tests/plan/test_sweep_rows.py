"""Rows of a sweep are made once, however many plans hold them."""

from __future__ import annotations

from xstilts.plan.plan import Planner
from xstilts.plan.stage import Rows

from .test_plan import INVENTORY, TARGETS, sweep_with

POINTS = dict.fromkeys(TARGETS, ({"learning_rate": 1e-3},))


def rows_of(planner: Planner, seed: int) -> list[Rows]:
    plan = planner.plan({"model": "mini", "intermediate": "nli"}, seed)
    return [part.train for stage in plan.training_stages for part in stage.parts]


def test_plans_share_their_rows() -> None:
    planner = Planner(sweep_with(), INVENTORY, POINTS)
    first, second = rows_of(planner, 0), rows_of(planner, 1)
    assert len(first) > 2
    assert all(one is other for one, other in zip(first, second, strict=True))

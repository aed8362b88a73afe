"""What the inner search tried: points beside their encoder's others, holes, conditions."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.files import read_json, write_json
from xstilts.report.results import load_results
from xstilts.report.target_search import TargetSearch, target_searches
from xstilts.run.places import Places

from .stored import confirmed_places, confirmed_sweep, searched_points


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return confirmed_places(tmp_path, confirmed_sweep(targets=["mini_xnli", "mini_tatoeba"]))


def searched(places: Places) -> TargetSearch:
    (found,) = target_searches(load_results(places))
    return found


def test_a_point_is_compared_beside_its_encoders_others(places: Places) -> None:
    searched_points(places)
    for path in places.trials.glob("qa-c-*/record.json"):  # another encoder of nli, 10 points below
        write_json(path, {**read_json(path), "intermediate": "nli"})
    found = searched(places)
    assert found.targets == ("mini_xnli",), "retrieval trains nothing, and searches nothing"
    first, second = found.points
    assert (first.parameters, first.runs, first.kept) == ({"target.learning_rate": 8e-4}, 8, 8)
    assert (second.kept, first.dev - second.dev) == (0, pytest.approx(3))
    assert (first.over, second.over) == pytest.approx((1.5, -1.5))
    # Beside its encoder's others its effect is plain, whatever encoders differ by.
    (one,) = found.importances
    assert (one.parameter, one.n, one.groups) == ("target.learning_rate", 8, 2)
    assert one.effect == pytest.approx(1.5) and one.p is not None and one.p < 1e-6
    assert len({tried.config for tried in found.tried}) == 4, "of two seeds the mean"


def test_a_parameter_that_a_point_does_not_have_is_not_there(places: Places) -> None:
    searched_points(places, [{"layers": 2, "rank": 4}, {"layers": 1}, {"layers": 2, "rank": 8}])
    found = searched(places)
    assert [set(point.parameters) for point in found.points] == [
        {"target.layers", "target.rank"},
        {"target.layers"},
        {"target.layers", "target.rank"},
    ]
    told = {one.parameter: one for one in found.importances}
    assert (told["target.layers"].n, told["target.rank"].n) == (12, 8)
    # Among those that have a rank, 6 points lie between its two values.
    assert told["target.rank"].effect == pytest.approx(3)


def test_a_trial_whose_cells_are_not_these_points_is_left_out(places: Places) -> None:
    searched_points(places)
    path = places.trials / "nli-c-s0" / "record.json"
    record = read_json(path)
    write_json(path, {**record, "scores": record["scores"][1:]})
    assert {point.runs for point in searched(places).points} == {7}


def test_one_point_is_no_choice(places: Places) -> None:
    searched_points(places, [{"learning_rate": 8e-4}])
    assert target_searches(load_results(places)) == []

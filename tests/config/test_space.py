"""Search spaces: levels, simplices, conditions, grids."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any

import pytest

from xstilts.config.derive import candidates, encoder_space, languages_of, target_space
from xstilts.config.load import load_sweep, parse_sweep
from xstilts.config.schema import Sweep
from xstilts.config.space import (
    Choice,
    Float,
    Int,
    Parameter,
    Simplex,
    Space,
    in_dependency_order,
)
from xstilts.tasks import lookup

TASKS = ("a", "b", "c")


class RandomSuggest:
    """Independent seeded draws, as Optuna's random sampler makes them."""

    def __init__(self, seed: int = 0):
        self.random = random.Random(seed)
        self.names: list[str] = []

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.names.append(name)
        return self.random.choice(choices)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.names.append(name)
        return self.random.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        self.names.append(name)
        return self.random.randrange(low, high + 1, step)


class FixedSuggest(RandomSuggest):
    """Draws the given floats, one after the other."""

    def __init__(self, *values: float):
        super().__init__()
        self.values = iter(values)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return next(self.values)


def sweep_with(**sections: Any) -> Sweep:
    head = {
        "name": "small",
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"mini": {"path": "builtin:mini"}, "other": {"path": "builtin:mini"}},
        "data": {"root": "builtin:mini"},
        "targets": ["mini_xnli"],
    }
    return parse_sweep({**head, **sections}, "here")


def conditional_sweep(sampler: str = "random") -> Sweep:
    """A baseline, a single task and two mixtures with searched rates."""
    mixture = {"rates": "search", "budget": {"examples": 100}}
    return sweep_with(
        intermediates={
            "nli": {"tasks": ["mini_nli"]},
            "two": {"tasks": ["mini_nli", "mini_qa"], **mixture},
            "three": {"tasks": ["mini_nli", "mini_qa", "mini_choice"], **mixture},
        },
        search={
            "encoder": {
                "sampler": {"name": sampler},
                "space": {
                    "target.epochs": {"int": [1, 3], "when": {"intermediate.epochs": 2}},
                    "intermediate.rates": {"simplex": True, "step": 0.25},
                    "intermediate.epochs": {"choice": [1, 2], "when": {"model": "mini"}},
                    "intermediate.learning_rate": {
                        "float": [1e-4, 1e-3],
                        "levels": 2,
                        "when": {"intermediate": ["nli", "two"]},
                    },
                },
            }
        },
    )


@pytest.mark.parametrize(
    ("low", "high", "levels"), [(3e-6, 3e-5, 3), (1e-6, 3e-5, 5), (5e-4, 2e-3, 3), (0.1, 0.9, 17)]
)
def test_log_levels_are_evenly_spaced_and_end_at_the_bounds(
    low: float, high: float, levels: int
) -> None:
    values = list(Float(low, high, log=True, levels=levels).grid() or ())
    assert (len(values), values[0], values[-1]) == (levels, low, high)
    ratios = [after / before for before, after in itertools.pairwise(values)]
    assert ratios == pytest.approx([(high / low) ** (1 / (levels - 1))] * (levels - 1), rel=1e-4)


def test_linear_levels_are_evenly_spaced() -> None:
    assert list(Float(0.0, 0.3, levels=4).grid() or ()) == [0.0, 0.1, 0.2, 0.3]
    assert list(Float(0.1, 0.3, levels=1).grid() or ()) == [0.1]
    assert Float(0.0, 1.0).grid() is None


def test_every_level_is_drawn_and_nothing_else() -> None:
    dimension, suggest = Float(1e-4, 1e-3, log=True, levels=3), RandomSuggest()
    assert {dimension.draw("lr", suggest) for _ in range(100)} == set(dimension.grid() or ())
    assert set(suggest.names) == {"lr.level"}


def test_int_and_choice_draw_what_their_grid_holds() -> None:
    suggest = RandomSuggest()
    for dimension, values in ((Int(16, 64, 16), [16, 32, 48, 64]), (Choice(("x", 1)), ["x", 1])):
        assert list(dimension.grid() or ()) == values
        assert {dimension.draw("p", suggest) for _ in range(200)} == set(values)


@pytest.mark.parametrize("step", [0.125, 0.1, 0.25, 1.0])
def test_simplex_sums_to_1_in_multiples_of_its_step(step: float) -> None:
    suggest, simplex = RandomSuggest(), Simplex(TASKS, step)
    for _ in range(500):
        rates = simplex.draw("rate", suggest)
        assert tuple(rates) == TASKS
        assert sum(rates.values()) == pytest.approx(1, abs=1e-9)
        units = [rate / step for rate in rates.values()]
        assert units == pytest.approx([round(unit) for unit in units], abs=1e-6)
        assert min(units) >= 0


def test_simplex_is_uniform() -> None:
    """Dirichlet(1, 1, 1) has mean 1/3 and variance 1/18; normalised uniforms have less."""
    suggest, simplex = RandomSuggest(), Simplex(TASKS, 0.01)
    draws = [simplex.draw("rate", suggest) for _ in range(4000)]
    for task in TASKS:
        rates = [draw[task] for draw in draws]
        assert fmean(rates) == pytest.approx(1 / 3, abs=0.015)
        assert pvariance(rates) == pytest.approx(1 / 18, abs=0.005)


def test_simplex_rounds_to_the_nearest_rates() -> None:
    """Draws of e ** -share: the exponentials are the shares themselves."""
    shares = {"a": 0.55, "b": 0.28, "c": 0.17}
    suggest = FixedSuggest(*(2.718281828459045**-share for share in shares.values()))
    assert Simplex(TASKS, 0.25).draw("rate", suggest) == {"a": 0.5, "b": 0.25, "c": 0.25}


def test_simplex_survives_the_edge_of_its_draws() -> None:
    assert Simplex(("a", "b"), 0.5).draw("rate", FixedSuggest(1.0, 1.0)) == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(("tasks", "step", "count"), [("ab", 0.25, 5), ("abc", 0.25, 15)])
def test_simplex_grid_holds_every_point_once(tasks: str, step: float, count: int) -> None:
    simplex, suggest = Simplex(tuple(tasks), step), RandomSuggest()
    points = [tuple(point.values()) for point in simplex.grid() or ()]
    assert len(points) == len(set(points)) == count
    drawn = {tuple(simplex.draw("rate", suggest).values()) for _ in range(2000)}
    assert drawn == set(points)


def test_parents_stand_before_children_otherwise_in_order() -> None:
    child, parent, other = (
        Parameter("child", Choice((1,)), {"parent": (1,)}),
        Parameter("parent", Choice((1, 2))),
        Parameter("other", Choice((1,))),
    )
    assert in_dependency_order([child, other, parent]) == (other, parent, child)
    with pytest.raises(ValueError, match="child, parent"):
        in_dependency_order([child, Parameter("parent", Choice((1,)), {"child": (1,)})])


def test_child_of_an_inactive_parent_is_inactive() -> None:
    space = Space(
        (
            Parameter("a", Choice((0, 1))),
            Parameter("b", Choice((0, 1)), {"a": (1,)}),
            Parameter("c", Choice((0, 1)), {"b": (0, 1)}),
        )
    )
    assert list(space.grid()) == [
        {"a": 0},
        {"a": 1, "b": 0, "c": 0},
        {"a": 1, "b": 0, "c": 1},
        {"a": 1, "b": 1, "c": 0},
        {"a": 1, "b": 1, "c": 1},
    ]


def test_every_point_satisfies_its_conditions() -> None:
    sweep, suggest = conditional_sweep(), RandomSuggest()
    space = encoder_space(sweep)
    seen = set()
    for _ in range(1000):
        point = space.draw(suggest)
        intermediate, model = point["intermediate"], point["model"]
        seen.add((intermediate, model))
        assert set(point) == {
            "intermediate",
            "model",
            *(["intermediate.learning_rate"] if intermediate in ("nli", "two") else []),
            *(["intermediate.epochs"] if intermediate != "none" and model == "mini" else []),
            *(["intermediate.rates"] if intermediate in ("two", "three") else []),
            *(["target.epochs"] if point.get("intermediate.epochs") == 2 else []),
        }
        if "intermediate.rates" in point:
            assert tuple(point["intermediate.rates"]) == sweep.intermediates[intermediate].tasks
    assert len(seen) == 8


def test_grid_holds_exactly_the_points_that_can_be_drawn() -> None:
    space = encoder_space(conditional_sweep("grid"))
    assert space.is_finite
    grid = [repr(sorted(point.items())) for point in space.grid()]
    # With model `mini`, epochs 1 has no target.epochs and epochs 2 has three: 4 points. With
    # `other` there is 1. Times learning rates, times rates (5 of two tasks, 15 of three).
    assert len(grid) == len(set(grid)) == 2 + (4 + 1) * (2 + 2 * 5 + 15)
    suggest = RandomSuggest()
    drawn = {repr(sorted(space.draw(suggest).items())) for _ in range(8000)}
    assert drawn == set(grid)


def test_continuous_space_has_no_grid() -> None:
    space = Space((Parameter("x", Choice((1,))), Parameter("y", Float(0, 1))))
    assert not space.is_finite
    with pytest.raises(ValueError, match="y is continuous"):
        list(space.grid())


def test_labels_are_unique_and_independent_of_the_other_candidates() -> None:
    """The sampler learns by label, so the rates of two mixtures must not share one."""
    space = encoder_space(conditional_sweep())
    labels = [parameter.label or parameter.name for parameter in space.parameters]
    assert len(labels) == len(set(labels))
    assert {"rate/two", "rate/three"} <= set(labels)


def test_space_of_a_file_that_declares_none() -> None:
    sweep = sweep_with(intermediates={"nli": {"tasks": ["mini_nli"]}})
    points = list(encoder_space(sweep).grid())
    assert points == [
        {"intermediate": intermediate, "model": model}
        for intermediate in ("none", "nli")
        for model in ("mini", "other")
    ]
    assert list(target_space(sweep).grid()) == [{}]


def test_candidates_are_what_the_search_may_draw() -> None:
    intermediates = {"nli": {"tasks": ["mini_nli"]}, "qa": {"tasks": ["mini_qa"]}}
    choice = {"encoder": {"space": {"intermediate": {"choice": ["qa", "none"]}}}}
    assert candidates(sweep_with(intermediates=intermediates)) == ("none", "nli", "qa")
    assert candidates(sweep_with(intermediates=intermediates, search=choice)) == ("qa", "none")


def test_languages_of_a_target_keep_its_order() -> None:
    sweep = sweep_with(targets=["mini_xnli", "mini_tatoeba"], languages=["qab", "en", "qaa"])
    assert languages_of(sweep, lookup("mini_xnli")) == ("en", "qaa", "qab")
    assert languages_of(sweep, lookup("mini_tatoeba")) == ("qaa", "qab")


def test_quickstart_offers_every_candidate_and_quantised_rates() -> None:
    sweep = load_sweep(Path(__file__).parents[2] / "sweeps" / "quickstart.yaml")
    points = list(encoder_space(sweep).grid())
    counts = {name: sum(p["intermediate"] == name for p in points) for name in candidates(sweep)}
    assert counts == {"none": 1, "nli": 3, "choice": 3, "qa": 3, "mix": 3 * 45}

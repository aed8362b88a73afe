"""Mixtures: shares by rule, sizes of stages, exact allocation."""

from __future__ import annotations

import random
from typing import Any

import pytest

from xstilts.config.schema import IntermediateSpec
from xstilts.plan.mixture import allocate, num_examples, shares_of, shares_of_examples

SIZES = {"a": 100, "b": 400, "c": 1600}


def spec_of(**fields: Any) -> IntermediateSpec:
    return IntermediateSpec(**{"tasks": ("a", "b", "c"), **fields})


@pytest.mark.parametrize(
    ("fields", "weights"),
    [
        ({}, (100, 400, 1600)),
        ({"cap": 400}, (100, 400, 400)),
        ({"temperature": 2.0}, (10, 20, 40)),
        ({"cap": 400, "temperature": 2.0}, (10, 20, 20)),
        ({"rates": "uniform"}, (1, 1, 1)),
        ({"rates": {"a": 2, "b": 0.5, "c": 1}}, (2, 0.5, 1)),
    ],
)
def test_shares_follow_the_rule(fields: dict[str, Any], weights: tuple[float, ...]) -> None:
    expected = [weight / sum(weights) for weight in weights]
    assert shares_of(spec_of(**fields), SIZES) == pytest.approx(
        dict(zip("abc", expected, strict=True))
    )


@pytest.mark.parametrize(
    ("unit", "examples"),
    [("examples", {"a": 100, "b": 400, "c": 400}), ("steps", {"a": 800, "b": 1600, "c": 400})],
)
def test_rates_are_of_examples_or_of_steps(unit: str, examples: dict[str, float]) -> None:
    """Of steps a task gives as many examples as they have; the steps stand as the rates say."""
    spec = spec_of(cap=400, unit=unit)
    batch_sizes = {"a": 32, "b": 16, "c": 4}
    shares = shares_of(spec, SIZES)
    found = shares_of_examples(spec, shares, batch_sizes)
    total = sum(examples.values())
    assert found == pytest.approx({task: own / total for task, own in examples.items()})
    if unit == "steps":
        steps = {task: share / batch_sizes[task] for task, share in found.items()}
        assert steps["b"] / steps["a"] == pytest.approx(4) == pytest.approx(steps["c"] / steps["a"])


def test_task_with_rate_0_has_no_share() -> None:
    shares = shares_of(spec_of(rates={"a": 3, "b": 0, "c": 1}), SIZES)
    assert shares == {"a": 0.75, "c": 0.25}


def test_searched_rates_come_with_the_trial() -> None:
    spec = spec_of(rates="search")
    assert shares_of(spec, SIZES, {"a": 0.0, "b": 0.125, "c": 0.875}) == {"b": 0.125, "c": 0.875}
    with pytest.raises(AssertionError):
        shares_of(spec, SIZES)


def test_shares_keep_the_order_of_the_file() -> None:
    assert list(shares_of(spec_of(tasks=("c", "a", "b")), SIZES)) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("fields", "examples"),
    [
        ({}, 2 * 2100),
        ({"cap": 400}, 2 * 900),
        ({"budget": {"epochs": 0.5}}, 1050),
        ({"budget": {"epochs": 1e-9}}, 1),
        ({"budget": {"examples": 77}}, 77),
        ({"rates": "uniform", "budget": {"epochs": 1.0}}, 2100),
    ],
)
def test_size_of_a_stage(fields: dict[str, Any], examples: int) -> None:
    assert num_examples(spec_of(**fields), SIZES, epochs=2) == examples


def test_allocation_gives_the_rest_to_the_largest_remainders() -> None:
    assert allocate(10, [0.5, 0.26, 0.24]) == [5, 3, 2]
    assert allocate(2, [1, 1, 1]) == [1, 1, 0]
    assert allocate(7, [3]) == [7]
    assert allocate(0, [0.5, 0.5]) == [0, 0]


def test_allocation_sums_exactly_and_is_proportional() -> None:
    draw = random.Random(0)
    for _ in range(300):
        shares = [draw.random() ** 3 + 1e-9 for _ in range(draw.randrange(1, 9))]
        total = draw.randrange(100_000)
        counts = allocate(total, shares)
        assert sum(counts) == total
        exact = [total * share / sum(shares) for share in shares]
        assert all(abs(count - value) < 1 for count, value in zip(counts, exact, strict=True))

"""Plainer answers beside a mixed model, and what its design could have found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.benchmarks.study_worlds import World, drawn
from tests.scores.test_slopes import judged, one_arm
from xstilts.errors import ConfigError
from xstilts.scores.slope_checks import _variances, by_intermediate, detectable, permutation_p


def test_slopes_by_intermediate_are_a_regression_with_as_many_points() -> None:
    table = drawn(World(slopes=(0.5, 0.0), collapses=0.0), 0, 3.0)
    found = judged(table)
    plain = by_intermediate(table.rows, found)
    assert plain.dof == 8 - 2
    assert found.effect is not None
    assert plain.estimate == pytest.approx(found.effect.estimate, abs=found.effect.error / 2)
    assert plain.low > 0


def test_a_permutation_finds_what_is_there_and_is_uniform_where_nothing_is() -> None:
    table = drawn(World(slopes=(0.3, 0.3)), 1, 4.0)
    assert permutation_p(table.rows, judged(table), table.families) < 0.05
    p = []
    for seed in range(20):
        table = drawn(World(), 100 + seed)
        p.append(permutation_p(table.rows, judged(table), table.families, draws=200))
    assert 0.3 < np.mean(p) < 0.8
    assert np.mean(np.array(p) < 0.05) <= 0.2


def test_a_permutation_keeps_to_families() -> None:
    table = drawn(World(), 1, 4.0)
    found = judged(table)
    # Two languages of each family: two arrangements each, and no p below what they allow.
    names = [*found.targets.languages, *(found.intermediates or found.targets).languages]
    pairs = {name: f"{name[0]}{int(name[1:]) // 2}" for name in names}
    assert permutation_p(table.rows, found, pairs) >= 0.5**4
    # Languages alone in their families change places with one another.
    assert permutation_p(table.rows, found, {}) < 0.05
    first, again = (permutation_p(table.rows, found, table.families) for _ in range(2))
    assert first == again


def test_a_slope_of_one_arm_has_a_permutation_and_no_slopes_by_intermediate() -> None:
    found, table = one_arm(0, 6.0, 0.0)
    rows = table.rows.of(table.rows.intermediates == "s00")
    assert 0 < permutation_p(rows, found, table.families) <= 1
    with pytest.raises(ConfigError, match="interaction"):
        by_intermediate(rows, found)


def test_the_smallest_effect_that_a_design_finds_is_found_as_often_as_it_says() -> None:
    found = judged(drawn(World(), 5))
    smallest, other = (detectable(found, power=power, draws=30) for power in (0.8, 0.5))
    assert found.effect is not None
    assert smallest > other > found.effect.error
    # By the t distribution of a design with known degrees of freedom, about as much.
    assert smallest < 2 * (2.4 + 1) * found.effect.error
    assert detectable(found, power=0.8, draws=30) == smallest
    assert not math.isnan(smallest)


def test_a_design_is_planned_with_variances_that_may_be_larger_than_those_that_were_fitted() -> (
    None
):
    generator = np.random.default_rng(0)
    fitted, errors = np.array([2.0, 0.0, 1.0]), np.array([1.5, 0.8, 0.05])
    drawn = np.array([_variances(fitted, errors, generator) for _ in range(4000)])
    assert (drawn >= 0).all() and (drawn <= fitted + 4 * errors).all()
    assert np.median(drawn[:, 0]) > 1.2 * fitted[0]
    assert np.mean(drawn[:, 1]) == pytest.approx(0.8 * (2 / np.pi) ** 0.5, rel=0.05)
    assert drawn[:, 2] == pytest.approx(1.0, rel=0.25)

"""Slopes and interactions of differences over covariates of languages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks.study_worlds import CASES, Drawn, World, drawn
from xstilts.errors import ConfigError
from xstilts.scores.slopes import Differences, Slope, interaction, over_seeds, slope

WORLD = World()


def judged(table: Drawn) -> Slope:
    return interaction(table.rows, table.of_sources, table.of_targets, table.families)


def test_a_planted_interaction_moves_the_estimate_and_not_its_error() -> None:
    without, planted = (judged(drawn(WORLD, 0, at)) for at in (0.0, 3.0))
    assert without.coefficient is not None
    assert planted.coefficient is not None
    assert planted.coefficient.estimate - without.coefficient.estimate == pytest.approx(3, abs=1e-4)
    assert planted.coefficient.error == pytest.approx(without.coefficient.error, rel=1e-4)
    assert planted.coefficient.low > 0


def test_an_effect_is_between_the_outer_thirds_of_both_sides() -> None:
    found = judged(drawn(WORLD, 1))
    assert found.effect is not None
    assert found.coefficient is not None
    assert found.intermediates is not None
    unit = found.intermediates.distance * found.targets.distance
    assert found.effect.estimate == pytest.approx(found.coefficient.estimate * unit)
    assert found.effect.p == found.coefficient.p


def test_units_of_the_covariates_change_the_coefficient_and_not_the_effect() -> None:
    table = drawn(WORLD, 2)
    other = replace(table, of_targets={name: 10 * z + 3 for name, z in table.of_targets.items()})
    first, second = judged(table), judged(other)
    assert first.effect is not None
    assert second.effect is not None
    assert second.effect.estimate == pytest.approx(first.effect.estimate, rel=1e-4)
    assert second.effect.dof == pytest.approx(first.effect.dof, rel=1e-3)


def test_intervals_hold_a_planted_interaction() -> None:
    """The whole of it is `python -m tests.benchmarks.study_coverage`."""
    held = 0
    for seed in range(40):
        table = drawn(CASES["family clusters"], 1000 + seed, 1.0)
        found = judged(table).coefficient
        assert found is not None
        held += found.low <= 1.0 <= found.high
    assert held >= 35


def test_seeds_are_averaged_where_they_are_and_no_hole_is_filled() -> None:
    labels = [np.array(values) for values in (["s"] * 3, ["t"] * 3, ["a", "a", "b"], list("xyx"))]
    means, _, _, tasks = over_seeds(Differences(np.array([1.0, 3.0, 7.0]), *labels))
    assert means.tolist() == [2.0, 7.0]
    assert tasks.tolist() == ["a", "b"]


def test_languages_whose_covariate_is_not_known_are_left_out_by_name() -> None:
    table = drawn(WORLD, 3)
    unknown = {**table.of_targets, "t03": None}
    found = interaction(table.rows, table.of_sources, unknown, table.families)
    assert found.unknown == ("t03",)
    assert "t03" not in found.targets.languages
    with pytest.raises(ConfigError, match="of none"):
        interaction(table.rows, table.of_sources, {}, table.families)


@pytest.mark.parametrize(
    ("world", "word"),
    [
        (World(targets=11), "11 target languages"),
        (World(sources=5, families=4), "5 intermediate languages"),
    ],
)
def test_few_languages_are_told_instead_of_a_p(world: World, word: str) -> None:
    found = judged(drawn(world, 0))
    assert word in found.withheld
    assert found.effect is None
    assert found.coefficient is None


def one_arm(seed: int, planted: float, tilt: float) -> tuple[Slope, Drawn]:
    """One intermediate's rows, whose runs each suit far languages by chance, by `tilt` points."""
    table = drawn(World(collapses=0.0), seed)
    chosen = table.rows.of(table.rows.intermediates == "s00")
    z = np.array([table.of_targets[name] for name in chosen.targets.tolist()])
    generator = np.random.default_rng([6, seed])
    runs = np.unique(chosen.seeds, return_inverse=True)[1]
    tilts = tilt * generator.normal(size=runs.max() + 1)
    rows = replace(chosen, points=chosen.points + z * (planted + tilts[runs]))
    return slope(rows, table.of_targets, table.families), table


def test_a_slope_over_targets_counts_what_runs_do_to_all_of_them() -> None:
    calm, table = one_arm(0, 5.0, 0.0)
    wild, _ = one_arm(0, 5.0, 6.0)
    assert calm.effect is not None
    assert wild.effect is not None
    assert calm.effect.low > 0
    assert wild.effect.error > 1.3 * calm.effect.error
    assert calm.unit == calm.targets.distance
    assert not np.isnan(calm.effect.p)
    few = {name: z for name, z in table.of_targets.items() if name < "t08"}
    withheld = slope(table.rows, few, table.families)
    assert "8 target languages" in withheld.withheld

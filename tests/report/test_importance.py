"""Importances: a parameter with a condition stands beside one without, by what it does."""

from __future__ import annotations

import numpy as np
import pytest

from xstilts.report.importance import Configuration, importance, importances


def constructed(noise: float = 0.5, offset: float = 0.0, count: int = 200) -> list[Configuration]:
    """Half of the configurations have `c`; it moves the objective by 2 points up or down, as `x`
    does, which all have. `nothing` does nothing."""
    random = np.random.default_rng(0)
    found = []
    for i in range(count):
        has = i % 2 == 1
        x, c, nothing = (int(v) for v in random.choice([-1, 1], 3))
        parameters = {"intermediate": "mix" if has else "none", "x": x, "nothing": nothing}
        objective = 70 + 2 * x + random.normal(0, noise)
        if has:
            parameters["c"] = c
            objective += 2 * c + offset
        found.append(Configuration(f"{i:03d}", parameters, objective))
    return found


@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_a_conditional_parameter_is_as_strong_as_an_equal_one_that_all_have(offset: float) -> None:
    found = {one.parameter: one for one in importances(constructed(offset=offset))}
    assert found["x"].effect == pytest.approx(2, abs=0.25)
    assert found["c"].effect == pytest.approx(2, abs=0.25)
    assert (found["x"].n, found["c"].n) == (200, 100)
    assert found["nothing"].effect == pytest.approx(0, abs=0.4) and found["nothing"].p > 0.01
    assert found["c"].p < 1e-6 and found["x"].p < 1e-6


def test_that_it_is_there_is_no_effect_of_it() -> None:
    """What having the parameter adds is the intermediate's, whatever value it has."""
    silent = [
        Configuration(one.config, {**one.parameters, "c": i} if i % 2 else one.parameters, o)
        for i, one in enumerate(constructed())
        for o in [80.0 if i % 2 else 70.0]
    ]
    found = {one.parameter: one for one in importances(silent)}
    assert found["c"].effect == pytest.approx(0, abs=1e-6)
    assert found["intermediate"].effect == pytest.approx(5)


def test_numbers_are_cut_into_quantiles() -> None:
    random = np.random.default_rng(1)
    rates = 10 ** random.uniform(-6, -4, 120)
    found = [
        Configuration(str(i), {"intermediate": "nli", "lr": float(rate)}, 10 * np.log10(rate))
        for i, rate in enumerate(rates)
    ]
    one = importance("lr", found)
    assert one.groups == 4 and one.effect == pytest.approx(np.std(10 * np.log10(rates)), rel=0.1)


def test_too_few_configurations_say_so() -> None:
    found = [
        Configuration(name, {"intermediate": name, "x": i}, 70.0 + i)
        for i, name in enumerate(("none", "nli", "qa"))
    ]
    assert {(one.effect, one.p) for one in importances(found)} == {(None, None)}
    assert importances(found[:1]) == [], "one value is no choice"

"""Degrees of freedom of mixed models, beside lmerTest and pbkrtest."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.scores.mixed_tables import crossed
from xstilts.scores.mixed import Term, fit
from xstilts.scores.mixed_dof import (
    adjusted_covariance,
    judge,
    kenward_roger_dof,
    satterthwaite_dof,
    t_estimate,
)

CASES = {
    "all": crossed(0),
    "all_again": crossed(5, sources=12, targets=20),
    "few": crossed(2, sources=6, targets=12, tasks=3, missing=0.0),
    "source_zero": crossed(3, variances=(0.0, 0.5, 0.0, 0.2)),
    "slopes_zero": crossed(4, variances=(1.0, 1.0, 0.0, 0.0)),
    "nothing": crossed(7, variances=(0.0, 0.0, 0.0, 0.0)),
    "uneven": crossed(8, variances=(4.0, 0.05, 0.5, 1.0), missing=0.4),
}
FORMULA = (
    "y ~ 0 + x0 + x1 + x2 + x3 + x4 + x5 + (1 | g1) + (1 | g2) + (0 + x2 | g1) + (0 + x1 | g2)"
)


def lacks_reference() -> str:
    """What the reference lacks here; empty where it is there."""
    if shutil.which("Rscript") is None:
        return "Rscript"
    script = "for (p in c('lme4', 'lmerTest', 'pbkrtest')) library(p, character.only = TRUE)"
    done = subprocess.run(["Rscript", "-e", script], capture_output=True, check=False)
    return "" if done.returncode == 0 else "lme4, lmerTest or pbkrtest"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lack = lacks_reference()
    if lack:
        pytest.skip(f"the reference needs {lack} (r-cran-lme4, r-cran-lmertest, r-cran-pbkrtest)")
    folder = tmp_path_factory.mktemp("mixed")
    for name, (response, fixed, terms) in CASES.items():
        columns = [response, *fixed.T, terms[0].levels, terms[1].levels]
        names = ["y", *(f"x{place}" for place in range(fixed.shape[1])), "g1", "g2"]
        rows = [",".join(names)] + [
            ",".join(repr(float(value)) for value in row[:-2])
            + ","
            + ",".join(f"g{int(level)}" for level in row[-2:])
            for row in zip(*columns, strict=True)
        ]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
        (folder / f"{name}.formula").write_text(FORMULA + "\n")
    script = Path(__file__).with_name("mixed_reference.R")
    subprocess.run(["Rscript", str(script), str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_is_what_lme4_lmertest_and_pbkrtest_say(reference: Path, name: str) -> None:
    found = fit(*CASES[name])
    estimate, error, dof, adjusted, kenward = np.loadtxt(reference / f"{name}.fixed").T
    variances = np.loadtxt(reference / f"{name}.variances")
    assert (np.abs(found.estimates - estimate) < 0.02 * error).all()
    assert found.criterion == pytest.approx(variances[-1], abs=1e-3)
    assert found.covariance.diagonal() ** 0.5 == pytest.approx(error, rel=0.02)
    assert adjusted_covariance(found).diagonal() ** 0.5 == pytest.approx(adjusted, rel=0.02)
    for place, weights in enumerate(np.eye(len(error))):
        assert satterthwaite_dof(found, weights) == pytest.approx(dof[place], rel=0.02)
        assert kenward_roger_dof(found, weights) == pytest.approx(kenward[place], rel=0.02)


def test_the_reference_has_fits_with_variances_at_zero() -> None:
    assert sum(fit(*case).is_singular for case in CASES.values()) >= 3


def test_a_term_without_variance_is_judged_as_left_out() -> None:
    response, fixed, terms = CASES["slopes_zero"]
    found = fit(response, fixed, terms)
    kept = [term for term, variance in zip(terms, found.variances, strict=True) if variance > 0]
    assert 0 < len(kept) < len(terms)
    smaller = fit(response, fixed, kept)
    assert found.without_zeros().names == smaller.names
    for weights in np.eye(fixed.shape[1]):
        judged, other = judge(found, weights), judge(smaller, weights)
        assert judged.estimate == pytest.approx(other.estimate, abs=1e-6 * other.error)
        assert judged.error == pytest.approx(other.error, rel=1e-6)
        assert judged.dof == pytest.approx(other.dof, rel=1e-6)
    last = np.eye(fixed.shape[1])[-1]
    assert judge(found, last).dof > 1.01 * kenward_roger_dof(found, last)


def test_where_no_term_has_a_variance_all_of_them_count() -> None:
    values = np.arange(40) % 8 - np.arange(40) // 8 * 2.0
    found = fit(values, np.ones((40, 1)), [Term("group", np.arange(40) // 10)])
    none = fit(np.tile([1.0, -1.0], 20), np.ones((40, 1)), [Term("group", np.arange(40) // 10)])
    assert found.variances[0] > 0 and none.variances[0] == 0
    assert judge(none, np.ones(1)).dof == kenward_roger_dof(none, np.ones(1)) < 39


def test_one_way_degrees_of_freedom_are_those_of_the_analysis_of_variance() -> None:
    generator = np.random.default_rng(0)
    table = 2 * generator.normal(size=(8, 1)) + generator.normal(size=(8, 5))
    found = fit(table.ravel(), np.ones((40, 1)), [Term("group", np.repeat(np.arange(8), 5))])
    for method in ("satterthwaite", "kenward_roger"):
        judged = judge(found, np.ones(1), method)
        assert judged.dof == pytest.approx(7, rel=1e-4)
        assert judged.error**2 == pytest.approx(table.mean(1).var(ddof=1) / 8, rel=1e-6)


def test_an_error_that_hangs_on_estimated_variances_is_larger_by_kenward_and_roger() -> None:
    found = fit(*crossed(8, missing=0.4))
    assert (adjusted_covariance(found).diagonal() > found.covariance.diagonal()).all()


def test_a_t_interval_is_as_wide_as_its_degrees_of_freedom_say() -> None:
    judged = t_estimate(3.0, 1.5, 4.0)
    assert (judged.low, judged.high) == pytest.approx((3 - 2.776 * 1.5, 3 + 2.776 * 1.5), abs=1e-3)
    assert judged.p == pytest.approx(0.1161, abs=1e-4)
    other = judged.times(-2)
    assert (other.low, other.estimate, other.high) == (-2 * judged.high, -6, -2 * judged.low)
    assert t_estimate(1.0, 0.0, np.inf).p == 0

"""Logistic mixed models by lme4, beside lme4 called by itself and beside a truth that is known."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from xstilts.study import glmer
from xstilts.study.answer import LogisticFit

from ..conftest import SOFTWARE

FORMULA = "right ~ arm + (1 | item) + (0 + arm | item) + (1 | run)"
TRUTH = 0.8


def drawn(seed: int = 0, items: int = 100, runs: int = 4) -> dict[str, np.ndarray]:
    """Items in runs of two arms, of which the first has `TRUTH` more in log odds."""
    generator = np.random.default_rng(seed)
    run, item = (axis.ravel() for axis in np.indices((2 * runs, items)))
    arm = np.where(run < runs, 0.5, -0.5)
    ease, own = generator.normal(0, 1.2, items), generator.normal(0, 0.8, items)
    quality = generator.normal(0, 0.1, 2 * runs)
    odds = ease[item] + arm * (TRUTH + own[item]) + quality[run]
    right = generator.random(len(run)) < 1 / (1 + np.exp(-odds))
    return {"right": right.astype(np.int64), "arm": arm, "run": run, "item": item}


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    return drawn()


def test_it_is_what_lme4_says_and_holds_the_truth(
    with_r: None, columns: dict[str, np.ndarray], tmp_path: Path
) -> None:
    found = glmer.fit(columns, FORMULA)
    assert isinstance(found, LogisticFit) and found.has_converged
    assert found.log_odds == round(found.log_odds, 4), "further digits are not the same each time"
    assert abs(found.log_odds - TRUTH) < 2 * found.error < 0.8
    table = tmp_path / "rows.csv"
    table.write_bytes(glmer.as_csv(columns))
    # Another parametrisation and another optimiser of the same model.
    script = f"""
    library(lme4); rows <- read.csv("{table}"); rows$first <- as.numeric(rows$arm > 0)
    fit <- glmer(right ~ first + (1 + arm || item) + (1 | run), rows, family = binomial,
                 control = glmerControl(optimizer = "nloptwrap"))
    cat(fixef(fit)["first"], sqrt(diag(as.matrix(vcov(fit))))[2], as.data.frame(VarCorr(fit))$sdcor)
    """
    done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=True)
    log_odds, error, *deviations = map(float, done.stdout.split())
    assert found.log_odds == pytest.approx(log_odds, abs=0.02 * error)
    assert found.error == pytest.approx(error, rel=0.02)
    assert sorted(found.deviations.values()) == pytest.approx(sorted(deviations), abs=0.01)
    assert found.deviations.keys() == {"item", "arm|item", "run"}


def test_why_there_is_no_fit_is_told_in_words(
    with_r: None, columns: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert glmer.fit(columns, FORMULA, 0.01) == "it took more than 0.01 seconds of a core"
    told = glmer.fit(columns, "right ~ arm + (1 | nothing)")
    assert isinstance(told, str) and told.startswith("lme4 could not: ") and "nothing" in told
    monkeypatch.setattr(glmer, "WAITED_S", 0.01)
    assert glmer.fit(columns, FORMULA) == "it took more than 0.01 seconds by the clock"


@pytest.mark.parametrize("script", [None, "exit 1", "echo 4.2.2"])
def test_without_r_or_lme4_there_is_nothing_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    if script is not None:
        (tmp_path / "Rscript").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "Rscript").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/none")
    assert SOFTWARE.__wrapped__() is None

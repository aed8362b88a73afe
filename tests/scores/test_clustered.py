"""Cluster-robust errors, beside clubSandwich and dense matrices."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from xstilts.errors import ConfigError
from xstilts.scores.clustered import clustered


def items_by_languages(
    seed: int, *, items: int = 12, languages: int = 6, missing: float = 0.2
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Response, design (1, covariate of the language, of the item), items, languages, by row."""
    generator = np.random.default_rng([51, seed])
    item, language = (codes.ravel() for codes in np.indices((items, languages)))
    kept = generator.random(len(item)) >= missing
    item, language = item[kept], language[kept]
    of_language, of_item = generator.normal(size=languages), generator.normal(size=items)
    design = np.column_stack([np.ones(len(item)), of_language[language], of_item[item]])
    response = generator.normal(size=len(item)) + generator.normal(size=items)[item]
    return response + generator.normal(size=languages)[language], design, item, language


def dense(
    response: np.ndarray, design: np.ndarray, ways: list[np.ndarray], weights: np.ndarray
) -> tuple[float, float]:
    """Variance and degrees of freedom, by matrices of all rows."""
    rows = len(response)
    inverse = np.linalg.inv(design.T @ design)
    hat = design @ inverse @ design.T
    rest = np.eye(rows) - hat
    both = np.unique(np.stack(ways), axis=1, return_inverse=True)[1]
    form = np.zeros((rows, rows))
    for sign, codes in zip((1, 1, -1), [*ways, both], strict=True):
        for code in np.unique(codes):
            own = np.flatnonzero(codes == code)
            values, vectors = np.linalg.eigh(rest[np.ix_(own, own)])
            root = np.where(values > 1e-8, np.maximum(values, 1e-8) ** -0.5, 0)
            padded = np.zeros(rows)
            padded[own] = vectors * root @ vectors.T @ design[own] @ inverse @ weights
            form += sign * np.outer(rest @ padded, rest @ padded)
    variance = response @ form @ response
    return float(variance), float(np.trace(form) ** 2 / np.trace(form @ form))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_two_ways_are_those_of_dense_matrices(place: int) -> None:
    weights = np.eye(3)[place]
    is_largest = 0
    for seed in range(15):
        _, design, item, language = items_by_languages(seed)
        # What differs by item and by language in all that the design has.
        generator = np.random.default_rng([52, seed])
        by_item, by_language = (generator.normal(size=(12, 3))[codes] for codes in (item, language))
        response = ((by_item + by_language) * design).sum(1)
        ways = [clustered(response, design, [codes], weights) for codes in (item, language)]
        found = clustered(response, design, [item, language], weights)
        variance, dof = dense(response, design, [item, language], weights)
        if variance > max(way.error**2 for way in ways):
            assert found.error**2 == pytest.approx(variance, rel=1e-8)
            assert found.dof == pytest.approx(dof, rel=1e-8)
            is_largest += 1
        else:
            assert found.error == max(way.error for way in ways)
    assert is_largest >= 3


def test_one_way_is_what_clubsandwich_says(tmp_path: Path) -> None:
    if (
        shutil.which("Rscript") is None
        or subprocess.run(
            ["Rscript", "-e", "library(clubSandwich)"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("the reference needs R with clubSandwich (r-cran-clubsandwich)")
    response, design, item, language = items_by_languages(1)
    columns = np.column_stack([response, design[:, 1:], item, language])
    table = tmp_path / "rows.csv"
    np.savetxt(
        table, columns, delimiter=",", header="y,x,z,item,language", comments="", fmt="%.17g"
    )
    script = f"""
    library(clubSandwich); rows <- read.csv("{table}"); fit <- lm(y ~ x + z, rows)
    for (way in c("item", "language")) {{
      tests <- coef_test(fit, vcov = "CR2", cluster = rows[[way]], test = "Satterthwaite")
      found <- as.data.frame(tests)
      write.table(found[, c("SE", grep("^df", names(found), value = TRUE)[1])],
                  paste0("{tmp_path}/", way), row.names = FALSE, col.names = FALSE)
    }}"""
    subprocess.run(["Rscript", "-e", script], check=True, capture_output=True)
    for name, codes in (("item", item), ("language", language)):
        for weights, (error, dof) in zip(np.eye(3), np.loadtxt(tmp_path / name), strict=True):
            found = clustered(response, design, [codes], weights)
            assert found.error == pytest.approx(error, rel=1e-6)
            assert found.dof == pytest.approx(dof, rel=1e-4)


def test_intervals_of_a_languages_covariate_hold_the_truth_where_rows_would_not() -> None:
    """The covariate has no effect, languages differ."""
    generator = np.random.default_rng(3)
    held = naive = 0
    draws = 60
    for _ in range(draws):
        items, languages = 20, 15
        item, language = (codes.ravel() for codes in np.indices((items, languages)))
        x = generator.normal(size=languages)[language]
        response = (
            generator.normal(size=languages)[language]
            + generator.normal(size=items)[item]
            + generator.normal(size=len(item))
        )
        design = np.column_stack([np.ones(len(x)), x])
        found = clustered(response, design, [item, language], np.array([0.0, 1.0]))
        rows = clustered(response, design, [np.arange(len(x))], np.array([0.0, 1.0]))
        held += found.low <= 0 <= found.high
        naive += rows.low <= 0 <= rows.high
    assert held / draws > 0.88
    assert naive / draws < 0.7


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda y, x, codes: (np.where(np.arange(len(y)) == 1, np.nan, y), x, codes), "finite"),
        (lambda y, x, codes: (y, np.column_stack([x, x[:, 1]]), codes), "told apart"),
        (lambda y, x, codes: (y, x, np.zeros(len(y))), "two clusters"),
    ],
)
def test_what_has_no_error_is_refused(change, word: str) -> None:
    response, design, item, _ = items_by_languages(0)
    response, design, item = change(response, design, item)
    with pytest.raises(ConfigError, match=word):
        clustered(response, design, [item], np.eye(design.shape[1])[1])

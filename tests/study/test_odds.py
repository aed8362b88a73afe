"""Odds ratios beside an answer: which contrasts have one, of which rows, and what is planted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xstilts.report.results import Results, load_results
from xstilts.study import glmer, odds
from xstilts.study.answer import LogisticFit, Odds
from xstilts.study.odds import ItemTable, item_tables, judged, odds_of

from .bundled import ITEMS, stored_results
from .stored import launched_places, planted, put, put_items, study_sweep

CODES = ("en", "tr", "sw")
EASE = np.random.default_rng(3).normal(0, 1.2, ITEMS)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return stored_results(tmp_path_factory.mktemp("odds"))


def first_table(results: Results) -> ItemTable:
    return next(item_tables(results))


def test_rows_are_items_of_runs(results: Results) -> None:
    first, second = item_tables(results)
    assert (first.of.contrast, second.of.contrast) == ("first", "second")
    assert (first.of.runs, second.of.runs) == ((6, 3), (3, 3))
    assert (first.of.items, first.of.of_items, first.of.rows) == (300, 300, 2700)
    # Languages share items, and are three; nine runs of three members and three seeds.
    assert first.of.formula == (
        "right ~ arm + (1 | item) + (0 + arm | item) + (1 | run) + (1 | item:cell) + cell"
    )
    own = first.columns
    assert {len(column) for column in own.values()} == {first.of.rows}
    of_run = [own["right"][own["run"] == run].mean() for run in range(9)]
    scores = [
        np.mean([row["value"] for row in record.scores if row["split"] == "test"])
        for name in ("mnli_tr", "mnli_sw", "mnli_en")
        for record in sorted(results.records, key=lambda one: one.seed)
        if record.intermediate == name
    ]
    assert 100 * np.array(of_run) == pytest.approx(np.array(scores))
    assert [own["arm"][own["run"] == run][0] for run in range(9)] == [0.5] * 6 + [-0.5] * 3


def test_of_too_many_rows_some_are_read_in_all_runs(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odds, "ROWS", 1350)
    monkeypatch.setattr(odds, "LEAST_ITEMS", 20)
    some, again = first_table(results), first_table(results)
    assert some.of == again.of and (some.of.items, some.of.of_items) == (150, 3 * ITEMS)
    assert some.of.rows == 1350 and set(np.bincount(some.columns["run"])) == {150}
    # Nearly all items are there, too few of them twice to tell translations from items.
    assert len(np.unique(some.columns["item"])) > 70
    assert "(1 | item:cell)" in some.of.formula
    monkeypatch.setattr(odds, "ROWS", 450)
    assert "(1 | item:cell)" not in first_table(results).of.formula
    monkeypatch.setattr(odds, "LEAST_ITEMS", 250)
    assert first_table(results).of.items == 250


def in_many(root: Path, codes: tuple[str, ...], seeds: int, **contrast: Any) -> Results:
    """A study whose arms differ by 0.7 in log odds, in languages and with seeds of any number."""
    sweep = study_sweep(
        {"seeds": 3}, contrast, languages={"xnli": list(codes)}, seeds=list(range(seeds))
    )
    places = launched_places(root, sweep)
    generator = np.random.default_rng(5)
    for name in ("none", *sweep.intermediates):
        for seed in sweep.seeds:
            odds_of_items = 0.3 + EASE + 0.7 * (name in ("mnli_tr", "mnli_sw"))
            chance = 1 / (1 + np.exp(-odds_of_items))
            hits = {code: (generator.random(ITEMS) < chance).astype(float) for code in codes}
            put_items(places, f"{name}-c-s{seed}", "xnli", hits)
            scores = {code: 100 * float(own.mean()) for code, own in hits.items()}
            put(places, sweep, name, seed, lambda *x, own=scores: own[x[3]])  # type: ignore[misc]
    return load_results(places)


def test_seeds_and_cells_are_terms_from_six_on(tmp_path: Path) -> None:
    found = first_table(in_many(tmp_path, (*CODES, "de", "ru", "zh"), 6))
    assert found.of.formula == (
        "right ~ arm + (1 | item) + (0 + arm | item) + (1 | run) + (1 | item:cell) + (1 | seed) + "
        "(1 | cell)"
    )
    one = first_table(in_many(tmp_path / "one", ("tr",), 3))
    assert one.of.formula == "right ~ arm + (1 | item) + (0 + arm | item) + (1 | run)"


def test_slopes_have_none(tmp_path: Path) -> None:
    found = item_tables(in_many(tmp_path, CODES, 3, test="slope", covariate="c_wals"))
    assert [one.of.contrast for one in found] == ["second"]


def test_items_between_right_and_wrong_have_none(tmp_path: Path) -> None:
    sweep = study_sweep({"seeds": 3}, languages={"xnli": ["tr"]}, seeds=[0, 1, 2])
    places = launched_places(tmp_path, sweep)
    for name in ("none", *sweep.intermediates):
        for seed in sweep.seeds:
            put_items(places, f"{name}-c-s{seed}", "xnli", {"tr": [0.0, 1.0, 0.5] * 40})
            put(places, sweep, name, seed, planted({}))
    assert not list(item_tables(load_results(places)))


def test_of_missing_runs_there_is_none(tmp_path: Path) -> None:
    results = stored_results(tmp_path)
    (results.places.trials / "mnli_sw-c-s1" / "record.json").unlink()
    assert [one.of.contrast for one in item_tables(load_results(results.places))] == ["second"]


def test_what_is_planted_is_found(with_r: None, tmp_path: Path) -> None:
    found = odds_of(in_many(tmp_path, ("tr",), 3))
    assert found is not None and found.lme4 and found.r
    first, second = found.contrasts
    assert first.ratio is not None and first.p is not None and second.ratio is not None
    low, high = first.ratio.low, first.ratio.high
    assert low is not None and high is not None
    assert 1 < low < float(np.exp(0.7)) < high < 4 and first.p < 0.01
    assert second.ratio.low is not None and second.ratio.high is not None
    assert second.ratio.low < 1 < second.ratio.high


def test_without_r_there_are_none(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    assert odds_of(results) is None
    monkeypatch.setattr(glmer, "software", lambda: ("4", "1"))
    fit = LogisticFit(0.5, 0.25, {"item": 1.0}, True)
    monkeypatch.setattr(glmer, "fit", lambda *_: fit)
    found = odds_of(results)
    assert isinstance(found, Odds) and (found.r, found.lme4) == ("4", "1")
    assert [one.fit for one in found.contrasts] == [fit, fit]


def test_interval_and_p_are_by_walds_z(results: Results) -> None:
    of = first_table(results).of
    found = judged(of, LogisticFit(np.log(2), np.log(2) / 1.959964, {}, True), 0.05)
    assert found.ratio is not None and found.ratio.value == pytest.approx(2)
    assert found.ratio.low == pytest.approx(1) and found.ratio.high == pytest.approx(4)
    assert found.p == pytest.approx(0.05)
    assert judged(of, "why", 0.05) == replace(of, without="why")
    far = judged(of, LogisticFit(900.0, 1e5, {}, True), 0.05)
    assert far.ratio is not None and far.ratio.low == 0 and np.isfinite(far.ratio.value)


def test_an_arm_that_has_all_right_is_not_fitted(tmp_path: Path) -> None:
    sweep = study_sweep({"seeds": 3}, languages={"xnli": ["tr"]}, seeds=[0, 1, 2])
    places = launched_places(tmp_path, sweep)
    for name in ("none", *sweep.intermediates):
        for seed in sweep.seeds:
            hits = [1.0] * 120 if name == "mnli_en" else [1.0, 1.0, 0.0] * 40
            put_items(places, f"{name}-c-s{seed}", "xnli", {"tr": hits})
            put(places, sweep, name, seed, planted({}))
    found = first_table(load_results(places))
    assert found.of.without == odds.fitted(found) == "an arm has all items right, or all wrong"

"""Odds ratios in bundles: made and verified with R or without, and what is changed in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import BundleError
from xstilts.files import read_json, write_json
from xstilts.report.results import Results, load_results
from xstilts.run.places import SWEEP
from xstilts.study import glmer, odds
from xstilts.study.answer import LogisticFit
from xstilts.study.bundle_reader import Bundle
from xstilts.study.bundled_odds import ODDS, OddsVerified
from xstilts.study.verify import verify

from .bundled import bundle_of, changed, stored_results

FIT = LogisticFit(0.5, 0.25, {"item": 1.0, "arm|item": 0.4, "run": 0.2}, True)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return stored_results(tmp_path_factory.mktemp("odds") / "storage")


@pytest.fixture(scope="module")
def made(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was made where something fits, always the same."""
    with pytest.MonkeyPatch.context() as patch:
        put_fit(patch, FIT)
        return bundle_of(results, tmp_path_factory.mktemp("made") / "b.zip")


def put_fit(patch: pytest.MonkeyPatch, found: LogisticFit | str) -> None:
    patch.setattr(glmer, "software", lambda: ("4.2.2", "1.1.31"))
    patch.setattr(glmer, "fit", lambda *_: found)


def test_lme4_fits_again_what_lme4_has_fitted(
    with_r: None, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odds, "ROWS", 500)
    monkeypatch.setattr(odds, "LEAST_ITEMS", 50)
    path = bundle_of(results, tmp_path / "b.zip")
    assert verify(path, refit=True).odds == OddsVerified(2, 0, glmer.software())
    assert verify(path).odds == OddsVerified(0, 2), "nothing is fitted that nobody asked for"


def test_made_without_r_it_has_none_and_verifies_with_r(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle_of(results, tmp_path / "b.zip")
    with Bundle(path) as bundle:
        assert ODDS not in bundle.manifest.parts and "odds" not in bundle.json("answer.json")
    before = verify(path)
    put_fit(monkeypatch, FIT)
    assert verify(path, refit=True) == before and before.odds == OddsVerified()


def test_made_with_r_its_answer_is_the_same(results: Results, made: Path, tmp_path: Path) -> None:
    path = bundle_of(results, tmp_path / "b.zip")
    with Bundle(path) as one, Bundle(made) as other:
        parts = [{name: own.read(name) for name in own.manifest.parts} for own in (one, other)]
    assert json.loads(parts[1].pop(ODDS))["lme4"] == "1.1.31"
    assert parts[0] == parts[1]


@pytest.mark.parametrize("found", ["it took more than 60 seconds of a core", None])
def test_of_a_fit_that_is_not_to_be_had_nothing_is_said(
    made: Path, monkeypatch: pytest.MonkeyPatch, found: str | None
) -> None:
    put_fit(monkeypatch, found or LogisticFit(9.0, 1.0, {}, False))
    assert verify(made, refit=True).odds == OddsVerified(0, 2, ("4.2.2", "1.1.31"))


@pytest.mark.parametrize(
    ("log_odds", "error", "told"),
    [
        (0.504, 0.25, None),
        (0.5, 0.254, None),
        (0.51, 0.25, r"contrasts\[0\].fit.log_odds: 0.5 recorded, 0.51 fitted"),
        (0.5, 0.26, r"contrasts\[0\].fit.error: 0.25 recorded, 0.26 fitted"),
    ],
)
def test_fits_may_differ_by_what_optimisers_do(
    made: Path, monkeypatch: pytest.MonkeyPatch, log_odds: float, error: float, told: str | None
) -> None:
    put_fit(monkeypatch, LogisticFit(log_odds, error, FIT.deviations, True))
    if told is None:
        assert verify(made, refit=True).odds.fitted == 2
        return
    with pytest.raises(BundleError, match=told) as caught:
        verify(made, refit=True)
    assert "fitted by lme4 1.1.31 in R 4.2.2, here by 1.1.31 in 4.2.2" in str(caught.value)


def in_odds(*path: Any, to: Any) -> Any:
    def change(parts: dict[str, bytes]) -> None:
        told = json.loads(parts[ODDS])
        own = told
        for key in path[:-1]:
            own = own[key]
        own[path[-1]] = to
        parts[ODDS] = json.dumps(told).encode()

    return change


CHANGES = {
    "a p": (in_odds("contrasts", 0, "p", to=0.5), r"contrasts\[0\].p: 0.5 recorded, 0.04"),
    "a bound": (
        in_odds("contrasts", 1, "ratio", "low", to=1.5),
        r"contrasts\[1\].ratio.low: 1.5 recorded, 1.01",
    ),
    "log odds": (in_odds("contrasts", 0, "fit", "log_odds", to=2), "ratio.value: 1.64"),
    "an error of nothing": (in_odds("contrasts", 0, "fit", "error", to=0), "cannot be computed"),
    "the items": (
        in_odds("contrasts", 0, "table_sha256", to="0" * 64),
        r"contrasts\[0\].table_sha256: \"0",
    ),
    "how many": (in_odds("contrasts", 0, "items", to=9), r"items: 9 recorded, 300 recomputed"),
    "the model": (in_odds("contrasts", 0, "formula", to="x"), r'formula: "x" recorded, "right'),
    "whose": (in_odds("contrasts", 0, "contrast", to="x"), r'contrast: "x" recorded, "first"'),
    "none": (in_odds("contrasts", to=[]), r"contrasts\[0\]: nothing recorded"),
    "one more key": (in_odds("more", to=1), "more: 1 recorded, nothing recomputed"),
    "another form": (in_odds("contrasts", to=1), "odds.json: contrasts: Input should be a"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_changed_is_found_without_r(made: Path, tmp_path: Path, what: str) -> None:
    change, told = CHANGES[what]
    path = changed(made, tmp_path / "b.zip", change)
    with pytest.raises(BundleError) as caught:
        verify(path)
    assert re.search(told, str(caught.value)), str(caught.value)


def test_a_sweep_without_a_study_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_fit(monkeypatch, FIT)
    places = stored_results(tmp_path / "storage").places
    definition = places.launch(1) / SWEEP
    write_json(definition, read_json(definition) | {"study": None})
    path = bundle_of(load_results(places), tmp_path / "b.zip")
    assert verify(path).odds == OddsVerified()
    put = changed(path, tmp_path / "c.zip", lambda parts: parts.update({ODDS: b"{}"}))
    with pytest.raises(BundleError, match=r"odds.json: is no part that a bundle has"):
        verify(put)

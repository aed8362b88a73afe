"""Slopes and interactions of a study's contrasts, planted and absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xstilts.report.results import load_results
from xstilts.study.analysis import answered
from xstilts.study.answer import Answer, Contrast
from xstilts.tasks.languages import language

from .stored import launched_places, planted, put, put_all, study_sweep

SOURCES = ("en", "vi", "zh", "de", "es", "ru", "sw", "tr")
TARGETS = (
    *("bg", "de", "el", "en", "es", "eu", "fi", "fr", "he"),
    *("hi", "hu", "id", "ja", "ko", "ru", "tr", "vi", "zh"),
)
SEEDS = [0, 1, 2]


def complexity(code: str) -> float:
    value = language(code).values["c_wals"]
    assert isinstance(value, float)
    return value - 0.45


def answer_of(root: Path, steep: float, test: str, **changes: Any) -> Answer:
    """`steep` is the planted interaction, or slope, by unit of the covariate."""
    others = [f"mnli_{code}" for code in SOURCES[1:]]
    arms = {"english": {"intermediates": ["mnli_en"]}, "others": {"intermediates": others}}
    contrasts = {"first": {"arms": ["others", "english"], "differ_in": ["languages"]}}
    sweep = study_sweep(
        {"arms": arms, "contrasts": contrasts, "seeds": 3},
        {"test": test, "covariate": "c_wals", **changes.pop("contrast", {})},
        intermediates={
            f"mnli_{code}": {"tasks": ["mnli"], "languages": [code], "translated": True}
            for code in SOURCES
        },
        targets=["udpos"],
        languages={"udpos": list(changes.pop("targets", TARGETS))},
        seeds=SEEDS,
        search={"encoder": {"trials": 9, "sampler": {"name": "grid"}}},
    )
    places = launched_places(root, sweep)
    base = planted({})

    def score(intermediate: str, seed: int, target: str, code: str) -> float:
        numbers = [seed, *f"{intermediate}{code}".encode()]
        noise = np.random.default_rng(numbers).normal(0, 0.7)
        by_source = 0.0
        if intermediate != "none":
            source = intermediate.removeprefix("mnli_")
            by_source = complexity(source) if test == "interaction" else float(source != "en")
        known = language(code).values["c_wals"] is not None
        own = complexity(code) if known else 0.0
        return base(intermediate, seed, target, code) + steep * by_source * own + float(noise)

    put_all(places, sweep, score)
    for name, seed in changes.pop("collapsed", ()):
        put(places, sweep, name, seed, lambda *_: 20.0, collapsed=["udpos"])
    return answered(load_results(places))


def first(answer: Answer) -> Contrast:
    (found,) = answer.contrasts
    return found


@pytest.mark.parametrize(("test", "steep"), [("interaction", 60.0), ("slope", -15.0)])
def test_what_is_planted_is_found(tmp_path: Path, test: str, steep: float) -> None:
    found = first(answer_of(tmp_path, steep, test))
    assert found.effect is not None and found.p is not None and found.holds
    assert (found.effect.value > 0) == (steep > 0)
    # Between the outer thirds, of both sides for an interaction.
    codes = sorted(complexity(code) for code in TARGETS)
    distance = float(np.mean(codes[-6:]) - np.mean(codes[:6]))
    if test == "interaction":
        own = sorted(complexity(code) for code in SOURCES[1:])
        distance *= float(np.mean(own[-2:]) - np.mean(own[:2]))
    assert found.effect.value == pytest.approx(steep * distance, abs=0.8)
    assert found.effect.low is not None and found.effect.high is not None
    assert found.effect.low < steep * distance < found.effect.high
    assert found.permutation_p is not None and found.permutation_p < 0.05
    assert {line.side for line in found.lines} == (
        {"lower", "middle", "upper"} if test == "interaction" else {""}
    )
    for line in found.lines:
        assert all(a < b < c for a, b, c in zip(line.low, line.points, line.high, strict=True))
        assert line.covariate[0] == pytest.approx(codes[0] + 0.45)
    assert found.variances.keys() >= {"target", "residual"}
    assert (found.by_intermediate is not None) == (test == "interaction")
    grows = "grows with c_wals" if steep > 0 else "falls with c_wals"
    assert f"The difference of others over english {grows}" in found.says
    assert "between the outer thirds, p" in found.says


def test_where_there_is_none_what_could_be_found_is_said(tmp_path: Path) -> None:
    found = first(answer_of(tmp_path, 0.0, "interaction"))
    assert not found.holds and found.detectable is not None and 0 < found.detectable < 5
    assert "is not shown to change with c_wals of target and intermediate" in found.says
    assert f"{found.detectable:.1f} points would have been found with a probability" in found.says


def test_of_too_few_languages_nothing_is_tested(tmp_path: Path) -> None:
    found = first(answer_of(tmp_path, 60.0, "interaction", targets=TARGETS[:11]))
    assert found.withheld == ("not tested: 11 target languages have the covariate, 12 are needed")
    assert (found.p, found.effect, found.lines, found.holds) == (None, None, (), False)
    assert found.difference is not None and len(found.cells) == 11, "which does not hang on it"


def test_languages_without_the_covariate_are_left_out_and_named(tmp_path: Path) -> None:
    answer = answer_of(tmp_path, 60.0, "interaction", targets=(*TARGETS, "af", "ta"))
    found = first(answer)
    assert found.unknown == ("af", "ta") and found.holds
    assert "first: c_wals is not known of af, ta, which are in no slope and no third." in (
        answer.limits
    )
    assert [one.cells for one in found.groups if one.kind == "third"] == [6, 6, 6]


def test_a_run_that_did_not_learn_has_no_row(tmp_path: Path) -> None:
    lost = [("mnli_sw", 0), ("mnli_sw", 1)]
    answer = answer_of(tmp_path, 60.0, "interaction", collapsed=lost)
    found = first(answer)
    assert found.holds and found.effect is not None and found.effect.value > 2
    assert len(found.collapsed) == 2
    assert any("they have no row in the interaction, and count in the" in x for x in answer.limits)


def test_an_intermediate_of_several_languages_has_no_place_in_an_interaction(
    tmp_path: Path,
) -> None:
    sweep = study_sweep(
        {},
        {"test": "interaction", "covariate": "c_wals"},
        intermediates={
            "mnli_en": {"tasks": ["mnli"], "languages": ["en"], "translated": True},
            "mnli_tr": {"tasks": ["mnli"], "languages": ["tr", "de"], "translated": True},
            "mnli_sw": {"tasks": ["mnli"], "languages": ["sw"], "translated": True},
        },
    )
    places = launched_places(tmp_path, sweep)
    found = answered(put_all(places, sweep, planted({}))).contrasts[0]
    assert found.withheld == "not tested: mnli_tr is not in one language"

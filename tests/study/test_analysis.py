"""A study answered from records: what is planted is found, what is not there is not claimed."""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from xstilts.errors import ConfigError
from xstilts.report.results import load_results
from xstilts.run.places import Places
from xstilts.study.analysis import answered

from .stored import SEEDS, launched_places, planted, put, put_all, study_sweep

EFFECTS = {"mnli_tr": 4.0, "mnli_sw": 4.0}


def test_a_planted_difference_is_found_and_an_absent_one_is_not_claimed(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    answer = answered(put_all(places, sweep, planted(EFFECTS)))
    first, second = answer.contrasts
    assert (first.standing, second.standing) == ("primary", "exploratory")
    assert first.holds and first.difference is not None and first.difference == first.effect
    assert first.difference.value == pytest.approx(4, abs=1)
    assert first.runs == (10, 5) and first.differ_in == ("languages",)
    assert first.p == first.adjusted, "it is the only primary one"
    assert not second.holds and second.p == second.adjusted and second.detectable is not None
    assert answer.says == first.says and not answer.missing
    assert {one.name: one.runs for one in answer.arms} == {"english": 5, "others": 10, "none": 5}
    (english,) = (one for one in answer.arms if one.name == "english")
    assert (english.examples, english.steps, english.seeds) == (9600, 300, SEEDS)
    assert first.losing == 0 and first.worst is not None and 2 < first.worst < 4
    assert {(one.kind, one.cells) for one in first.groups} >= {("target", 7), ("family", 3)}


def test_the_same_records_give_the_same_answer(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    put_all(places, sweep, planted(EFFECTS))
    once, again = (asdict(answered(load_results(places))) for _ in range(2))
    assert once == again


def test_a_sweep_without_a_study_answers_nothing(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    results = put_all(places, sweep, planted({}))
    without = type(results)(
        sweep.model_copy(update={"study": None}), places, results.folder, results.records
    )
    with pytest.raises(ConfigError, match="study: s was launched without one"):
        answered(without)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_contrast_with_a_hole_is_withheld(tmp_path: Path, is_there: bool) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    score = planted(EFFECTS)
    put_all(places, sweep, score)
    shutil.rmtree(places.trials / "mnli_sw-c-s3")
    if is_there:  # but in one language
        put(places, sweep, "mnli_sw", 3, lambda *which: float("nan") if "tr" in which else 60.0)
    answer = answered(load_results(places))
    first, second = answer.contrasts
    assert first.withheld == "1 of its 15 runs are missing" and not first.holds
    assert (first.difference, first.effect, first.p, first.cells) == (None, None, None, ())
    assert second.p is not None, "which has all its runs"
    lost = "xnli (some languages)" if is_there else "xnli"
    assert answer.missing == (f"others: mnli_sw on xlmr, seed 3: no score on {lost}",)
    assert first.says == "Of others and english nothing is said: 1 of its 15 runs are missing."
    assert any(line.startswith("first: nothing is said") for line in answer.limits)


def test_an_arm_that_no_contrast_has_says_what_it_lacks(tmp_path: Path) -> None:
    sweep = study_sweep({"contrasts": {"first": {"arms": ["others", "english"],
                                                 "differ_in": ["languages"]}}})  # fmt: skip
    places = launched_places(tmp_path, sweep)
    put_all(places, sweep, planted(EFFECTS))
    for seed in SEEDS:
        shutil.rmtree(places.trials / f"none-c-s{seed}")
    answer = answered(load_results(places))
    assert answer.contrasts[0].holds
    assert answer.missing == ("none: none on xlmr, seeds 0, 1, 2, 3, 4: no score on xnli",)
    (none,) = (one for one in answer.arms if one.name == "none")
    assert (none.runs, none.score, none.seeds) == (0, None, ())


SEARCHED = {
    "encoder": {
        "trials": 7,
        "sampler": {"name": "grid"},
        "space": {"intermediate.learning_rate": {"choice": [1e-5, 3e-5]}},
    }
}


def searched(tmp_path: Path) -> Places:
    """Two points of each intermediate: what is best by dev is worse by test."""
    sweep = study_sweep(search=SEARCHED)
    places = launched_places(tmp_path, sweep)
    score = planted(EFFECTS)
    for seed in SEEDS:
        put(places, sweep, "none", seed, score)
        for name in sweep.intermediates:
            put(places, sweep, name, seed, score, config=f"{name}-a", dev=80.0)
            put(places, sweep, name, seed, lambda *which: score(*which) + 9, config=f"{name}-b")
    return places


def test_points_are_chosen_by_dev_in_both_arms(tmp_path: Path) -> None:
    answer = answered(load_results(searched(tmp_path)))
    english = next(one for one in answer.arms if one.name == "english")
    none = next(one for one in answer.arms if one.name == "none")
    assert english.score is not None and none.score is not None
    assert english.score == pytest.approx(none.score, abs=1.5), "not what test would choose"
    assert answer.contrasts[0].difference is not None
    assert answer.contrasts[0].difference.value == pytest.approx(4, abs=1)


def test_nothing_is_chosen_before_search_has_ended(tmp_path: Path) -> None:
    places = searched(tmp_path)
    shutil.rmtree(places.trials / "mnli_en-b-s4")
    answer = answered(load_results(places))
    assert {one.withheld for one in answer.contrasts} == {
        "search has 1 run left, and what it chooses by dev may change"
    }


def test_collapsed_runs_are_counted_and_stay(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    put_all(places, sweep, planted(EFFECTS))
    put(places, sweep, "mnli_tr", 2, lambda *which: 33.0, collapsed=["xnli"])
    answer = answered(load_results(places))
    (first, _) = answer.contrasts
    assert first.collapsed == ("mnli_tr on xlmr, seed 2: xnli",)
    assert first.difference is not None and first.learnt is not None
    assert first.difference.value < 2 < 3 < first.learnt.value < 5
    assert next(one for one in answer.arms if one.name == "others").collapsed == 1
    (line,) = (line for line in answer.limits if "did not learn" in line)
    assert re.match(r"first: 1 of 15 runs did not learn a target \(mnli_tr on xlmr, seed 2", line)
    assert "they count, and without their seeds it is +" in line


def test_what_was_not_registered_so_is_exploratory(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    put_all(places, sweep, planted(EFFECTS))
    for number, changed in enumerate(
        (study_sweep({"primary": ["first", "second"]}), study_sweep({"alpha": 0.01})), 2
    ):
        launched_places(tmp_path, changed, number)
        answer = answered(load_results(places))
        primary = [one.name for one in answer.contrasts if one.standing == "primary"]
        assert primary == (["first"] if number == 2 else [])
        assert answer.registered is not None and answer.registered.changed
        assert any(line.startswith("Changed since it was registered") for line in answer.limits)
    assert answer.says.startswith("Exploratory: Others is better than english")


def test_languages_that_lose_are_counted(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    even = planted({}, spread=0.05)

    def score(intermediate: str, seed: int, target: str, language: str) -> float:
        lost = {"zh": 6.0, "vi": 2.0, "tr": 0.5}.get(language, 0.0)
        own = even(intermediate, seed, target, language)
        return own - lost * (intermediate in ("mnli_tr", "mnli_sw"))

    first = answered(put_all(places, sweep, score)).contrasts[0]
    assert first.losing == 2
    assert first.worst == pytest.approx(-8.5 / 5, abs=0.1)


def test_before_any_trial_has_ended_nothing_is_said(tmp_path: Path) -> None:
    answer = answered(load_results(launched_places(tmp_path, study_sweep())))
    assert [one.withheld for one in answer.contrasts] == [
        f"{runs} of its {runs} runs are missing" for runs in (15, 10)
    ]
    assert all(one.score is None and one.runs == 0 for one in answer.arms)
    assert len(answer.missing) == 4 and not any(one.holds for one in answer.contrasts)

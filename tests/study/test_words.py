"""The sentences of an answer, and what it says that it does not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xstilts.study.analysis import answered
from xstilts.study.answer import Answer
from xstilts.study.registration import FOLDER

from .stored import launched_places, planted, put_all, study_sweep


def answer_of(root: Path, effects: dict[str, float], spread: float = 0.5, **changes: Any) -> Answer:
    contrast, study = changes.pop("contrast", {}), changes.pop("study", {})
    sweep = study_sweep(study, contrast, **changes)
    return answered(put_all(launched_places(root, sweep), sweep, planted(effects, spread)))


@pytest.mark.parametrize(
    ("effect", "start"),
    [
        (4.0, "Others is better than english: +"),
        (-4.0, "Others is worse than english: -"),
        (0.0, "No difference of others and english is shown: "),
    ],
)
def test_a_difference_is_a_sentence(tmp_path: Path, effect: float, start: str) -> None:
    says = answer_of(tmp_path, {"mnli_tr": effect, "mnli_sw": effect}).says
    assert says.startswith(start) and " points (95 %: " in says
    assert " by Holm, on xnli in 7 languages" in says and says.endswith(".")
    assert ("would have been found with a probability of 80 %" in says) == (effect == 0)


def test_another_alpha_is_another_interval(tmp_path: Path) -> None:
    assert "(90 %: " in answer_of(tmp_path, {}, study={"alpha": 0.1}).says


def test_what_was_not_registered_is_said_first(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    for path in (places.sweep / FOLDER).iterdir():
        path.unlink()
    answer = answered(put_all(places, sweep, planted({})))
    assert answer.registered is None and answer.says.startswith("Exploratory: ")
    assert answer.limits[0] == (
        "Nothing was registered before the first trial, so that all of it is exploratory."
    )
    assert answer.limits[1] == "Exploratory, and for another study to confirm: first, second."


def test_confounds_few_seeds_and_translations_are_named(tmp_path: Path) -> None:
    answer = answer_of(
        tmp_path,
        {},
        study={"seeds": 3},
        contrast={"differ_in": ["examples"], "confounds": ["languages"]},
        seeds=[0, 1, 2],
    )
    told = "first: its arms differ in examples and languages, and what each does is not told apart."
    assert told in answer.limits
    assert any(line.startswith("3 seeds say little") for line in answer.limits)
    assert any(line.endswith("mnli_tr, mnli_sw.") for line in answer.limits if "machine" in line)
    assert not any("mnli_en" in line for line in answer.limits if "machine" in line)

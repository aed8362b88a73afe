"""What a study can answer, told before it runs: from its file to the lines of `plan`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console, Group

from tests.sweep_plans import PublishedSizes, plan_baseline_and_all
from xstilts.records import TrialRecord
from xstilts.report.forecast_power import OWN
from xstilts.report.forecast_study import study_lines, study_summary
from xstilts.run.records import write_record
from xstilts.score_rows import ScoreRows
from xstilts.tasks import lookup
from xstilts.tasks.languages import language

from ..conftest import make_places

DOCUMENT: dict[str, Any] = {
    "name": "s",
    "benchmark": "custom",
    "recipe": "standard",
    "models": {"base": {"path": "a/base"}, "large": {"path": "a/large"}},
    "data": {"hub": True},
    "intermediates": {
        "mnli": {"tasks": ["mnli"], "examples": 100},
        "qqp": {"tasks": ["qqp"], "examples": 100},
        "squad": {"tasks": ["squad_v1"], "examples": 100},
    },
    "targets": ["xnli", "panx"],
    "seeds": [0, 1, 2, 3, 4],
    "search": {"encoder": {"trials": 8, "sampler": {"name": "grid"}}},
    "study": {
        "question": "Is paraphrase as good as entailment?",
        "models": {"screen": ["base"], "full": ["large"]},
        "arms": {
            "entailment": {"intermediates": ["mnli"], "models": ["base"]},
            "paraphrase": {"intermediates": ["qqp"], "models": ["base"]},
            "both": {"intermediates": ["mnli", "qqp"], "models": ["base"]},
        },
        "contrasts": {
            "equal": {
                "arms": ["paraphrase", "entailment"],
                "differ_in": ["tasks"],
                "test": "equivalence",
                "where": {"joshi_class": "<= 2"},
            },
            "no_worse": {
                "arms": ["paraphrase", "entailment"],
                "differ_in": ["tasks"],
                "test": "non_inferiority",
            },
            "other": {"arms": ["both", "entailment"], "differ_in": ["tasks"]},
            "by_distance": {
                "arms": ["paraphrase", "entailment"],
                "differ_in": ["tasks"],
                "test": "interaction",
                "targets": ["panx"],
                "covariate": "c_wals",
            },
        },
        "primary": ["equal"],
    },
}


def told(tmp_path: Path, records: Sequence[TrialRecord] = (), document: Any = DOCUMENT) -> Any:
    """What a plan says of the study where these trials have finished."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    planner, example = plan_baseline_and_all(path, PublishedSizes())
    places = make_places(tmp_path)
    for one in records:
        (places.trials / one.trial).mkdir()
        write_record(places.trials / one.trial, one)
    return json.loads(json.dumps(study_summary(planner, example, places, None)))


def shown(summary: Any) -> str:
    stream = StringIO()
    lines = study_lines({"study": summary})
    Console(file=stream, width=80).print(Group(*lines))
    assert max(map(len, stream.getvalue().splitlines())) <= 80
    return " ".join(stream.getvalue().split())


def test_power_is_told_at_a_spread_that_is_assumed(tmp_path: Path) -> None:
    summary = told(tmp_path)
    contrasts = summary["contrasts"]
    assert contrasts["equal"]["power"] == pytest.approx(0.087, abs=1e-3)
    assert contrasts["equal"]["seeds_needed"] == 19
    assert contrasts["no_worse"]["seeds_needed"] == 14
    # Of an arm of two members a seed gives a mean of two runs.
    assert contrasts["other"]["spread_of_a_seed"] == pytest.approx(0.75**0.5)
    assert contrasts["other"]["detectable"] == pytest.approx(2.37 * 0.75**0.5, abs=0.01)
    languages = contrasts["by_distance"]["languages"]
    assert languages["intermediate"] == {"known": 1, "unknown": [], "needed": 6}
    assert languages["target"]["known"] >= 12 and not languages["suffices"]
    assert "detectable" not in contrasts["by_distance"], "which is not tested"
    text = shown(summary)
    assert "at 5 seeds and 1 point of spread TOST with margin 1 has power 0.087; 80 % need" in text
    assert "1 intermediate languages have c_wals (6 are needed): no test" in text
    assert "assumed spread of 1 point" in text and "by simulation" not in text
    assert "parts: screen: base; full: large. This plan: base, large" in text


def test_arms_have_runs_and_sizes_and_steps_that_differ_are_told(tmp_path: Path) -> None:
    summary = told(tmp_path)
    arm = summary["arms"]["both"]
    assert arm["members"] == ["mnli", "qqp"] and arm["runs"] == 2 * 5
    assert arm["examples"] == [200, 300]  # two epochs of MNLI, three of QQP
    assert arm["steps"] == [9, 13]
    assert summary["contrasts"]["equal"]["confounds"] == ["steps"]
    counts = summary["contrasts"]["equal"]
    assert counts["cells"] == sum(counts["targets"].values()) > counts["targets"]["xnli"] == 1
    assert "confounds: steps" in shown(summary)


def record(config: str, seed: int, value: float, names: list[str]) -> TrialRecord:
    """A finished run of the arm of entailment with one score in all cells."""
    point = {"intermediate": "mnli", "model": "base"}
    return TrialRecord(
        trial=f"{config}-s{seed}",
        config=config,
        sweep="s",
        state="finished",
        error="",
        point=point,
        seed=seed,
        **point,
        rates={},
        learning_rate=None,
        chosen={},
        metrics=dict.fromkeys(names, value),
        missing=[],
        collapsed=[],
        undecided=[],
        objective=None,
        scores=ScoreRows(),
        stages=[],
        curves={},
        environment={},
        processes=1,
        precision="fp32",
        started=0.0,
        ended=1.0,
    )


def test_power_is_told_at_the_spread_of_finished_runs(tmp_path: Path) -> None:
    every = [f"{task}/{x}" for task in ("xnli", "panx") for x in lookup(task).languages]
    runs = [record(x, seed, 50 + 3 * seed, every) for x in ("a", "b") for seed in range(3)]
    # One that has not all cells counts for nothing.
    summary = told(tmp_path, [*runs, record("a", 3, 0.0, every[:5])])
    equal = summary["contrasts"]["equal"]
    assert equal["spread_runs"] == 6
    assert equal["spread"] == pytest.approx(3.0)
    text = shown(summary)
    assert "at 5 seeds and 3 points of spread, that of 6 finished runs, TOST with margin 1" in text
    assert "no runs have finished" not in text


SOURCES = ("vi", "zh", "de", "es", "ru", "sw", "tr")


def sloping(test: str) -> dict[str, Any]:
    """The document, whose only contrast is over a covariate."""
    names = [f"mnli_{code}" for code in SOURCES]
    contrast = {"arms": ["others", "english"], "differ_in": ["languages"], "test": test}
    return {
        **DOCUMENT,
        "models": {"base": {"path": "a/base"}},
        "intermediates": {
            name: {
                "tasks": ["mnli"],
                "examples": 100,
                "languages": [name[-2:]],
                "translated": True,
            }
            for name in ("mnli_en", *names)
        },
        "languages": {"panx": list(lookup("panx").languages)},
        "search": {"encoder": {"trials": 9, "sampler": {"name": "grid"}}},
        "study": {
            "question": "Does it grow?",
            "arms": {"english": {"intermediates": ["mnli_en"]}, "others": {"intermediates": names}},
            "contrasts": {"first": {**contrast, "targets": ["panx"], "covariate": "c_wals"}},
            "primary": ["first"],
        },
    }


def first(tmp_path: Path, document: Any, records: Sequence[TrialRecord] = ()) -> Any:
    """What a plan says of its only contrast."""
    summary = told(tmp_path, records, document)
    assert "between the outer thirds" in shown(summary)
    return summary["contrasts"]["first"]


def slope_of(cell: float) -> float:
    """A slope over panx that is found in four of five, by least squares of languages' means over
    five seeds: 2.85 errors of it, each language being a point from the line."""
    own = [language(code).values["c_wals"] for code in lookup("panx").languages]
    values = sorted(value for value in own if isinstance(value, float))
    error = (OWN**2 + cell / 5) ** 0.5 / (np.std(values) * len(values) ** 0.5)
    third = len(values) // 3
    return float(2.85 * error * (np.mean(values[-third:]) - np.mean(values[:third])))


def test_what_a_slope_could_show_is_simulated_from_its_design(tmp_path: Path) -> None:
    found = first(tmp_path, sloping("slope"))
    assert found["detectable"] == pytest.approx(slope_of(1 + 1 / 7), rel=0.2)
    assert found == first(tmp_path / "again", sloping("slope"))
    text = shown(told(tmp_path / "text", (), sloping("slope")))
    assert f"the smallest slope shown with 80 % power is {found['detectable']:.2g} points" in text
    assert "each pair of them, is assumed to be 1 point from the line" in text


def test_what_an_interaction_could_show_falls_with_languages_and_quiet_runs(
    tmp_path: Path,
) -> None:
    document = sloping("interaction")
    whole = first(tmp_path / "whole", document)["detectable"]
    document["languages"] = {"panx": list(lookup("panx").languages[:24])}
    few = first(tmp_path / "few", document)["detectable"]
    assert 1 < whole < few < 3 * whole
    names = [f"panx/{x}" for x in lookup("panx").languages]
    generator = np.random.default_rng(0)
    noisy = [
        replace(record(x, seed, 50.0, names), metrics=dict(zip(names, own, strict=True)))
        for x in ("a", "b")
        for seed, own in enumerate(generator.normal(50, 8, (3, len(names))).tolist())
    ]
    noisy = [
        replace(one, point={"intermediate": "mnli_en", "model": "base"}, intermediate="mnli_en")
        for one in noisy
    ]
    found = first(tmp_path / "noisy", sloping("interaction"), noisy)
    assert found["spread_runs"] == 6 and found["detectable"] > 1.1 * whole


def test_runs_that_spread_alike_in_all_cells_are_told_from_those_that_do_not(
    tmp_path: Path,
) -> None:
    """What all cells share is no noise to a slope."""
    names = [f"panx/{x}" for x in lookup("panx").languages]
    found = {}
    for kind, spreads in {"alike": (8.0, 0.1), "apart": (0.1, 8.0)}.items():
        generator = np.random.default_rng(1)
        runs = []
        for seed in range(4):
            own = 50 + generator.normal(0, spreads[0]) + generator.normal(0, spreads[1], len(names))
            about = record("a", seed, 0.0, names)
            point = {"intermediate": "mnli_en", "model": "base"}
            metrics = dict(zip(names, own.tolist(), strict=True))
            runs.append(replace(about, point=point, intermediate="mnli_en", metrics=metrics))
        document = sloping("slope")
        document["study"]["arms"]["others"]["intermediates"] = ["mnli_tr"]
        found[kind] = first(tmp_path / kind, document, runs)
    assert found["alike"]["spread"] > 3 > found["apart"]["spread"]
    # A model that lets runs have slopes of their own finds less than least squares.
    assert 1.1 < found["apart"]["detectable"] / slope_of(2 * 8.0**2) < 1.5
    assert found["alike"]["detectable"] == pytest.approx(slope_of(0.0), rel=0.2)


def test_nothing_is_simulated_of_an_intermediate_in_several_languages(tmp_path: Path) -> None:
    document = sloping("interaction")
    document["intermediates"]["mnli_tr"]["languages"] = ["tr", "fr"]
    summary = told(tmp_path, (), document)
    assert summary["contrasts"]["first"]["detectable"] is None
    assert "between the outer thirds" not in shown(summary)

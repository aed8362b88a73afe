"""What items alone say of differences, slopes and interactions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xstilts.config.schema import Sweep
from xstilts.report.results import load_results
from xstilts.scores.contrasts import Outcomes
from xstilts.scores.items import item_covariance
from xstilts.study.analysis import answered
from xstilts.study.answer import Contrast
from xstilts.study.arm_runs import StudyRuns
from xstilts.study.item_checks import CellModel
from xstilts.study.sloped import value_of

from .stored import launched_places, put, put_items, study_sweep

ITEMS = 120
SOURCES = ("en", "vi", "zh", "de", "es", "ru", "sw", "tr")
TARGETS = ("bg", "de", "el", "en", "es", "eu", "fi", "fr", "he", "hi", "hu", "tr", "vi", "zh")
SEEDS = (0, 1, 2)


def sloping_sweep(test: str) -> Sweep:
    others = [*(f"mnli_{code}" for code in SOURCES[1:]), "more_tr"]
    contrast = {"arms": ["others", "english"], "differ_in": ["languages"]}
    return study_sweep(
        {
            "arms": {
                "english": {"intermediates": ["mnli_en"]},
                "others": {"intermediates": others},
            },
            "contrasts": {"first": contrast},
            "seeds": 3,
        },
        {"test": test, "covariate": "c_wals"},
        intermediates={
            name: {"tasks": ["mnli"], "languages": [name[-2:]], "translated": True}
            for name in ("mnli_en", *others)
        },
        targets=["udpos", "panx"],
        languages={"udpos": list(TARGETS), "panx": list(TARGETS[:13])},
        seeds=list(SEEDS),
        search={"encoder": {"trials": 10, "sampler": {"name": "grid"}}},
    )


def number(code: str) -> float:
    value = value_of(code, "c_wals")
    assert value is not None
    return value


def put_sloping(root: Path, test: str, **collapsed: int) -> StudyRuns:
    """Runs whose gains grow with the covariate of the target language, of an interaction the more
    the more the intermediate's has of it; those named `collapsed`, with their seed, got nothing
    right."""
    sweep = sloping_sweep(test)
    places = launched_places(root, sweep)
    generator = np.random.default_rng(0)
    ease = {target: generator.uniform(0.2, 0.8, ITEMS) for target in sweep.targets}
    for name in ("none", *sweep.intermediates):
        own = 1.0 if test == "slope" else 2 * number(name[-2:]) if name != "none" else 0.0
        for seed in SEEDS:
            lost = collapsed.get(name) == seed
            scores = {}
            for target in sweep.targets:
                hits = {}
                for code in sweep.languages[target]:  # type: ignore[index] # said by target
                    gain = 0.6 * own * (number(code) - 0.4) * (name not in ("none", "mnli_en"))
                    drawn = generator.random(ITEMS) < (0.0 if lost else ease[target] + gain)
                    hits[code] = drawn.astype(float)
                    scores[target, code] = 100 * float(drawn.mean())
                put_items(places, f"{name}-c-s{seed}", target, hits)
            states = {"collapsed": list(sweep.targets)} if lost else {}
            put(places, sweep, name, seed, lambda *x, own=scores: own[x[2:]], **states)  # type: ignore[misc]
    return StudyRuns(load_results(places))


def contrast_of(runs: StudyRuns) -> Contrast:
    (found,) = answered(runs.results).contrasts
    return found


def by_cells(runs: StudyRuns, test: str, seeds: slice) -> float:
    """The effect by ordinary least squares of members' cells, of seeds that learnt."""
    sweep = runs.sweep
    cells = tuple((x, code) for x in sweep.targets for code in sweep.languages[x])  # type: ignore[index]
    one, other = runs.arm("others", cells), runs.arm("english", cells)
    points = (one.scores - other.by_seed)[:, seeds].mean(1)
    z = np.array([number(code) for _, code in cells])
    x = np.array([number(member.intermediate[-2:]) for member in one.members])
    own = sorted({number(code) for code in TARGETS}), sorted({*x})
    outer = [float(np.mean(v[-(len(v) // 3) :]) - np.mean(v[: len(v) // 3])) for v in own]
    member, cell = (codes.ravel() for codes in np.indices(points.shape))
    target = np.array([x for x, _ in cells])[cell][:, None] == np.array(sweep.targets)
    sides = [x[member], z[cell], x[member] * z[cell]]
    if test == "interaction":
        design = np.column_stack([target, target * x[member][:, None], *sides[1:]])
        return float(np.linalg.lstsq(design, points.ravel())[0][-1]) * outer[0] * outer[1]
    design = np.column_stack([target, z[cell]])
    return float(np.linalg.lstsq(design, points.ravel())[0][-1]) * outer[0]


@pytest.mark.parametrize("test", ["slope", "interaction"])
def test_effects_by_items_are_those_of_cells(tmp_path: Path, test: str) -> None:
    runs = put_sloping(tmp_path, test)
    found = contrast_of(runs)
    assert found.effect is not None
    for own in (found.by_items, found.by_items_and_languages):
        assert own is not None and own.low is not None and own.high is not None
        assert own.value == pytest.approx(by_cells(runs, test, slice(None)), abs=1e-8)
        assert 0 < own.low < own.value < own.high, "it is planted"
        assert own.value == pytest.approx(found.effect.value, abs=2)
    limits = answered(runs.results).limits
    assert found.by_items is not None
    (line,) = (one for one in limits if one.startswith("first: by items alone +"))
    assert line.endswith("), which speaks of these checkpoints and not of the method.")


def test_a_slope_is_of_the_seeds_that_learnt(tmp_path: Path) -> None:
    runs = put_sloping(tmp_path, "slope", mnli_sw=1)
    found = contrast_of(runs)
    assert found.by_items is not None and len(found.collapsed) == 1
    assert found.by_items.value == pytest.approx(by_cells(runs, "slope", slice(0, 3, 2)), abs=1e-8)


def model(own: np.ndarray, items: np.ndarray) -> CellModel:
    """A mean over five languages of `own` (languages, items)."""
    cells = np.repeat(np.arange(len(own)), own.shape[1])
    rows = Outcomes(own.reshape(1, -1), cells, items)
    return CellModel(rows, np.ones((len(own), 1)), np.ones(1), np.arange(len(own)))


def test_translations_are_one_draw_and_languages_a_sample() -> None:
    generator = np.random.default_rng(1)
    shared = generator.normal(0, 30, 400)
    own = shared + generator.normal(0, 30, (5, 400)) + np.array([[-12.0], [0], [4], [8], [20]])
    joint = model(own, np.tile(np.arange(400), 5))
    alone = model(own, np.arange(2000))
    widths = []
    for one in (joint, alone):
        found = one.by_items(0.95)
        assert found is not None and found.low is not None and found.high is not None
        error = item_covariance(*(getattr(one.outcomes, x) for x in ("values", "items", "cells")))
        width = 2 * 1.96 * float(error[0, 0]) ** 0.5
        assert found.value == pytest.approx(own.mean())
        assert found.high - found.low == pytest.approx(width, rel=0.08)
        widths.append(found.high - found.low)
    assert widths[0] > 1.5 * widths[1]
    both = joint.by_items_and_languages(0.95)
    assert both is not None and both.low is not None and both.high is not None
    assert both.high - both.low > 2 * widths[0] and both.dof is not None and both.dof < 10


def test_a_cell_counts_as_one_whatever_its_items() -> None:
    generator = np.random.default_rng(2)
    own = generator.normal(0, 30, (2, 300)) + np.array([[10.0], [0.0]])
    kept = (np.arange(600) < 300) | (np.arange(600) % 300 < 120)
    whole = model(own, np.arange(600))
    outcomes = whole.outcomes.of(kept)
    some = CellModel(outcomes, whole.design, whole.weights, whole.languages)
    middle = float((own[0].mean() + own[1, :120].mean()) / 2)
    for found in (some.by_items(0.9), some.by_items_and_languages(0.9)):
        assert found is not None and found.value == pytest.approx(middle)


def test_what_too_few_items_or_one_language_leave_out() -> None:
    own = np.random.default_rng(3).normal(0, 30, (2, 99))
    found = model(own, np.arange(198))
    assert found.by_items(0.95) is None and found.by_items_and_languages(0.95) is not None
    alone = model(np.random.default_rng(3).normal(0, 30, (1, 150)), np.arange(150))
    assert alone.by_items(0.95) is not None and alone.by_items_and_languages(0.95) is None


def test_where_a_run_kept_none_nothing_is_said_of_items(tmp_path: Path) -> None:
    runs = put_sloping(tmp_path, "interaction")
    places = runs.results.places
    (path,) = places.storage.glob("store/evaluate-panx-mnli_swcs2/*/outcomes/panx.parquet")
    path.unlink()
    found = contrast_of(StudyRuns(load_results(places)))
    assert found.effect is not None and found.by_items is found.by_items_and_languages is None

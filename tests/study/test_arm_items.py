"""What items gave in the runs of two arms, read from the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xstilts.report.results import load_results
from xstilts.scores.variance import gain
from xstilts.study.analysis import answered
from xstilts.study.arm_items import ArmItems
from xstilts.study.arm_runs import StudyRuns

from .stored import evaluation, launched_places, put, put_items, study_sweep

ITEMS = 120
CODES = ("en", "de")


@pytest.fixture
def runs(tmp_path: Path) -> StudyRuns:
    """All trials, with what their items gave in two languages, of which one lacks the last ten."""
    sweep = study_sweep(languages={"xnli": list(CODES)})
    places = launched_places(tmp_path, sweep)
    generator = np.random.default_rng(0)
    for name in ("none", *sweep.intermediates):
        ease = generator.beta(1, 1, ITEMS) + 0.25 * (name in ("mnli_tr", "mnli_sw"))
        for seed in sweep.seeds:
            hits = {
                code: (generator.random(ITEMS) < ease)[: ITEMS - 10 * (code == "de")].astype(float)
                for code in CODES
            }
            means = {code: 100 * float(own.mean()) for code, own in hits.items()}
            put(places, sweep, name, seed, lambda *which, means=means: means[which[3]])  # type: ignore[misc]
            put_items(places, f"{name}-c-s{seed}", "xnli", {x: list(y) for x, y in hits.items()})
    return StudyRuns(load_results(places))


CELLS = (("xnli", "de"), ("xnli", "en"))


def test_their_means_are_the_scores(runs: StudyRuns) -> None:
    arms = runs.arm("others", CELLS), runs.arm("english", CELLS)
    found = ArmItems(runs).outcomes(*arms)
    assert found is not None and found.values.shape == (10, 2 * ITEMS - 10)
    for i in range(2):
        means = found.values[:, found.cells == i].mean(1)
        expected = np.concatenate([arm.by_seed[:, i] for arm in arms])
        assert means == pytest.approx(expected)
    assert len(np.unique(found.items)) == ITEMS, "translations are one item"
    only = ArmItems(runs).outcomes(*(runs.arm(name, CELLS[1:]) for name in ("others", "english")))
    assert only is not None and only.values.shape == (10, ITEMS)


def test_an_interval_has_a_part_of_items(runs: StudyRuns) -> None:
    found = answered(runs.results).contrasts[0]
    arms = runs.arm("others", CELLS).by_seed, runs.arm("english", CELLS).by_seed
    alone = gain(*(arm.mean(1) for arm in arms), paired=True)
    assert found.difference is not None and found.difference.value == pytest.approx(alone.gain)
    assert found.variances["items"] > 0 and found.items_p is not None and found.items_p < 0.05
    assert found.variances["seed"] == pytest.approx(5 * alone.seed_part)
    answer = answered(runs.results)
    (line,) = (x for x in answer.limits if x.startswith("first: by items alone p"))
    assert line.endswith("which speaks of these checkpoints and not of the method.")
    assert not any("of seeds alone" in line for line in answer.limits)


def test_where_a_run_kept_none_the_interval_is_of_seeds_and_says_so(runs: StudyRuns) -> None:
    places = runs.results.places
    name = evaluation("xnli", "mnli_sw-c-s3")
    (path,) = places.storage.glob(f"store/{name}/*/outcomes/xnli.parquet")
    path.unlink()
    answer = answered(load_results(places))
    first, second = answer.contrasts
    assert first.items_p is None and first.p is not None and "items" not in first.variances
    assert second.items_p is not None, "whose runs have theirs"
    assert sum("of seeds alone" in line for line in answer.limits) == 1


def test_other_items_in_a_run_are_not_joined(runs: StudyRuns) -> None:
    places = runs.results.places
    trial = "mnli_sw-c-s3"
    folder = places.storage / "store" / evaluation("xnli", trial)
    folder.rename(folder.with_name("gone"))
    hits = {code: [1.0] * (ITEMS - 1) for code in CODES}
    put_items(places, trial, "xnli", hits)
    assert ArmItems(runs).outcomes(*(runs.arm(x, CELLS) for x in ("others", "english"))) is None
    assert ArmItems(runs).outcomes(*(runs.arm(x, CELLS) for x in ("english", "none"))) is not None

"""The runs of arms as arrays: an intermediate on each model is a member, holes stay holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xstilts.config.study_parts import of_part
from xstilts.report.results import load_results
from xstilts.study.arm_runs import Member, StudyRuns

from .stored import launched_places, planted, put_all, study_sweep

SEARCH = {"encoder": {"trials": 8, "sampler": {"name": "grid"}}}
CELLS = (("xnli", "de"), ("xnli", "tr"))
MODELS = {"xlmr": {"path": "FacebookAI/xlm-roberta-base"}, "mbert": {"path": "a/b"}}


def test_each_intermediate_on_each_model_is_a_member(tmp_path: Path) -> None:
    sweep = study_sweep(models=MODELS, search=SEARCH)
    runs = StudyRuns(put_all(launched_places(tmp_path, sweep), sweep, planted({})))
    names = [(name, model) for name in ("mnli_tr", "mnli_sw") for model in MODELS]
    assert runs.members_of("others") == tuple(Member(*name, "others") for name in names)
    found = runs.arm("others", CELLS)
    assert found.scores.shape == (4, 5, 2) and found.by_seed.shape == (5, 2)
    assert np.isfinite(found.scores[[0, 2]]).all() and not np.isfinite(found.scores[[1, 3]]).any()
    assert not np.isfinite(found.by_seed).any(), "no mean is taken without a member"
    assert found.missing == tuple(
        f"others: {name} on mbert, seeds 0, 1, 2, 3, 4: no score on xnli"
        for name in ("mnli_tr", "mnli_sw")
    )


def test_a_part_of_a_study_is_answered_by_its_models(tmp_path: Path) -> None:
    whole = study_sweep(
        {"models": {"screen": ["xlmr"], "full": ["mbert"]}}, models=MODELS, search=SEARCH
    )
    sweep = of_part(whole, "screen")
    runs = StudyRuns(put_all(launched_places(tmp_path, sweep), sweep, planted({})))
    assert {member.model for member in runs.members_of("others")} == {"xlmr"}
    found = runs.arm("others", CELLS)
    assert not found.missing and np.isfinite(found.by_seed).all()


def test_runs_that_confirm_are_not_read(tmp_path: Path) -> None:
    sweep = study_sweep()
    places = launched_places(tmp_path, sweep)
    put_all(places, sweep, planted({}), phase="confirm", confirms={"xnli": {}})
    assert len(StudyRuns(load_results(places)).arm("none", CELLS).missing) == 1

"""Fingerprints stay: a version of the package that computes the same reuses what is finished.

The digests are those of all stages that the shipped sweep files plan. Where one changes and a
version was raised for it, write the new one here and tell in the CHANGELOG what is computed again;
where nothing should have changed, something did.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweep_plans import Sizes, plan_baseline_and_all
from xstilts.files import sha256_of
from xstilts.plan.plan import Planner
from xstilts.plan.stage import fingerprint
from xstilts.plan.trial_plan import TrialPlan

SWEEPS = Path(__file__).parents[2] / "sweeps"
FROZEN = {
    "encoders_2026.yaml": "fcfd70a6663d84bc",
    "mini_arms.yaml": "edfb149ae3742a14",
    "mini_probes.yaml": "89f1d39efee19c41",
    "phang2020.yaml": "d8f242ded3b6ae9d",
    "phang2020_search.yaml": "b0f78bf64ce84eb9",
    "quickstart.yaml": "02e8742454f4c1c8",
    "real_records.yaml": "b398276e0aec2f81",
    "real_records_all.yaml": "4fe6a95408fa3bfb",
    "studies/1_languages_by_morphology.yaml": "0958e36829171b4d",
    "studies/2_non_english_entailment.yaml": "0d7f594d09e57426",
    "studies/3_domain.yaml": "9d339964145233cd",
    "studies/4_low_resource.yaml": "bf645523d015ec1c",
    "studies/5_initialisation.yaml": "cbdd231af1005463",
    "studies/5_translate_test.yaml": "dd65eda6034ec3f3",
    "studies/5_translate_train.yaml": "6e8fb49de5a25150",
    "studies/mini/1_languages_by_morphology.yaml": "44748579ef62544a",
    "studies/mini/2_non_english_entailment.yaml": "898457aa1a606263",
    "studies/mini/3_domain.yaml": "e16736a6eb67eacc",
    "studies/mini/4_low_resource.yaml": "ae6f0dae679972a5",
    "studies/mini/5_initialisation.yaml": "c641ce198e0a5501",
}


def fingerprints_of(path: Path) -> list[str]:
    """Of every candidate's training stages and evaluations, sorted."""
    planner, plans = plan_baseline_and_all(path, Sizes())
    return sorted({print_ for plan in plans.values() for print_ in stages_of(planner, plan)})


def stages_of(planner: Planner, plan: TrialPlan) -> list[str]:
    found = [fingerprint(stage) for stage in plan.training_stages]
    for group in plan.target_sets:
        for target in group.targets:
            for cell in group.cells[:1] or [None]:
                found.append(fingerprint(planner.evaluation(plan, target, cell)))
    return found


@pytest.mark.parametrize("name", FROZEN)
def test_stages_of_a_shipped_sweep_keep_their_fingerprints(name: str) -> None:
    assert sha256_of(fingerprints_of(SWEEPS / name))[:16] == FROZEN[name]


def test_every_shipped_sweep_is_held() -> None:
    assert {path.relative_to(SWEEPS).as_posix() for path in SWEEPS.glob("**/*.yaml")} == set(FROZEN)

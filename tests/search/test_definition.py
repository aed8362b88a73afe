"""What defines a sweep, launch after launch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xstilts.config.load import load_sweep
from xstilts.config.study_parts import of_part
from xstilts.errors import ConfigError
from xstilts.files import write_json
from xstilts.plan.plan import Planner
from xstilts.plan.stage import Train, stage_name
from xstilts.plan.trial_plan import retried
from xstilts.run.places import Places
from xstilts.search.definition import _identity, settle
from xstilts.search.proposals import target_points

from ..plan.test_plan import INVENTORY, sweep_with
from ..trial_records import entry_json, record_json

STUDY = Path(__file__).parents[2] / "sweeps" / "studies" / "3_domain.yaml"
PROBES = Path(__file__).parents[2] / "sweeps" / "mini_probes.yaml"


def test_what_is_asked_of_results_may_change_between_launches() -> None:
    sweep = load_sweep(STUDY)
    without = sweep.model_copy(update={"study": None})
    other = sweep.model_copy(update={"seeds": (0, 1, 2)})
    first, second, third = (
        _identity(one.model_dump(mode="json", by_alias=True)) for one in (sweep, without, other)
    )
    assert first == second != third


def test_parts_of_a_study_are_launches_of_one_sweep() -> None:
    sweep = load_sweep(STUDY)
    assert sweep.study is not None
    parted = sweep.model_copy(
        update={"study": sweep.study.model_copy(update={"models": {"screen": ("xlmr",)}})}
    )
    screen, whole = of_part(parted, "screen"), parted
    assert screen.search.encoder.space["model"].choice == ("xlmr",)
    first, second = (
        _identity(one.model_dump(mode="json", by_alias=True)) for one in (screen, whole)
    )
    assert first == second


def test_probes_may_be_asked_for_later() -> None:
    sweep = load_sweep(PROBES)
    without = sweep.model_copy(update={"probes": None})
    first, second = (_identity(x.model_dump(mode="json", by_alias=True)) for x in (sweep, without))
    assert first == second and "probes" not in first


@pytest.mark.parametrize("attempt", [0, 1])
@pytest.mark.parametrize("intermediate", ["none", "nli"])
def test_trials_of_before_the_first_launch_are_trained_as_the_file_says(
    tmp_path: Path, intermediate: str, attempt: int
) -> None:
    point = {"model": "mini", "intermediate": intermediate}
    sweep = sweep_with(retries=1, intermediates={"nli": {"tasks": ["mini_nli"]}}, search={})
    plan = Planner(sweep, INVENTORY, target_points(sweep)).plan(point, 0)
    stages = list(plan.training_stages)
    if isinstance(plan.encoder, Train) and attempt:  # what hangs on it has other names
        stages = [plan.encoder]
    places = Places(tmp_path, sweep.name)
    folder = places.trials / plan.trial_id
    folder.mkdir(parents=True)
    entries = [entry_json(stage_name(retried(stage, attempt))) for stage in stages]
    about = {"point": point, "intermediate": intermediate, "model": "mini", "stages": entries}
    write_json(folder / "record.json", record_json(plan.trial_id, **about))
    assert settle(sweep, places, INVENTORY).before is None
    phase = "target" if intermediate == "none" else "intermediate"
    changed = sweep.model_copy(
        update={"recipe": type(sweep.recipe)(name="mini", **{phase: {"learning_rate": 0.5}})}
    )
    line = f"were trained otherwise than the file says; got {plan.trial_id}; give the sweep another"
    with pytest.raises(ConfigError, match=re.escape(line)):
        settle(changed, places, INVENTORY)

"""What defines a sweep, launch after launch."""

from __future__ import annotations

from pathlib import Path

from xstilts.config.load import load_sweep
from xstilts.config.study_parts import of_part
from xstilts.search.definition import _identity

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

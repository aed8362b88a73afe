"""Weights that stay: the best by dev of every target, of every sweep; the rest is trained again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.trial_records import make_record
from xstilts.config.schema import Sweep
from xstilts.errors import LeaseLost
from xstilts.files import read_json, write_json
from xstilts.records import TrialRecord
from xstilts.run.kept_weights import KEPT, Keeper, Kept, best_stages, kept_by_all
from xstilts.run.stage_results import is_done

from ..conftest import make_places, make_stage, make_sweep


def keeping(count: int = 1) -> Sweep:
    targets = ["mini_xnli", "mini_udpos", "mini_tatoeba"]
    return make_sweep(targets=targets, resources={"keep_target_weights": count})


def record(trial: str, nli: float, tags: float, state: str = "finished") -> TrialRecord:
    return make_record(
        trial,
        state=state,
        metrics={"dev/mini_xnli": nli, "dev/mini_udpos": tags},
        chosen={name: {"stage": f"{name}-{trial}"} for name in ("mini_xnli", "mini_udpos")},
    )


def best_of(sweep: Sweep, records: Sequence[TrialRecord]) -> set[str]:
    return best_stages(sweep, [Kept.of(sweep, one) for one in records])


RECORDS = [record("a", 50, 60), record("b", 70, 40), record("c", 99, 99, "failed")]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (0, set()),
        (1, {"mini_xnli-b", "mini_udpos-a"}),
        (2, {"mini_xnli-b", "mini_udpos-a", "mini_xnli-a", "mini_udpos-b"}),
    ],
)
def test_the_best_by_dev_of_each_target_stay(keep: int, expected: set[str]) -> None:
    assert best_of(keeping(keep), RECORDS[:2]) == expected


def test_equal_scores_do_not_hang_on_the_order_of_trials() -> None:
    twins = [record("a", 50, 50), record("b", 50, 50)]
    assert best_of(keeping(), twins) == best_of(keeping(), twins[::-1])


def test_what_falls_behind_is_dropped_unless_another_sweep_keeps_it(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    weights = {}
    files = dict.fromkeys(("encoder/model.safetensors", "heads.safetensors"), "weights")
    for one in RECORDS:
        for chosen in one.chosen.values():
            folder = make_stage(tmp_path, chosen.stage, files)
            weights[chosen.stage] = folder / "encoder/model.safetensors"
    write_json(make_places(tmp_path, "other").launch(1) / KEPT, ["mini_udpos-b"])

    def there() -> set[str]:
        return {name for name, path in weights.items() if path.exists()}

    keeper = Keeper(keeping(), places, 1, lambda: None)
    keeper.add([RECORDS[0]])
    assert there() == set(weights), "the first is the best so far"
    keeper.add([RECORDS[1]])
    assert there() == set(weights) - {"mini_xnli-a"}
    keeper.add([RECORDS[2]])
    assert there() == set(weights) - {"mini_xnli-a"}, "it failed, and will be tried again"
    assert read_json(places.launch(1) / KEPT) == ["mini_udpos-a", "mini_xnli-b"]
    assert kept_by_all(tmp_path) == {"mini_udpos-a", "mini_xnli-b", "mini_udpos-b"}
    fallen = weights["mini_xnli-a"].parents[1]
    assert not (fallen / "heads.safetensors").exists()
    assert (fallen / "manifest.json").exists() and is_done(fallen.parent)


def test_a_confirmation_displaces_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    """A seed more is no better configuration."""
    places = make_places(tmp_path)
    chosen = {"mini_xnli": {"stage": "mini_xnli-d"}}
    confirming = make_record("d", phase="confirm", metrics={"dev/mini_xnli": 99}, chosen=chosen)
    weights = {
        name: make_stage(tmp_path, name, {"heads.safetensors": "weights"}) / "heads.safetensors"
        for name in ("mini_xnli-d", "mini_xnli-a", "mini_udpos-a")
    }
    keeper = Keeper(keeping(), places, 1, lambda: None)
    keeper.add([RECORDS[0], confirming])
    there = {name for name, path in weights.items() if path.exists()}
    assert there == {"mini_xnli-a", "mini_udpos-a"}
    assert read_json(places.launch(1) / KEPT) == ["mini_udpos-a", "mini_xnli-a"]


def test_a_driver_that_lost_the_sweep_drops_nothing(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    stages = [chosen.stage for one in RECORDS[:2] for chosen in one.chosen.values()]
    files = {"encoder/model.safetensors": "weights"}
    weights = [make_stage(tmp_path, name, files) / "encoder/model.safetensors" for name in stages]

    def lost() -> None:
        raise LeaseLost("another process has taken over")

    keeper = Keeper(keeping(), places, 1, lost)
    with pytest.raises(LeaseLost):
        keeper.add(RECORDS[:2])
    assert not (places.launch(1) / KEPT).exists()
    assert all(path.exists() for path in weights)


def test_what_is_kept_is_what_the_newest_launch_says(tmp_path: Path) -> None:
    places = make_places(tmp_path)
    write_json(places.launch(1) / KEPT, ["old"])
    assert kept_by_all(tmp_path) == {"old"}
    places.launch(2).mkdir()
    assert kept_by_all(tmp_path) == {"old"}, "the second has not said anything yet"
    write_json(places.launch(2) / KEPT, ["new"])
    assert kept_by_all(tmp_path) == {"new"}


def test_adapters_keep_the_weights_that_they_belong_to(tmp_path: Path) -> None:
    """Those of a link under a target's, and of what is under that; with the last that need them
    they go, but for an intermediate's, which trials to come share."""
    places, weights = make_places(tmp_path), {}
    link = {"base": "intermediate-n"}
    for name, manifest in {
        "intermediate-n": {},
        "target-link": link,
        **{one.stage: {"base": "target-link"} for x in RECORDS for one in x.chosen.values()},
    }.items():
        folder = make_stage(tmp_path, name, {"encoder/adapters.safetensors": ""}, **manifest)
        weights[name] = folder / "encoder/adapters.safetensors"

    def there() -> set[str]:
        return {name for name, path in weights.items() if path.exists()}

    bases = {"target-link", "intermediate-n"}
    keeper = Keeper(keeping(), places, 1, lambda: None)
    keeper.add(RECORDS[:2])
    kept = {"mini_udpos-a", "mini_xnli-b"}
    assert kept_by_all(tmp_path) == kept | bases
    failed = {"mini_udpos-c", "mini_xnli-c"}
    assert there() == kept | bases | failed
    # Without one that is kept nothing needs them any more.
    keeper = Keeper(keeping(0), places, 1, lambda: None)
    keeper.add(RECORDS[:2])
    assert there() == {"intermediate-n"} | failed

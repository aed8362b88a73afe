"""Weights that stay: the best by dev of every target, of every sweep; the rest is trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xstilts.config.schema import Sweep
from xstilts.files import read_json, write_json
from xstilts.run.kept import KEPT, Keeper, best_stages, kept_by_all
from xstilts.run.places import Places

from ..conftest import make_sweep


def keeping(count: int = 1) -> Sweep:
    targets = ["mini_xnli", "mini_udpos", "mini_tatoeba"]
    return make_sweep(targets=targets, resources={"keep_target_weights": count})


def record(trial: str, nli: float, tags: float, state: str = "finished") -> dict[str, Any]:
    return {
        "trial": trial,
        "state": state,
        "metrics": {"dev/mini_xnli": nli, "dev/mini_udpos": tags},
        "chosen": {name: {"stage": f"{name}-{trial}"} for name in ("mini_xnli", "mini_udpos")},
    }


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
    assert best_stages(keeping(keep), RECORDS[:2]) == expected


def test_equal_scores_do_not_hang_on_the_order_of_trials() -> None:
    twins = [record("a", 50, 50), record("b", 50, 50)]
    assert best_stages(keeping(), twins) == best_stages(keeping(), twins[::-1])


def test_what_falls_behind_is_dropped_unless_another_sweep_keeps_it(tmp_path: Path) -> None:
    places = Places(tmp_path, "s")
    weights = {}
    for one in RECORDS:
        for chosen in one["chosen"].values():
            folder = tmp_path / "stages" / chosen["stage"] / "encoder"
            folder.mkdir(parents=True)
            (folder.parent / "manifest.json").write_text("{}")
            (folder.parent / "heads.safetensors").touch()
            weights[chosen["stage"]] = folder / "model.safetensors"
            weights[chosen["stage"]].touch()
    write_json(tmp_path / "sweeps" / "other" / KEPT, ["mini_udpos-b"])

    def there() -> set[str]:
        return {name for name, path in weights.items() if path.exists()}

    keeper = Keeper(keeping(), places)
    keeper.add([RECORDS[0]])
    assert there() == set(weights), "the first is the best so far"
    keeper.add([RECORDS[1]])
    assert there() == set(weights) - {"mini_xnli-a"}
    keeper.add([RECORDS[2]])
    assert there() == set(weights) - {"mini_xnli-a"}, "it failed, and will be tried again"
    assert read_json(places.sweep / KEPT) == ["mini_udpos-a", "mini_xnli-b"]
    assert kept_by_all(tmp_path) == {"mini_udpos-a", "mini_xnli-b", "mini_udpos-b"}
    assert not (tmp_path / "stages/mini_xnli-a/heads.safetensors").exists()
    assert (tmp_path / "stages/mini_xnli-a/manifest.json").exists()

"""After selection: the chosen point is trained once more, with the rows that selected it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import xstilts
from xstilts import mini
from xstilts.api import Range
from xstilts.cli.app import app
from xstilts.config.load import parse_sweep
from xstilts.data.sources import count_rows
from xstilts.errors import ConfigError
from xstilts.files import read_json
from xstilts.plan.inventory import ModelFacts
from xstilts.report.hours import ASSUMED_TFLOPS
from xstilts.tasks import HeldOut, Slice, Task, lookup


@pytest.fixture
def cut(declare: Callable[[Task], Task]) -> Task:
    """The QA target of the miniature benchmark with a fifth of its contexts cut off to select."""
    task, held = lookup("mini_xquad"), HeldOut("context", percent=20)
    splits = {
        **task.splits,
        "train": Slice("train", without=held),
        "dev": Slice("train", only=held),
    }
    return declare(replace(task, splits=splits))


def sweep_of(name: str, folder: Path, data: Path, **changes: Any) -> dict[str, Any]:
    space = {"target.epochs": {"choice": [0.04]}, "target.learning_rate": {"choice": [1e-3]}}
    return {
        "name": name,
        "benchmark": "custom",
        "recipe": "mini",
        "models": {"mini": {"path": "builtin:mini"}},
        "data": {"root": str(data)},
        "targets": ["mini_xquad"],
        "languages": ["en"],
        "search": {"encoder": {"space": space}},
        "storage": str(folder / "runs"),
        **changes,
    }


def run(folder: Path, sweep: dict[str, Any]) -> dict[str, Any]:
    path = folder / f"{sweep['name']}.yaml"
    path.write_text(yaml.safe_dump(sweep))
    point = ["--point", "{intermediate: none}", "--json"]
    result = CliRunner().invoke(app, ["run", str(path), *point])
    assert result.exit_code == 0, result.output
    record: dict[str, Any] = json.loads(result.stdout)
    return record


def test_plan_counts_what_is_trained_after_selection(
    tmp_path: Path, shared_mini: Path, cut: Task
) -> None:
    """As many as there are trials, as long as the last check would have it."""
    changes = {"seeds": [0, 1], "resources": {"gpus_per_trial": 1}}

    def planned(**more: Any) -> xstilts.Forecast:
        sweep = sweep_of("s", tmp_path, shared_mini, **changes, **more)
        return xstilts.plan(parse_sweep(sweep, "here"))

    plain, whole = planned(), planned(final={"full_data": True})
    assert "final" not in plain.stages
    assert whole.stages["final"] == Range(2, 2) == whole.stages["target"]
    (target,), (again, final) = plain.summary["tasks"], whole.summary["tasks"]
    assert again == target and final["stage"] == "final mini_xquad"
    assert final["rows"] > target["rows"] and final["epochs"] == target["epochs"]
    assert final["tokens"] > target["tokens"] and not final["is_counted"]
    facts = ModelFacts(str(mini.encoder_path()), "", "", 0, 0)
    seconds = 6 * facts.computing_weights() * final["tokens"] / (ASSUMED_TFLOPS * 1e12)
    hours = [one.hours.most if one.hours else 0.0 for one in (plain, whole)]
    assert hours[1] - hours[0] == pytest.approx(2 * seconds / 3600, rel=1e-3)
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(sweep_of("s", tmp_path, shared_mini, final={"full_data": True})))
    result = CliRunner().invoke(app, ["plan", str(path)])
    assert re.search(r"final +1 +1 ", result.output), result.output


def test_all_rows_train_and_what_selected_stays(
    tmp_path: Path, shared_mini: Path, cut: Task
) -> None:
    plain = run(tmp_path, sweep_of("plain", tmp_path, shared_mini))
    record = run(tmp_path, sweep_of("whole", tmp_path, shared_mini, final={"full_data": True}))
    chosen, before = record["chosen"]["mini_xquad"], plain["chosen"]["mini_xquad"]
    assert chosen["stage"].startswith("final-mini_xquad-")
    assert chosen["selected"] == before["stage"], "what selects is the same stage, trained once"
    names = ("dev/mini_xquad", "dev/avg")
    assert [record["metrics"][n] for n in names] == [plain["metrics"][n] for n in names]
    assert record["metrics"]["mini_xquad/en"] != plain["metrics"]["mini_xquad/en"]
    outcomes = {
        stage: read_json(next((tmp_path / "runs/store" / stage).glob("result-*/manifest.json")))
        for stage in (chosen["stage"], chosen["selected"])
    }
    final, selected = (outcomes[chosen[key]]["outcome"] for key in ("stage", "selected"))
    drawn, was = (sum(x["examples"]["mini_xquad"].values()) for x in (final, selected))
    # As many updates a row: more rows, as many more examples.
    folders = {"xstilts/mini_xquad": shared_mini / "xstilts/mini_xquad"}
    kept, rows = (count_rows(folders, task, "train", "en") for task in (cut, cut.whole()))
    assert 0.7 * rows < kept < 0.9 * rows
    at_best = min(was, selected["best_step"] * 16)
    assert drawn == round(at_best * rows / kept)
    assert final["best_step"] == final["steps"] and final["dev"] == {}


def test_published_dev_sets_are_never_trained_on(cut: Task) -> None:
    asked = {"final": {"full_data": True}}
    parse_sweep(sweep_of("s", Path("r"), Path("d"), **asked), "s")
    with pytest.raises(ConfigError, match="no target's dev set was cut"):
        parse_sweep(sweep_of("s", Path("r"), Path("d"), targets=["mini_xnli"], **asked), "s")
    cuts = {
        name for name in ("tydiqa", "xquad", "mlqa", "xnli") if lookup(name).cuts_dev_from_train
    }
    assert cuts == {"tydiqa"}
    assert lookup("xquad").held_apart().cuts_dev_from_train

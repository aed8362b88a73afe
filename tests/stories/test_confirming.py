"""A finished sweep is confirmed; killed in the middle, the same command goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from xstilts import open_results
from xstilts.report.crossed import crossed

from .conftest import Bench

pytestmark = pytest.mark.ray

CONFIRM = ("confirm", "small", "--top", "1", "--seeds", "3")


@pytest.fixture
def bench(tmp_path: Path, undisturbed: Any) -> Bench:
    """A copy of a finished sweep."""
    shutil.copytree(undisturbed.folder, tmp_path / "copy", symlinks=True)
    return Bench(tmp_path / "copy")


def proposals(bench: Bench) -> list[str]:
    """What stands in the journals of Optuna's study, each operation once."""
    paths = (folder / "study.journal" for folder in bench.launches())
    return sorted(
        {line for path in paths if path.exists() for line in path.read_text().splitlines()}
    )


def roles(bench: Bench) -> dict[str, str]:
    query = "select k.value, r.value from tags k join tags r on k.run_uuid = r.run_uuid "
    query += "where k.key = 'xstilts.key' and r.key = 'xstilts.role'"
    with sqlite3.connect(bench.storage / "mlflow.db") as db:
        return dict(db.execute(query).fetchall())


def test_confirmation_is_killed_and_goes_on(bench: Bench) -> None:
    text = bench.run(*CONFIRM[:-1], "2", status=2)
    assert "confirm.seeds: the interval of a gain needs the spread over at least 3 seeds" in text
    search, asked = bench.stages(), proposals(bench)
    process = bench.start(*CONFIRM)
    bench.wait_for(
        lambda: (
            (len(bench.stages()) > len(search) + 3 and bool(bench.workers()))
            or process.poll() is not None
        ),
        timeout_s=300,
    )
    bench.kill(process)
    killed = bench.stages()
    (chosen,) = bench.storage.glob("sweeps/small/launches/*/confirm.json")
    choice = json.loads(chosen.read_text())
    status = bench.run("status", "small")
    text = bench.run(*CONFIRM)
    assert "is confirmed with the seeds" not in text, "what was chosen stays chosen"
    assert [json.loads(p.read_text()) for p in bench.storage.rglob("confirm.json")] == [choice]

    after, records = bench.stages(), bench.records()
    assert {name: after[name] for name in killed} == killed, "nothing is computed again"
    assert proposals(bench) == asked, "the study knows nothing of it"
    confirmed = {name: one for name, one in records.items() if one["phase"] == "confirm"}
    assert len(records) - len(confirmed) == 3
    chosen_targets: dict[str, set[str]] = {}
    for target, own in choice["targets"].items():
        for one in (*own["leaders"], own["baseline"]):
            chosen_targets.setdefault(one["config"], set()).add(target)
    assert (
        f"of {3 + 3 * len(chosen_targets)} trials ({3 * len(chosen_targets)} to confirm)" in status
    )
    assert sorted((one["config"], one["seed"]) for one in confirmed.values()) == sorted(
        (config, seed) for config in chosen_targets for seed in (1000, 1001, 1002)
    )
    for one in confirmed.values():
        assert one["state"] == "finished"
        assert {row["target"] for row in one["scores"]} == chosen_targets[one["config"]]
        assert sum(stage["name"].startswith("target-") for stage in one["stages"]) <= 1
    assert roles(bench) == {
        name: "confirm"
        if name in confirmed
        else "baseline"
        if name.startswith("none")
        else "search"
        for name in records
    } | {"summary": "summary"}
    state, summary = bench.mlflow()["summary"]
    assert state == "FINISHED" and summary["z/cost/trials"] == 3
    assert summary["z/cost/confirm_trials"] == len(confirmed)
    assert summary["z/cost/confirm_cost"] > 0
    results = open_results("small", bench.storage)
    phases = results.trials.groupby("phase", observed=True)["trial"].count().to_dict()
    assert phases == {"search": 2, "baseline": 1, "confirm": len(confirmed)}
    assert {one.best.seeds for one in results.details.best} == {1}, "search alone chooses"
    told = results.best.set_index("target").loc["mini_tatoeba"]
    assert told["verdict"] != "not confirmed" and (told["seeds"], told["runs"]) == (3, 3)
    assert told["low"] < told["gain"] < told["high"] and set(told["trials"]) <= set(confirmed)
    (own,) = (one for one in choice["targets"]["mini_tatoeba"]["leaders"])
    encoder = ("--encoder", str(bench.folder / "encoder"))
    exported = bench.run("export", "small", str(told["trials"][0]), *encoder)
    assert "the encoder of" in " ".join(exported.split()) and told["config_id"] == own["config"]
    assert (bench.folder / "encoder" / "model.safetensors").exists()
    table = crossed(results.details, "mini_tatoeba")
    assert table.without == () and len(table.runs) == 6
    for run, scores in zip(table.runs, table.scores, strict=True):
        own = records[run.trial]["metrics"]
        assert scores.tolist() == pytest.approx(
            [own[f"mini_tatoeba/{language}"] for language in table.languages]
        )

    # The file that asks for the same finds it done, and so does the one that asks for nothing.
    with (bench.folder / "sweep.yaml").open("a") as file:
        file.write("confirm: {top: 1, seeds: 3}\n")
    assert "everything is done already" in bench.sweep()
    assert bench.stages() == after

"""A race that signals and another sweep order: encoders first, and the same numbers as without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xstilts.files import read_json

from .conftest import Bench
from .test_race import SWEEP, scores_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ORDERED = """  strategy: race
  signals: [retrieval, probe]
  parallel: mini_parallel
  prior: storage
"""


def test_signals_come_first_and_change_no_number(tmp_path: Path, shared_mini: Path) -> None:
    bench = Bench(tmp_path)
    text = SWEEP.replace("trials: 4", "trials: 3")
    for name, strategy, seeds in (("plain", "all", "[0]"), ("ordered", "race", "[0, 1]")):
        own = text.format(name=name, strategy=strategy, data=shared_mini)
        own = own.replace("seeds: [0, 1, 2]", f"seeds: {seeds}")
        own = own.replace("  strategy: race\n", ORDERED)
        (tmp_path / f"{name}.yaml").write_text(own)
    bench.run("sweep", "plain.yaml")
    process = bench.start("sweep", "ordered.yaml")
    bench.wait_for(lambda: len(bench.records("ordered")) >= 2 or process.poll() is not None, 200)
    bench.kill(process)
    folder = bench.storage / "sweeps" / "ordered"
    (prior,) = folder.glob("launches/*/prior.json")
    known = read_json(prior)
    assert {cell["sweep"] for cell in known["cells"]} == {"plain"}
    told = bench.run("sweep", "ordered.yaml")
    assert [read_json(path) for path in folder.glob("launches/*/prior.json")] == [known]

    plain, ordered = bench.records("plain"), bench.records("ordered")
    assert not any(record["signals"] for record in plain.values())
    first = [record for record in ordered.values() if record["seed"] == 0]
    assert len(first) == 3
    for record in first:
        assert [*record["signals"]] == [
            "retrieval/mini_parallel",
            "probe/mini_xnli",
            "probe/mini_udpos",
        ]
        assert 0 < record["signals"]["retrieval/mini_parallel"]["value"] <= 100
    assert not any(record["signals"] for record in ordered.values() if record["seed"])
    # Every intermediate of the first seed ended before a candidate's first target was evaluated.
    begun = [
        stage["asked"]
        for record in first
        for stage in record["stages"]
        if stage["name"].startswith("evaluate") and record["intermediate"] != "none"
    ]
    signals = [
        stage["started"]
        for record in first
        for stage in record["stages"]
        if stage["name"].startswith("signal") and record["intermediate"] != "none"
    ]
    assert max(signals) < min(begun)
    both = scores_of(plain).keys() & scores_of(ordered).keys()
    assert both and all(scores_of(plain)[key] == scores_of(ordered)[key] for key in both)

    told = " ".join(told.split())
    assert "retrieval, probe, prior: rank correlation" in told
    (one, _) = json.loads(bench.run("report", "ordered", "--format", "json"))["race"]
    assert one["signals"]["probe"] == {"correlation": None, "candidates": 2}

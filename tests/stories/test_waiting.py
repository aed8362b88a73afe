"""Twelve trials share three intermediate stages on four places, beside four of the baseline: three
are trained, nobody waits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import Bench
from .hosts_of_one import one_node

pytestmark = pytest.mark.ray

SHARING = """
name: small
benchmark: mini
recipe: mini
models: {mini: {path: "builtin:mini"}}
data: {root: %s}
intermediates:
  nli: {tasks: [mini_nli], budget: {examples: 320}}
  qa: {tasks: [mini_qa], budget: {examples: 160}}
  choice: {tasks: [mini_choice], budget: {examples: 160}}
targets: [mini_xnli, mini_udpos]
languages: [en, qaa]
search:
  encoder:
    trials: 16
    sampler: {name: grid}
    space:
      intermediate: {choice: [nli, qa, choice, none]}
      target.epochs: {choice: [0.02, 0.03, 0.04, 0.05]}
"""


def test_twelve_trials_on_four_places(tmp_path: Path, shared_mini: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SHARING % shared_mini)
    bench = Bench(tmp_path)
    with one_node(num_cpus=4) as address:
        bench.run("sweep", "sweep.yaml", "--address", address, "--no-rehearse", timeout_s=900)
    records = bench.records()
    assert len(records) == 16
    assert {record["state"] for record in records.values()} == {"finished"}
    trained = [name for name in bench.stages() if name.startswith("intermediate-")]
    assert len(trained) == 3
    computed = [
        stage["name"]
        for record in records.values()
        for stage in record["stages"]
        if not stage["is_reused"]
    ]
    assert len(computed) == len(set(computed)), "no stage is computed twice"
    hours = json.loads(bench.run("status", "small", "--json"))["hours"]
    assert hours["waiting"] < 0.02 * hours["used"]
    assert hours["reused"] > 0
    attempts = [attempt for tried in bench.attempts().values() for attempt in tried]
    times = sorted((attempt["started"], attempt["ended"]) for attempt in attempts)
    most = max(sum(a <= start < b for a, b in times) for start, _ in times)
    assert most > 1, "trials ran side by side"  # how many depends on how fast workers start
    assert (bench.storage / "sweeps/small/report/timeline.png").stat().st_size > 5000
    assert re.search(r"trial-hours: .* used", bench.run("status", "small"))

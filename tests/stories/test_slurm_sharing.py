"""Two sweeps as jobs of a real Slurm, at once on one node, with one storage: neither minds the
other, and what both need is made once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import require
from .hosts import wait_for
from .slurm_hosts import SlurmCluster, lacks

pytestmark = pytest.mark.cluster

SWEEP = """
name: %s
benchmark: custom
recipe: mini
models: {mini: {path: "builtin:mini"}}
data: {root: %s}
intermediates: {nli: {tasks: [mini_nli]}}
targets: [%s]
languages: [en, qaa]
search:
  encoder:
    trials: 2
    space: {intermediate.epochs: {choice: [0.1]}, target.epochs: {choice: [0.1]}}
"""
COMMAND = "slurm %s.yaml --nodes 1 --cpus-per-node 1 --time 20 --submit"
TARGETS = {"one": "mini_xnli", "two": "mini_udpos"}


@pytest.fixture
def cluster(tmp_path: Path, shared_mini: Path) -> Iterator[SlurmCluster]:
    """One node of two CPUs."""
    reason = lacks()
    require("slurm", not reason, reason)
    with SlurmCluster(tmp_path / "slurm", [2], {str(shared_mini): shared_mini}) as cluster:
        for name, target in TARGETS.items():
            (cluster.lab / f"{name}.yaml").write_text(SWEEP % (name, shared_mini, target))
        yield cluster


def test_two_sweeps_at_once_on_one_node_and_one_storage(cluster: SlurmCluster) -> None:
    jobs = {}
    for name in TARGETS:
        said = cluster.xstilts(COMMAND % name)
        jobs[name] = int(re.findall(r"Submitted batch job (\d+)", said)[0])

    def are_over() -> bool:
        states = {cluster.state(job) for job in jobs.values()}
        assert not {"FAILED", "CANCELLED", "NODE_FAIL"} & states, logs(cluster)
        return states == {"COMPLETED"}

    wait_for(are_over, "both are done", 600)
    spans: dict[str, list[tuple[float, float]]] = {}
    for name, target in TARGETS.items():
        trials = cluster.lab / f"runs/sweeps/{name}/trials"
        records = [json.loads(path.read_text()) for path in trials.glob("*/record.json")]
        assert [record["state"] for record in records] == ["finished"] * 2
        attempts = [json.loads(path.read_text()) for path in trials.glob("*/[0-9]*.json")]
        assert {attempt["how"] for attempt in attempts} == {"finished"}
        spans[name] = [(attempt["started"], attempt["ended"]) for attempt in attempts]
        assert list(cluster.lab.glob(f"runs/store/evaluate-{target}-*"))
    assert any(
        begun < its_end and its_begin < ended
        for begun, ended in spans["one"]
        for its_begin, its_end in spans["two"]
    ), "trials of both ran at once"
    results = [path.parent.name for path in cluster.lab.glob("runs/store/*/result-*")]
    assert len(results) == len(set(results)), "a stage was made twice"
    assert len([name for name in results if name.startswith("intermediate-")]) == 1
    (node,) = cluster.nodes
    wait_for(lambda: not cluster.left(node), "the node runs nothing", 60)


def logs(cluster: SlurmCluster) -> str:
    return "".join(path.read_text() for path in cluster.lab.glob("xstilts-*.log"))

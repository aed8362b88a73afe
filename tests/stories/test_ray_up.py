"""`ray up` to `ray down` on two hosts, with the commands of its page, for those with the token."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import require
from ..sockets import listed, listeners
from .hosts import Host, Network, end, missing, wait_for

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text()
SWEEP = """
name: story
benchmark: mini
recipe: mini
models: {mini: {path: "builtin:mini"}}
data: {root: "builtin:mini"}
intermediates:
  nli: {tasks: [mini_nli]}
  mix: {tasks: [mini_nli, mini_choice], rates: search, budget: {examples: 320}}
targets: [mini_xnli, mini_tatoeba]
languages: [en, qaa]
seeds: [0, 1]
search:
  encoder:
    trials: 5
    space:
      intermediate.learning_rate: {float: [3.0e-4, 3.0e-3], log: true, levels: 3}
      intermediate.rates: {simplex: true, step: 0.25}
      intermediate.epochs: {choice: [0.1]}
      target.epochs: {choice: [0.1]}
  target: {trials: 1, space: {learning_rate: {float: [5.0e-4, 2.0e-3], log: true, levels: 3}}}
resources: {cpus_per_trial: 1}
storage: /mnt/xstilts/runs
tracking: {uri: "http://127.0.0.1:5000"}
"""
TRIALS = 10
PORTS = {*range(6379, 6385), *range(10001, 20000), 44217, 44227, 52365}
"""What a firewall must let through between the nodes, as cluster.yaml says."""
NAMES = {
    "/gcs_server ": "`gcs_server`",
    "/raylet ": "`raylet`",
    "^ray::RuntimeEnvAgent": "`ray::RuntimeEnvAgent`",
    "mlflow.server": "MLflow's server",
}
"""How SECURITY.md calls a process, by its command line."""
CLIENT = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print(len(ray.nodes()), "nodes")
"""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A laptop with a checkout, and two hosts that share a storage and have no checkout."""
    reason = missing()
    require("cluster", not reason, reason)
    checkout, storage, empty = tmp_path / "checkout", tmp_path / "storage", tmp_path / "empty"
    for folder in (checkout, storage, empty):
        folder.mkdir()
    for name in ("xstilts", "sweeps"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shared = {"/mnt/xstilts": storage, str(ROOT): empty}
    laptop = {"/mnt/checkout": checkout}
    network = Network(tmp_path / "lan", {"laptop": laptop, "head": shared, "worker": shared})
    with network:
        yield network


def test_from_ray_up_to_ray_down(network: Network, tmp_path: Path) -> None:
    laptop, head, worker = network.hosts.values()
    values = {
        "HEAD": network.address["head"],
        "WORKER": network.address["worker"],
        "USER": "root",
        "KEY": str(network.key),
        "ENVIRONMENT": sys.prefix,
        "FILE": "sweeps/story.yaml",
    }
    hosts = filled_in((ROOT / "xstilts/cluster/local.yaml").read_text(), values)
    for last in ("--autoscaling-config=~/ray_bootstrap_config.yaml", "$RAY_HEAD_IP"):
        assert hosts.count(last) == 1
        hosts = hosts.replace(last, f"{last} --num-cpus=1")
    (tmp_path / "checkout/hosts.yaml").write_text(hosts)
    (tmp_path / "checkout/sweeps/story.yaml").write_text(SWEEP)
    # The user has logged in to the hosts before.
    laptop.run("mkdir ~/.ssh && echo 'StrictHostKeyChecking accept-new' > ~/.ssh/config")
    token, up, status, prepare, sweep, tunnel, down, clean = (
        f"cd /mnt/checkout && {filled_in(command, values)}" for command in readme_commands()
    )

    laptop.run(token)
    laptop.run(up)
    active = re.compile(r"Active:\s+2 local\.cluster\.node")
    wait_for(lambda: bool(active.search(laptop.run(status))), "both hosts are there")
    check_what_listens(head, worker)
    check_who_is_let_in(laptop, head, worker)
    laptop.run(prepare)
    encoded = files_below(tmp_path / "storage/runs/encoded")
    table = laptop.run(sweep)
    assert "Verdicts" in table
    assert encoded, "nothing was prepared"
    after = files_below(tmp_path / "storage/runs/encoded")
    assert {name: after[name] for name in encoded} == encoded, "encoded again"

    trials = tmp_path / "storage/runs/sweeps/story/trials"
    attempts = [json.loads(path.read_text()) for path in trials.glob("*/[0-9]*.json")]
    assert len(list(trials.iterdir())) == TRIALS
    assert {attempt["host"] for attempt in attempts} == {"head", "worker"}

    for port in (5000, 8265):
        laptop.run(f"curl -s --max-time 30 http://{values['HEAD']}:{port}", status=7)
    forwarding = laptop.popen(tunnel)
    wait_for(lambda: "story" in experiments(laptop), "MLflow answers through the tunnel")
    runs = finished_runs(laptop, experiments(laptop)["story"])
    assert len([metrics for metrics in runs if "dev/avg" in metrics]) == TRIALS
    end(forwarding)

    laptop.run(down)
    laptop.run(clean)
    for host in (head, worker):
        wait_for(lambda host=host: not host.processes(), f"the {host.name} runs nothing", 60)


def check_what_listens(head: Host, worker: Host) -> None:
    """What SECURITY.md says of a cluster where nothing runs yet."""
    rows = listed((ROOT / "SECURITY.md").read_text(), "A cluster")
    for host, address, when in (
        (head, "10.77.0.2", ("always", "always, on the head")),
        (worker, "10.77.0.3", ("always",)),
    ):
        places = {"all": "::", "the node's": address}
        expected = {(p, places.get(where, where)) for p, time, where in rows if time in when}
        found = set()
        for one in listeners(host.processes()):
            names = [name for line, name in NAMES.items() if re.search(line, one.process)]
            found.add((" and ".join(names) or one.process, one.address))
        assert found == expected, host.name
        outside = [one for one in listeners(host.processes()) if one.address != "127.0.0.1"]
        assert not [one for one in outside if one.port not in PORTS], host.name


def check_who_is_let_in(laptop: Host, head: Host, worker: Host) -> None:
    """One who has the token, which nobody but its user reads, and no other."""
    client = f"python -c {shlex.quote(CLIENT)} 10.77.0.2:6379"
    secret = laptop.run("cat ~/.ray/auth_token")
    for host in (laptop, head, worker):
        assert host.run("stat -c %a ~/.ray ~/.ray/auth_token").split() == ["700", "600"]
        assert host.run("cat ~/.ray/auth_token") == secret
    for host in (head, worker):
        assert host.run("stat -c %a /tmp/xstilts-0").strip() == "700"
        assert secret not in "".join(host.processes().values())
    assert "2 nodes" in head.run(f"RAY_AUTH_MODE=token {client}")
    strangers = [
        laptop.popen(f"RAY_AUTH_MODE=disabled {client}"),
        head.popen(f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN=guessed {client}"),
    ]
    for stranger in strangers:
        output, _ = stranger.communicate(timeout=120)
        assert stranger.returncode == 1 and "InvalidAuthToken" in output, output


def filled_in(text: str, values: dict[str, str]) -> str:
    """A text with the words in capitals replaced."""
    return re.sub(r"\b[A-Z]+\b", lambda word: values.get(word.group(), word.group()), text)


def readme_commands() -> list[str]:
    """The commands of the page on clusters, without their comments."""
    block = PAGE.split("```sh\n")[1].split("```")[0]
    return [line.split("  #")[0].strip() for line in block.splitlines()]


def files_below(folder: Path) -> dict[str, int]:
    """When each file of a folder was last written, in nanoseconds."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in files}


def call_mlflow(laptop: Host, what: str, **body: Any) -> dict[str, Any]:
    """What MLflow's API answers through the tunnel; nothing where it does not yet."""
    url = f"http://localhost:5000/api/2.0/mlflow/{what}/search"
    command = f"curl -s -H 'Content-Type: application/json' -d '{json.dumps(body)}' {url} || true"
    answer: dict[str, Any] = json.loads(laptop.run(command) or "{}")
    return answer


def experiments(laptop: Host) -> dict[str, str]:
    found = call_mlflow(laptop, "experiments", max_results=100).get("experiments", [])
    return {experiment["name"]: experiment["experiment_id"] for experiment in found}


def finished_runs(laptop: Host, experiment: str) -> list[dict[str, float]]:
    """The metrics of every finished run."""
    runs = call_mlflow(laptop, "runs", experiment_ids=[experiment], max_results=100)["runs"]
    return [
        {metric["key"]: metric["value"] for metric in run["data"].get("metrics", [])}
        for run in runs
        if run["info"]["status"] == "FINISHED"
    ]

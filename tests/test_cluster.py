"""`cluster.yaml`: Ray's own checks without AWS, our rules, and proof that both can fail."""

from __future__ import annotations

import copy
import fnmatch
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from xstilts.cli import app
from xstilts.config.load import load_sweep
from xstilts.files import HEARTBEAT_S

ROOT = Path(__file__).parent.parent
FILE = ROOT / "cluster.yaml"
MOUNT = "/mnt/xstilts"
Config = dict[str, Any]

REQUIRED = {
    "cluster_name",
    "max_workers",
    "idle_timeout_minutes",
    "provider",
    "auth",
    "head_node_type",
    "available_node_types",
    "file_mounts",
    "rsync_exclude",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
}
SECRETS = re.compile(
    r"(AKIA|ASIA)[0-9A-Z]{16}|\bhf_\w{20,}|\bgh[ps]_\w{20,}|-----BEGIN|://[^/\s:@]+:[^/\s@]+@"
    r"|\b\w*(secret|password|passwd|token|access_key)\w*\s*[:=]\s*['\"]?[\w/+-]{8,}",
    re.IGNORECASE,
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty home, and no way to AWS: not by boto3, not by a socket to elsewhere."""
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost"):
            raise AssertionError(f"a connection to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    for name in ("boto3", "botocore"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def config() -> Config:
    return load(FILE.read_text())


def load(text: str) -> Config:
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return copy.deepcopy(loaded)


def ray_objections(config: Config) -> list[str]:
    """What `ray up` would say about the file before it calls AWS."""
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except (ValidationError, ValueError, KeyError) as error:
        return [f"ray: {str(error).splitlines()[0]}"]
    return []


def problems(config: Config, text: str = "") -> list[str]:
    """Every rule that a cluster file breaks; `text` is the file with its comments."""
    found = ray_objections(config)
    found += [f"missing: {key}" for key in sorted(REQUIRED - set(config))]
    if found:
        return found
    found += [f"secret: {match.group()}" for match in SECRETS.finditer(text or yaml.dump(config))]
    found += _node_problems(config)
    found += _network_problems(config)
    found += _command_problems(config)
    return found


def _node_problems(config: Config) -> Iterator[str]:
    head = config["head_node_type"]
    if not 0 < config["idle_timeout_minutes"] <= 60:
        yield "idle: workers must end when they are idle"
    for name, node in config["available_node_types"].items():
        market = node["node_config"].get("InstanceMarketOptions", {}).get("MarketType")
        if name == head:
            if node["resources"].get("CPU") != 0 or node["resources"].get("GPU"):
                yield "head: trials must not land on it"
            if market:
                yield "head: must not be a spot instance"
            continue
        if node.get("min_workers") != 0:
            yield f"{name}: min_workers must be 0"
        if not 0 < node.get("max_workers", 0) <= config["max_workers"]:
            yield f"{name}: max_workers must be between 1 and the cluster's"
        if market != "spot":
            yield f"{name}: must be a spot instance"
        if not node["resources"].get("GPU"):
            yield f"{name}: declares no GPU"


def _network_problems(config: Config) -> Iterator[str]:
    for name, node in config["available_node_types"].items():
        if not node["node_config"].get("SecurityGroupIds"):
            yield f"{name}: without SecurityGroupIds Ray opens ssh to the world"
    for rule in config["provider"].get("security_group", {}).get("IpPermissions", []):
        ranges = [r.get("CidrIp") for r in rule.get("IpRanges", [])]
        ranges += [r.get("CidrIpv6") for r in rule.get("Ipv6Ranges", [])]
        is_ssh = rule.get("FromPort") == rule.get("ToPort") == 22
        if {"0.0.0.0/0", "::/0"} & set(ranges) and not is_ssh:
            yield f"ingress: port {rule.get('FromPort')} is open to the world"


def _command_problems(config: Config) -> Iterator[str]:
    for kind, command in commands_of(config):
        shell = subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True)
        if shell.returncode:
            yield f"{kind}: {shell.stderr.strip()}"
    for role in ("head", "worker"):
        start = config[f"{role}_start_ray_commands"]
        starts = [command for command in start if "ray start" in command]
        if len(starts) != 1:
            yield f"{role}: starts Ray {len(starts)} times"
        for command in starts:
            before = command.rpartition(";")[2].partition("ray start")[0]
            if not re.search(r"\bRAY_AUTH_MODE=(disabled|token)\b", before):
                yield f"{role}: `ray start` without RAY_AUTH_MODE"
            if "0.0.0.0" in command:
                yield f"{role}: listens on every interface"
        if f"mountpoint -q {MOUNT}" not in start[0]:
            yield f"{role}: may start without the shared storage"
        setup = " ".join(config["setup_commands"] + config[f"{role}_setup_commands"])
        if "RAY_AUTH_MODE=" not in setup:
            yield f"{role}: shells have no RAY_AUTH_MODE"
        if f" {MOUNT} nfs4" not in setup:
            yield f"{role}: does not mount the shared storage"
        if not re.search(r"pip install [^&|;]*~/xstilts", setup):
            yield f"{role}: does not install the mounted checkout"
    yield from _server_problems(config)


def _server_problems(config: Config) -> Iterator[str]:
    servers = [c for c in config["head_start_ray_commands"] if "mlflow server" in c]
    if len(servers) != 1:
        yield f"mlflow: {len(servers)} servers on the head"
        return
    if "--host 127.0.0.1 " not in servers[0]:
        yield "mlflow: does not listen on loopback alone"
    hosts = re.search(r"--allowed-hosts '([^']*)'", servers[0])
    if not hosts or "*" in hosts.group(1).split(","):
        yield "mlflow: allows every host"
    if not re.search(r'--backend-store-uri "sqlite:///\$HOME/', servers[0]):
        yield "mlflow: its database is not on the head's own disk"
    if "/api/2.0/mlflow/" not in servers[0]:
        yield "mlflow: is not probed by a call of its API"


def commands_of(config: Config) -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if key.endswith("_commands"):
            yield from ((key, command) for command in value)


def test_the_file_keeps_every_rule(config: Config) -> None:
    assert problems(config, FILE.read_text()) == []
    assert not list(Path.home().iterdir()), "checking a file must write nothing"


def _in_node(config: Config, name: str) -> Config:
    node: Config = config["available_node_types"][name]
    return node


def _open(config: Config, port: int) -> None:
    rule = {
        "FromPort": port,
        "ToPort": port,
        "IpProtocol": "tcp",
        "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
    }
    config["provider"]["security_group"] = {"IpPermissions": [rule]}


def _replace(config: Config, key: str, old: str, new: str) -> None:
    assert any(old in command for command in config[key]), old
    config[key] = [command.replace(old, new) for command in config[key]]


FAULTS: dict[str, tuple[Callable[[Config], Any], str]] = {
    "unknown key": (lambda c: c.update(max_wokers=3), r"ray: .*max_wokers"),
    "no node_config": (lambda c: _in_node(c, "gpu").pop("node_config"), "ray: .*node_config"),
    "no resources": (lambda c: _in_node(c, "gpu").pop("resources"), "ray: .*resources"),
    "no such head": (lambda c: c.update(head_node_type="boss"), "ray: .*head_node_type"),
    "wrong type": (lambda c: c.update(max_workers="four"), "ray: 'four'"),
    "no timeout": (lambda c: c.pop("idle_timeout_minutes"), "missing: idle_timeout_minutes"),
    "never idle": (lambda c: c.update(idle_timeout_minutes=100000), "idle: "),
    "no mounts": (lambda c: c.pop("file_mounts"), "missing: file_mounts"),
    "paid when idle": (lambda c: _in_node(c, "gpu").update(min_workers=1), "gpu: min_workers"),
    "min unsaid": (lambda c: _in_node(c, "gpu").pop("min_workers"), "gpu: min_workers"),
    "on demand": (
        lambda c: _in_node(c, "gpu")["node_config"].pop("InstanceMarketOptions"),
        "gpu: must be a spot",
    ),
    "spot head": (
        lambda c: _in_node(c, "head")["node_config"].update(
            InstanceMarketOptions={"MarketType": "spot"}
        ),
        "head: must not be a spot",
    ),
    "trials on the head": (lambda c: _in_node(c, "head").update(resources={"CPU": 4}), "head: tri"),
    "Ray's own group": (
        lambda c: _in_node(c, "gpu")["node_config"].pop("SecurityGroupIds"),
        "gpu: without SecurityGroupIds",
    ),
    "open MLflow": (lambda c: _open(c, 5000), "ingress: port 5000"),
    "secret": (lambda c: c["setup_commands"].append("export K=AKIA" + "A" * 16), "secret: AKIA"),
    "token": (lambda c: c["setup_commands"].append("export HF_TOKEN=abcdefghijk"), "secret: HF_T"),
    "head without auth": (
        lambda c: _replace(c, "head_start_ray_commands", "RAY_AUTH_MODE=disabled", ""),
        "head: `ray start` without RAY_AUTH_MODE",
    ),
    "worker without auth": (
        lambda c: _replace(c, "worker_start_ray_commands", "RAY_AUTH_MODE=disabled", ""),
        "worker: `ray start` without RAY_AUTH_MODE",
    ),
    "open dashboard": (
        lambda c: _replace(c, "head_start_ray_commands", "host=127.0.0.1", "host=0.0.0.0"),
        "head: listens on every",
    ),
    "other mount": (
        lambda c: _replace(c, "setup_commands", f" {MOUNT} nfs4", " /data nfs4"),
        "worker: does not mount",
    ),
    "no guard": (lambda c: c["worker_start_ray_commands"].pop(0), "worker: may start without"),
    "open server": (
        lambda c: _replace(c, "head_start_ray_commands", "--host 127.0.0.1", "--host 0.0.0.0"),
        "mlflow: does not listen on loopback",
    ),
    "any host": (
        lambda c: _replace(c, "head_start_ray_commands", "'localhost:*,127.0.0.1:*'", "'*'"),
        "mlflow: allows every host",
    ),
    "SQLite on NFS": (
        lambda c: _replace(c, "head_start_ray_commands", "sqlite:///$HOME", f"sqlite:///{MOUNT}"),
        "mlflow: its database",
    ),
    "lazy probe": (
        lambda c: _replace(
            c, "head_start_ray_commands", "/api/2.0/mlflow/experiments/get?", "/health?"
        ),
        "mlflow: is not probed",
    ),
    "broken shell": (lambda c: c["setup_commands"].append("if true; then"), "setup_commands: "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(config: Config, fault: str) -> None:
    plant, expected = FAULTS[fault]
    plant(config)
    found = problems(config)
    assert any(re.match(expected, problem) for problem in found), found


def test_ssh_may_be_open(config: Config) -> None:
    _open(config, 22)
    assert problems(config) == []


def test_only_known_ids_are_left_to_fill_in(config: Config) -> None:
    values = re.findall(r"\S*REPLACE_ME", json.dumps(config))
    assert {re.sub(r"\W*(\w+-REPLACE_ME)", r"\1", value) for value in values} == {
        "ami-REPLACE_ME",
        "sg-REPLACE_ME",
        "fs-REPLACE_ME",
    }
    header = FILE.read_text().partition("cluster_name:")[0]
    assert all(f"#   {kind}-REPLACE_ME" in header for kind in ("ami", "sg", "fs"))
    address = re.search(r"fs-REPLACE_ME\.efs\.([\w-]+)\.", json.dumps(config))
    assert address and address.group(1) == config["provider"]["region"]


def test_the_mounts_are_enough_to_build_the_package(config: Config) -> None:
    remote = "/home/ubuntu/xstilts"
    mounts = {
        Path(there).relative_to(remote): here for there, here in config["file_mounts"].items()
    }
    assert all((ROOT / here).exists() for here in mounts.values())
    assert all(str(there) == here for there, here in mounts.items())

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = ["pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]]
    needed += [*wheel["packages"], *wheel["force-include"]]
    for name in needed:
        assert any(Path(name).is_relative_to(there) for there in mounts), f"{name} is not mounted"
    for pattern in config["rsync_exclude"]:
        # rsync matches a pattern without a slash against the last part of the path.
        kept = [n for n in needed if fnmatch.fnmatch(Path(n).name, pattern.removeprefix("**/"))]
        assert not kept, f"{pattern} leaves out {kept}"


def test_as_many_trials_may_wait_as_nodes_may_come(config: Config) -> None:
    shells = " ".join(config["setup_commands"])
    assert f"TUNE_MAX_PENDING_TRIALS_PG={config['max_workers']} " in shells


def test_no_lease_looks_silent_through_the_cache_of_nfs(config: Config) -> None:
    cached_s = re.search(r"\bactimeo=(\d+)", " ".join(config["setup_commands"]))
    assert cached_s and int(cached_s.group(1)) <= HEARTBEAT_S


def test_the_commands_in_the_comments_exist(tmp_path: Path) -> None:
    comments = re.sub(r"(?m)^ *# ?", "", FILE.read_text().partition("cluster_name:")[0])
    lines = comments.replace("\\\n", " ").splitlines()
    used = [shlex.split(line) for line in lines if re.match(r"\s*xstilts [a-z]", line)]
    known = typer.main.get_command(app)
    assert {words[1] for words in used} >= {"sweep", "status", "report"}
    for _, name, *words in used:
        command = known.commands[name]  # type: ignore[attr-defined]
        context = command.make_context(name, words)
        if name == "sweep":
            file = ROOT / context.params["file"]
            sweep = load_sweep(file, context.params["overrides"])
            assert sweep.storage == f"{MOUNT}/runs"
            assert sweep.tracking.uri == "http://127.0.0.1:5000"
        elif "storage" in context.params:
            assert str(context.params["storage"]) == f"{MOUNT}/runs"


@pytest.mark.slow
def test_the_server_starts_and_is_not_started_twice(config: Config, tmp_path: Path) -> None:
    """The head's command as Ray runs it, on a free port in an empty home."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (command,) = (c for c in config["head_start_ray_commands"] if "mlflow server" in c)
    (tmp_path / "venv").symlink_to(Path(sys.executable).parent.parent)
    wrapped = f"export OMP_NUM_THREADS=1 && ({command.replace('5000', str(port))})"
    environment = {**os.environ, "HOME": str(tmp_path)}
    try:
        for _ in range(2):
            ended = subprocess.run(
                ["bash", "-c", wrapped], env=environment, capture_output=True, timeout=180
            )
            assert ended.returncode == 0, ended.stderr.decode()
        url = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert json.load(answer)["experiment"]["experiment_id"] == "0"
        foreign = urllib.request.Request(url, headers={"Host": "elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(foreign, timeout=10)
        assert refused.value.code == 403
        assert (tmp_path / "mlflow" / "mlflow.db").exists()
        assert len(set(map(os.getsid, _processes(str(tmp_path))))) == 1
    finally:
        _end(str(tmp_path))


def _processes(home: str) -> list[int]:
    """The processes of the server whose database lies under `home`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "mlflow" in line and f"sqlite:///{home}/" in line:
            found.append(int(folder.name))
    return found


def _end(home: str) -> None:
    groups = {os.getpgid(pid) for pid in _processes(home)} - {os.getpgrp()}
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for group in groups:
            try:
                os.killpg(group, sign)
            except ProcessLookupError:
                continue
        time.sleep(2)

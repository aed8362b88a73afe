"""The cluster files: Ray's own checks without AWS, our rules, and proof that both can fail."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import socket
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from xstilts.cli import app
from xstilts.config.load import load_sweep
from xstilts.lease import HEARTBEAT_S

from .cluster.rules import MOUNT, NODE, ROOT, Config, Files, problems

FILE = ROOT / "cluster.yaml"
LOCAL = ROOT / "xstilts/cluster/local.yaml"


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
def files() -> Files:
    return Files.read(FILE)


@pytest.fixture
def config(files: Files) -> Config:
    return files.config


@pytest.mark.parametrize("file", [FILE, LOCAL], ids=["aws", "local"])
def test_a_file_keeps_every_rule(file: Path) -> None:
    assert problems(Files.read(file)) == []
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


def _unmount(config: Config, name: str) -> None:
    (there,) = (there for there in config["file_mounts"] if there.endswith(name))
    del config["file_mounts"][there]


def in_file(plant: Callable[[Config], Any]) -> Callable[[Files], Any]:
    """A fault of the cluster file."""
    return lambda files: plant(files.config)


def in_script(old: str, new: str) -> Callable[[Files], Any]:
    """A fault of the script that the nodes run."""

    def plant(files: Files) -> None:
        assert old in files.script, old
        files.script = files.script.replace(old, new)

    return plant


AWS_FAULTS: dict[str, tuple[Callable[[Files], Any], str]] = {
    "unknown key": (in_file(lambda c: c.update(max_wokers=3)), r"ray: .*max_wokers"),
    "no node_config": (
        in_file(lambda c: _in_node(c, "gpu").pop("node_config")),
        "ray: .*node_config",
    ),
    "no resources": (in_file(lambda c: _in_node(c, "gpu").pop("resources")), "ray: .*resources"),
    "no such head": (in_file(lambda c: c.update(head_node_type="boss")), "ray: .*head_node_type"),
    "wrong type": (in_file(lambda c: c.update(max_workers="four")), "ray: 'four'"),
    "no timeout": (
        in_file(lambda c: c.pop("idle_timeout_minutes")),
        "missing: idle_timeout_minutes",
    ),
    "never idle": (in_file(lambda c: c.update(idle_timeout_minutes=100000)), "idle: "),
    "no mounts": (in_file(lambda c: c.pop("file_mounts")), "missing: file_mounts"),
    "paid when idle": (
        in_file(lambda c: _in_node(c, "gpu").update(min_workers=1)),
        "gpu: min_workers",
    ),
    "min unsaid": (in_file(lambda c: _in_node(c, "gpu").pop("min_workers")), "gpu: min_workers"),
    "on demand": (
        in_file(lambda c: _in_node(c, "gpu")["node_config"].pop("InstanceMarketOptions")),
        "gpu: must be a spot",
    ),
    "spot head": (
        in_file(
            lambda c: _in_node(c, "head")["node_config"].update(
                InstanceMarketOptions={"MarketType": "spot"}
            )
        ),
        "head: must not be a spot",
    ),
    "trials on the head": (
        in_file(lambda c: _in_node(c, "head").update(resources={"CPU": 4})),
        "head: tri",
    ),
    "Ray's own group": (
        in_file(lambda c: _in_node(c, "gpu")["node_config"].pop("SecurityGroupIds")),
        "gpu: without SecurityGroupIds",
    ),
    "open MLflow": (in_file(lambda c: _open(c, 5000)), "ingress: port 5000"),
    "other mount": (
        in_file(lambda c: _replace(c, "setup_commands", f" {MOUNT} efs", " /data efs")),
        "worker: does not mount",
    ),
    "storage in the clear": (
        in_file(lambda c: _replace(c, "setup_commands", "tls,accesspoint", "accesspoint")),
        "head: does not mount the shared storage encrypted",
    ),
    "other code": (
        in_file(
            lambda c: _replace(c, "setup_commands", "isolation ~/xstilts", "isolation xstilts")
        ),
        "worker: does not install the mounted",
    ),
    "packages of anybody": (
        in_file(lambda c: _replace(c, "setup_commands", "--require-hashes", "")),
        "worker: installs what has no digest",
    ),
    "no lock": (in_file(lambda c: _unmount(c, "cluster.lock")), "head: gets no lock"),
    "metadata for all": (
        in_file(lambda c: _in_node(c, "gpu")["node_config"].pop("MetadataOptions")),
        "gpu: its metadata",
    ),
    "a disk in the clear": (
        in_file(
            lambda c: _in_node(c, "gpu")["node_config"]["BlockDeviceMappings"][0]["Ebs"].pop(
                "Encrypted"
            )
        ),
        "gpu: its disk",
    ),
    "Ray's own key": (
        in_file(lambda c: _in_node(c, "head")["node_config"].pop("KeyName")),
        "head: logs in",
    ),
    "Ray's own role": (
        in_file(lambda c: _in_node(c, "head")["node_config"].pop("IamInstanceProfile")),
        "head: has the wrong role",
    ),
    "a role for workers": (
        in_file(lambda c: _in_node(c, "gpu")["node_config"].update(IamInstanceProfile={})),
        "gpu: has the wrong role",
    ),
    "nobody looks": (
        in_file(lambda c: c["head_setup_commands"].pop(0)),
        "ingress: nobody looks",
    ),
    "old autoscaler": (
        in_file(
            lambda c: _replace(
                c, "head_start_ray_commands", "bash", "RAY_enable_autoscaler_v2=0 bash"
            )
        ),
        "head: has the wrong autoscaler",
    ),
}
LOCAL_FAULTS: dict[str, tuple[Callable[[Files], Any], str]] = {
    "no workers": (in_file(lambda c: c["provider"].pop("worker_ips")), "ray: "),
    "new autoscaler": (
        in_file(lambda c: _replace(c, "head_start_ray_commands", "RAY_enable_autoscaler_v2=0", "")),
        "head: has the wrong autoscaler",
    ),
    "trials of other code": (
        in_file(lambda c: _replace(c, "worker_start_ray_commands", "PYTHONPATH=", "P=")),
        "worker: trials do not run the mounted",
    ),
    "a driver of other code": (
        in_file(lambda c: _replace(c, "setup_commands", "PYTHONPATH=", "P=")),
        "head: shells do not run the mounted",
    ),
    "no environment": (
        in_file(lambda c: c["setup_commands"].pop(0)),
        "worker: may start without an environment",
    ),
}
FAULTS: dict[str, tuple[Callable[[Files], Any], str]] = {
    "secret": (
        in_file(lambda c: c["setup_commands"].append("export K=AKIA" + "A" * 16)),
        "secret: AKIA",
    ),
    "token": (
        in_file(lambda c: c["setup_commands"].append("export HF_TOKEN=abcdefghijk")),
        "secret: HF_T",
    ),
    "secret of the script": (in_script("stop() {", "AWS_SECRET=abcdefghijk\nstop() {"), "secret: "),
    "head without auth": (
        in_script("RAY_AUTH_MODE=token RAY_TMPDIR=$PRIVATE RAY_A", "RAY_TMPDIR=$PRIVATE RAY_A"),
        "head: `ray start` lets in everybody",
    ),
    "worker without auth": (
        in_script("RAY_AUTH_MODE=token RAY_TMPDIR=$PRIVATE RAY_A", "RAY_AUTH_MODE=disabled RAY_A"),
        "worker: `ray start` lets in everybody",
    ),
    "shells without auth": (
        in_script('RAY_AUTH_MODE=token RAY_TMPDIR=$PRIVATE" ', 'RAY_TMPDIR=$PRIVATE" '),
        "worker: shells send no token",
    ),
    "shells of another Ray": (
        in_script('RAY_AUTH_MODE=token RAY_TMPDIR=$PRIVATE" ', 'RAY_AUTH_MODE=token" '),
        "head: shells may find another Ray",
    ),
    "no token": (
        in_file(lambda c: _unmount(c, "auth_token")),
        "worker: gets no token",
    ),
    "no guard of the token": (in_script("  check_token\n", ""), "head: may start without a"),
    "a token for all": (
        in_script('chmod 600 "$TOKEN"', ":"),
        "worker: others read what is private",
    ),
    "a folder for all": (
        in_script('700 "$PRIVATE"\n', '755 "$PRIVATE"\n'),
        "head: others read what is private",
    ),
    "sockets for all": (
        in_script('--temp-dir="$PRIVATE/ray"', "--temp-dir=/tmp/ray"),
        "worker: Ray's folder is not private",
    ),
    "notice by anyone": (in_script(":-$PRIVATE/notice", ":-/tmp/notice"), "head: anyone may give"),
    "every Ray ends": (
        in_script("  end_ray\n", '  "$VENV/bin/ray" stop\n'),
        "head: ends every Ray",
    ),
    "open dashboard": (in_script("host=127.0.0.1", "host=0.0.0.0"), "head: listens on every"),
    "any port": (
        in_script("--node-manager-port=6380 ", ""),
        "worker: listens on any port: --node-manager-port",
    ),
    "open by an option": (
        in_file(
            lambda c: _replace(
                c, "head_start_ray_commands", "--auto", "--dashboard-host=0.0.0.0 --auto"
            )
        ),
        "head: listens on every",
    ),
    "two Rays": (
        in_file(lambda c: c["worker_start_ray_commands"].append("~/venv/bin/ray start")),
        "worker: starts Ray 2 times",
    ),
    "no Ray": (in_file(lambda c: c["head_start_ray_commands"].pop()), "head: starts Ray 0 times"),
    "no guard": (in_script('check_storage "$role" "$@"', ":"), "worker: may start without"),
    "guard of another mount": (
        in_script('mountpoint -q "$SHARED"', "mountpoint -q /"),
        "head: starts Ray 0 times",
    ),
    "another storage": (
        in_script('test -e "$SHARED/heads/$2"', "true"),
        "worker: may start with another storage",
    ),
    "open server": (
        in_script("--host 127.0.0.1", "--host 0.0.0.0"),
        "mlflow: does not listen on loopback",
    ),
    "any host": (in_script("'localhost:*,127.0.0.1:*'", "'*'"), "mlflow: allows every host"),
    "SQLite on NFS": (
        in_script("sqlite:///$HOME", f"sqlite:///{MOUNT}"),
        "mlflow: its database",
    ),
    "lazy probe": (
        in_script("/api/2.0/mlflow/experiments/get?", "/health?"),
        "mlflow: is not probed",
    ),
    "a second server": (in_script("if ! mlflow_answers; then", "if true; then"), "mlflow: 2 serv"),
    "no server": (in_file(lambda c: c["head_start_ray_commands"].pop(0)), "mlflow: 0 servers"),
    "a server everywhere": (
        in_file(
            lambda c: c["worker_start_ray_commands"].insert(0, c["head_start_ray_commands"][0])
        ),
        "mlflow: 1 servers on the worker",
    ),
    "broken shell": (
        in_file(lambda c: c["setup_commands"].append("if true; then")),
        "setup_commands: ",
    ),
    "broken script": (in_script("esac", ""), "node.sh: "),
}


@pytest.mark.parametrize("fault", [*AWS_FAULTS, *FAULTS])
def test_a_fault_planted_for_aws_is_found(fault: str) -> None:
    check_found(FILE, *{**AWS_FAULTS, **FAULTS}[fault])


@pytest.mark.parametrize("fault", [*LOCAL_FAULTS, *FAULTS])
def test_a_fault_planted_for_hosts_of_ones_own_is_found(fault: str) -> None:
    check_found(LOCAL, *{**LOCAL_FAULTS, **FAULTS}[fault])


def check_found(file: Path, plant: Callable[[Files], Any], expected: str) -> None:
    files = Files.read(file)
    plant(files)
    found = problems(files)
    assert any(re.match(expected, problem) for problem in found), found


def test_ssh_may_be_open(files: Files) -> None:
    _open(files.config, 22)
    assert problems(files) == []


def test_only_known_ids_are_left_to_fill_in(config: Config) -> None:
    values = re.findall(r"\S*REPLACE_ME", json.dumps(config))
    assert {re.sub(r".*\b(\w+-REPLACE_ME)", r"\1", value) for value in values} == {
        "ami-REPLACE_ME",
        "sg-REPLACE_ME",
        "fs-REPLACE_ME",
        "fsap-REPLACE_ME",
    }
    header = FILE.read_text().partition("cluster_name:")[0]
    assert all(f"#   {kind}-REPLACE_ME" in header for kind in ("ami", "sg", "fs", "fsap"))


def test_the_mounts_are_enough_to_build_the_package(config: Config) -> None:
    remote = Path("/home/ec2-user/xstilts")
    mounts = {
        Path(there).relative_to(remote): here
        for there, here in config["file_mounts"].items()
        if remote in Path(there).parents
    }
    made = {"cluster.lock"}  # by a command of the file's comments
    assert all((ROOT / here).exists() for here in mounts.values() if here not in made)
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
    used = [shlex.split(x, comments=True) for x in lines if re.match(r"\s*xstilts [a-z]", x)]
    known = typer.main.get_command(app)
    assert {words[1] for words in used} >= {"sweep", "status", "report"}
    for _, name, *words in used:
        command = known.commands[name]
        context = command.make_context(name, words)
        if name == "sweep":
            file = ROOT / context.params["file"]
            sweep = load_sweep(file, context.params["overrides"])
            assert sweep.storage == f"{MOUNT}/runs"
            assert sweep.tracking.uri == "http://127.0.0.1:5000"
        elif "storage" in context.params:
            assert str(context.params["storage"]) == f"{MOUNT}/runs"


def test_what_is_to_fill_in_for_hosts_of_ones_own_is_explained() -> None:
    header, _, body = LOCAL.read_text().partition("cluster_name:")
    words = {"HEAD", "WORKER", "USER", "KEY", "ENVIRONMENT"}
    values = re.sub(r"#.*", "", body)
    assert {word for word in words if re.search(rf"\b{word}\b", values)} == words
    explained = re.findall(r"(?m)^#   ([A-Z]+(?:, [A-Z]+)*)  ", header)
    assert {word for line in explained for word in line.split(", ")} == words


def test_hosts_of_ones_own_get_the_code_where_the_commands_look_for_it() -> None:
    config = Files.read(LOCAL).config
    mounts = {
        there.removeprefix("~/xstilts/"): here for there, here in config["file_mounts"].items()
    }
    token = "~/.ray/auth_token"
    assert mounts == {"xstilts": "xstilts", "sweeps": "sweeps", token: token}
    assert config["rsync_exclude"] == Files.read(FILE).config["rsync_exclude"]


def test_the_page_runs_commands_that_exist() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    block = page.split("```sh\n")[1].split("```")[0]
    used = re.findall(r"&& xstilts (\w+) (.*?)'", block)
    known = typer.main.get_command(app)
    assert [name for name, _ in used] == ["prepare", "sweep"]
    for name, words in used:
        known.commands[name].make_context(name, shlex.split(words))
    assert f"storage: {MOUNT}/runs" in page
    for verb in re.findall(r"node\.sh (\w+);", block):
        assert f'"{verb}  ") ' in NODE.read_text()

"""The rules for cluster files: Ray's own checks, ours, and what the nodes do when they start.

What a start-up command does is not read off its text: the commands run, in an empty home, with
stand-ins for Ray, MLflow and the machine's tools that note how they were called.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
NODE = ROOT / "xstilts/cluster/node.sh"
MOUNT = "/mnt/xstilts"
HEAD = "10.0.0.1"
Config = dict[str, Any]

REQUIRED = {
    "cluster_name",
    "provider",
    "auth",
    "file_mounts",
    "rsync_exclude",
    "setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
}
REQUIRED_OF_AWS = {
    "max_workers",
    "idle_timeout_minutes",
    "head_node_type",
    "available_node_types",
    "head_setup_commands",
    "worker_setup_commands",
}
PORTS = {
    *("--node-manager-port", "--object-manager-port", "--runtime-env-agent-port"),
    *("--metrics-export-port", "--dashboard-agent-grpc-port", "--dashboard-agent-listen-port"),
    *("--min-worker-port", "--max-worker-port"),
}
SECRETS = re.compile(
    r"(AKIA|ASIA)[0-9A-Z]{16}|\bhf_\w{20,}|\bgh[ps]_\w{20,}|-----BEGIN|://[^/\s:@]+:[^/\s@]+@"
    r"|\b(?!HttpTokens: required)\w*(secret|password|passwd|token|access_key)\w*"
    r"\s*[:=]\s*['\"]?[\w/+-]{8,}",
    re.IGNORECASE,
)

NOTE = """#!/bin/bash
call="$CALLS/$(date +%s%N)-${0##*/}"
{ printf '%s\\0' "$@"; printf '\\n\\0'; env -0; } > "$CALLS.$$" && mv "$CALLS.$$" "$call"
"""
STAND_INS = {
    "venv/bin/ray": NOTE,
    "venv/bin/mlflow": NOTE,
    "bin/mountpoint": '#!/bin/bash\n[ "$2" = "$MOUNTED" ]\n',
    "bin/hostname": f"#!/bin/bash\necho {HEAD} 172.17.0.1\n",
    # The server answers once it was started.
    "bin/curl": NOTE + 'ls "$CALLS" | grep -q -e -mlflow\n',
    "bin/sleep": "#!/bin/bash\nexec /bin/sleep 0.2\n",
}


@dataclass
class Files:
    """A cluster file and the script that its nodes run; a test may spoil either."""

    config: Config
    script: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Files:
        text = path.read_text()
        return cls(copy.deepcopy(yaml.safe_load(text)), NODE.read_text(), text)

    @property
    def is_aws(self) -> bool:
        return bool(self.config.get("provider", {}).get("type") == "aws")


@dataclass
class Call:
    """A program that was called: its name, arguments and environment."""

    name: str
    arguments: list[str]
    environment: dict[str, str]


@dataclass
class Played:
    """What came of start-up commands."""

    home: Path
    calls: list[Call] = field(default_factory=list)
    shell: dict[str, str] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)

    def of(self, name: str, *first: str) -> list[Call]:
        """The calls of a program with these first arguments."""
        found = [call for call in self.calls if call.name == name]
        return [call for call in found if call.arguments[: len(first)] == list(first)]


def play(
    files: Files, role: str, mounted: bool = True, head: str = HEAD, has_token: bool = True
) -> Played:
    """Run what a node runs when it starts: its environment, then its start-up commands, twice.

    Args:
        mounted: whether the shared storage is there.
        head: the head whose storage it is.
        has_token: whether `ray up` brought the token.
    """
    home = Path(tempfile.mkdtemp(prefix="node"))
    try:
        return _play(files, role, mounted, head, has_token, home)
    finally:
        # What is started to stay, as the watch over a spot machine.
        while not subprocess.run(["pkill", "-9", "-f", f"{home}/"], check=False).returncode:
            time.sleep(0.05)
        shutil.rmtree(home)


def _play(files: Files, role: str, mounted: bool, head: str, has_token: bool, home: Path) -> Played:
    storage, calls = home / "storage", home / "calls"
    for folder in (storage / "runs", storage / "heads", calls):
        folder.mkdir(parents=True)
    (storage / "heads" / head).touch()
    for name, text in STAND_INS.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
        (home / name).chmod(0o755)
    script = home / "xstilts/xstilts/cluster/node.sh"
    script.parent.mkdir(parents=True)
    own = files.script.replace(MOUNT, str(storage)).replace("/tmp/xstilts-", f"{home}/private-")
    script.write_text(own)
    if has_token:
        (home / ".ray").mkdir()
        (home / ".ray/auth_token").write_text("drawn by Ray")
    environment = {
        "HOME": str(home),
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "CALLS": str(calls),
        "MOUNTED": str(storage) if mounted else "",
        "RAY_HEAD_IP": HEAD if role == "worker" else "",
    }

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], env=environment, cwd=home, capture_output=True, text=True
        )

    for command in setup_of(files.config, role):
        if "node.sh" in command:
            shell(command)
    lines = shell("source ~/.bashrc; env -0").stdout.split("\0")
    played = Played(home, shell=dict(line.split("=", 1) for line in lines if "=" in line))
    token = home / ".ray/auth_token"
    for _ in range(2):
        for command in files.config[f"{role}_start_ray_commands"]:
            # As Ray does, the first command that fails ends it.
            if shell(command).returncode:
                break
    for path in sorted(calls.iterdir()):
        arguments, _, variables = path.read_text().partition("\n\0")
        played.calls.append(
            Call(
                path.name.partition("-")[2],
                arguments.split("\0")[:-1],
                dict(line.split("=", 1) for line in variables.split("\0") if "=" in line),
            )
        )
    private = [token, token.parent, *home.glob("private-*")]
    played.modes = {path.name: path.stat().st_mode & 0o777 for path in private if path.exists()}
    return played


def setup_of(config: Config, role: str) -> list[str]:
    """The setup commands of the head or of a worker."""
    return [*config["setup_commands"], *config.get(f"{role}_setup_commands", [])]


def ray_objections(config: Config) -> list[str]:
    """What `ray up` would say about the file before it calls anything."""
    from click import ClickException
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except (ValidationError, ValueError, KeyError, ClickException) as error:
        return [f"ray: {str(error).splitlines()[0]}"]
    return []


def problems(files: Files) -> list[str]:
    """Every rule that a cluster file and its script break."""
    config = files.config
    found = ray_objections(config)
    required = REQUIRED | REQUIRED_OF_AWS if files.is_aws else REQUIRED
    found += [f"missing: {key}" for key in sorted(required - set(config))]
    if found:
        return found
    for text in (files.text, files.script, yaml.dump(config)):
        found += [f"secret: {match.group()}" for match in SECRETS.finditer(text)]
    if files.is_aws:
        found += _node_problems(config)
        found += _machine_problems(config)
        found += _network_problems(config)
    found += _command_problems(files)
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


def _machine_problems(config: Config) -> Iterator[str]:
    """What a machine of AWS may not be, for a thief of its disk, its metadata or its role."""
    for name, node in config["available_node_types"].items():
        machine = node["node_config"]
        if machine.get("MetadataOptions") != {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        }:
            yield f"{name}: its metadata answer to whoever asks"
        if not all(disk["Ebs"].get("Encrypted") for disk in machine["BlockDeviceMappings"]):
            yield f"{name}: its disk is not encrypted"
        if not machine.get("KeyName"):
            yield f"{name}: logs in with a key of Ray's, which other clusters share"
        if ("IamInstanceProfile" in machine) != (name == config["head_node_type"]):
            yield f"{name}: has the wrong role"


def _network_problems(config: Config) -> Iterator[str]:
    for name, node in config["available_node_types"].items():
        if not node["node_config"].get("SecurityGroupIds"):
            yield f"{name}: without SecurityGroupIds Ray opens ssh to the world"
    if not any("xstilts.cluster.ingress" in command for command in setup_of(config, "head")):
        yield "ingress: nobody looks who reaches the nodes"
    for rule in config["provider"].get("security_group", {}).get("IpPermissions", []):
        ranges = [r.get("CidrIp") for r in rule.get("IpRanges", [])]
        ranges += [r.get("CidrIpv6") for r in rule.get("Ipv6Ranges", [])]
        is_ssh = rule.get("FromPort") == rule.get("ToPort") == 22
        if {"0.0.0.0/0", "::/0"} & set(ranges) and not is_ssh:
            yield f"ingress: port {rule.get('FromPort')} is open to the world"


def _command_problems(files: Files) -> Iterator[str]:
    for kind, command in [*commands_of(files.config), ("node.sh", files.script)]:
        shell = subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True)
        if shell.returncode:
            yield f"{kind}: {shell.stderr.strip()}"
    for role in ("head", "worker"):
        played = play(files, role)
        yield from (f"{role}: {problem}" for problem in _start_problems(files, role, played))
        yield from _server_problems(role, played)
        if any(_starts(play(files, role, mounted=False))):
            yield f"{role}: may start without the shared storage"
        if any(_starts(play(files, role, has_token=False))):
            yield f"{role}: may start without a token"
    if any(_starts(play(files, "worker", head="10.0.0.9"))):
        yield "worker: may start with another storage than its head's"


def _starts(played: Played) -> list[Call]:
    return played.of("ray", "start")


def _start_problems(files: Files, role: str, played: Played) -> Iterator[str]:
    """What is wrong with how a node starts Ray, and what that Ray finds."""
    starts = _starts(played)
    # The commands ran twice, for `ray up` may be called again.
    if len(starts) != 2:
        yield f"starts Ray {len(starts) / 2:g} times"
    if played.of("ray", "stop"):
        yield "ends every Ray of the machine"
    if any(mode & 0o077 for mode in played.modes.values()):
        yield f"others read what is private: {played.modes}"
    for call in starts:
        if call.environment.get("RAY_AUTH_MODE") != "token":
            yield "`ray start` lets in everybody"
        own = [path for path in played.modes if path.startswith("private-")]
        if f"--temp-dir={played.home}/{''.join(own)}/ray" not in call.arguments:
            yield "Ray's folder is not private"
        if call.environment.get("XSTILTS_NOTICE") != f"{played.home}/{''.join(own)}/notice":
            yield "anyone may give notice"
        if any("0.0.0.0" in argument for argument in call.arguments):
            yield "listens on every interface"
        if missing := sorted(PORTS - {argument.partition("=")[0] for argument in call.arguments}):
            yield f"listens on any port: {', '.join(missing)}"
        if role == "head" and not any("autoscaling-config" in a for a in call.arguments):
            yield "starts no workers"
        if role == "worker" and f"--address={HEAD}:6379" not in call.arguments:
            yield "does not join the head"
        older = call.environment.get("RAY_enable_autoscaler_v2") == "0"
        if role == "head" and older == files.is_aws:
            yield "has the wrong autoscaler for its provider"
    if played.shell.get("RAY_AUTH_MODE") != "token":
        yield "shells send no token"
    if not played.shell.get("RAY_TMPDIR", "").startswith(f"{played.home}/private-"):
        yield "shells may find another Ray"
    if not played.shell["PATH"].startswith(f"{played.home}/venv/bin:"):
        yield "shells do not find the environment"
    setup = " ".join(setup_of(files.config, role))
    mounts = {Path(there).name: here for there, here in files.config["file_mounts"].items()}
    if mounts.get("auth_token") != "~/.ray/auth_token":
        yield "gets no token"
    if files.is_aws:
        if not re.search(rf" {MOUNT} efs \S*\btls,accesspoint=fsap-", setup):
            yield "does not mount the shared storage encrypted, by its access point"
        if not re.search(r"pip install [^&|;]*--no-deps [^&|;]*~/xstilts(?!/)", setup):
            yield "does not install the mounted checkout"
        if not re.search(r"pip install [^&|;]*--require-hashes -r ~/xstilts/cluster.lock", setup):
            yield "installs what has no digest"
        if mounts.get("cluster.lock") != "cluster.lock":
            yield "gets no lock"
    else:
        code = str(played.home / "xstilts")
        if any(call.environment.get("PYTHONPATH") != code for call in starts):
            yield "trials do not run the mounted checkout"
        if played.shell.get("PYTHONPATH") != code:
            yield "shells do not run the mounted checkout"
        if "test -x ENVIRONMENT/bin/ray" not in setup:
            yield "may start without an environment"


def _server_problems(role: str, played: Played) -> Iterator[str]:
    servers, probes = played.of("mlflow"), played.of("curl")
    if len(servers) != (role == "head"):
        yield f"mlflow: {len(servers)} servers on the {role}"
        return
    for server in servers:
        options = dict(zip(server.arguments, server.arguments[1:], strict=False))
        if server.arguments[0] != "server" or options.get("--host") != "127.0.0.1":
            yield "mlflow: does not listen on loopback alone"
        if {"", "*"} & set(options.get("--allowed-hosts", "").split(",")):
            yield "mlflow: allows every host"
        if not options.get("--backend-store-uri", "").startswith(f"sqlite:///{played.home}/mlflow"):
            yield "mlflow: its database is not on the head's own disk"
        if not probes or not all("/api/2.0/mlflow/" in probe.arguments[-1] for probe in probes):
            yield "mlflow: is not probed by a call of its API"


def commands_of(config: Config) -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if key.endswith("_commands"):
            yield from ((key, command) for command in value)

"""What Ray calls Google Cloud with `gcp.yaml`: every call is one of the API's own description.

The calls are those of Ray's own launcher and node provider; the descriptions are those that
Google's client brings; nothing is sent.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from .rules import MOUNT, ROOT, Config, Files, commands_of, play, setup_of

discovery = pytest.importorskip("googleapiclient.discovery", reason="no client of Google's")
httplib2 = pytest.importorskip("httplib2", reason="no client of Google's")

FILE = ROOT / "xstilts/cluster/gcp.yaml"
VALUES = {
    "project-REPLACE_ME": "of-mine",
    "image-REPLACE_ME": "projects/of-mine/global/images/with-driver",
    "key-REPLACE_ME": "ssh-ed25519 AAAA ubuntu",
    "nfs-REPLACE_ME": "10.10.0.2",
}
TAGS = {"ray-node-name": "one", "ray-node-status": "uninitialized", "ray-launch-config": "a"}


def described(name: str, version: str) -> dict[str, Any]:
    """The description of an API, as Google's client brings it."""
    folder = Path(discovery.__file__).parent / "discovery_cache/documents"
    found: dict[str, Any] = json.loads((folder / f"{name}.{version}.json").read_text())
    return found


def objections(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any], at: str) -> Any:
    """Where a value is not what a description says, a line each."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kind = schema["type"]
    # 64-bit numbers are strings in the description, and may be either.
    types = {"string": (str, int), "boolean": bool, "integer": int, "array": list, "object": dict}
    if isinstance(value, bool) != (kind == "boolean") or not isinstance(value, types[kind]):
        yield f"{at}: {value!r} is no {kind}"
    elif kind == "object":
        for key, item in value.items():
            own = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if own is None:
                yield f"{at}.{key}: is unknown"
            else:
                yield from objections(item, own, schemas, f"{at}.{key}")
    elif kind == "array":
        for item in value:
            yield from objections(item, schema["items"], schemas, at)
    elif value not in schema.get("enum", [value]):
        yield f"{at}: {value!r} is none of {', '.join(schema['enum'])}"


@dataclass
class Google:
    """A project that answers, and what was called."""

    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)

    def request(self, _: Any, uri: str, method: str = "GET", body: Any = None, **__: Any) -> Any:
        """In the place of httplib2's."""
        path = uri.partition("?")[0]
        given = json.loads(body) if body else None
        self.calls.append((method, path, given))
        answer = json.dumps({} if "TERMINATED" in uri else self._answer(method, path, given))
        return httplib2.Response({"status": "200"}), answer.encode()

    def _answer(self, method: str, path: str, given: Any) -> dict[str, Any]:
        account = "ray-autoscaler-sa-v1@of-mine.iam.gserviceaccount.com"
        if path.endswith("/serviceAccounts/" + account):
            return {"email": account, "projectId": "of-mine"}
        if path.endswith("/v1/projects/of-mine"):
            return {"projectId": "of-mine", "lifecycleState": "ACTIVE"}
        if path.endswith(":getIamPolicy"):
            return {"bindings": []}
        if path.endswith("/instances") and method == "POST":
            self.instances[given["name"]] = {**given, "status": "RUNNING", "labelFingerprint": "x"}
        if path.endswith("/instances") and method == "GET":
            return {"items": list(self.instances.values())}
        return {"name": "operation", "status": "DONE"}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Google:
    found = Google()
    monkeypatch.setattr(httplib2.Http, "request", lambda own, *a, **k: found.request(own, *a, **k))
    return found


@pytest.fixture
def config() -> Config:
    """The file, filled in, as Ray prepares it, with credentials that nobody asks about."""
    from ray.autoscaler._private.util import prepare_config

    text = FILE.read_text()
    for word, value in VALUES.items():
        text = text.replace(word, value)
    filled_in = yaml.safe_load(text)
    filled_in["provider"]["gcp_credentials"] = {"type": "credentials_token", "credentials": "x"}
    prepared: Config = prepare_config(filled_in)
    return prepared


def test_every_call_of_ray_is_in_the_description(google: Google, config: Config) -> None:
    from ray.autoscaler._private.gcp.config import bootstrap_gcp
    from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

    ready = bootstrap_gcp(config)
    provider = GCPNodeProvider(ready["provider"], ready["cluster_name"])
    types = ready["available_node_types"]
    for kind, name in (("head", "head"), ("worker", "gpu")):
        # As Ray's launcher does, what it found for the head wins.
        own = {**types[name]["node_config"], **(ready["head_node"] if kind == "head" else {})}
        tags = {**TAGS, "ray-node-type": kind, "ray-user-node-type": name}
        provider.create_node(copy.deepcopy(own), tags, 1)
    nodes = provider.non_terminated_nodes({})
    assert len(nodes) == 2
    for node in nodes:
        provider.set_node_tags(node, {"ray-node-status": "up-to-date"})
        provider.terminate_node(node)

    apis = [described("compute", "v1"), described("cloudresourcemanager", "v1")]
    apis.append(described("iam", "v1"))
    found = {}
    for method, path, body in google.calls:
        name, problems = check_call(apis, method, path, body)
        assert not problems, (name, problems)
        found[name] = found.get(name, 0) + 1
    assert found["compute.instances.insert"] == 2
    assert set(found) >= {"compute.instances.list", "compute.instances.setLabels"}
    assert not {name for name in found if name.startswith("compute.projects.")}, "a key of Ray's"

    head, gpu = (body for method, path, body in google.calls if is_insert(method, path))
    assert "serviceAccounts" not in gpu and "scheduling" not in head
    assert gpu["scheduling"]["provisioningModel"] == "SPOT"
    for one in (head, gpu):
        assert one["tags"] == {"items": ["xstilts"]}
        assert "subnetworks/xstilts" in one["networkInterfaces"][0]["subnetwork"]


def is_insert(method: str, path: str) -> bool:
    return method == "POST" and path.endswith("/instances")


def check_call(
    apis: list[dict[str, Any]], method: str, path: str, body: Any
) -> tuple[str, list[str]]:
    """The name of a call in the descriptions, and what is wrong with its body."""
    for api in apis:
        for name, one in methods_of(api):
            pattern = re.sub(r"\{\+\w+\}", ".+", one["path"])
            pattern = re.sub(r"\{\w+\}", "[^/]+", pattern)
            base = re.escape(api["rootUrl"] + api["servicePath"])
            if one["httpMethod"] == method and re.fullmatch(base + pattern, path):
                if body is None or "request" not in one:
                    return name, [] if body is None else ["takes no body"]
                return name, list(objections(body, one["request"], api["schemas"], name))
    return f"{method} {path}", ["is not in the descriptions"]


def methods_of(resource: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All methods of an API, and of what it has below."""
    own = [(one["id"], one) for one in resource.get("methods", {}).values()]
    return own + [x for below in resource.get("resources", {}).values() for x in methods_of(below)]


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ({"schedulling": {}}, "is unknown"),
        ({"scheduling": [{"preemptible": True}]}, "is no object"),
        ({"scheduling": {"provisioningModel": "CHEAP"}}, "is none of"),
        ({"disks": {"boot": True}}, "is no array"),
        ({"disks": [{"boot": "yes"}]}, "is no boolean"),
    ],
)
def test_a_fault_of_a_machine_is_found(planted: dict[str, Any], expected: str) -> None:
    path = "https://compute.googleapis.com/compute/v1/projects/p/zones/z/instances"
    _, problems = check_call([described("compute", "v1")], "POST", path, planted)
    assert len(problems) == 1 and expected in problems[0]


def test_what_the_nodes_do_is_what_they_do_elsewhere() -> None:
    """The same script, mounts and lock; the notice is asked for as Google Cloud gives it."""
    files, aws = Files.read(FILE), Files.read(ROOT / "cluster.yaml")
    there = [Path(path).name for path in aws.config["file_mounts"]]
    assert [Path(path).name for path in files.config["file_mounts"]] == there
    for role in ("head", "worker"):
        key = f"{role}_start_ray_commands"
        ours = [command.replace(" spot gcp ", " spot ") for command in files.config[key]]
        assert ours == aws.config[key]
        setup = " ".join(setup_of(files.config, role))
        assert f" {MOUNT} nfs " in setup and "--require-hashes" in setup
        assert play(files, role).of("ray", "start")
    assert any("spot gcp" in command for _, command in commands_of(files.config))
    left = re.findall(r"\w+-REPLACE_ME", json.dumps(files.config))
    assert set(left) == set(VALUES)

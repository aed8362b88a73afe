"""The file for KubeRay: Kubernetes' types, KubeRay's fields, what Ray's autoscaler makes of it.

Kubernetes is not here. Fields are held against `kubernetes_types.py`; the autoscaler is the
installed Ray's, with a stand-in for the API that it calls. The commands of the pods run, with
stand-ins for Ray and MLflow.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from xstilts.lease import HEARTBEAT_S

from .kubernetes_types import objections
from .rules import HEAD, MOUNT, PORTS, ROOT, SECRETS, Files, Played, play

FILE = ROOT / "xstilts/cluster/raycluster.yaml"
FILE_AWS = ROOT / "cluster.yaml"
PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
PLACEHOLDERS = {"image-REPLACE_ME", "digest-REPLACE_ME", "class-REPLACE_ME"}
KINDS = {
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "NetworkPolicy": "V1NetworkPolicy",
    "RayCluster": "RayCluster",
}
Document = dict[str, Any]


def documents_of(text: str) -> list[Document]:
    return list(yaml.safe_load_all(text))


@pytest.fixture
def documents() -> list[Document]:
    return documents_of(FILE.read_text())


@pytest.fixture
def cluster(documents: list[Document]) -> Document:
    return documents[-1]


def pods_of(cluster: Document) -> dict[str, Document]:
    """The pod of the head, and that of the one group of workers."""
    (workers,) = cluster["spec"]["workerGroupSpecs"]
    return {"head": cluster["spec"]["headGroupSpec"]["template"], "worker": workers["template"]}


def all_objections(documents: list[Document]) -> list[str]:
    return [x for own in documents for x in objections(own, KINDS[own["kind"]], own["kind"])]


def test_every_field_is_one_of_kubernetes_or_kuberay(documents: list[Document]) -> None:
    assert [own["kind"] for own in documents] == [
        "PersistentVolumeClaim",
        "NetworkPolicy",
        "NetworkPolicy",
        "RayCluster",
    ]
    assert documents[-1]["apiVersion"] == "ray.io/v1"
    assert all_objections(documents) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("accessModes: [ReadWriteMany]", "accessModes: [ReadWriteAll]", "is none of"),
        ("storageClassName:", "storageclassName:", "storageclassName: is unknown"),
        ("policyTypes: [Ingress]", "policyTypes: Ingress", "is no list"),
        ("endPort: 6384", 'endPort: "6384"', "is no int"),
        ("authOptions: {mode: token}", "authOptions: {mode: tokens}", "is none of"),
        ("idleTimeoutSeconds: 600", "idleTimeoutSeconds: 10m", "is no int"),
        ("    version: v2", "    version: 2", "is no str"),
        ("enableInTreeAutoscaling: true", 'enableInTreeAutoscaling: "true"', "is no bool"),
        ('num-cpus: "0"', "num-cpus: 0", "is no str"),
        ("minReplicas: 0", "minReplica: 0", "needs minReplicas"),
        ("runAsNonRoot: true", "runAsNoRoot: true", "runAsNoRoot: is unknown"),
        ("            name: ray\n", "            nam: ray\n", "needs name"),
        ("memory: 16Gi}", "memory: 16GB}", "is none of"),
        ("operator: Exists, effect", "operator: Exist, effect", "is none of"),
        ("mountPath: /mnt/xstilts", "path: /mnt/xstilts", "needs mount"),
        ("fieldRef: {fieldPath: metadata", "fieldRef: {path: metadata", "needs field"),
    ],
)
def test_a_fault_planted_is_found(old: str, new: str, expected: str) -> None:
    text = FILE.read_text()
    assert old in text
    found = all_objections(documents_of(text.replace(old, new)))
    assert found and any(expected in line for line in found), found


class Api:
    """A Kubernetes that keeps the RayCluster, and makes a pod for each replica."""

    def __init__(self, cluster: Document) -> None:
        self.cluster = copy.deepcopy(cluster)
        self.cluster["metadata"]["namespace"] = "lab"
        self.pods: list[str] = []

    def get(self, path: str) -> Document:
        if path == "rayclusters/xstilts":
            return copy.deepcopy(self.cluster)
        if path.startswith("pods/"):
            return {"metadata": {"resourceVersion": "1"}}
        assert path.startswith("pods?labelSelector=ray.io/cluster%3Dxstilts"), path
        return {"metadata": {"resourceVersion": "1"}, "items": [self._pod(x) for x in self.pods]}

    @staticmethod
    def _pod(name: str) -> Document:
        labels = {"ray.io/node-type": "worker", "ray.io/group": "gpu"}
        state = {"containerStatuses": [{"state": {"running": {}}}]}
        spec = {"containers": [{"name": "ray", "resources": {}}]}
        return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": state}

    def patch(self, path: str, payload: Any, content_type: str = "") -> Document:
        assert path == "rayclusters/xstilts"
        for step in payload:
            *where, last = step["path"].strip("/").split("/")
            place: Any = self.cluster
            for name in where:
                place = place[int(name)] if isinstance(place, list) else place[name]
            place[last] = step["value"]
        return self.cluster


def test_what_rays_autoscaler_makes_of_it(cluster: Document) -> None:
    """Nodes as their pods are, none while none waits, as many as may come, gone when idle."""
    from ray.autoscaler._private.kuberay.autoscaling_config import (
        _derive_autoscaling_config_from_ray_cr,
    )
    from ray.autoscaler.v2.instance_manager.cloud_providers.kuberay.cloud_provider import (
        KubeRayProvider,
    )
    from ray.autoscaler.v2.instance_manager.config import KubeRayConfigReader

    api = Api(cluster)
    read = KubeRayConfigReader(lambda: _derive_autoscaling_config_from_ray_cr(api.cluster))
    config = read.get_cached_autoscaling_config()
    types = config.get_node_type_configs()
    assert config.get_idle_timeout_s() == 600
    assert types["headgroup"].resources["CPU"] == 0
    assert (types["gpu"].min_worker_nodes, types["gpu"].max_worker_nodes) == (0, 4)
    gpu = types["gpu"].resources
    assert (gpu["CPU"], gpu["GPU"]) == (8, 1)

    provider = KubeRayProvider("xstilts", config.get_provider_config(), None, api)
    group = api.cluster["spec"]["workerGroupSpecs"][0]
    provider.launch({"gpu": 3}, "wanted")
    assert group["replicas"] == 3 and provider.poll_errors() == []
    api.pods = ["one", "two", "three"]
    provider.get_non_terminated()
    provider.terminate(["two"], "idle")
    assert group["replicas"] == 2 and group["scaleStrategy"] == {"workersToDelete": ["two"]}
    api.pods.remove("two")
    provider.launch({"gpu": 9}, "more")
    assert group["replicas"] == 4, "not more than may come"


def played(cluster: Document, role: str, **changes: Any) -> Played:
    """What the first process of a pod does; its environment's `ray` and `mlflow` are stand-ins."""
    _, _, command = pods_of(cluster)[role]["spec"]["containers"][0]["command"]
    config = {
        "provider": {"type": "kuberay"},
        "setup_commands": [],
        f"{role}_start_ray_commands": [command.replace('"$FQ_RAY_IP"', HEAD)],
    }
    text = Files.read(FILE_AWS).script
    return play(Files(config, text, ""), role, **changes)


@pytest.mark.parametrize("role", ["head", "worker"])
def test_the_pods_do_what_nodes_do_elsewhere(cluster: Document, role: str) -> None:
    (first, _) = (done := played(cluster, role)).of("ray", "start")
    assert {argument.partition("=")[0] for argument in first.arguments} >= PORTS
    assert first.environment["RAY_AUTH_MODE"] == "token" and first.arguments[-1] == "--block"
    pod = pods_of(cluster)[role]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    said = {name: x for name, _, x in (word.partition("=") for word in first.arguments)}
    if role == "head":
        assert (said["--num-cpus"], said["--num-gpus"]) == ("0", "0") and "--no-monitor" in said
        assert said["--dashboard-host"] == "127.0.0.1"
        (server,) = done.of("mlflow")
        options = dict(zip(server.arguments, server.arguments[1:], strict=False))
        assert options["--host"] == "127.0.0.1" and "*" not in options["--allowed-hosts"].split(",")
    else:
        assert (said["--num-cpus"], said["--num-gpus"]) == (limits["cpu"], limits["nvidia.com/gpu"])
        assert said["--address"] == f"{HEAD}:6379" and not done.of("mlflow")
        assert not played(cluster, role, head="10.0.0.9").of("ray", "start"), "another storage"
    assert not played(cluster, role, mounted=False).of("ray", "start")
    assert not played(cluster, role, has_token=False).of("ray", "start")


@pytest.mark.parametrize("role", ["head", "worker"])
def test_a_pod_can_do_little(cluster: Document, role: str) -> None:
    pod = pods_of(cluster)[role]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == confined
    assert container["image"].endswith("@sha256:digest-REPLACE_ME"), "a tag may move"
    assert container["volumeMounts"] == [{"name": "storage", "mountPath": MOUNT}]
    user = pod["securityContext"]["runAsUser"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables["RAY_TMPDIR"] == f"/tmp/xstilts-{user}", "where node.sh has it"
    assert container["resources"]["limits"] == container["resources"]["requests"]
    options = cluster["spec"]["autoscalerOptions"]
    assert options["securityContext"] == confined
    (account,) = options["volumeMounts"]
    assert account["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    names = [volume["name"] for volume in pod["volumes"]]
    assert names == (["storage", account["name"]] if role == "head" else ["storage"])


def test_trials_have_time_to_write_and_idle_nodes_go(cluster: Document) -> None:
    pod = pods_of(cluster)["worker"]["spec"]
    waits_s = int(
        re.findall(r"seq (\d+)\); do\n    if ! has_trials", Files.read(FILE_AWS).script)[0]
    )
    assert waits_s < pod["terminationGracePeriodSeconds"]
    assert 0 < cluster["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] <= 3600
    tolerated = {one["key"] for one in pod["tolerations"]}
    assert tolerated >= {"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"}
    (most,) = {group["maxReplicas"] for group in cluster["spec"]["workerGroupSpecs"]}
    head = pods_of(cluster)["head"]["spec"]["containers"][0]
    assert {"name": "TUNE_MAX_PENDING_TRIALS_PG", "value": str(most)} in head["env"]


def test_nobody_else_reaches_the_pods(documents: list[Document]) -> None:
    _, into, out, cluster = documents
    own = {"ray.io/cluster": cluster["metadata"]["name"]}
    (rule,) = into["spec"]["ingress"]
    assert into["spec"]["podSelector"] == {"matchLabels": own}
    assert rule["from"] == [{"podSelector": {"matchLabels": own}}]
    admitted = {
        port
        for one in rule["ports"]
        for port in range(one["port"], one.get("endPort", one["port"]) + 1)
    }
    listening = {int(x) for option in start_options() for x in re.findall(r"=(\d+)$", option)}
    assert {6379, *listening} <= admitted and not admitted & {22, 5000, 8265}
    assert out["spec"]["podSelector"]["matchLabels"] == {**own, "ray.io/node-type": "worker"}
    to_pods, to_names = out["spec"]["egress"]
    assert to_pods == {"to": [{"podSelector": {"matchLabels": own}}]}
    assert {port["port"] for port in to_names["ports"]} == {53}
    claim = documents[0]["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]


def start_options() -> list[str]:
    return re.findall(r"--[\w-]+-port=\d+", Files.read(FILE_AWS).script)


def test_what_is_to_fill_in_is_explained_and_no_secret_stands_in_it() -> None:
    text = FILE.read_text()
    header, _, body = text.partition("apiVersion:")
    found = set(re.findall(r"[\w-]+-REPLACE_ME", re.sub(r"#.*", "", body)))
    assert found == PLACEHOLDERS
    assert all(name in header for name in PLACEHOLDERS)
    assert not SECRETS.search(re.sub(r"authOptions: \{mode: token\}", "", text))
    cached_s = re.search(r"actimeo=(\d+)", header)
    assert cached_s and int(cached_s[1]) <= HEARTBEAT_S


def test_the_image_of_the_page_has_what_the_commands_look_for(cluster: Document) -> None:
    (recipe,) = re.findall(r"```dockerfile\n(.*?)```", PAGE, re.DOTALL)
    lines = [line.split() for line in recipe.replace("\\\n", " ").splitlines()]
    pod = pods_of(cluster)["head"]["spec"]
    home = next(one["value"] for one in pod["containers"][0]["env"] if one["name"] == "HOME")
    assert ["USER", str(pod["securityContext"]["runAsUser"])] in lines
    for words in lines:
        if words and words[0] == "COPY":
            *sources, there = [word for word in words[1:] if not word.startswith("--")]
            assert there.startswith(f"{home}/xstilts")
            made = {"cluster.lock"}
            assert all((ROOT / source).exists() for source in sources if source not in made)
    assert f"{home}/venv/bin" in recipe and "--require-hashes" in recipe
    packages = recipe.partition("apt-get install")[2].partition("&&")[0]
    assert {"procps", "curl"} <= set(packages.split())


def test_the_claims_of_the_page_are_those_of_the_file(cluster: Document) -> None:
    assert cluster["spec"]["rayVersion"] in PAGE
    minutes = cluster["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] // 60
    assert f"{minutes} minutes" in PAGE

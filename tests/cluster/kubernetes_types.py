"""What the fields of a file for Kubernetes may be.

Of pods, policies and claims: the types that Kubernetes' own client brings. Of a RayCluster, whose
schema no package brings: the tables below, made from KubeRay's source (1.7, raycluster_types.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

KUBERAY: dict[str, dict[str, str]] = {
    "RayCluster": {
        "apiVersion": "str",
        "kind": "str",
        "metadata": "V1ObjectMeta",
        "spec": "RayClusterSpec",
    },
    "RayClusterSpec": {
        "rayVersion": "str",
        "authOptions": "AuthOptions",
        "enableInTreeAutoscaling": "bool",
        "autoscalerOptions": "AutoscalerOptions",
        "headGroupSpec": "HeadGroupSpec",
        "workerGroupSpecs": "list[WorkerGroupSpec]",
    },
    "AuthOptions": {"mode": "str", "secretName": "str"},
    "AutoscalerOptions": {
        "version": "str",
        "upscalingMode": "str",
        "idleTimeoutSeconds": "int",
        "image": "str",
        "resources": "V1ResourceRequirements",
        "securityContext": "V1SecurityContext",
        "volumeMounts": "list[V1VolumeMount]",
        "env": "list[V1EnvVar]",
    },
    "HeadGroupSpec": {
        "rayStartParams": "dict(str, str)",
        "serviceType": "str",
        "template": "V1PodTemplateSpec",
    },
    "WorkerGroupSpec": {
        "groupName": "str",
        "replicas": "int",
        "minReplicas": "int",
        "maxReplicas": "int",
        "idleTimeoutSeconds": "int",
        "rayStartParams": "dict(str, str)",
        "template": "V1PodTemplateSpec",
    },
}
NEEDED = {
    "RayCluster": {"apiVersion", "kind", "metadata", "spec"},
    "RayClusterSpec": {"headGroupSpec"},
    "HeadGroupSpec": {"template"},
    "WorkerGroupSpec": {"groupName", "minReplicas", "maxReplicas", "template"},
}
QUANTITY = r"[0-9]+(\.[0-9]+)?(m|[kMGT]i?|Ki)?"
VALUES = {
    "AuthOptions.mode": "disabled|token",
    "AutoscalerOptions.version": "v1|v2",
    "AutoscalerOptions.upscalingMode": "Default|Aggressive|Conservative",
    "V1Toleration.operator": "Exists|Equal",
    "V1Toleration.effect": "NoSchedule|PreferNoSchedule|NoExecute",
    "V1NodeSelectorRequirement.operator": "In|NotIn|Exists|DoesNotExist|Gt|Lt",
    "V1PersistentVolumeClaimSpec.accessModes": "ReadWriteOnce|ReadOnlyMany|ReadWriteMany",
    "V1NetworkPolicySpec.policyTypes": "Ingress|Egress",
    "V1NetworkPolicyPort.protocol": "TCP|UDP|SCTP",
    "V1SeccompProfile.type": "RuntimeDefault|Localhost|Unconfined",
    "V1PodSecurityContext.fsGroupChangePolicy": "OnRootMismatch|Always",
    "V1ResourceRequirements.limits": QUANTITY,
    "V1ResourceRequirements.requests": QUANTITY,
    "V1VolumeResourceRequirements.requests": QUANTITY,
}
"""What a text may be, as the schemas say it beyond its type."""


def objections(value: Any, kind: str, at: str) -> Iterator[str]:
    """Where a value is not what its type says, a line each."""
    client = pytest.importorskip("kubernetes.client", reason="no types of Kubernetes")
    plain = {"str": str, "int": int, "bool": bool, "object": (str, int)}
    if kind in plain:
        allowed = VALUES.get(at, ".*")
        if not isinstance(value, plain[kind]) or isinstance(value, bool) != (kind == "bool"):
            yield f"{at}: {value!r} is no {kind}"
        elif kind == "str" and not re.fullmatch(allowed, value):
            yield f"{at}: {value!r} is none of {allowed}"
    elif found := re.fullmatch(r"list\[(.+)\]|dict\(str, (.+)\)", kind):
        if not isinstance(value, list if found[1] else dict):
            yield f"{at}: {value!r} is no {kind}"
            return
        for item in value if found[1] else value.values():
            yield from objections(item, found[1] or found[2], at)
    elif not isinstance(value, dict):
        yield f"{at}: {value!r} is no {kind}"
    else:
        fields, needed = KUBERAY.get(kind), NEEDED.get(kind, set())
        if fields is None:
            model = getattr(client, kind)
            names = model.attribute_map
            fields = {names[name]: own for name, own in model.openapi_types.items()}
            needed = {name for own, name in names.items() if is_needed(model, own)}
        yield from (f"{at}: needs {name}" for name in sorted(needed - value.keys()))
        for name, item in value.items():
            if name not in fields:
                yield f"{kind}.{name}: is unknown"
            else:
                yield from objections(item, fields[name], f"{kind}.{name}")


def is_needed(model: Any, name: str) -> bool:
    """Whether Kubernetes' client refuses an object of a type that lacks a field."""
    configuration = pytest.importorskip("kubernetes.client").Configuration()
    empty = model.__new__(model)
    empty.local_vars_configuration = configuration
    try:
        setattr(empty, name, None)
    except ValueError:
        return True
    return False

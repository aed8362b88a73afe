"""What the nodes of a cluster file do for a sweep: trials at once, hours, and what they cost."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from xstilts.config.schema import Sweep
from xstilts.errors import ConfigError, Problem
from xstilts.run.node import check_resources, places_on

PLACEHOLDER = re.compile(r"[\w-]*REPLACE_ME")
BOUNDS = ("least", "most")


def fitting_nodes(
    sweep: Sweep,
    cluster: Path,
    prices: Mapping[str, float],
    hours: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """The node types of a cluster file: how many trials fit on one, how many nodes may come.

    Where the sweep's hours are known, `node_hours` are what its trials keep nodes of a type busy,
    if all run there, and `cost` is that at its price an hour; a type that no trial fits on, as a
    head, is there as long as the busiest type needs with all its nodes. Idle time is not in them.

    Raises:
        ConfigError: the file is none of `ray up` or KubeRay or not filled in, a trial fits on no
            node type, or a price is of no node type.
    """
    try:
        documents = list(yaml.safe_load_all(cluster.read_text(encoding="utf-8")))
        types = _types_of(documents)
        nodes: list[dict[str, Any]] = [
            {
                "type": name,
                "trials_a_node": places_on(sweep, node["resources"]),
                "most_nodes": int(node.get("max_workers", 1)),
            }
            for name, node in types.items()
        ]
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        rule = "is a file for `ray up`, or a RayCluster, whose node types say their resources"
        raise ConfigError([Problem("--cluster", rule, f'"{cluster}"')]) from error
    if left := sorted(set(PLACEHOLDER.findall(yaml.safe_dump_all(documents)))):
        repair = "the first lines of the file say where to find them"
        rule = f"{cluster}: has no placeholders left"
        raise ConfigError([Problem("--cluster", rule, ", ".join(left), repair)])
    if unknown := sorted(set(prices) - set(types)):
        rule = f"is a price of one of the node types, {', '.join(types)}"
        raise ConfigError([Problem("--price", rule, ", ".join(unknown))])
    check_resources(sweep, [node["resources"] for node in types.values()])
    if hours is not None:
        _add_hours(nodes, hours, sweep.resources.gpus_per_trial, prices)
    return nodes


def _types_of(documents: Sequence[Any]) -> dict[str, Any]:
    """The node types of a file, as `ray up` calls them: a RayCluster has groups of pods."""
    for document in documents:
        if document.get("kind") == "RayCluster":
            spec = document["spec"]
            head = {"resources": _resources_of(spec["headGroupSpec"])}
            groups = {
                group["groupName"]: {
                    "resources": _resources_of(group),
                    "max_workers": group["maxReplicas"],
                }
                for group in spec["workerGroupSpecs"]
            }
            return {"head": head, **groups}
    types: dict[str, Any] = documents[0]["available_node_types"]
    return types


def _resources_of(group: Mapping[str, Any]) -> dict[str, int]:
    """CPUs and GPUs of a pod: those that Ray is told of, else the limits of its first container."""
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    own = group["rayStartParams"]
    gpus = sum(int(value) for name, value in limits.items() if name.endswith("/gpu"))
    cpus = own["num-cpus"] if "num-cpus" in own else limits["cpu"]
    return {"CPU": int(cpus), "GPU": int(own.get("num-gpus", gpus))}


def _add_hours(
    nodes: Sequence[dict[str, Any]],
    hours: Mapping[str, Any],
    gpus_a_trial: float,
    prices: Mapping[str, float],
) -> None:
    trials = {bound: hours[bound] / (gpus_a_trial or 1) for bound in BOUNDS}
    fitting = [node for node in nodes if node["trials_a_node"]]
    lasts = {
        bound: min(own / node["trials_a_node"] / max(1, node["most_nodes"]) for node in fitting)
        for bound, own in trials.items()
    }
    for node in nodes:
        count = node["trials_a_node"]
        node["node_hours"] = {x: trials[x] / count if count else lasts[x] for x in BOUNDS}
        if (price := prices.get(node["type"])) is not None:
            node["cost"] = {bound: price * own for bound, own in node["node_hours"].items()}


def prices_of(texts: Sequence[str]) -> dict[str, float]:
    """Prices an hour by node type, from texts as `gpu=0.45`.

    Raises:
        ConfigError: a text is none.
    """
    prices = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            prices[name] = float(number)
        except ValueError:
            prices[name] = math.nan
        if not name or not 0 <= prices[name] < math.inf:
            rule = "is a node type and its price an hour, as gpu=0.45"
            raise ConfigError([Problem("--price", rule, f'"{text}"')])
    return prices


def cluster_lines(nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line a node type, for a terminal."""
    for node in nodes:
        count = node["trials_a_node"]
        fits = f"{count} trial{'s' * (count != 1)} at once on each" if count else "no trial fits"
        line = f"node type {node['type']}: {fits}, at most {node['most_nodes']} nodes"
        if "node_hours" in node:
            line += f", {_span(node['node_hours'])} node-hours"
        if "cost" in node:
            line += f", which cost {_span(node['cost'])}"
        yield line


def _span(bounds: Mapping[str, float]) -> str:
    low, high = (f"{bounds[bound]:.3g}" for bound in BOUNDS)
    return low if low == high else f"{low} to {high}"

"""What Ray calls AWS with `cluster.yaml`: every call valid, and none that the head's role refuses.

The calls are those of Ray's own launcher and node provider; botocore checks them by AWS's models,
and moto answers in AWS's place.
"""

from __future__ import annotations

import copy
import fnmatch
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from xstilts.cluster import ingress
from xstilts.cluster.ingress import openings

from .rules import ROOT, Config, Files

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
moto = pytest.importorskip("moto", reason="moto is not installed")

ROLE = json.loads((ROOT / "xstilts/cluster/aws_head_role.json").read_text())
HEAD_TAGS = {"ray-node-type": "head", "ray-user-node-type": "head", "ray-launch-config": "a"}
GPU_TAGS = {"ray-node-type": "worker", "ray-user-node-type": "gpu", "ray-launch-config": "b"}


@dataclass
class Aws:
    """An account that answers, and what was called."""

    config: Config
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def during(self, work: Callable[[], Any]) -> list[tuple[str, dict[str, Any]]]:
        """The calls of a piece of work, as `ec2:RunInstances`, with their parameters."""
        self.calls.clear()
        work()
        return list(self.calls)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """`cluster.yaml`, filled in with what an account has, as Ray prepares it."""
    from ray.autoscaler._private.aws import config as ray_aws
    from ray.autoscaler._private.aws import utils
    from ray.autoscaler._private.util import prepare_config

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        for cached in (utils.resource_cache, utils.client_cache):
            cached.cache_clear()
        config = copy.deepcopy(Files.read(ROOT / "cluster.yaml").config)
        boto3.setup_default_session(region_name=config["provider"]["region"])
        ec2, iam = boto3.client("ec2"), boto3.client("iam")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        group = ec2.create_security_group(GroupName="x", Description="x", VpcId=vpc)["GroupId"]
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        ec2.create_key_pair(KeyName="xstilts")
        iam.create_instance_profile(InstanceProfileName="xstilts-head")
        for node in config["available_node_types"].values():
            node["node_config"].update(ImageId=image, SecurityGroupIds=[group])
        found = Aws({})

        def note(params: dict[str, Any], model: Any, **_: Any) -> None:
            service = model.service_model.endpoint_prefix
            found.calls.append((f"{service}:{model.name}", copy.deepcopy(params)))

        boto3.DEFAULT_SESSION.events.register("provide-client-params.*.*", note)
        found.config = prepare_config(config)
        found.calls.clear()
        monkeypatch.setattr(ray_aws, "_log_info", {})
        yield found
        for cached in (utils.resource_cache, utils.client_cache):
            cached.cache_clear()
        boto3.DEFAULT_SESSION = None


def launch(aws: Aws) -> tuple[Any, list[tuple[str, dict[str, Any]]]]:
    """`ray up` as far as the head, from where it is typed: Ray's provider, and what was called."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    providers = []

    def up() -> None:
        aws.config = bootstrap_aws(aws.config)
        provider = AWSNodeProvider(aws.config["provider"], aws.config["cluster_name"])
        head = aws.config["available_node_types"]["head"]["node_config"]
        provider.create_node(head, dict(HEAD_TAGS), 1)
        providers.append(provider)

    calls = aws.during(up)
    return providers[0], calls


def scale(aws: Aws, provider: Any) -> list[tuple[str, dict[str, Any]]]:
    """What the head's autoscaler does while trials come and go."""
    gpu = aws.config["available_node_types"]["gpu"]["node_config"]

    def work() -> None:
        provider.create_node(gpu, dict(GPU_TAGS), 2)
        (head,) = provider.non_terminated_nodes({"ray-node-type": "head"})
        workers = provider.non_terminated_nodes({"ray-node-type": "worker"})
        assert workers  # of spot machines moto starts the fewest that will do
        for node in workers:
            assert provider.is_running(node) and provider.internal_ip(node)
            provider.set_node_tags(node, {"ray-node-status": "up-to-date"})
        provider.terminate_nodes(workers)
        assert provider.non_terminated_nodes({}) == [head]

    return aws.during(work)


def test_ray_makes_no_role_no_group_and_no_key(aws: Aws) -> None:
    _, calls = launch(aws)
    names = {name for name, _ in calls}
    assert "ec2:RunInstances" in names
    assert not {name for name in names if name.startswith("iam:")}
    made = {name for name in names if name.startswith(("ec2:Create", "ec2:Import"))}
    assert made <= {"ec2:CreateTags"}


def test_every_machine_is_started_as_the_file_says(aws: Aws) -> None:
    provider, calls = launch(aws)
    starts = [own for name, own in [*calls, *scale(aws, provider)] if name == "ec2:RunInstances"]
    head, gpu = starts
    for one in starts:
        assert one["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert all(disk["Ebs"]["Encrypted"] for disk in one["BlockDeviceMappings"])
        assert one["KeyName"] == "xstilts"
        (tags,) = (own["Tags"] for own in one["TagSpecifications"])
        assert {"Key": "ray-cluster-name", "Value": "xstilts"} in tags
    assert head["IamInstanceProfile"] == {"Name": "xstilts-head"}
    assert "InstanceMarketOptions" not in head
    assert "IamInstanceProfile" not in gpu
    assert gpu["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert gpu["MaxCount"] == 2


def test_the_heads_role_allows_what_it_calls_and_no_more(aws: Aws) -> None:
    provider, _ = launch(aws)
    called = {"ec2:DescribeSecurityGroups"}  # of xstilts.cluster.ingress
    # To moto no machine is a spot machine: idle ones are stopped, and started again.
    for is_stopped in (True, True, False):
        provider.cache_stopped_nodes = is_stopped
        called |= {name for name, _ in scale(aws, provider)}
    allowed: set[str] = set()
    for statement in ROLE["Statement"]:
        assert statement["Effect"] == "Allow"
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    assert not [action for action in allowed if "*" in action]
    assert called == allowed


def test_the_role_changes_machines_of_this_cluster_alone() -> None:
    for statement in ROLE["Statement"]:
        if statement["Resource"] == "*":
            actions = statement["Action"]
            assert all(fnmatch.fnmatch(action, "ec2:Describe*") for action in actions)
    changing = [own for own in ROLE["Statement"] if "ec2:TerminateInstances" in own["Action"]]
    (condition,) = (own["Condition"]["StringEquals"] for own in changing)
    name = Files.read(ROOT / "cluster.yaml").config["cluster_name"]
    assert condition == {"aws:ResourceTag/ray-cluster-name": name}


def group(**rule: Any) -> list[dict[str, Any]]:
    return [{"GroupId": "sg-1", "IpPermissions": [{"IpProtocol": "tcp", **rule}]}]


def span(first: int, last: int, **sources: Any) -> list[dict[str, Any]]:
    return group(FromPort=first, ToPort=last, **sources)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (group(UserIdGroupPairs=[{"GroupId": "sg-1"}], IpProtocol="-1"), ""),
        (span(6379, 6384, UserIdGroupPairs=[{"GroupId": "sg-1"}]), ""),
        (span(22, 22, IpRanges=[{"CidrIp": "192.0.2.7/32"}]), ""),
        (span(22, 22, IpRanges=[{"CidrIp": "0.0.0.0/0"}]), "tcp port 22 may be reached by 0.0"),
        (span(22, 22, Ipv6Ranges=[{"CidrIpv6": "::/0"}]), "tcp port 22 may be reached by ::/0"),
        (span(20, 22, IpRanges=[{"CidrIp": "192.0.2.7/32"}]), "tcp ports 20 to 22 may be"),
        (span(6379, 6379, IpRanges=[{"CidrIp": "192.0.2.7/32"}]), "tcp port 6379 may be"),
        (span(6379, 6379, UserIdGroupPairs=[{"GroupId": "sg-9"}]), "by group sg-9"),
        (span(22, 22, PrefixListIds=[{"PrefixListId": "pl-1"}]), "by prefix list pl-1"),
        (group(IpProtocol="-1", IpRanges=[{"CidrIp": "10.0.0.0/8"}]), "all ports may be"),
    ],
)
def test_what_a_group_admits_beyond_itself_and_ssh_is_said(
    groups: list[dict[str, Any]], expected: str
) -> None:
    lines = openings(groups)
    assert bool(lines) == bool(expected)
    assert all(expected in line for line in lines)


class Metadata(BaseHTTPRequestHandler):
    """A machine's metadata, to who has asked for a token before; its only group is `group`."""

    group = ""

    def do_PUT(self) -> None:
        self._answer("a token")

    def do_GET(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token"] == "a token"
        macs = "/latest/meta-data/network/interfaces/macs/"
        own = {"/latest/meta-data/placement/region": "us-west-2", macs: "02:00/"}
        self._answer({**own, f"{macs}02:00/security-group-ids": self.group}[self.path])

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


def test_the_head_asks_for_the_groups_of_its_machine(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = {
        own
        for node in aws.config["available_node_types"].values()
        for own in node["node_config"]["SecurityGroupIds"]
    }
    monkeypatch.setattr(Metadata, "group", name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(ingress, "METADATA", f"http://127.0.0.1:{server.server_port}/latest")
    ec2 = boto3.client("ec2")
    with pytest.raises(SystemExit) as ended:
        ingress.main()
    assert ended.value.code == 0
    ec2.authorize_security_group_ingress(
        GroupId=name, IpProtocol="tcp", FromPort=8265, ToPort=8265, CidrIp="0.0.0.0/0"
    )
    with pytest.raises(SystemExit) as ended:
        ingress.main()
    server.shutdown()
    assert ended.value.code == 1
    assert f"{name}: tcp port 8265 may be reached by 0.0.0.0/0" in capsys.readouterr().err

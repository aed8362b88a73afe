"""Who reaches the nodes of an AWS cluster, as AWS says it: `ray up` has the head ask.

    python -m xstilts.cluster.ingress

ends with status 1, and a line for each opening, where a security group of this machine admits more
than itself and ssh from a few addresses: Ray's token would cross a network of others as it is.
"""

from __future__ import annotations

import ipaddress
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

METADATA = "http://169.254.169.254/latest"
SSH = 22
FEWEST_FIXED = {4: 16, 6: 48}
"""Bits of an address that a range must fix to be that of a person or an institution."""

Rule = Mapping[str, Any]
"""An ingress rule, as EC2's DescribeSecurityGroups gives it."""


def openings(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """What security groups admit beyond each other and ssh from a few addresses, a line each."""
    own = {group["GroupId"] for group in groups}
    return [
        f"{group['GroupId']}: {ports(rule)} may be reached by {source}; let nothing but the group "
        "itself reach it, and your own address ssh"
        for group in groups
        for rule in group.get("IpPermissions", ())
        for source in _strangers(rule, own)
    ]


def ports(rule: Rule) -> str:
    """The ports of a rule in words."""
    protocol = "all" if rule["IpProtocol"] == "-1" else rule["IpProtocol"]
    first, last = rule.get("FromPort"), rule.get("ToPort")
    if first is None or protocol == "all":
        return f"{protocol} ports"
    return f"{protocol} port {first}" if first == last else f"{protocol} ports {first} to {last}"


def _strangers(rule: Rule, own: set[str]) -> Iterator[str]:
    for pair in rule.get("UserIdGroupPairs", ()):
        if pair.get("GroupId") not in own:
            yield f"group {pair.get('GroupId')}"
    is_ssh = rule["IpProtocol"] == "tcp" and rule.get("FromPort") == rule.get("ToPort") == SSH
    ranges = [own["CidrIp"] for own in rule.get("IpRanges", ())]
    ranges += [own["CidrIpv6"] for own in rule.get("Ipv6Ranges", ())]
    for text in ranges:
        network = ipaddress.ip_network(text)
        if not is_ssh or network.prefixlen < FEWEST_FIXED[network.version]:
            yield text
    for listed in rule.get("PrefixListIds", ()):
        yield f"prefix list {listed['PrefixListId']}"


def of_this_machine() -> list[dict[str, Any]]:
    """The security groups of the machine that asks.

    Raises:
        OSError: it is none of AWS, or AWS does not answer.
    """
    import boto3

    asked = urllib.request.Request(f"{METADATA}/api/token", method="PUT")
    asked.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    with urllib.request.urlopen(asked, timeout=5) as answer:
        token = answer.read().decode()

    def metadata(path: str) -> list[str]:
        request = urllib.request.Request(f"{METADATA}/meta-data/{path}")
        request.add_header("X-aws-ec2-metadata-token", token)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode()).split()

    (region,) = metadata("placement/region")
    interfaces = metadata("network/interfaces/macs/")
    ids = {
        name
        for mac in interfaces
        for name in metadata(f"network/interfaces/macs/{mac.strip('/')}/security-group-ids")
    }
    found = boto3.client("ec2", region).describe_security_groups(GroupIds=sorted(ids))
    groups: list[dict[str, Any]] = found["SecurityGroups"]
    return groups


def main() -> None:
    """Say what is open, and fail if anything is."""
    found = openings(of_this_machine())
    for line in found:
        print(line, file=sys.stderr)
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()

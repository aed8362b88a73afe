"""What sinfo says is read as Slurm means it; what no partition can give is refused in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xstilts.cluster.partitions import Ask, check, partitions_of, seconds_of, time_text
from xstilts.errors import ConfigError

SINFO = """debug*|up|30:00|1-2|4|16|(null)|idle
gpu|up|2-00:00:00|1-infinite|3|64|gpu:a100:8(S:0-1)|mix
gpu|up|2-00:00:00|1-infinite|2|64|gpu:a100:8(S:0-1)|drain
gpu|up|2-00:00:00|1-infinite|1|32|gpu:v100:2,gpu:t4:2,shard:8|alloc
big|up|infinite|1-infinite|2|128|(null)|idle~
old|inact|infinite|1-infinite|9|64|gpu:8|idle
"""
DAY = Ask(nodes=1, cpus=8, gpus=8, gpu_type="", time_s=86400)
GIVEN = "--nodes 1-4 --gpus-per-node 8 --time 24:00:00"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("30:15", 1815),
        ("1:30:00", 5400),
        ("2-12", 216000),
        ("1-00:30", 88200),
        ("1-00:00:05", 86405),
        ("infinite", None),
        ("n/a", None),
        ("-1", None),
        ("1:2:3:4", None),
    ],
)
def test_times_are_read_as_slurm_does(text: str, seconds: int | None) -> None:
    assert seconds_of(text) == seconds
    if seconds is not None:
        assert seconds_of(time_text(seconds)) == seconds


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("gpu", {}, ""),
        ("gpu", {"gpu_type": "a100", "nodes": 3}, ""),
        ("gpu", {"nodes": 4}, "has 3 of these nodes that are up"),
        ("gpu", {"gpus": 4}, ""),
        ("gpu", {"gpu_type": "v100"}, "has nodes of at most 64 CPUs and 8 GPUs (a100, t4, v100)"),
        ("gpu", {"gpu_type": "v100", "gpus": 2}, ""),
        ("gpu", {"cpus": 65}, "has nodes of at most 64 CPUs and 8 GPUs (a100, t4, v100)"),
        ("gpu", {"time_s": 172801}, "gives 2-00:00:00 at most"),
        ("debug", {}, "gives 00:30:00 at most"),
        ("debug", {"time_s": 60, "gpus": 0, "nodes": 3}, "gives 2 nodes at most"),
        ("debug", {"time_s": 60}, "has nodes of at most 16 CPUs and 0 GPUs"),
        ("big", {"gpus": 0, "time_s": 10**7, "nodes": 2}, ""),
        ("old", {}, "is not up"),
    ],
)
def test_a_partition_says_why_it_cannot(name: str, change: dict[str, int], reason: str) -> None:
    (one,) = (one for one in partitions_of(SINFO) if one.name == name)
    assert one.reason(replace(DAY, **change)) == reason  # type: ignore[arg-type]


def test_what_none_can_give_is_said_in_one_line_with_every_reason() -> None:
    with pytest.raises(ConfigError) as refused:
        check(partitions_of(SINFO), None, replace(DAY, nodes=9), GIVEN)
    assert str(refused.value) == (
        f"{GIVEN}: no partition can give that; debug gives 00:30:00 at most; gpu has 3 of these "
        "nodes that are up; big has nodes of at most 128 CPUs and 0 GPUs; old is not up"
    )


def test_another_partition_that_can_is_named() -> None:
    partitions = partitions_of(SINFO)
    check(partitions, "gpu", DAY, GIVEN)
    check(partitions, None, replace(DAY, gpus=0, time_s=60), GIVEN)
    for name, who in ((None, "the default one"), ("big", "big")):
        with pytest.raises(ConfigError, match=f"{who} cannot give that; .*--partition gpu can"):
            check(partitions, name, DAY, GIVEN)
    with pytest.raises(ConfigError, match=r'got "gqu"; this cluster has debug, gpu, big, old'):
        check(partitions, "gqu", DAY, GIVEN)


def test_a_cluster_without_partitions_can_give_nothing() -> None:
    with pytest.raises(ConfigError, match="no partition can give that; sinfo shows none"):
        check([], None, DAY, GIVEN)

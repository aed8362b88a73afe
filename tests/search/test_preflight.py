"""Preflight: storage that cannot hold a lease, nodes that differ; asked of real Ray nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xstilts.errors import ConfigError
from xstilts.plan.inventory import Inventory, ModelFacts
from xstilts.run.node import RACES, versions
from xstilts.run.places import Places
from xstilts.run.storage import identity_of
from xstilts.search import preflight
from xstilts.search.connection import connected, quieten
from xstilts.search.preflight import check_nodes, check_storage, file_system, node_problems

from ..conftest import make_sweep

INVENTORY = Inventory({"m": ModelFacts("/", "w", "t", 2, 1)}, {}, {}, {})


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /mnt/shared nfs4 rw,actimeo=5 0 0
s3fs /mnt/shared/bucket\\040one fuse.s3fs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/runs", "ext4 /dev/vda"),
        ("/mnt/shared/runs", "nfs4 server:/export"),
        ("/mnt/shared/bucket one/runs", "fuse.s3fs s3fs"),
    ],
)
def test_the_mount_of_a_folder(tmp_path: Path, folder: str, kind: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert file_system(Path(folder), tmp_path / "mounts") == kind


def test_an_object_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_storage(Places(tmp_path / "runs", "s"), pytest.fail)
    assert identity_of(tmp_path / "runs")
    monkeypatch.setattr(preflight, "file_system", lambda folder, mounts: "fuse.gcsfuse bucket")
    with pytest.raises(ConfigError, match=r"creates no file atomically.*gcsfuse.*NFS, EFS"):
        check_storage(Places(tmp_path / "bucket", "s"), pytest.fail)
    assert not (tmp_path / "bucket").exists()
    with pytest.raises(ConfigError, match='storage: is a folder; got "s3://b/runs"'):
        make_sweep(storage="s3://b/runs")


@pytest.mark.parametrize(("share", "gb", "fits"), [(1, 16, True), (0.5, 10, False), (2, 5, False)])
def test_a_card_must_hold_what_training_holds_of_a_model(
    tmp_path: Path, share: float, gb: int, fits: bool
) -> None:
    """The weights, gradients and moments of those that compute: of XLM-R Large."""
    facts = {
        "versions": versions(),
        "storage": "",
        "missing": [],
        "gpus": [{"name": "large", "gb": 80}, {"name": "small", "gb": gb}],
        "auth": preflight.auth_mode(),
    }
    shape = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    large = replace(INVENTORY.models["m"], num_bytes=2_240_000_000, path=str(tmp_path))
    sweep = make_sweep(resources={"gpus_per_trial": share, "cpus_per_trial": 2})
    found = node_problems(sweep, replace(INVENTORY, models={"m": large}), facts)
    wanted = "GPU memory: 5 GB for a trial, but m takes 5.9 GB before any batch"
    assert found == [] if fits else found[0].startswith(wanted)


FITS = {
    "node": "one",
    "versions": versions(),
    "storage": "",
    "missing": [],
    "gpus": [],
    "auth": preflight.auth_mode(),
}


@pytest.mark.parametrize(
    ("won", "problem"),
    [
        ([range(10), range(10, RACES)], ""),
        ([range(10), range(8, RACES)], f"of {RACES} leases, 2 had several holders"),
        ([range(10), range(11, RACES)], f"of {RACES} leases, 0 had several holders"),
    ],
)
def test_a_storage_on_which_a_lease_is_not_one_nodes_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, won: list[range], problem: str
) -> None:
    found = [{**FITS, "node": f"n{i}", "won": list(races)} for i, races in enumerate(won)]
    monkeypatch.setattr(preflight, "ask_nodes", lambda *_: found)
    if not problem:
        check_nodes(make_sweep(), tmp_path, INVENTORY, pytest.fail)
        return
    with pytest.raises(ConfigError, match=f"storage: creates no file.*: {problem}"):
        check_nodes(make_sweep(), tmp_path, INVENTORY, lambda table: None)


def test_a_clock_that_is_another_is_told_and_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [{**FITS, "won": list(range(RACES)), "skew_s": 90.0}]
    told: list[str] = []
    monkeypatch.setattr(preflight, "ask_nodes", lambda *_: found)
    check_nodes(make_sweep(), tmp_path, INVENTORY, told.append)
    assert len(told) == 1 and "clock of node one is 90 s apart" in told[0]


@pytest.fixture(scope="module")
def ray_of_one_node() -> Iterator[None]:
    quieten(None)
    with connected(None):
        yield


@pytest.mark.ray
def test_nodes_are_asked_and_those_that_differ_refused(
    ray_of_one_node: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    check_nodes(make_sweep(), tmp_path, INVENTORY, told.append)
    assert told == [] and list(tmp_path.iterdir()) == [], "nothing is left behind"

    other = {**versions(), "transformers": "5.0.0", "code": "0123456789ab"}
    monkeypatch.setattr(preflight, "versions", lambda *_: other)
    monkeypatch.setattr(preflight, "auth_mode", lambda: "disabled")
    gone = replace(INVENTORY, folders={"xstilts/a": "/no/such/folder"})
    with pytest.raises(ConfigError) as caught:
        check_nodes(make_sweep(), tmp_path, gone, told.append)
    text = str(caught.value)
    assert text.count("node ") == 4
    assert "RAY_AUTH_MODE is token there, disabled here" in text
    assert f"transformers {versions()['transformers']}, not 5.0.0" in text
    assert "no such file here: /no/such/folder" in text
    console = Console(width=80, record=True)
    console.print(told[0])
    assert "not 0123456789ab" in console.export_text()


@pytest.mark.ray
def test_a_node_that_does_not_answer_is_refused(
    ray_of_one_node: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> dict[str, Any]:
        raise RuntimeError("no such module: xstilts")

    monkeypatch.setattr(preflight, "node_facts", fail)
    with pytest.raises(ConfigError, match="no such module: xstilts"):
        check_nodes(make_sweep(), tmp_path, INVENTORY, lambda table: None)

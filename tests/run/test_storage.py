"""The storage: one identity, one format, and what an older build left is taken up, not lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from xstilts.errors import ConfigError, LeaseLost, StorageGone
from xstilts.files import read_json
from xstilts.lease import Lease, Owner, claim_path
from xstilts.plan.stage import Pretrained, stage_name
from xstilts.run import attempts, storage
from xstilts.run.garbage import cleaning
from xstilts.run.kept_weights import kept_by_all
from xstilts.run.places import Places
from xstilts.run.storage import (
    CLEANING,
    check_identity,
    check_not_cleaning,
    identity_of,
    open_storage,
)
from xstilts.run.store import Claim, Store

from ..faults import format_one

STAGES = [Pretrained("m", "/nowhere", f"weights {i}", "tokenizer") for i in range(3)]


def never(claim: Claim) -> dict[str, object]:
    pytest.fail("computed again")


@pytest.fixture
def told() -> list[str]:
    return []


def test_an_empty_folder_becomes_a_storage_once(tmp_path: Path, told: list[str]) -> None:
    root = tmp_path / "runs"
    identity = open_storage(root, told.append)
    assert open_storage(root, told.append) == identity == identity_of(root)
    assert told == []
    check_identity(root, identity)
    with pytest.raises(StorageGone, match="another storage"):
        check_identity(root, "other")


@pytest.mark.parametrize("round_", range(20))
def test_processes_that_make_a_storage_at_once_agree(tmp_path: Path, round_: int) -> None:
    found: list[str] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        found.append(open_storage(tmp_path / "runs"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


@pytest.mark.parametrize("step", range(9))
def test_one_that_another_process_is_making_is_made_with_it(
    tmp_path: Path, told: list[str], step: int
) -> None:
    root = tmp_path / "runs"
    for made, name in enumerate([*storage.FOLDERS, *storage.BARRED, "storage.json"]):
        if made == step:
            identity = open_storage(root, told.append)
        if name in storage.FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        else:
            with suppress(FileExistsError), (root / name).open("x"):
                pass
    assert identity_of(root) == identity
    assert told == [], "it is no storage of an older format"


def test_a_later_format_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "storage.json").write_text(json.dumps({"format": 3, "identity": "x"}))
    with pytest.raises(ConfigError) as caught:
        open_storage(tmp_path)
    line = str(caught.value)
    assert "\n" not in line and "up to format 2; got format 3; install" in line
    assert caught.value.exit_status == 2
    assert [path.name for path in tmp_path.iterdir()] == ["storage.json"], "nothing was touched"


@pytest.mark.parametrize("text", ["", '{"format": 2, "iden'])
def test_a_torn_identity_is_written_anew(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storage, "ANSWER_S", 0.2)
    open_storage(tmp_path)
    (tmp_path / "storage.json").write_text(text)
    identity = open_storage(tmp_path)
    assert identity == identity_of(tmp_path)
    assert "written anew" in caplog.text


def test_an_identity_that_is_just_being_written_is_waited_for(tmp_path: Path) -> None:
    open_storage(tmp_path)
    text = (tmp_path / "storage.json").read_text()
    (tmp_path / "storage.json").write_text("")
    writer = threading.Timer(0.5, (tmp_path / "storage.json").write_text, [text])
    writer.start()
    assert identity_of(tmp_path) == json.loads(text)["identity"]
    writer.join()


def check_taken_up(root: Path) -> None:
    store = Store(root)
    for stage in STAGES:
        found = store.get(stage, never)
        assert found.manifest["made"] == "in format 1"
        assert store.weights(stage) == found.folder
    assert sorted(path.name for path in store.folder.iterdir()) == sorted(
        stage_name(stage) for stage in STAGES
    )
    places = Places(root, "s")
    definition = places.definition()
    assert definition is not None and definition.sweep == {"name": "s"}
    assert definition.target_points == {"mini_xnli|0": [{}]}
    assert kept_by_all(root) == {"target-a"}
    assert places.latest("usage.json", {})["slot_s"] == 3.5
    assert [attempt.how for attempt in attempts.read(places.trials / "t")] == [
        "lost",
        "finished",
    ]
    assert read_json(places.trials / "t" / "record.json") == {"state": "finished"}
    assert (definition.folder / "study.journal").read_text() == '{"op_code": 0}\n'
    assert sorted(path.name for path in places.sweep.iterdir()) == ["launches", "trials"]
    assert (root / "caches" / "hashes.json").exists()


def test_a_storage_of_format_1_is_taken_up_and_nothing_is_computed_again(
    tmp_path: Path, told: list[str]
) -> None:
    format_one.write_storage(tmp_path, *STAGES)
    open_storage(tmp_path, told.append)
    assert len(told) == 1 and "taken up from an older format, 3 stages" in told[0]
    check_taken_up(tmp_path)
    open_storage(tmp_path, told.append)
    assert len(told) == 1, "said once"


def test_a_taking_up_that_is_cut_off_anywhere_goes_on(tmp_path: Path) -> None:
    """Killed before every rename and every deletion."""
    moment, count = 0, [0]
    while True:
        root = tmp_path / str(moment)
        root.mkdir()
        format_one.write_storage(root, *STAGES)
        count[0] = 0
        with pytest.MonkeyPatch.context() as patch:
            for name in ("rename", "unlink", "mkdir", "rmdir", "replace"):
                patch.setattr(os, name, killed_at(moment, count, getattr(os, name)))
            try:
                open_storage(root)
            except KeyboardInterrupt:
                was_killed = True
            else:
                was_killed = False
        assert open_storage(root) == identity_of(root)
        check_taken_up(root)
        if not was_killed:
            break
        moment += 1
    assert moment > 20


def killed_at(moment: int, count: list[int], call):  # type: ignore[no-untyped-def]
    def counted(*arguments: object, **named: object) -> object:
        count[0] += 1
        if count[0] == moment + 1:
            raise KeyboardInterrupt
        return call(*arguments, **named)

    return counted


def test_a_storage_that_an_older_build_uses_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "SILENCE_S", 5.0)
    format_one.write_storage(tmp_path, *STAGES)
    path = tmp_path / "stages" / f"{stage_name(STAGES[0])}.lease"
    assert format_one.Lease(path).acquire()
    beat = threading.Timer(1.0, os.utime, [path])
    beat.start()
    with pytest.raises(ConfigError, match="in use by an older xstilts"):
        open_storage(tmp_path)
    beat.join()
    assert (tmp_path / "stages").is_dir() and not (tmp_path / "storage.json").exists()
    assert not format_one.Lease(path).acquire()


def test_a_lease_that_nobody_touches_any_more_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(storage, "SILENCE_S", 0.5)
    format_one.write_storage(tmp_path, *STAGES)
    # Half a minute of skew: the file server's clock is not the reader's.
    for name in (f"stages/{stage_name(STAGES[0])}.lease", "sweeps/s/driver.lease"):
        assert format_one.Lease(tmp_path / name).acquire()
        os.utime(tmp_path / name, (time.time() + 1e4,) * 2)
    open_storage(tmp_path, told.append)
    assert "an older xstilts may use it" in told[0]
    check_taken_up(tmp_path)


@pytest.mark.parametrize("was_old", [True, False])
def test_an_older_build_can_take_no_lease_that_nobody_sees(tmp_path: Path, was_old: bool) -> None:
    if was_old:
        format_one.write_storage(tmp_path, *STAGES)
    open_storage(tmp_path)
    for name in (stage_name(STAGES[0]), "target-new"):
        with pytest.raises(OSError, match=r"File exists|Not a directory"):
            format_one.Lease(tmp_path / "stages" / f"{name}.lease").acquire()
    # It ends before that, at the first that a command of it writes: the hashes of what it reads.
    with pytest.raises(FileExistsError):
        (tmp_path / "cache").mkdir(parents=True, exist_ok=True)


def test_nothing_begins_while_gc_deletes(tmp_path: Path) -> None:
    open_storage(tmp_path)
    check_not_cleaning(tmp_path)
    with cleaning(tmp_path) as lease:
        with pytest.raises(ConfigError, match="nothing begins while `xstilts gc` deletes"):
            check_not_cleaning(tmp_path)
        with pytest.raises(ConfigError, match="another `xstilts gc`"), cleaning(tmp_path):
            pass
    check_not_cleaning(tmp_path)
    assert claim_path(lease.folder, 1).exists() and not claim_path(lease.folder, 2).exists()


def test_one_that_deletes_and_is_silent_has_lost_its_right(tmp_path: Path) -> None:
    """A sweep begins as if it were dead, and then it wakes up after all."""
    (tmp_path / CLEANING).mkdir()
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    stopped = Lease(tmp_path / CLEANING, owner=replace(Owner.current(), pid=dead.pid))
    assert stopped.acquire()
    check_not_cleaning(tmp_path)
    with pytest.raises(LeaseLost, match="taken over"):
        stopped.renew()

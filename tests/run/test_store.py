"""The store: complete or absent, computed once, whoever dies, stalls, wakes or tears."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from xstilts.errors import Preempted, StageError, StorageGone, StoreError
from xstilts.lease import Lease
from xstilts.plan.stage import Pretrained, stage_name
from xstilts.run import stage_results
from xstilts.run.storage import open_storage
from xstilts.run.store import Claim, Store

STAGE = Pretrained("m", "/nowhere", "weights", "tokenizer")
WEIGHTS = "encoder/model.safetensors"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    open_storage(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins as a process that has compared no digest yet."""
    monkeypatch.setattr(stage_results, "_verified", set())


def write_result(claim: Claim) -> dict[str, Any]:
    path = claim.folder / WEIGHTS
    path.parent.mkdir()
    path.write_text("result")
    (claim.folder / "heads").write_text("heads")
    return {"made": "here", "outcome": {}}


def never(claim: Claim) -> dict[str, Any]:
    pytest.fail("computed twice")


def test_a_stage_is_computed_once_and_read_after(storage: Path) -> None:
    store = Store(storage)
    first = store.get(STAGE, write_result)
    second = store.get(STAGE, never)
    assert (first.is_reused, second.is_reused) == (False, True)
    assert second.manifest["made"] == "here"
    assert second.manifest["files"].keys() == {WEIGHTS, "heads"}
    assert (second.folder / WEIGHTS).read_text() == "result"
    assert sorted(path.name for path in store.path(STAGE).iterdir()) == ["0001.lease", "result-1"]


def test_a_folder_without_done_does_not_exist(storage: Path) -> None:
    store = Store(storage)
    first = store.get(STAGE, write_result)
    (first.folder / "DONE").unlink()
    assert not store.has(STAGE)
    assert (store.get(STAGE, write_result).folder / WEIGHTS).read_text() == "result"


def test_a_failed_computation_leaves_nothing_and_frees_the_lease(storage: Path) -> None:
    store = Store(storage)

    def fail(claim: Claim) -> dict[str, Any]:
        write_result(claim)
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        store.get(STAGE, fail)
    assert [path.name for path in store.path(STAGE).iterdir()] == ["0001.lease"]
    assert not store.is_in_work(STAGE)
    assert not store.get(STAGE, write_result).is_reused


def test_two_threads_compute_a_stage_once(storage: Path) -> None:
    calls: list[str] = []
    gate = threading.Event()

    def slow(claim: Claim) -> dict[str, Any]:
        calls.append("call")
        gate.wait(5)
        return write_result(claim)

    found = []
    threads = [
        threading.Thread(target=lambda: found.append(Store(storage).get(STAGE, slow)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    while not calls:
        pass
    assert Store(storage).is_in_work(STAGE)
    gate.set()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert sorted(f.is_reused for f in found) == [False, True]
    assert max(f.wait_s for f in found) > 0


def test_who_waits_can_be_told_to_stop(storage: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def compute(claim: Claim) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(30)
        return write_result(claim)

    owner = threading.Thread(target=Store(storage).get, args=(STAGE, compute))
    owner.start()
    assert begun.wait(30)

    def stop() -> None:
        raise Preempted("told to stop")

    with pytest.raises(Preempted):
        Store(storage, heartbeat_s=0.2).get(STAGE, never, stop)
    go_on.set()
    owner.join(30)
    assert Store(storage).has(STAGE), "the owner was left alone"


OTHER = """
import sys, time
from pathlib import Path
from xstilts.plan.stage import Pretrained
from xstilts.run.store import Store
from xstilts.run import store as module
def compute(claim):
    (claim.folder / "encoder").mkdir()
    (claim.folder / "encoder" / "model.safetensors").write_text("result")
    (claim.folder / "heads").write_text("heads")
    {inside}
    return {{"made": "by the other one", "outcome": {{}}}}
{before}
found = Store(Path(sys.argv[1]), heartbeat_s=0.2).get(
    Pretrained("m", "/nowhere", "weights", "tokenizer"), compute
)
print("found", found.manifest["made"], found.folder.name, flush=True)
"""


@contextmanager
def other(storage: Path, inside: str = "pass", before: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that computes the stage, and says `here` where the test has it wait."""
    script = textwrap.dedent(OTHER).format(inside=inside, before=before)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(storage)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_killed_owner_is_taken_over_and_its_rest_is_swept(storage: Path) -> None:
    store = Store(storage)
    with other(storage, inside='print("here", flush=True); time.sleep(60)') as process:
        assert store.is_in_work(STAGE)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not store.is_in_work(STAGE)
        assert not store.has(STAGE)
        begun = time.monotonic()
        found = store.get(STAGE, write_result)
        assert time.monotonic() - begun < 5
    assert found.manifest["made"] == "here" and found.manifest["lease"] == 2
    assert sorted(path.name for path in store.path(STAGE).iterdir()) == [
        "0001.lease",
        "0002.lease",
        "result-1",
    ]


BETWEEN = """
rename = module.publish_folder
def stopped(work, final):
    print("here", flush=True)
    time.sleep(1.0)  # the test stops the process here
    return rename(work, final)
module.publish_folder = stopped
"""


def test_a_holder_that_is_stopped_between_its_check_and_its_rename(storage: Path) -> None:
    """It finds that another one has finished the stage, and what is on disk stays."""
    store = Store(storage, heartbeat_s=0.2)
    with other(storage, before=BETWEEN) as process:
        process.send_signal(signal.SIGSTOP)
        found = store.get(STAGE, write_result)
        assert found.manifest["made"] == "here"
        before = tree(found.folder)
        process.send_signal(signal.SIGCONT)
        text, _ = process.communicate(timeout=60)
    assert text == "found here result-1\n", "it reads what the other one made"
    assert tree(found.folder) == before
    names = sorted(path.name for path in store.path(STAGE).iterdir())
    assert [name for name in names if not name.endswith(".lease")] == ["result-1"]


def test_a_holder_that_is_stopped_in_its_work_publishes_nothing_hollow(storage: Path) -> None:
    """Its folder is cleared away; what it goes on writing is no result."""
    store = Store(storage, heartbeat_s=0.2)
    inside = 'print("here", flush=True); time.sleep(1.0)'
    inside += '; import os; os.makedirs(claim.folder / "late", exist_ok=True)'
    inside += '; (claim.folder / "late" / "file").write_text("late")'
    begun, go_on = threading.Event(), threading.Event()

    def slow(claim: Claim) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(60)
        return write_result(claim)

    with other(storage, inside=inside) as process:
        process.send_signal(signal.SIGSTOP)
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(store.get(STAGE, slow)))
        thread.start()
        assert begun.wait(60), "taken over"
        process.send_signal(signal.SIGCONT)
        time.sleep(2.5)  # it has written, and come to its end
        assert not store.has(STAGE)
        go_on.set()
        thread.join(60)
        text, _ = process.communicate(timeout=60)
    assert text == "found here result-1\n"
    assert set(found[0].manifest["files"]) == {WEIGHTS, "heads"}


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Inode and content of every file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.read_bytes()) for p in files}


@pytest.mark.parametrize("error", [FileNotFoundError, StageError])
def test_who_finds_its_folder_cleared_away_has_lost_it_whatever_the_lease_seems(
    storage: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A client's cache may hide who took the stage over, but not that the files are gone."""
    monkeypatch.setattr(Lease, "_is_taken", lambda lease: False)
    store = Store(storage, heartbeat_s=0.2)
    tries: list[Path] = []

    def cleared_once(claim: Claim) -> dict[str, Any]:
        tries.append(claim.folder)
        if len(tries) == 1:
            shutil.rmtree(claim.folder)
            raise error("a file is gone")
        return write_result(claim)

    assert store.get(STAGE, cleared_once).manifest["made"] == "here"
    assert len(tries) == 2


def test_a_file_that_is_missing_in_a_folder_that_stands_is_told(storage: Path) -> None:
    def without_an_input(claim: Claim) -> dict[str, Any]:
        raise FileNotFoundError("an input")

    with pytest.raises(StoreError, match="an input"):
        Store(storage).get(STAGE, without_an_input)


def test_dropped_weights_come_back_beside_the_result(storage: Path) -> None:
    store = Store(storage)
    first = store.get(STAGE, write_result)
    store.drop_weights(stage_name(STAGE))
    assert store.has(STAGE) and not store.has_weights(STAGE)
    assert store.get(STAGE, never).manifest["made"] == "here"
    kept = tree(first.folder)
    with pytest.raises(StoreError, match="not there any more"):
        store.weights(STAGE)

    def again(claim: Claim) -> dict[str, Any]:
        assert store.has(STAGE), "a finished stage is never absent in between"
        return {**write_result(claim), "made": "again"}

    second = store.get(STAGE, again, with_weights=True)
    assert not second.is_reused
    assert second.folder.name == "result-2" and (second.folder / WEIGHTS).exists()
    assert second.manifest["made"] == "here", "what the stage has found out is what it was"
    assert tree(first.folder) == kept
    assert store.weights(STAGE) == second.folder
    store.drop_weights(stage_name(STAGE))
    assert not (second.folder / WEIGHTS).exists() and (second.folder / "DONE").exists()
    assert not store.has_weights(STAGE) and store.has(STAGE)
    kept = tree(second.folder)
    third = store.get(STAGE, again, with_weights=True)
    assert third.folder.name == "result-3" and (third.folder / WEIGHTS).exists()
    assert tree(second.folder) == kept, "no result ever takes the place of another"


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [truncate, change, Path.unlink])
@pytest.mark.parametrize("name", [WEIGHTS, "heads", "manifest.json"])
def test_a_result_that_is_torn_is_put_aside_named_and_made_again(
    storage: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    harm: Callable[[Path], None],
) -> None:
    store = Store(storage)
    before = tree(store.get(STAGE, write_result).folder)
    monkeypatch.setattr(stage_results, "_verified", set())
    harm(store.path(STAGE) / "result-1" / name)
    calls: list[str] = []

    def again(claim: Claim) -> dict[str, Any]:
        calls.append("call")
        return write_result(claim)

    with caplog.at_level(logging.WARNING):
        found = Store(storage).get(STAGE, again)
    assert calls == ["call"]
    assert name in caplog.text and "put aside as torn-1-" in caplog.text
    after = tree(found.folder)
    assert {
        key: data for key, (_, data) in after.items() if key not in ("manifest.json", "DONE")
    } == {key: data for key, (_, data) in before.items() if key not in ("manifest.json", "DONE")}
    assert [path.name[:7] for path in sorted(store.path(STAGE).glob("torn-*"))] == ["torn-1-"]


def test_sizes_are_looked_at_on_every_read_and_digests_at_the_first(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(storage)
    result = store.get(STAGE, write_result).folder
    monkeypatch.setattr(stage_results, "sha256_of_file", never)
    for _ in range(3):
        store.get(STAGE, never)
    truncate(result / "heads")
    monkeypatch.undo()
    assert not store.get(STAGE, write_result).is_reused


def test_a_file_that_cannot_be_read_is_not_torn(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(storage)
    store.get(STAGE, write_result)
    monkeypatch.setattr(stage_results, "_verified", set())

    def fail(path: Path) -> str:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(stage_results, "sha256_of_file", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            store.get(STAGE, never)
    assert store.get(STAGE, never).is_reused


def test_a_result_of_an_older_format_gets_its_digests_and_is_not_made_again(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(storage)
    folder = store.get(STAGE, write_result).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "DONE").write_text("")
    found = store.get(STAGE, never)
    assert set(found.manifest["files"]) == {WEIGHTS, "heads"}
    monkeypatch.setattr(stage_results, "_verified", set())
    assert store.get(STAGE, never).is_reused
    change(folder / WEIGHTS)
    monkeypatch.setattr(stage_results, "_verified", set())
    assert not store.get(STAGE, write_result).is_reused


def test_weights_that_an_older_format_dropped_stay_dropped(storage: Path) -> None:
    store = Store(storage)
    folder = store.get(STAGE, write_result).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "DONE").write_text("")
    (folder / WEIGHTS).unlink()
    assert store.get(STAGE, never).is_reused
    assert not store.has_weights(STAGE)
    assert (store.get(STAGE, write_result, with_weights=True).folder / WEIGHTS).exists()


def test_a_folder_of_another_stage_is_refused(storage: Path) -> None:
    store = Store(storage)
    other = Pretrained("m", "/nowhere", "others", "tokenizer")
    store.get(other, write_result)
    store.path(other).rename(store.path(STAGE))
    with pytest.raises(StoreError, match="holds another stage"):
        store.get(STAGE, write_result)


def test_a_storage_that_has_vanished_is_not_made_anew(storage: Path) -> None:
    store = Store(storage, identity=open_storage(storage))
    moved = storage.with_name(f"{storage.name}-moved")
    storage.rename(moved)
    storage.mkdir()  # an empty mount point
    with pytest.raises(StorageGone, match="is not there"):
        store.get(STAGE, write_result)
    assert list(storage.iterdir()) == []
    open_storage(storage)
    with pytest.raises(StorageGone, match="another storage"):
        store.get(STAGE, write_result)
    assert not store.path(STAGE).exists()

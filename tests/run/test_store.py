"""The store: complete or absent, computed once, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from xstilts.errors import Preempted, StoreError
from xstilts.plan.stage import Pretrained, stage_name
from xstilts.run.store import DONE, Store

STAGE = Pretrained("m", "/nowhere", "weights", "tokenizer")


def write_result(folder: Path) -> dict[str, str]:
    (folder / "weights").write_text("result")
    return {"made": "here"}


def test_a_stage_is_computed_once_and_read_after(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.get(STAGE, write_result)
    second = store.get(STAGE, lambda folder: pytest.fail("computed twice"))
    assert (first.is_reused, second.is_reused) == (False, True)
    assert second.manifest["made"] == "here"
    assert (second.folder / "weights").read_text() == "result"


def test_a_folder_without_done_does_not_exist(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.get(STAGE, write_result)
    (store.path(STAGE) / DONE).unlink()
    (store.path(STAGE) / "weights").write_text("torn")
    assert not store.has(STAGE)
    assert (store.get(STAGE, write_result).folder / "weights").read_text() == "result"


def test_a_failed_computation_leaves_nothing_and_frees_the_lease(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(folder: Path) -> dict[str, str]:
        (folder / "weights").write_text("half")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        store.get(STAGE, fail)
    assert [path.name for path in store.folder.iterdir()] == []
    assert not store.is_in_work(STAGE)
    assert not store.get(STAGE, write_result).is_reused


def test_two_threads_compute_a_stage_once(tmp_path: Path) -> None:
    calls: list[str] = []
    gate = threading.Event()

    def slow(folder: Path) -> dict[str, str]:
        calls.append("call")
        gate.wait(5)
        return write_result(folder)

    found = []
    threads = [
        threading.Thread(target=lambda: found.append(Store(tmp_path).get(STAGE, slow)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    while not calls:
        pass
    assert Store(tmp_path).is_in_work(STAGE)
    gate.set()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert sorted(f.is_reused for f in found) == [False, True]
    assert max(f.wait_s for f in found) > 0


def test_who_waits_can_be_told_to_stop(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def compute(folder: Path) -> dict[str, str]:
        begun.set()
        assert go_on.wait(30)
        return write_result(folder)

    owner = threading.Thread(target=Store(tmp_path).get, args=(STAGE, compute))
    owner.start()
    assert begun.wait(30)

    def stop() -> None:
        raise Preempted("told to stop")

    with pytest.raises(Preempted):
        Store(tmp_path, heartbeat_s=0.2).get(STAGE, lambda folder: pytest.fail("twice"), stop)
    go_on.set()
    owner.join(30)
    assert Store(tmp_path).has(STAGE), "the owner was left alone"


def test_a_killed_owner_is_taken_over_and_its_rest_is_swept(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from xstilts.plan.stage import Pretrained
        from xstilts.run.store import Store
        def compute(folder):
            (folder / "weights").write_text("torn")
            print("computing", flush=True)
            time.sleep(60)
        Store(Path(sys.argv[1])).get(Pretrained("m", "/nowhere", "weights", "tokenizer"), compute)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "computing\n"
    store = Store(tmp_path)
    assert store.is_in_work(STAGE)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not store.is_in_work(STAGE)
    assert not store.has(STAGE)
    assert (store.get(STAGE, write_result).folder / "weights").read_text() == "result"
    assert [path.name for path in store.folder.iterdir()] == [stage_name(STAGE)]


def test_a_folder_of_another_stage_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.get(STAGE, write_result)
    manifest = store.path(STAGE) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    with pytest.raises(StoreError, match="holds another stage"):
        store.get(STAGE, write_result)
    manifest.write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        store.read(STAGE)

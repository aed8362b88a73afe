"""Leases: one holder a number, ended by death or by silence, and harmless once lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from xstilts.errors import LeaseLost
from xstilts.lease import HEARTBEAT_S, Lease, Owner, Sight, living

HOLD = """
import sys
from pathlib import Path
from xstilts.errors import LeaseLost
from xstilts.lease import Lease
lease = Lease(Path(sys.argv[1]), float(sys.argv[2]))
print(lease.acquire(), flush=True)
with lease.held():
    sys.stdin.readline()
    try:
        lease.renew()
        print("held")
    except LeaseLost as error:
        print(error)
"""
"""A process that takes a lease, keeps it alive until it gets a line, and says what came of it."""


@contextmanager
def holding_process(folder: Path, heartbeat_s: float = 10.0) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease of a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(heartbeat_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def elsewhere() -> Owner:
    """A process of which nothing can be known here."""
    return replace(Owner.current(), host="elsewhere", boot="another")


def wait_until(is_true: Callable[[], bool], timeout_s: float = 10) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if is_true():
            return True
        time.sleep(0.01)
    return False


def numbers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_lease_is_held_by_one_process_and_free_after_release(tmp_path: Path) -> None:
    first, second = Lease(tmp_path), Lease(tmp_path)
    assert first.acquire()
    assert not first.acquire()
    assert not second.acquire()
    assert second.holder() == first.owner
    first.release()
    assert second.holder() is None
    assert second.acquire()
    assert (first.number, second.number) == (0, 2)
    assert numbers(tmp_path) == ["0001.lease", "0002.lease"], "numbers are never used again"


def test_a_lease_of_a_folder_that_is_not_there_is_free(tmp_path: Path) -> None:
    assert Lease(tmp_path / "nothing").look() is Sight.FREE
    assert Lease(tmp_path / "nothing").holder() is None


def test_a_killed_process_loses_its_lease_at_once(tmp_path: Path) -> None:
    mine = Lease(tmp_path)
    with holding_process(tmp_path) as process:
        assert not mine.acquire()
        assert mine.look() is Sight.ALIVE
        assert (mine.holder() or mine.owner).pid == process.pid
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie is dead
        assert mine.acquire()
    assert mine.number == 2
    assert not Lease(tmp_path).acquire()


def test_a_stopped_process_loses_its_lease_by_silence_and_may_publish_nothing(
    tmp_path: Path,
) -> None:
    with holding_process(tmp_path, heartbeat_s=0.1) as process:
        mine = Lease(tmp_path, 0.1)
        assert wait_until(lambda: mine.look() is Sight.ALIVE)
        process.send_signal(signal.SIGSTOP)
        assert wait_until(mine.acquire)
        assert mine.number == 2
        process.send_signal(signal.SIGCONT)
        text, _ = process.communicate("\n", timeout=30)
    assert "another process has taken over what this one was stopped in" in text
    assert f"process {os.getpid()} on" in text
    mine.renew()


def test_a_dead_owner_of_another_namespace_boot_or_machine_is_not_known_to_be_dead(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    gone = replace(Owner.current(), pid=dead.pid)
    assert gone.is_dead()
    for name in ("host", "machine", "boot", "pids"):
        assert not replace(gone, **{name: "another"}).is_dead(), name
        assert not replace(gone, **{name: ""}).is_dead(), name
    owner = replace(gone, pids="pid:[1]")
    assert Lease(tmp_path, owner=owner).acquire()
    clock = Clock()
    mine = Lease(tmp_path, clock=clock)
    assert not mine.acquire()
    clock.now += 3 * HEARTBEAT_S
    assert mine.acquire()


def test_a_process_id_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    own = Owner.current()
    assert not own.is_dead() and own.is_running()
    assert replace(own, started="1").is_dead()
    assert Lease(tmp_path, owner=replace(own, started="1")).acquire()
    assert Lease(tmp_path).acquire()


def test_silence_is_what_the_reader_has_watched_by_its_own_clock(tmp_path: Path) -> None:
    """Whatever the times of the file say, and however far clocks are apart."""
    theirs = Lease(tmp_path, owner=elsewhere())
    assert theirs.acquire()
    for then in (0.0, time.time() + 1e6):
        os.utime(tmp_path / "0001.lease", (then, then))
        clock = Clock()
        mine = Lease(tmp_path, clock=clock)
        for _ in range(10):
            assert not mine.acquire()
            clock.now += 2.9 * HEARTBEAT_S
            theirs.beat()
        assert not mine.acquire()
    clock.now += 3.1 * HEARTBEAT_S
    assert mine.acquire()
    assert theirs.is_lost


def test_a_reader_that_is_stopped_while_it_looks_has_not_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, clock = Lease(tmp_path, owner=elsewhere()), Clock()
    assert theirs.acquire()
    mine = Lease(tmp_path, clock=clock)
    assert not mine.acquire()
    read = Path.read_bytes

    def stopped(path: Path) -> bytes:
        content = read(path)
        clock.now += 1e6  # the holder beats meanwhile, which this reader has not seen
        return content

    monkeypatch.setattr(Path, "read_bytes", stopped)
    assert not mine.acquire()
    monkeypatch.undo()
    theirs.beat()
    assert not mine.acquire()


@pytest.mark.parametrize("content", ["", "[]", "null", '{"state":"held"}', '{"host": "else'])
def test_a_claim_without_a_readable_owner_ends_by_silence(tmp_path: Path, content: str) -> None:
    (tmp_path / "0007.lease").write_text(content)
    clock = Clock()
    lease = Lease(tmp_path, clock=clock)
    assert not lease.acquire()
    assert lease.look() is Sight.UNKNOWN
    clock.now += 3 * HEARTBEAT_S
    assert lease.acquire()
    assert lease.number == 8


def test_a_lease_of_a_dead_process_goes_to_exactly_one_of_many(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    rounds, winners = 100, []
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for i in range(rounds):
            folder = tmp_path / str(i)
            folder.mkdir()
            assert Lease(folder, owner=replace(Owner.current(), pid=dead.pid)).acquire()
            barrier, won = threading.Barrier(6), []

            def race(folder: Path, barrier: threading.Barrier, won: list[Lease]) -> None:
                lease = Lease(folder)
                barrier.wait()
                if lease.acquire():
                    won.append(lease)

            threads = [threading.Thread(target=race, args=(folder, barrier, won)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            winners.append([lease.number for lease in won])
    finally:
        sys.setswitchinterval(switch_interval)
    assert winners == [[2]] * rounds


def test_a_lease_is_given_back_by_its_holder_alone(tmp_path: Path) -> None:
    theirs = Lease(tmp_path, owner=elsewhere())
    assert theirs.acquire()
    mine = Lease(tmp_path)
    mine.release()
    assert mine.holder() == theirs.owner
    with pytest.raises(RuntimeError), theirs.held():
        raise RuntimeError("the block failed")
    assert mine.holder() is None
    assert mine.acquire()


def test_a_late_release_leaves_the_next_holder_alone(tmp_path: Path) -> None:
    clock = Clock()
    late, next_ = Lease(tmp_path, owner=elsewhere()), Lease(tmp_path, clock=clock)
    assert late.acquire()
    assert not next_.acquire()
    clock.now += 3 * HEARTBEAT_S
    assert next_.acquire()
    late.release()
    assert next_.holder() == next_.owner
    next_.renew()


def test_the_heartbeat_keeps_a_lease_alive(tmp_path: Path) -> None:
    lease = Lease(tmp_path, 0.1, owner=elsewhere())  # a busy machine keeps a thread waiting so long
    assert lease.acquire()
    watcher = Lease(tmp_path, 0.1)
    with lease.held():
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert watcher.look() is not Sight.FREE
        assert watcher.look() is Sight.ALIVE
        assert living([watcher]) == [watcher]
    assert watcher.look() is Sight.FREE


def test_a_heartbeat_survives_an_error_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lease, pwrite = Lease(tmp_path, 0.02), os.pwrite
    assert lease.acquire()
    failures = iter([OSError(errno.EIO, "Input/output error")] * 3)

    def fail_at_first(descriptor: int, data: bytes, offset: int) -> int:
        if (failure := next(failures, None)) is not None:
            raise failure
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", fail_at_first)
    with lease.held():
        before = (tmp_path / "0001.lease").read_bytes()
        assert wait_until(lambda: (tmp_path / "0001.lease").read_bytes() != before)
        lease.renew()
    assert caplog.text.count("Input/output error") == 1, "the same trouble is told once"


def test_who_cannot_beat_may_not_publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(tmp_path, 0.02)
    assert lease.acquire()

    def fail(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(LeaseLost, match="cannot be written"):
            lease.renew()
    lease.renew()
    (tmp_path / "0001.lease").unlink()
    with pytest.raises(LeaseLost, match="is gone"):
        lease.renew()


def test_a_holder_that_slept_knows_that_it_may_have_lost_its_lease(tmp_path: Path) -> None:
    life = Clock()
    lease = Lease(tmp_path, life=life)
    assert lease.acquire()
    life.now += 3 * HEARTBEAT_S - 1
    assert not lease.is_lost
    life.now += 1
    assert lease.is_lost
    lease.check()  # nobody has taken it: it beats again
    assert not lease.is_lost


def test_a_holder_leaves_the_claim_of_a_folder_that_was_made_anew_alone(tmp_path: Path) -> None:
    """`gc` has deleted the folder while it was stopped, and numbers begin anew."""
    folder = tmp_path / "stage"
    folder.mkdir()
    late = Lease(folder)
    assert late.acquire()
    folder.rename(tmp_path / "trash")
    folder.mkdir()
    other = Lease(folder)
    assert other.acquire() and other.number == late.number
    before = (folder / "0001.lease").read_bytes()
    with pytest.raises(LeaseLost, match="is gone"):
        late.renew()
    late.release()
    assert (folder / "0001.lease").read_bytes() == before


def test_a_claim_says_who_holds_it_and_nothing_secret(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    assert lease.acquire()
    claim = json.loads((tmp_path / "0001.lease").read_text())
    assert set(claim) == {*Owner.__slots__, "beat", "state"}
    assert claim["pid"] == os.getpid() and claim["state"] == "held"


def test_of_many_leases_each_is_watched_as_long_as_it_takes(tmp_path: Path) -> None:
    """All at once: as long as one takes, not one after the other."""
    silent, beating, free = (tmp_path / name for name in ("silent", "beating", "free"))
    for folder in (silent, beating, free):
        folder.mkdir()
    assert Lease(silent, 0.1, owner=elsewhere()).acquire()
    other = Lease(beating, 0.1, owner=elsewhere())
    assert other.acquire()
    watched = [Lease(folder, 0.1) for folder in (silent, beating, free)]
    with other.held():
        begun = time.monotonic()
        assert [lease.folder for lease in living(watched)] == [beating]
        assert time.monotonic() - begun < 2


def test_taking_a_lease_looks_at_its_own_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others there are."""
    for i in range(64):
        (tmp_path / str(i)).mkdir()
        assert Lease(tmp_path / str(i)).acquire()
    listed, iterdir = [], Path.iterdir

    def note(path: Path) -> Iterator[Path]:
        listed.append(path)
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", note)
    lease = Lease(tmp_path / "3")
    assert not lease.acquire()
    assert set(listed) == {tmp_path / "3"}

"""Files and identities: what survives a kill, and who may compute what."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xstilts import files
from xstilts.files import (
    Lease,
    canonical_json,
    derive_seed,
    is_process_alive,
    read_json,
    sha256_of,
    sha256_of_file,
    write_atomically,
    write_json,
)

HOLD = """
import sys
from pathlib import Path
from xstilts.files import Lease
print(Lease(Path(sys.argv[1])).acquire(), flush=True)
sys.stdin.readline()
"""
"""A process that takes a lease and lives until its input ends."""


@contextmanager
def holding_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease at `path`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()


def lease_of_another_host(path: Path, heartbeat_s: float = files.HEARTBEAT_S) -> Lease:
    lease = Lease(path, heartbeat_s, owner={"host": "elsewhere", "pid": 1, "token": "theirs"})
    assert lease.acquire()
    return lease


def let_be_silent(path: Path, silent_s: float) -> None:
    then = time.time() - silent_s
    os.utime(path, (then, then))


def wait_until(is_true: Callable[[], bool], timeout_s: float = 10) -> bool:
    end = time.monotonic() + timeout_s
    while not is_true() and time.monotonic() < end:
        time.sleep(0.01)
    return is_true()


def test_canonical_json_depends_on_the_value_alone() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    assert sha256_of({"a": 1, "b": {"c": 2, "d": 3}}) == sha256_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert sha256_of([1, 2]) != sha256_of([2, 1])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_json_does_not_have(number: float) -> None:
    with pytest.raises(ValueError):
        canonical_json({"loss": number})


def test_hash_of_a_file_is_the_standard_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_derived_seeds_never_change() -> None:
    """Finished results hang on these numbers: a change here changes every score."""
    assert derive_seed(0, "head", "mini_xnli") == 1244986256417375507
    assert derive_seed(1, "head", "mini_xnli") == 132587083137487398


def test_derived_seeds_differ_by_seed_and_purpose() -> None:
    seeds = {
        derive_seed(seed, *purpose)
        for seed in range(20)
        for purpose in ((), ("head",), ("order",), ("head", "order"), ("headorder",))
    }
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_written_file_holds_the_new_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "value.json"
    write_json(path, {"ü": [1]})
    write_json(path, {"ü": [2]})
    assert read_json(path) == {"ü": [2]}
    write_atomically(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "value"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(*((os, "fsync") if broken == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_process_killed_while_writing_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_atomically(path, "old")
    script = """
import os, signal, sys
from pathlib import Path
from xstilts.files import write_atomically
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), "new" * 1000)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but not waited for
    assert not is_process_alive(process.pid)
    process.wait()
    assert not is_process_alive(process.pid)
    assert is_process_alive(os.getpid())


def test_lease_is_held_by_one_process_and_free_after_release(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "lease"), Lease(tmp_path / "lease")
    assert first.acquire()
    assert not first.acquire()
    assert not second.acquire()
    assert second.holder() == first.owner
    first.release()
    assert second.holder() is None
    assert second.acquire()


def test_lease_of_a_living_process_is_refused_and_of_a_killed_one_taken_over(
    tmp_path: Path,
) -> None:
    mine = Lease(tmp_path / "lease")
    with holding_process(mine.path) as process:
        assert not mine.acquire()
        assert (mine.holder() or {})["pid"] == process.pid
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert mine.acquire()
    assert mine.holder() == mine.owner
    assert not Lease(mine.path).acquire()


def test_lease_of_a_dead_process_goes_to_exactly_one_of_many(tmp_path: Path) -> None:
    """Losers of the race must not throw the winner's fresh lease away."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    rounds, winners = 100, []
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for i in range(rounds):
            path = tmp_path / str(i)
            owner = {"host": socket.gethostname(), "pid": dead.pid, "token": "dead"}
            assert Lease(path, owner=owner).acquire()
            barrier, won = threading.Barrier(6), []

            def race(path: Path, barrier: threading.Barrier, won: list[Lease]) -> None:
                lease = Lease(path)
                barrier.wait()
                if lease.acquire():
                    won.append(lease)

            threads = [threading.Thread(target=race, args=(path, barrier, won)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            winners.append(len(won))
    finally:
        sys.setswitchinterval(switch_interval)
    assert winners == [1] * rounds


def test_lease_of_another_host_is_stale_by_silence_alone(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    lease_of_another_host(path)
    mine = Lease(path)
    let_be_silent(path, 2 * files.HEARTBEAT_S)
    assert not mine.acquire()
    let_be_silent(path, 4 * files.HEARTBEAT_S)
    assert mine.acquire()
    assert mine.holder() == mine.owner


def test_silence_ends_a_lease_on_this_host_too(tmp_path: Path) -> None:
    """A process id that lives may be another process than the one that took the lease."""
    first, second = Lease(tmp_path / "lease"), Lease(tmp_path / "lease")
    assert first.acquire()
    let_be_silent(first.path, 4 * files.HEARTBEAT_S)
    assert second.acquire()


@pytest.mark.parametrize("content", ["", "[]", '{"host": "elsewhere"'])
def test_lease_without_a_readable_owner_is_held_until_it_is_silent(
    tmp_path: Path, content: str
) -> None:
    lease = Lease(tmp_path / "lease")
    lease.path.write_text(content)
    assert not lease.acquire()
    let_be_silent(lease.path, 4 * files.HEARTBEAT_S)
    assert lease.acquire()
    assert json.loads(lease.path.read_text()) == lease.owner


def test_lease_is_not_released_by_another(tmp_path: Path) -> None:
    theirs = lease_of_another_host(tmp_path / "lease")
    mine = Lease(theirs.path)
    mine.release()
    with mine.held():
        pass
    assert mine.holder() == theirs.owner


def test_heartbeat_keeps_a_lease_alive_and_the_block_releases_it(tmp_path: Path) -> None:
    lease = lease_of_another_host(tmp_path / "lease", heartbeat_s=0.02)
    mine = Lease(lease.path)
    with pytest.raises(RuntimeError), lease.held():
        let_be_silent(lease.path, 1000)
        assert wait_until(lambda: not mine.is_stale())
        let_be_silent(lease.path, 1000)
        assert wait_until(lambda: not mine.is_stale())
        assert not mine.acquire()
        raise RuntimeError("the block failed")
    assert mine.holder() is None
    assert mine.acquire()

"""A crowd of workers on one storage, through two mounts of sshfs that share no locks.

Every stage is computed once, whoever wants it; the driver's lease goes from hand to hand, and the
journal that it guards loses no line. Workers are processes that believe to be on two hosts, so that
nothing but the files tells one that another lives.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from xstilts import lease
from xstilts.lease import Lease
from xstilts.plan.stage import Pretrained
from xstilts.run.places import Places
from xstilts.run.storage import open_storage
from xstilts.run.store import Claim, Store
from xstilts.search.journal import JOURNAL, take_up_journal

BEAT_S = 2.0
"""A heartbeat for a busy machine: three that are missed end a lease."""

LINES = 3
"""What each driver appends to the journal, a write each."""


def stage_of(number: int) -> Pretrained:
    return Pretrained(f"m{number}", "/nowhere", "weights", "tokenizer")


def work(mount: Path, notes: Path, number: int, stages: int, go: Any) -> None:
    """One worker: all stages in an order of its own, then a turn as the driver of the sweep."""
    lease._place = lambda: (f"host {number % 2}",) * 4  # type: ignore[assignment, return-value]
    computed: list[int] = []
    order = random.Random(number).sample(range(stages), stages)
    store = Store(mount, BEAT_S)
    go.wait()
    begun = time.monotonic()
    for one in order:

        def compute(claim: Claim, one: int = one) -> dict[str, Any]:
            computed.append(one)
            (claim.folder / "values").write_text(f"{one} by {number}")
            time.sleep(0.05)
            return {"by": number}

        found = store.get(stage_of(one), compute)
        text = (found.folder / "values").read_text()
        assert text == f"{one} by {found.manifest['by']}", text
    stages_s = time.monotonic() - begun
    launch = drive(Places(mount, "s"), number)
    told = {"computed": computed, "launch": launch, "stages_s": stages_s}
    (notes / f"{number}.json").write_text(json.dumps(told))


def drive(places: Places, number: int) -> int:
    """Wait for the driver's lease, append to the journal, give the lease back; its number."""
    own = Lease(places.launches, BEAT_S)
    while not own.acquire():
        time.sleep(0.05)
    with own.held():
        places.launch(own.number).mkdir()
        journal = take_up_journal(places, own.number, own.check)
        for line in range(LINES):
            journal.append_logs([{"driver": number, "line": line, "text": "x" * 500}])
        return own.number


def crowd(mounts: list[Path], notes: Path, workers: int, stages: int, patience_s: float) -> None:
    open_storage(mounts[0])
    places = Places(mounts[0], "s")
    for folder in (places.sweep, places.launches):
        folder.mkdir()
    context = multiprocessing.get_context("fork")  # one import for all
    go = context.Event()
    arguments = [(mounts[i % 2], notes, i, stages, go) for i in range(workers)]
    processes = [context.Process(target=work, args=one) for one in arguments]
    for process in processes:
        process.start()
    begun = time.monotonic()
    go.set()
    for process in processes:
        process.join(max(1.0, begun + patience_s - time.monotonic()))
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0] * workers
    told = [json.loads((notes / f"{i}.json").read_text()) for i in range(workers)]
    computed = Counter(stage for one in told for stage in one["computed"])
    assert computed == Counter(range(stages)), "each stage is computed once"
    assert len({one["launch"] for one in told}) == workers, "each drove under its own number"
    last = max(one["launch"] for one in told)
    for mount in mounts:
        content = (Places(mount, "s").launch(last) / JOURNAL).read_text()
        assert content.endswith("\n")
        lines = [json.loads(line) for line in content.splitlines()]
        by_launch = sorted(told, key=lambda one: one["launch"])
        wanted = [(told.index(one), line) for one in by_launch for line in range(LINES)]
        assert [(one["driver"], one["line"]) for one in lines] == wanted, "none is lost or torn"
    seconds = [one["stages_s"] for one in told]
    print(
        f"{workers} workers, {stages} stages: {time.monotonic() - begun:.1f} s in all, stages "
        f"{min(seconds):.1f} to {max(seconds):.1f} s, load {os.getloadavg()[0]:.0f}"
    )


@pytest.mark.slow
def test_eight_workers_on_two_mounts_compute_each_stage_once(
    mounts: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    crowd(mounts, tmp_path / "notes", workers=8, stages=12, patience_s=120)


@pytest.mark.slow
@pytest.mark.soak
def test_sixty_four_workers_on_two_mounts_compute_each_stage_once(
    mounts: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    crowd(mounts, tmp_path / "notes", workers=64, stages=40, patience_s=1500)

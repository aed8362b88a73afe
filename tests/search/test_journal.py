"""The journal: whole lines, whatever was cut off or could not be written."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from xstilts.errors import LeaseLost
from xstilts.run.places import Places
from xstilts.run.storage import open_storage
from xstilts.search.journal import JOURNAL, TORN, Journal, take_up_journal
from xstilts.search.proposals import Proposals

from .test_proposals import make_sweep

TRIALS = 4


def run(journal: Journal, count: int = TRIALS) -> list[dict[str, Any]]:
    """Make and tell all proposals of a sweep; what was open before is told too."""
    proposals = Proposals(make_sweep(TRIALS), journal)
    while proposals.ask() is not None and len(proposals.made) < count:
        pass
    for number, name in enumerate(proposals.made):
        proposals.tell(name, float(number))
    return [proposal.point for proposal in proposals.made.values()]


def states(path: Path) -> list[tuple[str, float | None]]:
    """What Optuna itself reads of a journal."""
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    return [(trial.state.name, trial.value) for trial in study.trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[dict[str, Any]]]:
    """A finished journal and its points."""
    path = tmp_path_factory.mktemp("journal") / JOURNAL
    points = run(Journal(path))
    assert len(points) == TRIALS
    return path.read_bytes(), points


def test_optuna_reads_what_was_written(
    tmp_path: Path, whole: tuple[bytes, list[dict[str, Any]]]
) -> None:
    (tmp_path / JOURNAL).write_bytes(whole[0])
    assert states(tmp_path / JOURNAL) == [("COMPLETE", float(i)) for i in range(TRIALS)]


def test_a_journal_that_was_cut_off_anywhere_goes_on_to_the_same_search(
    tmp_path: Path,
    whole: tuple[bytes, list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At every byte: half a line is cut off, kept aside said, and what it told is done again."""
    content, points = whole
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: None
    )  # thousands of them take half a minute
    lines = list(io.BytesIO(content))
    ends = {sum(map(len, lines[:count])) for count in range(len(lines) + 1)}
    for position in range(len(content) + 1):
        folder = tmp_path / str(position)
        folder.mkdir()
        (folder / JOURNAL).write_bytes(content[:position])
        caplog.clear()
        journal = Journal(folder / JOURNAL)
        assert (folder / TORN).exists() == (position not in ends) == ("torn" in caplog.text)
        kept = (folder / JOURNAL).read_bytes()
        torn = (folder / TORN).read_bytes() if position not in ends else b""
        assert kept + torn == content[:position]
        # A search over again for every byte would take minutes: one of every line is enough.
        if position in ends or position + 1 in ends:
            assert run(journal) == points
            assert states(folder / JOURNAL) == [("COMPLETE", float(i)) for i in range(TRIALS)]


@pytest.mark.parametrize("rest", [b"\0" * 300, b'{"op_code": 4}{"op_', b"null\n", b"[]\n{}\n"])
def test_what_is_no_operation_is_cut_off_with_all_that_follows(
    tmp_path: Path, whole: tuple[bytes, list[dict[str, Any]]], rest: bytes
) -> None:
    content, points = whole
    (tmp_path / JOURNAL).write_bytes(content + rest)
    assert run(Journal(tmp_path / JOURNAL)) == points
    assert (tmp_path / JOURNAL).read_bytes() == content
    assert (tmp_path / TORN).read_bytes() == rest


@pytest.mark.parametrize("part", [0, 0.5, 1])
def test_an_append_that_fails_is_undone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: tuple[bytes, list[dict[str, Any]]],
    part: float,
) -> None:
    """The disk is full before the first byte, after half a line, and only when it is synced."""
    path = tmp_path / JOURNAL
    journal = Journal(path)
    proposals = Proposals(make_sweep(TRIALS), journal)
    assert proposals.ask() is not None
    before = path.read_bytes()
    full = OSError(errno.ENOSPC, "No space left on device")

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if part < 1:
                super().write(data[: int(part * len(data))])
                raise full
            return super().write(data)

    def sync(descriptor: int) -> None:
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode, buffering: Full(path, "r+b"))
        patch.setattr(os, "fsync", sync)
        with pytest.raises(OSError, match="No space left"):
            proposals.ask()
    assert path.read_bytes() == before
    assert run(journal) == whole[1], "the same object goes on once there is space"
    assert run(Journal(path)) == whole[1]


def test_a_write_after_the_sweep_was_taken_over_is_refused(tmp_path: Path) -> None:
    def lost() -> None:
        raise LeaseLost("another process has taken over")

    path = tmp_path / JOURNAL
    proposals = Proposals(make_sweep(TRIALS), Journal(path))
    one = proposals.ask()
    assert one is not None
    before = path.read_bytes()
    late = Proposals(make_sweep(TRIALS), Journal(path, lost))
    with pytest.raises(LeaseLost):
        late.ask()
    with pytest.raises(LeaseLost):
        late.tell(one.config_id, 1.0)
    assert path.read_bytes() == before


def test_what_a_stopped_driver_still_writes_is_read_by_nobody(
    tmp_path: Path, whole: tuple[bytes, list[dict[str, Any]]]
) -> None:
    """It passed its check, was stopped, and writes after the next launch has begun."""
    open_storage(tmp_path)
    places = Places(tmp_path, "s")
    for folder in (places.sweep, places.launches, places.launch(1), places.launch(2)):
        folder.mkdir()
    first = Proposals(make_sweep(TRIALS), take_up_journal(places, 1, lambda: None))
    made = [first.ask(), first.ask()]
    second = Proposals(make_sweep(TRIALS), take_up_journal(places, 2, lambda: None))
    late = first.ask()
    assert late is not None
    first.tell(late.config_id, 99.0)
    assert [proposal for proposal in made if proposal] == list(second.made.values())
    points = [proposal.point for proposal in second.made.values()]
    while (proposal := second.ask()) is not None:
        points.append(proposal.point)
    assert points == whole[1], "no point twice, none left out"
    assert 99.0 not in [value for _, value in states(places.launch(2) / JOURNAL)]


def test_a_launch_begins_with_the_newest_journal_before_it(
    tmp_path: Path, whole: tuple[bytes, list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    open_storage(tmp_path)
    places = Places(tmp_path, "s")
    for folder in (places.sweep, places.launches, *map(places.launch, (0, 9, 10, 11, 12))):
        folder.mkdir()
    (places.launch(0) / JOURNAL).write_bytes(b"")
    (places.launch(9) / JOURNAL).write_bytes(b"")
    (places.launch(10) / JOURNAL).write_bytes(whole[0] + b'{"half')
    (places.launch(12) / JOURNAL).write_bytes(b"")  # of a later launch
    journal = take_up_journal(places, 11, lambda: None)
    assert (places.launch(11) / JOURNAL).read_bytes() == whole[0]
    assert (places.launch(11) / TORN).read_bytes() == b'{"half'
    assert "6 bytes are kept aside" in caplog.text
    assert (places.launch(10) / JOURNAL).read_bytes().endswith(b'{"half'), "left as it was"
    assert run(journal) == whole[1]

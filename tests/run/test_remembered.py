"""The storage of the last sweep: found, named, overruled; no trouble where it cannot be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from xstilts.files import write_json
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.remembered import remember, storage_of

from ..conftest import make_places


def launched(root: Path, name: str) -> Path:
    """A storage with a sweep that was launched."""
    root.mkdir(parents=True)
    folder = make_places(root, name).launch(1)
    for file in (INVENTORY, TARGET_POINTS, SWEEP):
        write_json(folder / file, {})
    return root


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_the_last_storage_is_taken_and_named_where_the_folder_has_no_such_sweep(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(launched(home / "first", "one"))
    last = launched(home / "a long folder's name" / ("x" * 90), "two")
    remember(last)
    assert storage_of(None, "two") == last
    assert capsys.readouterr().err == f"--storage {last}: that of the last sweep\n"
    assert storage_of(None, None) == last
    capsys.readouterr()
    assert storage_of(Path("given"), "two") == Path("given")
    launched(home / "runs", "one")
    assert storage_of(None, "one") == storage_of(None, None) == Path("runs")
    assert storage_of(None, "neither") == Path("runs")
    assert capsys.readouterr().err == ""
    # `prepare` makes a sweep's folder, and no sweep.
    Places(home / "runs", "two").sweep.mkdir()
    assert storage_of(None, "two") == last


def test_a_storage_that_is_gone_is_not_named(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(launched(home / "last", "two"))
    (home / "last").rename(home / "away")
    assert storage_of(None, "two") == Path("runs")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", ["state", "home/.local/state"])
def test_it_stands_in_the_state_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place.startswith("home"):
        monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    remember(launched(home / "last", "two"))
    assert (home / place / "xstilts/last-storage").read_text() == f"{home / 'last'}\n"


def test_where_nothing_can_be_written_nothing_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
    remember(launched(home / "last", "two"))
    assert storage_of(None, "two") == Path("runs")
    (home / "state/xstilts").mkdir(parents=True)
    (home / "state/xstilts/last-storage").write_bytes(b"\xff\x00")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert storage_of(None, "two") == Path("runs")
    assert capsys.readouterr() == ("", "")

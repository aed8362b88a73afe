"""The storage of the last sweep: found, named, overruled; no trouble where it cannot be kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from xstilts.errors import ConfigError
from xstilts.files import write_json
from xstilts.run.places import INVENTORY, SWEEP, TARGET_POINTS, Places
from xstilts.run.remembered import find_sweep, remember, storage_of
from xstilts.run.storage import open_storage

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


def found(given: Path | None, name: str | None) -> tuple[Path, list[str]]:
    """The storage that is read, and what was told."""
    told: list[str] = []
    return storage_of(given, name, told.append), told


def test_the_last_storage_is_taken_and_named_where_the_folder_has_no_such_sweep(home: Path) -> None:
    remember(launched(home / "first", "one"))
    last = launched(home / "a long folder's name" / ("x" * 90), "two")
    remember(last)
    line = f"--storage {last}: that of the last sweep"
    assert found(None, "two") == found(None, None) == (last, [line])
    assert found(Path("given"), "two") == (Path("given"), [])
    # What was only planned here leaves a storage without a sweep.
    open_storage(home / "runs")
    assert found(None, None) == (last, [line])
    shutil.rmtree(home / "runs")
    launched(home / "runs", "one")
    assert found(None, "one") == found(None, None) == (Path("runs"), [])
    assert found(None, "neither") == (Path("runs"), [])
    # `prepare` makes a sweep's folder, and no sweep.
    Places(home / "runs", "two").sweep.mkdir()
    assert found(None, "two") == (last, [line])


def test_a_storage_that_is_gone_is_not_named(home: Path) -> None:
    remember(launched(home / "last", "two"))
    (home / "last").rename(home / "away")
    assert found(None, "two") == (Path("runs"), [])


def test_a_sweep_is_found_by_its_name_or_its_folder(home: Path) -> None:
    last = launched(home / "last", "two")
    remember(last)
    told: list[str] = []
    assert find_sweep("two", None, told.append) == Places(last, "two")
    assert told == [f"--storage {last}: that of the last sweep"]
    for folder in (last / "sweeps" / "two", "last/sweeps/two"):
        assert find_sweep(folder, None, told.append) == Places(last, "two")
    for wrong in ("../two", "", last, last / "sweeps" / "gone", "sweeps/two"):
        with pytest.raises(ConfigError, match="is a plain name"):
            find_sweep(wrong, last, told.append)
    assert len(told) == 1


@pytest.mark.parametrize("place", ["state", "home/.local/state"])
def test_it_stands_in_the_state_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place.startswith("home"):
        monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    remember(launched(home / "last", "two"))
    assert (home / place / "xstilts/last-storage").read_text() == f"{home / 'last'}\n"


def test_where_nothing_can_be_written_nothing_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
    remember(launched(home / "last", "two"))
    assert found(None, "two") == (Path("runs"), [])
    (home / "state/xstilts").mkdir(parents=True)
    (home / "state/xstilts/last-storage").write_bytes(b"\xff\x00")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert found(None, "two") == (Path("runs"), [])

"""A Ray of our own: its folder, its token; a story watches a whole sweep's sockets."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from xstilts.errors import ConfigError
from xstilts.search.own_ray import FOLDER, private_folder


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with a short name, in which Ray's folders are made."""
    with tempfile.TemporaryDirectory(prefix="x", dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


def test_the_folder_is_its_users_alone_and_goes_with_the_block(parent: Path) -> None:
    with private_folder() as folder:
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "ray").mkdir()
    assert not list(parent.iterdir())
    with pytest.raises(KeyboardInterrupt), private_folder():
        raise KeyboardInterrupt
    with pytest.raises(ConfigError), private_folder():
        raise ConfigError([])
    assert not list(parent.iterdir())


def test_after_an_error_the_logs_stay_until_the_next_launch(
    parent: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RuntimeError), private_folder() as folder:
        raise RuntimeError
    assert folder.exists()
    assert f"Ray's logs stay in {folder}" in caplog.text
    with private_folder() as other:
        assert list(parent.iterdir()) == [other]


HOLD = """
import sys
from xstilts.search.own_ray import private_folder
with private_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_another_uses_is_not(parent: Path) -> None:
    (parent / f"{FOLDER}link").symlink_to(parent)
    (parent / "other").mkdir()
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        killed, living = (Path(holder.stdout.readline().strip()) for holder in holders)
        holders[0].kill()
        holders[0].wait()
        assert killed.exists()
        with private_folder():
            assert not killed.exists()
            assert living.exists()
    finally:
        for holder in holders:
            holder.communicate("")
    assert {path.name for path in parent.iterdir()} == {f"{FOLDER}link", "other"}


def test_a_long_name_is_passed_over_for_a_short_one(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = parent / ("a_long_folder_as_batch_systems_make_them" * 2)
    too_long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(too_long))
    monkeypatch.setattr(tempfile, "tempdir", str(too_long))
    with private_folder() as folder:
        assert folder.parent == Path("/tmp")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=r"TMPDIR: .* at most 107 bytes.*set RAY_TMPDIR"):
        private_folder().__enter__()

"""A full disk stops the sweep with one clear line; with space again it ends with the same bits."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import require

from .conftest import Bench

pytestmark = pytest.mark.ray


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    require("cluster", os.geteuid() == 0, "only root may mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("left", [0, 5 * 4096])
def test_a_full_disk_and_space_again(
    small_disk: Path, bench: Bench, undisturbed: Bench, left: int
) -> None:
    """Full to the last byte, and with place for a few small files, of which one will be cut."""
    (bench.folder / "runs").symlink_to(small_disk)
    ballast = small_disk / "ballast"
    process = bench.start("sweep", "sweep.yaml")
    bench.wait_for(lambda: len(bench.stages()) >= 2, timeout_s=300)
    before = bench.stages()
    with ballast.open("wb", buffering=0) as stream:
        # All that is left, to the last page: the next stage cannot be written.
        for size in (2**20, 4096):
            with suppress(OSError):
                while stream.write(bytes(size)) == size:
                    pass
        stream.truncate(stream.tell() - left)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 1, text
    assert "disk is full" in text and "the same command goes on" in text
    assert "Traceback" not in text
    assert not any(record["state"] == "failed" for record in bench.records().values())
    ballast.unlink()
    bench.sweep()
    assert {name: bench.stages()[name] for name in before} == before
    assert bench.scores() == undisturbed.scores()

"""A bundle as it is written: the same bytes every time, whole or not there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from xstilts.errors import BundleError, ConfigError
from xstilts.study import bundle as module
from xstilts.study.bundle import Part, write_bundle
from xstilts.study.bundle_reader import Bundle

PARTS = {"a.json": b"{}\n", "folder/b.txt": b"text\n" * 2000}


def test_equal_parts_give_equal_bytes_in_a_plain_zip(tmp_path: Path) -> None:
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    digests = {write_bundle(path, "s", PARTS.items()) for path in (one, other)}
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.namelist() == [*PARTS, "manifest.json"]
        assert {about.date_time for about in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {about.external_attr >> 16 for about in archive.infolist()} == {0o100644}
        assert archive.read("folder/b.txt") == PARTS["folder/b.txt"]
        manifest = archive.read("manifest.json")
    assert digests == {sha256(manifest).hexdigest()}
    content = one.read_bytes()
    assert content[-64:].decode() == sha256(content[:-64]).hexdigest()


def test_a_part_has_a_checksum_of_each_of_its_blocks() -> None:
    part = Part.of(b"x" * 4097)
    assert (part.size, len(part.blocks)) == (4097, 16)
    assert part.blocks[8:] == Part.of(b"x").blocks
    assert Part.of(b"").blocks == ""


def interrupted() -> Iterator[tuple[str, bytes]]:
    yield from PARTS.items()
    raise KeyboardInterrupt


def test_an_interrupted_bundle_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with pytest.raises(KeyboardInterrupt):
        write_bundle(path, "s", interrupted())
    assert list(tmp_path.iterdir()) == []
    write_bundle(path, "s", PARTS.items())
    before = path.read_bytes()

    def refuse(written: Path) -> None:
        assert Bundle(written).manifest.sweep == "t"
        raise BundleError("it does not verify")

    with pytest.raises(BundleError, match="does not verify"):
        write_bundle(path, "t", PARTS.items(), refuse)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from xstilts.study.bundle import write_bundle
def parts():
    yield "a.json", os.urandom(100_000)
    os.kill(os.getpid(), signal.SIGKILL)
write_bundle(Path(sys.argv[1]), "s", parts())
"""


def test_a_killed_bundle_has_no_name(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    write_bundle(path, "s", PARTS.items())
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_bytes() == before
    assert all(left.name.startswith(".b.zip.") for left in tmp_path.iterdir() if left != path)
    write_bundle(path, "s", PARTS.items())
    assert path.read_bytes() == before


def test_where_it_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none" / "b.zip", tmp_path / "file" / "b.zip", tmp_path):
        with pytest.raises(ConfigError) as error:
            write_bundle(path, "s", PARTS.items())
        assert str(error.value).startswith(f"{path}: ") and "--out F" in str(error.value)
        assert "\n" not in str(error.value)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PART", 2**20)
    with pytest.raises(ConfigError, match=r"^a.json: a part of a bundle has at most 1 MiB; got 1"):
        write_bundle(tmp_path / "b.zip", "s", [("a.json", b"x" * (2**20 + 1))])
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    with pytest.raises(ConfigError, match=r"a bundle has at most 2047 MiB and 65534 parts"):
        write_bundle(tmp_path / "b.zip", "s", [("a.json", bytes(range(256)) * 8)])
    assert list(tmp_path.iterdir()) == []

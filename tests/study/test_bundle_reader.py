"""A bundle as it is read: what differs is found in its place, and what is none is refused."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from xstilts.errors import BundleError, ConfigError, XstiltsError
from xstilts.study import bundle_reader as module
from xstilts.study.bundle import FORMAT, SEAL, Manifest, Part, write_bundle
from xstilts.study.bundle_reader import Bundle

TEXT = "".join(f"line {i}\n" for i in range(2000)).encode()
PARTS = {"a.json": b'{"x": 1}\n', "folder/b.txt": TEXT}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "b.zip", "s", PARTS.items())
    return tmp_path / "b.zip"


def crafted(path: Path, members: Sequence[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    """A zip with these members and a seal that is right."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = SEAL % (FORMAT, b"0" * 64)
    return sealed(path, path.read_bytes())


def sealed(path: Path, content: bytes) -> Path:
    path.write_bytes(content[:-64] + sha256(content[:-64]).hexdigest().encode())
    return path


def manifest_of(parts: dict[str, bytes], sweep: str = "s", version: int = FORMAT) -> bytes:
    told = {name: Part.of(content) for name, content in parts.items()}
    return Manifest(format=version, sweep=sweep, xstilts="1", parts=told).to_bytes()


def wrong_in(path: Path) -> str:
    with pytest.raises(XstiltsError) as error, Bundle(path) as bundle:
        bundle.check()
    line = str(error.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_a_whole_one_gives_its_parts(path: Path) -> None:
    with Bundle(path) as bundle:
        bundle.check()
        assert bundle.read("folder/b.txt") == TEXT and bundle.json("a.json") == {"x": 1}
        assert [*bundle.names("folder")] == ["folder/b.txt"]
        assert bundle.manifest_sha256 == sha256(manifest_bytes(path)).hexdigest()
        with pytest.raises(BundleError, match=r"none.json: is missing"):
            bundle.read("none.json")
        with pytest.raises(BundleError, match=r"b.txt: is no JSON"):
            bundle.json("folder/b.txt")


def manifest_bytes(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("manifest.json")


@pytest.mark.parametrize("seed", range(40))
def test_each_changed_byte_is_found(path: Path, seed: int) -> None:
    drawn = random.Random(seed)
    content = bytearray(path.read_bytes())
    content[drawn.randrange(len(content))] ^= drawn.randrange(1, 256)
    path.write_bytes(content)
    assert wrong_in(path)


def test_a_change_within_a_part_is_found_in_its_place(tmp_path: Path) -> None:
    other = TEXT.replace(b"line 700\n", b"line 701\n")
    members = [("a.json", PARTS["a.json"]), ("folder/b.txt", other)]
    path = crafted(tmp_path / "b.zip", [*members, ("manifest.json", manifest_of(PARTS))])
    assert wrong_in(path) == (
        "folder/b.txt: differs within its bytes 4,096 to 8,192 of 18,890; get the bundle again "
        "from where it is from"
    )
    assert TEXT.index(b"line 700") in range(4096, 8192)
    longer = [("a.json", PARTS["a.json"]), ("folder/b.txt", TEXT + b"x")]
    crafted(path, [*longer, ("manifest.json", manifest_of(PARTS))])
    assert "differs within its bytes 16,384 to 18,890" in wrong_in(path)
    crafted(
        path, [members[0], ("folder/b.txt", TEXT[:8192]), ("manifest.json", manifest_of(PARTS))]
    )
    assert "folder/b.txt: has 8,192 bytes, and the manifest says 18,890" in wrong_in(path)


def test_packed_bytes_that_are_torn_are_found_in_their_part(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        begin = archive.getinfo("folder/b.txt").header_offset + 60
    content = bytearray(path.read_bytes())
    content[begin] ^= 255
    path.write_bytes(content)
    assert wrong_in(path).startswith("folder/b.txt: ")


def test_what_lies_between_the_parts_is_sealed_too(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 5] ^= 1  # by which system it was written
    path.write_bytes(content)
    assert wrong_in(path).startswith("what lies between its parts: is not what its seal says")


def test_missing_and_extra_parts_are_named(tmp_path: Path) -> None:
    manifest = ("manifest.json", manifest_of(PARTS))
    path = crafted(tmp_path / "b.zip", [("a.json", PARTS["a.json"]), manifest])
    assert wrong_in(path).startswith("folder/b.txt: is missing; ")
    crafted(path, [*PARTS.items(), ("more.txt", b""), manifest])
    assert wrong_in(path).startswith("more.txt: is no part of it: its manifest does not name it")
    crafted(path, [*PARTS.items()])
    assert wrong_in(path).startswith("manifest.json: is missing")


def test_what_is_no_bundle_is_refused_before_anything(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    cut, text, other = tmp_path / "cut.zip", tmp_path / "text.zip", tmp_path / "other.zip"
    cut.write_bytes(whole[:-10])
    text.write_text("no zip")
    other.write_bytes(whole.replace(b"bundle 001", b"bundle 002"))
    lines = {
        cut: "is no bundle, or was cut short: it does not end with a bundle's seal; get",
        text: "is no bundle, or was cut short",
        other: "this version reads bundles of format 1; got format 2; verify it with the xstilts",
        tmp_path / "none.zip": "cannot be read: No such file or directory; name a file that",
        tmp_path: "cannot be read: Is a directory",
    }
    for file, line in lines.items():
        assert wrong_in(file).startswith(line)
        with pytest.raises(ConfigError):
            Bundle(file)
    crafted(path, [("manifest.json", manifest_of({}, version=7))])
    assert wrong_in(path).startswith("this version reads bundles of format 1; got format 7")


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../b", ".a", "a//b", "a/b/c/d", "a\\b", "c:a", "a ", "ä", "a/"]
)
def test_names_lead_nowhere(tmp_path: Path, name: str) -> None:
    path = crafted(tmp_path / "b.zip", [(name, b""), ("manifest.json", manifest_of({}))])
    assert "is no name of a part" in wrong_in(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_are_as_a_bundle_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = ("manifest.json", manifest_of({"a": b"x"}))
    path = crafted(tmp_path / "b.zip", [("a", b"x"), ("a", b"y"), manifest])
    assert wrong_in(path).startswith("its table of contents: names a part twice")
    about = zipfile.ZipInfo("a")
    about.compress_type = zipfile.ZIP_BZIP2
    crafted(path, [(about, b"x"), manifest])
    assert wrong_in(path).startswith("a: is packed as no part of a bundle is")
    crafted(path, [("a", b"x"), ("manifest.json", manifest[1].replace(b' "sweep"', b'"sweep"'))])
    assert wrong_in(path).startswith("manifest.json: is not as a manifest is written")
    crafted(path, [("a", b"x"), ("manifest.json", manifest_of({"a": b"x"}, sweep="../s"))])
    assert wrong_in(path).startswith("manifest.json: is not as a manifest is written")
    crafted(path, [("a", b"x"), ("manifest.json", b'{"format": "1"}')])
    assert wrong_in(path).startswith("manifest.json: format: ")
    crafted(path, [("a", b"x"), manifest])
    monkeypatch.setattr(module, "MAX_UNPACKED", 10)
    assert "its parts: have more than" in wrong_in(path)
    monkeypatch.setattr(module, "MAX_PART", 10)
    assert "manifest.json: has more than" in wrong_in(path)
    monkeypatch.setattr(module, "MAX_CONTENTS", 10)
    assert "is no bundle" in wrong_in(path)
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    assert "a bundle has at most" in wrong_in(path)


def test_no_more_is_read_than_is_declared(tmp_path: Path) -> None:
    parts = {"a": b"x" * 10_000}
    path = crafted(tmp_path / "b.zip", [*parts.items(), ("manifest.json", manifest_of(parts))])
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (100).to_bytes(4, "little")
    sealed(path, bytes(content))
    assert wrong_in(path).startswith("a: ")


def test_larger_tables_of_contents_are_not_read(path: Path) -> None:
    content = path.read_bytes()
    end = content.index(b"PK\x05\x06")
    locator = b"PK\x06\x07" + bytes(16)
    sealed(path, content[:end] + locator + content[end:])
    assert wrong_in(path).startswith("is no bundle")


def test_what_a_bundle_says_cannot_steer_a_terminal(path: Path) -> None:
    with Bundle(path) as bundle:
        line = str(bundle.error("a\x1b[2J", "b\nc"))
    assert "\\x1b[2J" in line and "\n" not in line

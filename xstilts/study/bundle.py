"""A bundle as a file: parts in a zip, a manifest with the digest of each, a seal over all bytes.

The same parts give the same bytes: order, times and modes are fixed. The file appears whole under
its name or not at all.
"""

from __future__ import annotations

import os
import re
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from xstilts import __version__
from xstilts.errors import ConfigError, Problem
from xstilts.files import sync

FORMAT = 1
"""Version of what is in a bundle, and how."""

MANIFEST = "manifest.json"

NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,199}/){0,2}[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""What a part may be called: two folders deep at most, no hidden file, no way up."""

MAX_BYTES, MAX_PARTS = 2**31 - 1, 2**16 - 2
"""What a zip without extensions has."""

MAX_PART, MAX_UNPACKED = 2**26, 2**33
"""The largest part, and all of them: 64 MiB, 8 GiB."""

BLOCK = 4096
"""Bytes of a part that have a checksum of their own, so that a change is found in its place."""

DIGEST = 64
"""Characters of a sha256."""

SEAL = b"xstilts bundle %03d sha256 %s"
"""The end of the file: its format, and the digest of all bytes before the digest."""

SEALED = len(SEAL % (FORMAT, b"0" * DIGEST))


@dataclass(frozen=True, slots=True)
class Part:
    """A part as the manifest has it: `blocks` are the CRC-32 of every 4,096 bytes of it, eight
    hexadecimal digits each, one after the other."""

    size: int
    sha256: str
    blocks: str = field(repr=False)

    @classmethod
    def of(cls, content: bytes) -> Part:
        """That of a content."""
        starts = range(0, len(content), BLOCK)
        blocks = "".join(checksum(content[start : start + BLOCK]) for start in starts)
        return cls(len(content), sha256(content).hexdigest(), blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle has: of which sweep, written by which version, its parts by their names."""

    format: int
    sweep: str
    xstilts: str
    parts: Mapping[str, Part]

    def to_bytes(self) -> bytes:
        """As it stands in the bundle; its digest stands for all that the bundle says."""
        return json_bytes(self, indent=1)


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """A value as JSON, in one form; of what has none, as NaN, the error is pydantic's."""
    from pydantic_core import to_json

    return to_json(value, indent=indent) + b"\n"


def write_bundle(
    path: Path,
    sweep: str,
    parts: Iterable[tuple[str, bytes]],
    check: Callable[[Path], None] = lambda _: None,
) -> str:
    """Write a bundle, and give the digest of its manifest.

    Args:
        parts: names and contents, in the order that they get; made one after the other.
        check: called with the finished file before it has its name; what it raises ends all.

    Raises:
        ConfigError: the file cannot be written there, or the parts are too large for a bundle.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with _created(temporary, path) as stream:
            digest = _write(stream, sweep, parts)
            stream.flush()
            os.fsync(stream.fileno())
        check(temporary)
        temporary.replace(path)
        sync(path.parent)
    except zipfile.LargeZipFile:
        rule = f"a bundle has at most {MAX_BYTES >> 20} MiB and {MAX_PARTS} parts"
        raise ConfigError([Problem(str(path), rule, "more")]) from None
    finally:
        with suppress(OSError):  # a failure to tidy up must not hide the first one
            temporary.unlink(missing_ok=True)
    return digest


def _created(temporary: Path, path: Path) -> IO[bytes]:
    reason = "is a folder" if path.is_dir() else ""
    try:
        if not reason:
            return temporary.open("w+b")
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
    raise ConfigError([Problem(str(path), reason, repair="name another file: --out F")])


def _write(stream: IO[bytes], sweep: str, parts: Iterable[tuple[str, bytes]]) -> str:
    found: dict[str, Part] = {}
    with zipfile.ZipFile(stream, "w", allowZip64=False) as archive:
        for name, content in parts:
            assert NAME.fullmatch(name) and name not in found, name
            if len(content) > MAX_PART:
                rule = f"a part of a bundle has at most {MAX_PART >> 20} MiB"
                raise ConfigError([Problem(name, rule, f"{len(content) >> 20} MiB")])
            _add(archive, name, content)
            found[name] = Part.of(content)
        manifest = Manifest(format=FORMAT, sweep=sweep, xstilts=__version__, parts=found).to_bytes()
        _add(archive, MANIFEST, manifest)
        archive.comment = SEAL % (FORMAT, b"0" * DIGEST)
    digest = digest_of(stream, stream.seek(0, os.SEEK_END) - DIGEST)
    stream.seek(-DIGEST, os.SEEK_END)
    stream.write(digest.encode())
    return sha256(manifest).hexdigest()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    about = zipfile.ZipInfo(name)  # of 1980, as a zip has no earlier time
    about.create_system, about.external_attr = 3, 0o100644 << 16
    archive.writestr(about, content, zipfile.ZIP_DEFLATED, 6)


def digest_of(stream: IO[bytes], size: int) -> str:
    """Hex sha256 of the first bytes of a file."""
    digest, left = sha256(), size
    stream.seek(0)
    while left and (block := stream.read(min(left, 2**20))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def checksum(block: bytes) -> str:
    """A block's CRC-32 in hexadecimal digits: where a part differs, not whether."""
    return f"{zlib.crc32(block):08x}"

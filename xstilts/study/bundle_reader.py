"""A bundle read: its parts by name, compared with its manifest, and that with its seal.

It may come from a stranger: nothing is unpacked by the names in it, the names are plain, and all
sizes are bounded, those that it declares and those that are read.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from struct import error as StructError
from struct import unpack_from
from typing import Any

from xstilts.errors import BundleError, ConfigError, Problem
from xstilts.files import PLAIN_NAME
from xstilts.study.bundle import (
    BLOCK,
    DIGEST,
    FORMAT,
    MANIFEST,
    MAX_BYTES,
    MAX_PART,
    MAX_UNPACKED,
    NAME,
    SEALED,
    Manifest,
    Part,
    checksum,
    digest_of,
)

MAX_CONTENTS = 2**25
"""Bytes of the zip's table of contents."""

_SEAL = re.compile(rb"xstilts bundle (\d{3}) sha256 ([0-9a-f]{64})\Z")

END = 22
"""Bytes of a zip's last record, which the seal follows."""

AGAIN = "get the bundle again from where it is from"

_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, StructError, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError, LookupError, OverflowError),
)
"""What reading a torn zip raises."""


class Bundle:
    """A bundle that is read; `manifest_sha256` stands for all that it says.

    Raises:
        ConfigError: the file is no bundle, or one of another format.
        BundleError: its table of contents, or its manifest, is not as it was written.
    """

    def __init__(self, path: Path):
        self.path = path
        self._is_sealed = _is_sealed(path)
        try:
            self._archive = zipfile.ZipFile(path)
            self._members = {one.filename: one for one in self._archive.infolist()}
        except _UNREADABLE as error:
            raise self.error("its table of contents", f"cannot be read: {error}") from error
        self._check_members()
        content = self._content(MANIFEST)
        self.manifest = self._manifest(content)
        self.manifest_sha256 = sha256(content).hexdigest()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()

    def error(self, where: str, rule: str, repair: str = AGAIN) -> BundleError:
        """That something in the bundle is wrong, as a line that a terminal can show."""
        line = str(Problem(f"{self.path}: {where}", rule, repair=repair))
        return BundleError("".join(x if x.isprintable() else ascii(x)[1:-1] for x in line))

    def names(self, folder: str) -> Iterator[str]:
        """The parts in a folder of the bundle, in their order."""
        return (name for name in self.manifest.parts if name.startswith(f"{folder}/"))

    def check(self) -> None:
        """Compare all that is there with the manifest, part by part, and the file with its seal.

        Raises:
            BundleError: with the first part that is missing, too many, or another; in the latter
                where it differs.
        """
        parts, have = self.manifest.parts, self._members.keys() - {MANIFEST}
        for name in parts:
            if name not in have:
                raise self.error(name, "is missing")
        for name in self._members:
            if name not in parts and name != MANIFEST:
                raise self.error(name, "is no part of it: its manifest does not name it")
        for name, part in parts.items():
            self._compare(name, part)
        if not self._is_sealed:
            rule = "is not what its seal says, though all of its parts are"
            raise self.error("what lies between its parts", rule)

    def read(self, name: str) -> bytes:
        """A part's content.

        Raises:
            BundleError: there is none, or it is not what the manifest says.
        """
        if name not in self.manifest.parts:
            raise self.error(name, "is missing")
        content = self._content(name)
        if sha256(content).hexdigest() != self.manifest.parts[name].sha256:
            raise self.error(name, "is not what the manifest says")
        return content

    def json(self, name: str) -> Any:
        """A part that is JSON.

        Raises:
            BundleError: it is none; or see `read`.
        """
        from pydantic_core import from_json

        try:
            return from_json(self.read(name))
        except ValueError as error:
            raise self.error(name, f"is no JSON: {error}") from error

    def _check_members(self) -> None:
        members = self._archive.infolist()
        if len(members) != len(self._members):
            raise self.error("its table of contents", "names a part twice")
        for one in members:
            if not NAME.fullmatch(one.filename) or one.is_dir():
                raise self.error(repr(one.filename), "is no name of a part")
            is_plain = one.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            if one.flag_bits or not is_plain:
                raise self.error(one.filename, "is packed as no part of a bundle is")
            if one.file_size > MAX_PART:
                raise self.error(one.filename, f"has more than {MAX_PART >> 20} MiB")
        if sum(one.file_size for one in members) > MAX_UNPACKED:
            rule = f"have more than {MAX_UNPACKED >> 30} GiB"
            raise self.error("its parts", rule)
        if MANIFEST not in self._members:
            raise self.error(MANIFEST, "is missing")

    def _manifest(self, content: bytes) -> Manifest:
        from pydantic import TypeAdapter, ValidationError

        try:
            found = TypeAdapter(Manifest).validate_json(content, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise self.error(MANIFEST, f"{where}: {first['msg']}") from error
        if found.format != FORMAT:
            raise ConfigError([_of_format(self.path, found.format)])
        if not PLAIN_NAME.fullmatch(found.sweep) or found.to_bytes() != content:
            raise self.error(MANIFEST, "is not as a manifest is written")
        return found

    def _content(self, name: str) -> bytes:
        try:
            # No more than is declared is read, whatever is packed.
            return self._archive.read(name)
        except _UNREADABLE as error:
            raise self.error(name, f"cannot be read: {error}") from error

    def _compare(self, name: str, part: Part) -> None:
        """See that a part is what the manifest says, and where it is not.

        Raises:
            BundleError: it is another.
        """
        digest, size = sha256(), 0
        try:
            with self._archive.open(name) as stream:
                while block := stream.read(BLOCK):
                    place = size // BLOCK * 8
                    if checksum(block) != part.blocks[place : place + 8]:
                        last = min(size + BLOCK, part.size)
                        rule = f"differs within its bytes {size:,} to {last:,} of {part.size:,}"
                        raise self.error(name, rule)
                    digest.update(block)
                    size += len(block)
        except _UNREADABLE as error:
            rule = f"cannot be read beyond its byte {size:,} of {part.size:,}: {error}"
            raise self.error(name, rule) from error
        if size != part.size:
            raise self.error(name, f"has {size:,} bytes, and the manifest says {part.size:,}")
        if digest.hexdigest() != part.sha256:
            raise self.error(name, "is not what the manifest's sha256 says")


def _is_sealed(path: Path) -> bool:
    """Whether the bytes of a file are those that its seal says.

    Raises:
        ConfigError: it is no bundle, or one of another format.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            if size > MAX_BYTES:
                rule = f"a bundle has at most {MAX_BYTES >> 20} MiB"
                raise ConfigError([Problem(str(path), rule, f"{size >> 20} MiB")])
            stream.seek(-min(size, SEALED + END + 20), os.SEEK_END)
            tail = stream.read()
            seal = _SEAL.search(tail)
            if seal and int(seal[1]) != FORMAT:
                raise ConfigError([_of_format(path, int(seal[1]))])
            if not seal or not _has_plain_end(tail):
                rule = "is no bundle, or was cut short: it does not end with a bundle's seal"
                raise ConfigError([Problem(str(path), rule, repair=AGAIN)])
            return digest_of(stream, size - DIGEST) == seal[2].decode()
    except OSError as error:
        rule, repair = f"cannot be read: {error.strerror}", "name a file that `bundle` wrote"
        raise ConfigError([Problem(str(path), rule, repair=repair)]) from None


def _has_plain_end(tail: bytes) -> bool:
    """Whether a zip's last record stands before the seal, of a table of contents that may be read
    whole: not one of zip's extensions for larger files."""
    end = len(tail) - SEALED - END
    if end < 0 or tail[end : end + 4] != b"PK\x05\x06" or b"PK\x06\x07" in tail[:end]:
        return False
    (contents,) = unpack_from("<L", tail, end + 12)
    return bool(contents <= MAX_CONTENTS)


def _of_format(path: Path, found: int) -> Problem:
    rule = f"this version reads bundles of format {FORMAT}"
    return Problem(str(path), rule, f"format {found}", "verify it with the xstilts that wrote it")

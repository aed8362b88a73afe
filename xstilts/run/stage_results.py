"""Results of stages on disk: what is read is checked, and what is torn is put aside.

A result's manifest names every file with its size and sha256, and `DONE` has the manifest's own.
Sizes are looked at on every read, digests at a process's first; a result that does not agree is
renamed out of the way, and its stage is made again.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from xstilts.files import (
    CARE,
    names_in,
    read_json_if_whole,
    sha256_of_file,
    sync_tree,
    write_atomically,
    write_json,
)

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
DONE = "DONE"

DROPPED = "DROPPED"
"""In a result whose weights were deleted on purpose."""

BASE = "base"
"""In the manifest of a stage that keeps adapters alone: the stage whose weights they belong to, by
its folder's name, unless they are those of a pretrained model."""

WEIGHTS = "*.safetensors"
"""What a training stage leaves besides its manifest and settings; it may be dropped."""

RESULT = re.compile(r"(?:result|torn)-(\d+)(?:-\w+)?")
"""The folders of results in that of a stage; the number of a torn one is not used again."""

TORN, TRASH = "torn-", "trash-"

_verified: set[Path] = set()
"""Results whose digests this process has compared, or made."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """One complete result of a stage, as its manifest describes it."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def has_weights(self) -> bool:
        """Whether it is a training stage's, and its weights have not been dropped."""
        names = self.manifest["files"]
        return any(_is_weights(name) for name in names) and not _is_dropped(self.folder)


def results_of(stage: Path) -> list[StageResult]:
    """The whole results in a stage's folder, the first that was published first.

    Raises:
        OSError: a file cannot be read, which does not prove that it is torn.
    """
    numbers = sorted(number for name, number in _numbered(stage) if name.startswith("result-"))
    found = (_look(stage / f"result-{number}") for number in numbers)
    return [result for result in found if result is not None]


def is_done(stage: Path) -> bool:
    """Whether a stage's folder has a complete result; its files are not looked at."""
    names = (name for name, _ in _numbered(stage) if name.startswith("result-"))
    return any((stage / name / DONE).exists() for name in names)


def base_of(stage: Path) -> str:
    """The name of the stage whose weights that in a folder needs beside its own; empty if none."""
    names = (name for name, _ in _numbered(stage) if name.startswith("result-"))
    for name in names:
        manifest = read_json_if_whole(stage / name / MANIFEST, dict) or {}
        if BASE in manifest:
            return str(manifest[BASE])
    return ""


def next_folder(stage: Path) -> Path:
    """Where the next result of a stage goes."""
    return stage / f"result-{1 + max((number for _, number in _numbered(stage)), default=0)}"


def seal(work: Path, manifest: dict[str, Any], passing: Collection[str] = ()) -> None:
    """Complete a folder that becomes a result: manifest, digests, `DONE`; all of it durable.

    Args:
        passing: files that are no part of it.
    """
    with CARE.taken():
        files = {name: facts for name, facts in _digests(work).items() if name not in passing}
    write_json(work / MANIFEST, {**manifest, "files": files})
    write_atomically(work / DONE, sha256_of_file(work / MANIFEST))
    sync_tree(work)


def mark_verified(result: Path) -> None:
    """Note that this process has made a result itself."""
    _verified.add(result)


def drop_weights(stage: Path) -> None:
    """Delete the weights in a stage's folder; what the stage found out stays."""
    # One that was made again stays too, without its weights: were it deleted, the next would take
    # its number, and a reader might see a half of each.
    for result in results_of(stage):
        if any(_is_weights(name) for name in result.manifest["files"]):
            # Said before it is true: a reader must not take a half-deleted result for a torn one.
            if not _is_dropped(result.folder):
                write_atomically(result.folder / DROPPED, "")
            for path in result.folder.rglob(WEIGHTS):
                path.unlink(missing_ok=True)


def throw_away(path: Path) -> None:
    """Delete a folder; nobody sees it half deleted, and whoever writes into it finds it gone."""
    trash = path.with_name(f"{TRASH}{uuid.uuid4().hex[:8]}")
    try:
        path.rename(trash)
    except FileNotFoundError:
        return  # somebody was first
    shutil.rmtree(trash, ignore_errors=True)


def put_aside(path: Path, reason: str) -> None:
    """Rename what is torn out of the way, and say so."""
    name = path.name.removeprefix("result-")
    aside = path.with_name(f"{TORN}{name}-{uuid.uuid4().hex[:8]}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return  # somebody was first
    logger.warning("%s: %s; put aside as %s, and made again", path, reason, aside.name)


def _look(folder: Path) -> StageResult | None:
    """A result whose files are what its manifest says; None where there is none, or none any
    more."""
    try:
        done = (folder / DONE).read_text(encoding="utf-8")
        text = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        if (folder / DONE).exists():
            put_aside(folder, f"{MANIFEST} is missing")
        return None
    if done and done != sha256(text).hexdigest():
        put_aside(folder, f"{MANIFEST} is not what {DONE} says")
        return None
    try:
        manifest = json.loads(text)
        if "files" not in manifest:
            manifest = _take_up(folder, manifest)
    except (ValueError, TypeError) as error:
        put_aside(folder, f"{MANIFEST} cannot be read: {error}")
        return None
    with CARE.taken():
        reason = next(_faults(folder, manifest["files"]), "")
    if reason:
        put_aside(folder, reason)
        return None
    return StageResult(folder, manifest)


def _take_up(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Give a result of an older format its digests."""
    with CARE.taken():
        manifest = {**manifest, "files": _digests(folder)}
    if "outcome" in manifest and not any(_is_weights(name) for name in manifest["files"]):
        write_atomically(folder / DROPPED, "")
    write_json(folder / MANIFEST, manifest)
    write_atomically(folder / DONE, sha256_of_file(folder / MANIFEST))
    _verified.add(folder)
    return manifest


def _faults(folder: Path, files: dict[str, list[Any]]) -> Iterator[str]:
    """In what the files of a result differ from what its manifest says."""
    is_dropped = _is_dropped(folder)
    read = {name: facts for name, facts in files.items() if not (is_dropped and _is_weights(name))}
    for name, (size, _) in read.items():
        try:
            found = (folder / name).stat().st_size
        except FileNotFoundError:
            yield f"{name} is missing"
        else:
            if found != size:
                yield f"{name} has {found:,} bytes, not {size:,}"
    if folder in _verified:
        return
    for name, (_, digest) in read.items():
        if sha256_of_file(folder / name) != digest:
            yield f"{name} has been changed"
    _verified.add(folder)


def _digests(folder: Path) -> dict[str, list[Any]]:
    """Size and sha256 of every file that a manifest names."""
    found: dict[str, list[Any]] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if relative not in (MANIFEST, DONE, DROPPED):
                found[relative] = [path.stat().st_size, sha256_of_file(path)]
    return dict(sorted(found.items()))


def _numbered(stage: Path) -> Iterator[tuple[str, int]]:
    for name in names_in(stage):
        if match := RESULT.fullmatch(name):
            yield name, int(match[1])


def _is_weights(name: str) -> bool:
    return name.endswith(WEIGHTS.removeprefix("*"))


def _is_dropped(folder: Path) -> bool:
    return (folder / DROPPED).exists()

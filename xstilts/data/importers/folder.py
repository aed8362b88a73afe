"""Import a folder of original files: find what is known, read it, write the mirror, say so.

Where two files hold the same split, one with labels wins over one without, then the one with more
rows; the report names the other. Samples of a data set often lie beside the whole, and XTREME's
blanked test sets beside the originals.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xstilts.data.importers import choice, pair, retrieval, span, tagging
from xstilts.data.importers.original import Importer, check_size
from xstilts.data.mirror import Split, write_dataset
from xstilts.errors import DataError

# The first that matches a file reads it: the particular before the general.
IMPORTERS: tuple[Importer, ...] = (
    *pair.IMPORTERS,
    *choice.IMPORTERS,
    *tagging.IMPORTERS,
    *span.IMPORTERS,
    *retrieval.IMPORTERS,
)

_NOTE = "Imported by xstilts from the original files:"


@dataclass(frozen=True, slots=True)
class Taken:
    """One split in the mirror and the file it came from."""

    hub_id: str
    config: str
    split: str
    num_rows: int
    path: str


@dataclass(slots=True)
class Report:
    """What an import did."""

    taken: list[Taken] = field(default_factory=list)
    # file -> the file whose split was taken instead
    left_out: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def num_rows(self) -> int:
        """Rows in all splits taken."""
        return sum(taken.num_rows for taken in self.taken)


def import_folder(
    source: Path, root: Path, on_file: Callable[[str, int, int], None] | None = None
) -> Report:
    """Write a mirror at `root` from the original files below `source`.

    Splits that the mirror has already and `source` does not hold stay as they are.

    Args:
        on_file: is told each file, its number and how many there are.

    Raises:
        DataError: `source` is no folder or holds no known file, or a row of one is broken. The
            mirror is written only after everything was read.
    """
    if not source.is_dir():
        raise DataError(f"{source}: there is no such folder of original files")
    started = time.monotonic()
    report = Report()
    found: dict[tuple[str, str, str], tuple[str, Split]] = {}
    files = list(_files(source))
    for number, path in enumerate(files, 1):
        name = path.relative_to(source).as_posix()
        if on_file:
            on_file(name, number, len(files))
        # The folder's own name counts too: `data import .../MNLI` must know its train.tsv.
        whole = f"{source.resolve().name}/{name}"
        matches = ((importer, importer.match(whole)) for importer in IMPORTERS)
        reader = next(((i.read, match) for i, match in matches if match), None)
        if reader is None:
            report.unknown.append(name)
            continue
        check_size(path)
        for imported in reader[0](path, reader[1]):
            key = (imported.hub_id, imported.split.config, imported.split.name)
            if key in found:
                pair = (found[key], (name, imported.split))
                kept, lost = sorted(pair, key=lambda x: _rank(x[1]), reverse=True)
                report.left_out[lost[0]] = kept[0]
                found[key] = kept
            else:
                found[key] = (name, imported.split)
    if not found:
        raise DataError(
            f"{source}: none of its {len(files)} files is known; give the folder that holds the "
            "original files under their published names"
        )
    for hub_id in sorted({hub_id for hub_id, _, _ in found}):
        mine = {key: found[key] for key in sorted(found) if key[0] == hub_id}
        splits = [split for _, split in mine.values()]
        sources = sorted({name for name, _ in mine.values()})
        note = "\n".join([_NOTE, "", *(f"- `{name}`" for name in sources)])
        write_dataset(root / hub_id, splits, note)
        report.taken += [
            Taken(hub_id, config, split, len(found[hub_id, config, split][1].rows), name)
            for (_, config, split), (name, _) in mine.items()
        ]
    report.seconds = time.monotonic() - started
    return report


_LABELS = ("label", "pos_tags", "ner_tags", "answers", "answerKey")
_BLANK: tuple[Any, ...] = (-1, "", [], {"text": [], "answer_start": []})


def _rank(split: Split) -> tuple[bool, int]:
    """Whether a split has labels, if its task has any, and how many rows."""
    values = [row[name] for row in split.rows for name in _LABELS if name in row]
    is_blank = all(v in _BLANK or (isinstance(v, list) and set(v) == {-1}) for v in values)
    return not (values and is_blank), len(split.rows)


def _files(source: Path) -> Iterator[Path]:
    for path in sorted(source.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if path.is_file() and not hidden:
            yield path

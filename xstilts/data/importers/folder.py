"""Import a folder of original files: find what is known, read it, write the mirror, say so.

Where two files hold the same split, one with labels wins over one without, then the one with more
rows; the report names the other. Samples of a data set often lie beside the whole, and XTREME's
blanked test sets beside the originals. Files that belong together, as BUCC's pools and their gold,
are taken together; treebanks that XTREME-R joins are joined.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xstilts.data.hub_layout import declared_files, visible_files, write_dataset
from xstilts.data.importers import choice, further, pair, ranked, retrieval, span, tagging
from xstilts.data.importers.original import Imported, Importer, check_size
from xstilts.errors import DataError

# The first that matches a file reads it: the particular before the general.
IMPORTERS: tuple[Importer, ...] = (
    *pair.IMPORTERS,
    *choice.IMPORTERS,
    *tagging.IMPORTERS,
    *span.IMPORTERS,
    *retrieval.IMPORTERS,
    *further.IMPORTERS,
    *ranked.IMPORTERS,
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
    # file -> why none of its splits was taken, or not all of it
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
    candidates: list[_Candidate] = []
    files = _files(source)
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
            candidates.append(_Candidate(name, imported))
    found = _chosen(_joined(candidates), report)
    _leave_to_the_mirror(root, found, report)
    by_key = {key: one.imported.split for key, one in found.items()}
    for key, imported in choice.with_english_questions(by_key):
        corrected = _Candidate(found[key].name, imported)
        found[corrected.key] = corrected
    if not found and report.left_out:
        name, reason = next(iter(report.left_out.items()))
        raise DataError(f"{source}: nothing of it is taken; {name}: {reason}")
    if not found:
        raise DataError(
            f"{source}: none of its {len(files)} files is known; give the folder that holds the "
            "original files under their published names"
        )
    for hub_id in sorted({hub_id for hub_id, _, _ in found}):
        mine = {key: found[key] for key in sorted(found) if key[0] == hub_id}
        splits = [taken.imported.split for taken in mine.values()]
        sources = sorted({taken.name for taken in mine.values()})
        note = "\n".join([_NOTE, "", *(f"- `{name}`" for name in sources)])
        write_dataset(root / hub_id, splits, note)
        report.taken += [
            Taken(hub_id, config, split, len(taken.imported.split.rows), taken.name)
            for (_, config, split), taken in mine.items()
        ]
    report.seconds = time.monotonic() - started
    return report


_Whole = tuple[str, tuple[str, ...], str]
"""Data set, configurations that belong together, and split."""

_ALL_OR_NONE = "pools and gold are of one part, all or none"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A split and the file that holds it."""

    name: str
    imported: Imported

    @property
    def key(self) -> tuple[str, str, str]:
        split = self.imported.split
        return self.imported.hub_id, split.config, split.name

    @property
    def whole(self) -> _Whole:
        return self.imported.hub_id, self.imported.together, self.imported.split.name


def _joined(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """The candidates, where pieces of a split are one."""
    whole = [one for one in candidates if not one.imported.is_piece]
    pieces: dict[tuple[str, str, str], list[_Candidate]] = {}
    for one in candidates:
        if one.imported.is_piece:
            pieces.setdefault(one.key, []).append(one)
    for found in pieces.values():
        found.sort(key=lambda one: (Path(one.name).name, one.name))
        rows = [row for one in found for row in one.imported.split.rows]
        first = found[0].imported
        name = ", ".join(one.name for one in found)
        whole.append(_Candidate(name, replace(first, split=replace(first.split, rows=rows))))
    return whole


def _chosen(
    candidates: Sequence[_Candidate], report: Report
) -> dict[tuple[str, str, str], _Candidate]:
    """Of every split the candidate that is taken; the report gets the others, with the reason."""
    parts: dict[_Whole, dict[str, list[_Candidate]]] = {}
    for one in candidates:
        if one.imported.together:
            parts.setdefault(one.whole, {}).setdefault(one.imported.part, []).append(one)
    taken = {
        whole: max(found, key=lambda part: _rank_of_part(found[part]))
        for whole, found in parts.items()
    }
    chosen: dict[tuple[str, str, str], _Candidate] = {}
    for one in candidates:
        part = taken.get(one.whole, one.imported.part)
        if part != one.imported.part:
            report.left_out[one.name] = f"{_ALL_OR_NONE}: those of `{part}` are taken"
            continue
        other = chosen.setdefault(one.key, one)
        if other is not one:
            kept, lost = (other, one) if _rank(one) <= _rank(other) else (one, other)
            chosen[one.key] = kept
            report.left_out[lost.name] = f"{kept.name} has more of the same split"
    for one in chosen.values():
        for what, count in one.imported.without.items():
            told = f"{count:,} {what} ({one.imported.split.config} {one.imported.split.name})"
            before = report.left_out.get(one.name)
            report.left_out[one.name] = f"{before}; {told}" if before else told
    return chosen


def _leave_to_the_mirror(
    root: Path, found: dict[tuple[str, str, str], _Candidate], report: Report
) -> None:
    """Take out what would stand beside rows of another part that the mirror has already."""
    for key, one in list(found.items()):
        hub_id, _, split = key
        if one.imported.together and (root / hub_id / "README.md").exists():
            declared = declared_files(root / hub_id)
            for config in one.imported.together:
                if (config, split) in declared and (hub_id, config, split) not in found:
                    there = f"the mirror has {config} {split} from another import"
                    report.left_out[one.name] = f"{_ALL_OR_NONE}: {there}"
    for key in [
        key for key, one in found.items() if _ALL_OR_NONE in report.left_out.get(one.name, "")
    ]:
        del found[key]


_LABELS = ("label", "category", "pos_tags", "ner_tags", "answers", "answerKey", "keys")
_BLANK: tuple[Any, ...] = (-1, "", [], {"text": [], "answer_start": []})


def _rank(candidate: _Candidate) -> tuple[bool, int]:
    """Whether a split has labels, if its task has any, and how many rows."""
    rows = candidate.imported.split.rows
    values = [row[name] for row in rows for name in _LABELS if name in row]
    is_blank = all(v in _BLANK or (isinstance(v, list) and set(v) == {-1}) for v in values)
    return not (values and is_blank), len(rows)


def _rank_of_part(candidates: Sequence[_Candidate]) -> tuple[int, int]:
    """How many of the splits that belong together a part has, and how many rows."""
    rows = sum(len(one.imported.split.rows) for one in candidates)
    return len({one.key for one in candidates}), rows


def _files(source: Path) -> list[Path]:
    """All files below a folder but hidden ones, behind links too."""
    return sorted(path for path in visible_files(source) if path.is_file())

"""A sweep's own files: read and checked whole, then written once as data sets like all others.

Everything that is wrong is said with file and line before anything is written. What was written
lies under the storage by its content, so that trials, caches and other nodes need no other.
"""

from __future__ import annotations

import glob
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xstilts.config.own_tasks import (
    DEV_PERCENT,
    LEARNT,
    SCORED,
    files_by_language,
    hub_id_of,
    label_names,
)
from xstilts.config.schema import Sweep
from xstilts.config.task_spec import FilesSpec, TaskSpec
from xstilts.data.formats import format_of, read_file
from xstilts.data.hub_layout import Row, Split, write_dataset
from xstilts.data.inventory import Hashes
from xstilts.data.own_rows import WrongRow, column_of, features_of, row_of
from xstilts.errors import ConfigError, DataError, Problem
from xstilts.files import publish_folder, sha256_of, sync_tree
from xstilts.tasks import HeldOut, kind_spec

VERSION = 1
"""Of what is written of files; it is part of the names of the folders."""

FOLDER = "own"
NOTE = "Files of a sweep's own {}, as `xstilts` read them."


@dataclass(frozen=True, slots=True)
class OwnFile:
    """The rows of one file, with the numbers of their lines, and what they are for."""

    use: str
    language: str
    path: Path
    lines: list[int]
    rows: list[Row]


@dataclass(slots=True)
class Complaints:
    """What is wrong with the files of a task or a pool: of each rule the first place, and how
    often."""

    found: dict[tuple[str, str], Problem] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, path: Path, line: int, rule: str, got: str = "", repair: str = "") -> None:
        key = (str(path), rule)
        self.counts[key] += 1
        self.found.setdefault(key, Problem(f"{path}:{line}", rule, got, repair))

    def problems(self) -> list[Problem]:
        problems = []
        for key, one in self.found.items():
            more = self.counts[key] - 1
            rule = f"{one.rule} (and {more:,} rows more)" if more else one.rule
            problems.append(Problem(one.where, rule, one.got, one.repair))
        return problems


def check_own_tasks(sweep: Sweep) -> list[Problem]:
    """All that is wrong with the files of a sweep's own tasks."""
    problems = []
    for name, spec in sweep.tasks.items():
        if spec.files is not None:
            problems += read_own(name, spec)[1]
    return problems


def told(sweep: Sweep) -> list[dict[str, Any]]:
    """What the files of a sweep's own tasks hold, by task, use and language.

    Raises:
        ConfigError: with all that is wrong with them.
    """
    lines: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for name, spec in sweep.tasks.items():
        if spec.files is None:
            continue
        found, wrong = read_own(name, spec)
        problems += wrong
        label = kind_spec(spec.kind).label
        by_place: dict[tuple[str, str], list[OwnFile]] = {}
        for one in found:
            by_place.setdefault((one.use, one.language), []).append(one)
        for (use, language), files in by_place.items():
            rows = [row for one in files for row in one.rows]
            flat = [x for row in rows for x in _labels(row[label])] if label else []
            line = {"task": name, "use": use, "language": language, "rows": len(rows)}
            labels = dict(Counter(flat).most_common())
            lines.append({**line, "labels": labels, "files": [str(one.path) for one in files]})
    if problems:
        raise ConfigError(problems)
    return lines


def read_own(name: str, spec: TaskSpec) -> tuple[list[OwnFile], list[Problem]]:
    """The rows of the files of a task, and all that is wrong with them."""
    problems: list[Problem] = []
    complaints = Complaints()
    found: list[OwnFile] = []
    places: dict[Path, str] = {}
    for use in FilesSpec.model_fields:
        for language, patterns in files_by_language(spec, use).items():
            where = f"tasks.{name}.files.{use}"
            for pattern in patterns:
                try:
                    for path in paths_of(where, pattern):
                        if path in places:  # of patterns; `check_tasks` has seen what is written
                            rule = "a file is of one split and one language"
                            got = f'"{path}", which {places[path]} has too'
                            problems.append(Problem(where, rule, got))
                            continue
                        places[path] = where
                        found.append(_read(spec, use, language, path, complaints))
                except ConfigError as error:
                    problems += error.problems
    problems += complaints.problems()
    if not problems:
        problems += _across(name, spec, found)
    return found, problems


def write_own(name: str, spec: TaskSpec, storage: Path, hashes: Hashes) -> dict[str, Path]:
    """The data sets that the files of a task become, by their names, written where they are not
    there yet.

    Raises:
        ConfigError: with all that is wrong with the files.
    """
    try:
        digests = {uses: _digest(name, spec, uses, hashes) for uses in (LEARNT, SCORED)}
    except ConfigError:  # a file is not there; with it is said what else is wrong
        raise ConfigError(read_own(name, spec)[1]) from None
    folders = {
        hub_id_of(name, uses[0]): storage / FOLDER / f"{name}-{uses[0]}-{digest[:12]}"
        for uses, digest in digests.items()
        if digest
    }
    there = [folder for folder in folders.values() if is_there(folder)]
    if len(there) == len(folders):
        return folders
    found, problems = read_own(name, spec)
    if problems:
        raise ConfigError(problems)
    for uses in (LEARNT, SCORED):
        folder = folders.get(hub_id_of(name, uses[0]))
        if folder is not None and not folder.exists():
            own = [one for one in found if one.use in uses]
            publish(folder, _splits(spec, own), NOTE.format("task"))
    return folders


def _digest(name: str, spec: TaskSpec, uses: tuple[str, ...], hashes: Hashes) -> str:
    """What files hold and how they are read; empty where there are none."""
    files = [
        [use, language, path.suffix, hashes.of(path)]
        for use in uses
        for language, patterns in files_by_language(spec, use).items()
        for pattern in patterns
        for path in paths_of(f"tasks.{name}.files.{use}", pattern)
    ]
    reading: dict[str, Any] = {"kind": spec.kind, "columns": spec.columns, "labels": spec.labels}
    reading |= {"separator": spec.separator} if spec.separator else {}
    return sha256_of([VERSION, reading, files]) if files else ""


def paths_of(where: str, pattern: str) -> list[Path]:
    """The files that a pattern names, sorted.

    Raises:
        ConfigError: there is none.
    """
    path = Path(pattern)
    if path.is_file():
        return [path]
    found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    files = sorted(one for one in found if one.is_file()) if glob.has_magic(pattern) else []
    if not files:
        raise ConfigError([Problem(where, "names no file that is there", f'"{pattern}"')])
    return files


def _read(spec: TaskSpec, use: str, language: str, path: Path, complaints: Complaints) -> OwnFile:
    """The rows of one file; what is wrong goes to the complaints."""
    one = OwnFile(use, language, path, [], [])
    ids: dict[str, int] = {}
    try:
        format_of(path, spec.kind)
        for line, record in read_file(path, spec.kind, language):
            try:
                row = row_of(spec, record, len(one.rows))
            except WrongRow as wrong:
                complaints.add(path, line, wrong.rule, wrong.got, wrong.repair)
                continue
            name = _id_of(spec, record)
            if name and name in ids:
                complaints.add(path, line, "an id stands once", f'"{name}", as line {ids[name]}')
            ids[name] = line
            one.lines.append(line)
            one.rows.append(row)
    except DataError as error:
        where, _, rest = str(error).partition(": ")
        complaints.found.setdefault((str(path), rest), Problem(where, rest))
    else:
        if not one.rows and not any(key[0] == str(path) for key in complaints.found):
            complaints.add(path, 1, "the file has no row")
    return one


def _id_of(spec: TaskSpec, record: Mapping[str, object]) -> str:
    """What names a row, where the file says so: questions have ids, others where `columns` does."""
    if spec.kind != "span" and "id" not in spec.columns:
        return ""
    value = record.get(str(column_of(spec, "id")))
    return "" if value is None else str(value)


def _across(name: str, spec: TaskSpec, found: list[OwnFile]) -> Iterator[Problem]:
    """What several files, or rows, are wrong in together."""
    yield from _unseen_labels(name, spec, found)
    yield from _unequal_choices(spec, found)
    yield from _one_candidate(name, spec, found)
    if not spec.allow_overlap:
        yield from _overlap(spec, found)
    uses = {one.use for one in found}
    if "train" in uses and "dev" not in uses and (column := kind_spec(spec.kind).together):
        held_out = HeldOut(column, DEV_PERCENT)
        rows = [row for one in found if one.use == "train" for row in one.rows]
        num_held = sum(held_out.holds(str(row[column])) for row in rows)
        if num_held in (0, len(rows)):
            rule = f"train has too few rows to hold out a tenth of them by their {column}"
            where, repair = f"tasks.{name}.files.train", "write dev: FILE"
            yield Problem(where, rule, f"{len(rows)} rows, {num_held} of them held out", repair)


def _unseen_labels(name: str, spec: TaskSpec, found: list[OwnFile]) -> Iterator[Problem]:
    kind = kind_spec(spec.kind)
    if not spec.labels or kind.prediction == "tags":
        return
    rows = (row for one in found if one.use == "train" for row in one.rows)
    trained = {label for row in rows for label in _labels(row[kind.label])}
    for label in label_names(spec):
        if label in trained:
            continue
        rule, repair = f"no row of train has the label {label}", "take it out, or add rows"
        for one in found:
            lines = zip(one.lines, one.rows, strict=True)
            if line := next((at for at, row in lines if label in _labels(row[kind.label])), 0):
                yield Problem(f"{one.path}:{line}", rule, f'"{label}" in {one.use}', repair)
                break
        else:
            yield Problem(f"tasks.{name}.labels", rule, repair=repair)


def _labels(value: Any) -> list[Any]:
    """The labels of a row, one or several."""
    return value if isinstance(value, list) else [value]


def _unequal_choices(spec: TaskSpec, found: list[OwnFile]) -> Iterator[Problem]:
    if spec.kind != "choice":
        return
    width = len(found[0].rows[0]["choices"])
    for one in found:
        for line, row in zip(one.lines, one.rows, strict=True):
            if len(row["choices"]) != width:
                rule = (
                    f"every row has as many choices as the first of {found[0].path.name}, {width}"
                )
                yield Problem(f"{one.path}:{line}", rule, f"{len(row['choices'])}")
                break


def _one_candidate(name: str, spec: TaskSpec, found: list[OwnFile]) -> Iterator[Problem]:
    """Sets in which there is nothing to rank, or to be told apart from."""
    if spec.kind != "dual_encoder":
        return
    candidates: dict[tuple[str, str], set[str]] = {}
    for one in found:
        own = candidates.setdefault((one.use, one.language), set())
        own.update(row["keys"][0] for row in one.rows)
    for (use, language), keys in candidates.items():
        if len(keys) < 2:
            where = f"tasks.{name}.files.{use}"
            rule = f"the rows in {language} have two candidates at least"
            yield Problem(where, rule, f"{len(keys)}", "add rows with others")


def _overlap(spec: TaskSpec, found: list[OwnFile]) -> Iterator[Problem]:
    """Rows of train that are scored, by their texts."""
    texts = kind_spec(spec.kind).texts

    def key(row: Row) -> str:
        return repr([row[name] for name in texts])

    trained = {
        key(row): (one.path, line)
        for one in found
        if one.use == "train"
        for line, row in zip(one.lines, one.rows, strict=True)
    }
    for one in found:
        if one.use not in SCORED:
            continue
        lines = [
            (line, trained[key(row)])
            for line, row in zip(one.lines, one.rows, strict=True)
            if key(row) in trained
        ]
        if lines:
            line, (path, other) = lines[0]
            more = f" (and {len(lines) - 1:,} rows more)" if lines[1:] else ""
            rule = f"the row stands in train too, {path.name}:{other}{more}"
            repair = "take it out of one, or write allow_overlap: true"
            yield Problem(f"{one.path}:{line}", rule, repair=repair)


def is_there(folder: Path) -> bool:
    """Whether a data set is written; `gc` sees that it is used, before a launch says so."""
    if not folder.exists():
        return False
    with suppress(PermissionError):  # of another user, and its sweep's
        folder.touch()
    return True


def _splits(spec: TaskSpec, found: list[OwnFile]) -> Iterator[Split]:
    rows: dict[tuple[str, str], list[Row]] = {}
    for one in found:
        rows.setdefault((one.language, one.use), []).extend(one.rows)
    features = features_of(spec.kind)
    return (Split(language, use, features, own) for (language, use), own in rows.items())


def publish(folder: Path, splits: Iterable[Split], note: str) -> None:
    """Write a data set aside, then take its folder to its place."""
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}") / folder.name
    write_dataset(temporary, splits, note)
    sync_tree(temporary)
    # Another process may be first: both wrote the same.
    publish_folder(temporary, folder)
    shutil.rmtree(temporary.parent)

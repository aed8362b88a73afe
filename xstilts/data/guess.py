"""From files alone to the entry of a task: kind, columns, languages, labels, and what is odd.

A guess, by names and values, for `xstilts data add` to print and a person to read. It is checked as
the entry in a sweep file would be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xstilts.config.own_tasks import SCORED
from xstilts.config.task_spec import TaskSpec
from xstilts.data.formats import FORMATS, read_file
from xstilts.data.own import OwnFile, read_own
from xstilts.errors import ConfigError, DataError, Problem
from xstilts.tasks import kind_spec, known_tasks

USES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "valid", "validation", "val"), "dev"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Words in the names of files, by the use that they tell."""

PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("question1", "question2"),
    ("question", "sentence"),
)
TEXTS = ("text", "sentence", "review", "content", "comment", "tweet", "body", "document")
LABELS = (
    *("label", "labels", "class", "category", "sentiment", "stars", "rating", "target", "gold"),
    *("intent", "polarity", "score"),
)
TAGS = ("tags", "ner_tags", "pos_tags", "labels", "label")
"""Names that columns often have, the likelier first."""

MOST_LABELS = 60
FEW = 10
"""Fewer rows of a label than this are said."""

SAMPLE = 1000
"""Rows of a file that its columns are told by."""


@dataclass(frozen=True, slots=True)
class Guess:
    """An entry of `tasks`, what its files hold, and what is odd about them, a line each."""

    name: str
    entry: dict[str, Any]
    sizes: dict[str, dict[str, int]]
    labels: dict[str, int]
    odd: list[str]


@dataclass(frozen=True, slots=True)
class _Place:
    """What the name of a file tells; empty where it tells nothing."""

    path: str
    use: str
    language: str


def guess_task(paths: Sequence[str]) -> Guess:
    """The entry that reads files, and what is in them.

    Raises:
        ConfigError: a file is missing, two files are one split, or no entry could read them.
    """
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        raise ConfigError([Problem(path, "no such file") for path in missing])
    codes = {language for task in known_tasks() for language in task.languages}
    places = [_place(path, codes, alone=len(paths) == 1) for path in paths]
    files, language, odd = _files(places)
    kind, columns = _kind_and_columns(Path(files["train"] if "train" in files else paths[0]))
    entry: dict[str, Any] = {"kind": kind, "files": files}
    if columns:
        entry["columns"] = columns
    if language != "en":
        entry["train_language"] = language
    name = _name(paths, codes)
    labels = _labels(name, entry)
    if kind_spec(kind).declares_labels and kind_spec(kind).prediction != "tags":
        entry["labels"] = sorted(labels, key=_numbers_first)
    found = _checked(name, entry, odd)
    sizes: dict[str, dict[str, int]] = {}
    for one in found:
        own = sizes.setdefault(one.use, {})
        own[one.language] = own.get(one.language, 0) + len(one.rows)
    return Guess(name, entry, sizes, labels, [*odd, *_oddities(kind, found, labels)])


def _place(path: str, codes: set[str], alone: bool) -> _Place:
    words = re.split(r"[-._ ]+", Path(path).stem.lower())
    use = next((USES[word] for word in words if word in USES), "")
    known = [word for word in words if word in codes]
    folder = Path(path).parent.name
    language = known[-1] if known else folder if folder in codes else ""
    if not use:
        use = "test" if language and not alone else "train"
    return _Place(path, use, language)


def _files(places: Sequence[_Place]) -> tuple[dict[str, Any], str, list[str]]:
    """The files by use and language, the training language, and what is odd about their names."""
    odd: list[str] = []
    trained = [place for place in places if place.use == "train"]
    language = next((place.language for place in trained if place.language), "en")
    found: dict[tuple[str, str], str] = {}
    for place in places:
        own = place.language or language
        use = "validation" if place.use == "dev" and own != language else place.use
        if (use, own) in found:
            rule = f"two files would be {use} in {own}"
            repair = "name them by split and language, or give one pattern in the sweep file"
            raise ConfigError([Problem(place.path, rule, f'"{found[use, own]}" too', repair)])
        found[use, own] = place.path
    others = [own for use, own in found if use == "train" and own != language]
    if others:
        rule = "training rows are in one language"
        raise ConfigError([Problem(trained[1].path, rule, f"{language}, {', '.join(others)}")])
    files: dict[str, Any] = {}
    for use in ("train", "dev"):
        if (use, language) in found:
            files[use] = found[use, language]
    for use in SCORED:
        by_language = {own: path for (one, own), path in found.items() if one == use}
        if by_language:
            files[use] = by_language
    if "dev" not in files and "train" in files:
        odd.append("no file is dev: a tenth of train by the hash of its text will be")
    if not {*SCORED} & files.keys():
        odd.append("no file is test: the task can be an intermediate and no target")
    return files, language, odd


def _kind_and_columns(path: Path) -> tuple[str, dict[str, Any]]:
    """The kind that a file is of, and which of its columns are what, where names differ."""
    form = next((one for one in FORMATS if path.suffix.lower() in one.endings and one.kind), None)
    if form is not None and (path.suffix != ".tsv" or _is_tagged(path)):
        return form.kind, {}
    try:
        rows = read_file(path, "sentence", "en")
        records = [record for _, (_, record) in zip(range(SAMPLE), rows, strict=False)]
    except DataError as error:
        where, _, rule = str(error).partition(": ")
        raise ConfigError([Problem(where, rule)]) from error
    if not records:
        raise ConfigError([Problem(f"{path}:1", "the file has no row")])
    names = list(records[0])
    for kind in ("span", "choice", "retrieval"):
        wanted = [name for name in kind_spec(kind).columns if name != "id"]
        if set(wanted) <= set(names):
            return kind, {}
    tags = _named(TAGS, names)
    if "tokens" in names and tags and isinstance(records[0]["tokens"], list):
        return "tagging", _renamed({"tokens": "tokens", "tags": tags})
    label = _named(LABELS, names) or _of_few_values(records, names)
    texts = [
        name
        for name in names
        if name != label and all(isinstance(record.get(name), str) for record in records)
    ]
    pair = next((pair for pair in PAIRS if set(pair) <= set(texts)), None)
    running = [name for name in texts if any(" " in record[name] for record in records)]
    if pair is None and len(running) == 2 and not _named(TEXTS, running):
        pair = running[0], running[1]
    if label and pair:
        return "pair", _renamed({"premise": pair[0], "hypothesis": pair[1], "label": label})
    text = _named(TEXTS, texts) or _longest(records, texts)
    if not text:
        rule, repair = "has no column of texts", "write the entry by hand: docs/own_task.md"
        raise ConfigError([Problem(f"{path}:1", rule, ", ".join(names), repair)])
    if label:
        kind = "multilabel" if isinstance(records[0][label], list) else "sentence"
        return kind, _renamed({"text": text, "label": label})
    return "mlm", _renamed({"text": text})


def _is_tagged(path: Path) -> bool:
    """Whether a file has a word and its tag on a line, and blank lines between sentences."""
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        lines = [line.rstrip("\n") for _, line in zip(range(SAMPLE), stream, strict=False)]
    return "" in lines[1:-1] and all(line.count("\t") == 1 for line in lines if line)


def _renamed(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: column for name, column in columns.items() if name != column}


def _named(likely: Iterable[str], names: Sequence[str]) -> str:
    """The name that is likeliest, in whatever case; empty if none is likely."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in likely if name in lower), "")


def _of_few_values(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """The column with the fewest values, at least two, that repeat as labels do."""
    counts = {name: len({repr(record.get(name)) for record in records}) for name in names}
    most = min(MOST_LABELS, len(records) // 2)
    few = {name: count for name, count in counts.items() if 2 <= count <= most}
    return min(few, key=lambda name: few[name], default="")


def _longest(records: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> str:
    return max(texts, key=lambda name: sum(len(record[name]) for record in records), default="")


def _labels(name: str, entry: Mapping[str, Any]) -> dict[str, int]:
    """The values in the column of the labels of the training rows, with their counts."""
    label = kind_spec(entry["kind"]).label
    if not label or "train" not in entry["files"]:
        return {}
    found, _ = read_own(name, _spec({**entry, "files": {"train": entry["files"]["train"]}}))
    values = [value for one in found for row in one.rows for value in _flat(row[label])]
    return dict(Counter(values).most_common())


def _flat(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _numbers_first(label: str) -> tuple[float, str]:
    return (float(label), label) if re.fullmatch(r"-?\d+(\.\d+)?", label) else (float("inf"), label)


def _spec(entry: Mapping[str, Any]) -> TaskSpec:
    return TaskSpec.model_validate(entry, strict=False)


def _checked(name: str, entry: dict[str, Any], odd: list[str]) -> list[OwnFile]:
    """The rows of an entry; what forbids them is refused, but for rows of train in test."""
    try:
        found, problems = read_own(name, _spec(entry))
        if problems:
            allowed, rest = read_own(name, _spec({**entry, "allow_overlap": True}))
            odd += [str(problem) for problem in problems if problem not in rest]
            found, problems = allowed, rest
            entry["allow_overlap"] = True
    except ValidationError as error:
        rule = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError([Problem(name, rule)]) from error
    if problems:
        raise ConfigError(problems)
    return found


def _oddities(kind: str, found: Sequence[OwnFile], labels: Mapping[str, int]) -> list[str]:
    lines = []
    texts = kind_spec(kind).texts
    for one in found:
        seen = Counter(repr([row[name] for name in texts]) for row in one.rows)
        twice = sum(count - 1 for count in seen.values())
        empty = sum(1 for row in one.rows for name in texts if not row[name])
        if twice:
            lines.append(f"{one.path}: {twice:,} rows repeat the text of another")
        if empty:
            lines.append(f"{one.path}: {empty:,} texts are empty")
    rare = [f"{label} ({count})" for label, count in labels.items() if count < FEW]
    if rare:
        lines.append(f"labels with fewer than {FEW} rows of train: {', '.join(rare)}")
    return lines


def _name(paths: Sequence[str], codes: set[str]) -> str:
    """A name for the task: what all files' names share, else that of their folder."""
    stems = [re.split(r"[-._ ]+", Path(path).stem) for path in paths]
    words = [word for word in stems[0] if word.lower() not in {*USES, *codes}]
    shared = [word for word in words if all(word in stem for stem in stems)]
    folder = Path(paths[0]).resolve().parent.name
    name = re.sub(r"[^A-Za-z0-9_]+", "_", "_".join(shared) or folder).strip("_")[:50] or "task"
    return f"own_{name}" if name in {task.name for task in known_tasks()} else name

"""Original files of pair classification: MNLI, SNLI, QQP, ANLI, XNLI and PAWS-X.

A format is a value: how records are read, what their fields and labels are called. Other importers
of labelled records use `Format` too. Only one kind of row is left out: in MNLI and SNLI the gold
label `-` means that the annotators did not agree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from xstilts.data.hub_layout import INT32, STRING, STRINGS, Features, Row, Split, class_label
from xstilts.data.importers.json_stream import read_object
from xstilts.data.importers.original import (
    Imported,
    Importer,
    field_of,
    read_jsonl,
    read_table,
    refuse,
)
from xstilts.errors import DataError

Record = dict[str, Any]
Records = Iterator[tuple[int, Record]]
"""Fields by name, with the number that an error gives."""

_NLI = ("entailment", "neutral", "contradiction")

NO_AGREEMENT = "rows without a label that the annotators agree on"

SPLITS = {"dev": "validation", "val": "validation", "valid": "validation"}
"""The Hub's names of splits whose files have another."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A data set of the mirror whose rows have one label."""

    hub_id: str
    features: Features
    # As the files write it -> as the mirror stores it; None: such rows are left out.
    labels: Mapping[str, int | str | None]
    # What stands for a label that was not published.
    unlabelled: int | str = -1
    label: str = "label"
    # Where the file's name and rows give no language.
    config: str = "default"


@dataclass(frozen=True, slots=True)
class Format:
    """One published format of a data set.

    Named groups of a file's pattern say what it holds: `split`, `lang` (the configuration) and
    `round` (ANLI's).
    """

    dataset: Labelled
    records: Callable[[Path], Records]
    # Column of the mirror -> field of the file, where they differ.
    names: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=lambda: SPLITS)
    # Columns that number the rows of the split, from the number given.
    numbered: Mapping[str, int] = field(default_factory=dict)
    # The field that holds a row's configuration, where a file holds several.
    config_field: str = ""
    # Whether rows of the test split have a label, may have one, or have a filler.
    test_labels: Literal["all", "some", "filler"] = "all"

    def read(self, path: Path, match: re.Match[str]) -> Iterator[Imported]:
        """The splits that a file holds.

        Raises:
            DataError: a row is broken, or there is none.
        """
        groups = match.groupdict()
        name = self.splits.get(groups["split"], groups["split"])
        is_test = name.startswith("test")
        if "round" in groups:
            name = f"{name}_r{groups['round']}"
        rows: dict[str, list[Row]] = {}
        without = Counter[str]()
        for number, record in self.records(path):
            config = groups.get("lang") or self.dataset.config.format(**groups)
            if self.config_field:
                config = field_of(path, number, record, self.config_field)
                if not re.fullmatch("[a-z]{2}", str(config)):
                    raise refuse(path, number, "the language must be a code of two letters", config)
            of_config = rows.setdefault(config, [])
            label = self._label(path, number, record, is_test)
            if label is None:
                without[config] += 1
            else:
                of_config.append(self._row(path, number, record, label, len(of_config)))
        if not any(rows.values()):
            raise DataError(f"{path}: the file must hold rows; got none")
        for config, of_config in rows.items():
            features = self.dataset.features
            split = Split(config, name, features, of_config)
            lost = {NO_AGREEMENT: without[config]} if without[config] else {}
            yield Imported(self.dataset.hub_id, split, without=lost)

    def _row(self, path: Path, number: int, record: Record, label: int | str, position: int) -> Row:
        row: Row = {}
        for column, feature in self.dataset.features.items():
            if column == self.dataset.label:
                row[column] = label
            elif column in self.numbered:
                row[column] = self.numbered[column] + position
            else:
                name = self.names.get(column, column)
                value = field_of(path, number, record, name)
                row[column] = _value(path, number, name, value, feature)
        return row

    def _label(self, path: Path, number: int, record: Record, is_test: bool) -> int | str | None:
        """The label as the mirror stores it, or None where the row is to be left out."""
        name = self.names.get(self.dataset.label, self.dataset.label)
        if is_test and self.test_labels == "filler":
            return self.dataset.unlabelled
        if is_test and self.test_labels == "some" and name not in record:
            return self.dataset.unlabelled
        # Some files write numbers where others write their digits.
        written = str(field_of(path, number, record, name))
        if written not in self.dataset.labels:
            known = ", ".join(self.dataset.labels)
            raise refuse(path, number, f"the label must be one of {known}", written)
        return self.dataset.labels[written]


def _value(path: Path, number: int, name: str, value: Any, feature: Features) -> Any:
    """A field as its feature wants it; tables write numbers as digits."""
    if feature == INT32:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
            raise refuse(path, number, f"{name!r} must be a whole number of 32 bits", value)
    elif feature == STRING:
        if not isinstance(value, str):
            raise refuse(path, number, f"{name!r} must be a text", value)
    elif feature == STRINGS:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise refuse(path, number, f"{name!r} must be a list of texts", value)
    else:
        return {part: _value(path, number, part, value[part], feature[part]) for part in feature}
    return value


def read_named_table(
    path: Path, *, delimiter: str = "\t", quoted: bool = False, joined: bool = False
) -> Records:
    """The rows of a table whose first line names its columns; blank lines are skipped.

    In SNLI and MNLI a row has as many annotators' labels as there are, whatever the header says:
    where the columns from `label1` on are labels to the end, some may be missing or too many. A
    gold label that the header names last is the row's last.

    Args:
        joined: whether a row may be broken over lines, as in older archives of QQP.

    Raises:
        DataError: a row has too few or too many columns.
    """
    rows = read_table(path, delimiter=delimiter, quoted=quoted)
    _, header = next(rows, (0, []))
    if joined:
        rows = _join_lines(rows, len(header))
    is_gold_last = header[-1:] == ["gold_label"]
    num_fixed = header.index("label1") if "label1" in header else len(header)
    ends_in_labels = header[num_fixed:] != [] and all("label" in x for x in header[num_fixed:])
    for number, cells in rows:
        if cells in ([], [""]):
            continue
        labels = cells[num_fixed:]
        is_ragged = ends_in_labels and len(labels) > is_gold_last and {*labels} <= {*_NLI, "-", ""}
        if len(cells) != len(header) and not is_ragged:
            rule = f"a row must have the {len(header)} columns of the header"
            raise refuse(path, number, rule, cells, f"it has {len(cells)}")
        record = dict(zip(header, cells, strict=False))
        if is_gold_last:
            record["gold_label"] = cells[-1]
        yield number, record


def _join_lines(
    rows: Iterator[tuple[int, list[str]]], width: int
) -> Iterator[tuple[int, list[str]]]:
    """Rows of QQP, whole again where a question holds line ends.

    The parts are one row for sure if no later one begins with the three numbers of a row and they
    have `width` columns together; what does not fit is given as it is, for the reader to refuse.
    The script that made the Hub's copy left out all lines that lack fields.
    """
    start, whole = 0, list[str]()
    for number, cells in rows:
        is_new = len(cells) >= 3 and all(cell.isdecimal() for cell in cells[:3])
        if whole and not is_new:
            whole = [*whole[:-1], f"{whole[-1]}\n{cells[0]}", *cells[1:]]
        else:
            if whole:
                yield start, whole
            start, whole = number, cells
        if len(whole) >= width or whole == [""]:
            yield start, whole
            whole = []
    if whole:
        yield start, whole


def _read_unnamed_table(path: Path) -> Records:
    """XTREME's tables: Python's csv writer made them, they have no header, tests no labels."""
    names = ("sentence1", "sentence2", "label")
    for number, cells in read_table(path, delimiter="\t", quoted=True):
        if len(cells) not in (2, 3):
            rule = f"a row must have the columns {', '.join(names)}"
            raise refuse(path, number, rule, cells, f"it has {len(cells)}")
        yield number, dict(zip(names, cells, strict=False))


def _read_numbered_objects(path: Path) -> Records:
    """`{"0": {...}, "1": {...}}`; numbered from 1, as lines are."""
    for number, (_, record) in enumerate(read_object(path), 1):
        if not isinstance(record, dict):
            raise refuse(path, number, "the record must be a JSON object", record)
        yield number, record


_NLI_NUMBERS = {name: number for number, name in enumerate(_NLI)}
_BINARY = {"0": 0, "1": 1}
_NLI_COLUMNS: Features = {"premise": STRING, "hypothesis": STRING, "label": class_label(_NLI)}

_MNLI = Labelled(
    "nyu-mll/glue", {**_NLI_COLUMNS, "idx": INT32}, {**_NLI_NUMBERS, "-": None}, config="mnli"
)
_SNLI = Labelled("stanfordnlp/snli", _NLI_COLUMNS, {**_NLI_NUMBERS, "-": None}, config="plain_text")
_QQP = Labelled(
    "nyu-mll/glue",
    {
        "question1": STRING,
        "question2": STRING,
        "label": class_label(("not_duplicate", "duplicate")),
        "idx": INT32,
    },
    _BINARY,
    config="qqp",
)
_ANLI = Labelled(
    "facebook/anli",
    {"uid": STRING, **_NLI_COLUMNS, "reason": STRING},
    {"e": 0, "n": 1, "c": 2},
    config="plain_text",
)
# The machine-translated files write `contradictory`.
_XNLI = Labelled("facebook/xnli", _NLI_COLUMNS, {**_NLI_NUMBERS, "contradictory": 2})
_XNLI_GENRES = replace(_XNLI, features={**_NLI_COLUMNS, "genre": STRING})
_PAWSX = Labelled(
    "google-research-datasets/paws-x",
    {"id": INT32, "sentence1": STRING, "sentence2": STRING, "label": class_label(("0", "1"))},
    _BINARY,
)

_SENTENCES = {"premise": "sentence1", "hypothesis": "sentence2"}
_GOLD = {**_SENTENCES, "label": "gold_label"}
_TEXTS = {"premise": "text_a", "hypothesis": "text_b"}
_IDX = {"idx": 0}
_MNLI_SPLITS = {
    "dev": "validation_matched",
    "dev_matched": "validation_matched",
    "dev_mismatched": "validation_mismatched",
}
_PAWSX_SPLITS = {"translated_train": "train", "dev_2k": "validation", "test_2k": "test"}


IMPORTERS: tuple[Importer, ...] = (
    Importer(
        "GLUE MNLI",
        r"(?i:mnli)/(?P<split>train|(?:dev|test)_(?:mis)?matched)\.tsv",
        Format(_MNLI, read_named_table, _GOLD, _MNLI_SPLITS, _IDX, test_labels="some").read,
    ),
    Importer(
        "MultiNLI",
        r"multinli_1\.0_(?P<split>train|dev_(?:mis)?matched)\.txt",
        Format(_MNLI, read_named_table, _GOLD, _MNLI_SPLITS, _IDX).read,
    ),
    Importer(
        "MultiNLI",
        r"multinli_1\.0_(?P<split>train|dev_(?:mis)?matched)\.jsonl",
        Format(_MNLI, read_jsonl, _GOLD, _MNLI_SPLITS, _IDX).read,
    ),
    Importer(
        "MNLI pairs",
        r"(?i:mnli)/pairs/(?P<split>train|dev)\.json",
        Format(_MNLI, _read_numbered_objects, _TEXTS, _MNLI_SPLITS, _IDX).read,
    ),
    Importer(
        "GLUE SNLI",
        r"(?i:snli)/(?P<split>train|dev|test)\.tsv",
        Format(_SNLI, read_named_table, _GOLD, test_labels="some").read,
    ),
    Importer(
        "SNLI",
        r"snli_1\.0_(?P<split>train|dev|test)\.txt",
        Format(_SNLI, read_named_table, _GOLD).read,
    ),
    Importer(
        "SNLI",
        r"snli_1\.0_(?P<split>train|dev|test)\.jsonl",
        Format(_SNLI, read_jsonl, _GOLD).read,
    ),
    Importer(
        "SNLI pairs",
        r"(?i:snli)/pairs/(?P<split>train|dev)\.json",
        Format(_SNLI, _read_numbered_objects, _TEXTS).read,
    ),
    Importer(
        "GLUE QQP",
        r"(?i:qqp(?:-clean)?)/(?P<split>train|dev|test)\.tsv",
        Format(
            _QQP,
            partial(read_named_table, joined=True),
            {"label": "is_duplicate"},
            numbered=_IDX,
            test_labels="some",
        ).read,
    ),
    Importer(
        "QQP pairs",
        r"(?i:qqp)/pairs/(?P<split>train|dev)\.json",
        Format(
            _QQP,
            _read_numbered_objects,
            {"question1": "text_a", "question2": "text_b"},
            numbered=_IDX,
        ).read,
    ),
    Importer(
        "ANLI",
        r"R(?P<round>[123])/(?P<split>train|dev|test)\.jsonl",
        Format(_ANLI, read_jsonl, {"premise": "context"}, splits={}).read,
    ),
    Importer(
        "annotated ANLI",
        r"ANLI_analysis_r(?P<round>[123])_(?P<split>dev)\.csv",
        Format(
            _ANLI,
            partial(read_named_table, delimiter=",", quoted=True),
            {"premise": "context", "hypothesis": "statement", "label": "gold_label"},
            splits={},
        ).read,
    ),
    Importer(
        "XNLI as XTREME leaves it",
        r"(?i:xnli)/(?P<split>train|dev|test)-(?P<lang>[a-z]{2})\.tsv",
        Format(_XNLI, _read_unnamed_table, _SENTENCES, test_labels="some").read,
    ),
    # `XNLI-MT-1.0/xnli` has files of these names too: test sets translated to English.
    Importer(
        "XNLI",
        r"XNLI-1\.0/xnli\.(?P<split>dev|test)\.tsv",
        Format(_XNLI_GENRES, read_named_table, _GOLD, config_field="language").read,
    ),
    Importer(
        "XNLI",
        r"XNLI-1\.0/xnli\.(?P<split>dev|test)\.jsonl",
        Format(_XNLI_GENRES, read_jsonl, _GOLD, config_field="language").read,
    ),
    Importer(
        "XNLI's translated MultiNLI",
        r"multinli\.(?P<split>train)\.(?P<lang>[a-z]{2})\.tsv",
        Format(_XNLI, read_named_table, {"hypothesis": "hypo"}).read,
    ),
    Importer(
        "PAWS-X as XTREME leaves it",
        r"(?i:paws-?x)/(?P<split>train|dev|test)-(?P<lang>[a-z]{2})\.tsv",
        # It has no ids: these number the rows, and are not those of the original.
        Format(_PAWSX, _read_unnamed_table, numbered={"id": 1}, test_labels="some").read,
    ),
    Importer(
        "PAWS-X",
        r"x-final/(?P<lang>[a-z]{2})/(?P<split>train|translated_train|dev_2k|test_2k)\.tsv",
        Format(_PAWSX, read_named_table, splits=_PAWSX_SPLITS).read,
    ),
)

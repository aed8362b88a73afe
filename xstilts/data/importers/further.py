"""Original files of tasks beyond the benchmarks: native and domain NLI, topics, parallel news.

ContractNLI is told by document; its rows are a contract with each of the 17 hypotheses. SciTail's
two forms, of its own and of SNLI, hold the same pairs and differ in the name of a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from xstilts.data.hub_layout import STRING, Features, Row, Split, class_label
from xstilts.data.importers.json_stream import read_list, read_object
from xstilts.data.importers.original import (
    Imported,
    Importer,
    field_of,
    read_jsonl,
    read_lines,
    read_table,
    refuse,
)
from xstilts.data.importers.pair import Format, Labelled, Records, read_named_table
from xstilts.errors import DataError, Problem
from xstilts.tasks.further import TOPICS
from xstilts.tasks.intermediate import NLI_LABELS

_NAMES = {name: number for number, name in enumerate(NLI_LABELS)}
_LETTERS = {name[0]: number for name, number in _NAMES.items()}
_PAIR: Features = {"premise": STRING, "hypothesis": STRING, "label": class_label(NLI_LABELS)}
_CHOICES = {"Entailment": 0, "NotMentioned": 1, "Contradiction": 2}

_KLUE = Labelled("klue/klue", {"guid": STRING, "source": STRING, **_PAIR}, _NAMES, config="nli")
_OCNLI = Labelled("xstilts/ocnli", {**_PAIR, "genre": STRING}, {**_NAMES, "-": None})
_INDONLI = Labelled("afaji/indonli", _PAIR, _LETTERS)
_FARSTAIL = Labelled("xstilts/farstail", _PAIR, _LETTERS)
_SCITAIL = Labelled(
    "allenai/scitail",
    {"premise": STRING, "hypothesis": STRING, "label": STRING},
    {"entails": "entails", "entailment": "entails", "neutral": "neutral"},
    config="tsv_format",
)
_SCINLI = Labelled(
    "xstilts/scinli",
    {"sentence1": STRING, "sentence2": STRING, "label": STRING},
    {name: name for name in ("contrasting", "reasoning", "entailment", "neutral")},
)
_MEDNLI = Labelled("xstilts/mednli", _PAIR, _NAMES)
_CONTRACTS = Labelled("xstilts/contract_nli", {"id": STRING, **_PAIR}, _CHOICES)
_SIB = Labelled(
    "Davlan/sib200",
    {"index_id": STRING, "category": STRING, "text": STRING},
    {name: name for name in TOPICS},
    label="category",
)

_SENTENCES = {"premise": "sentence1", "hypothesis": "sentence2"}
_GOLD = {**_SENTENCES, "label": "gold_label"}


def _read_listed(path: Path) -> Records:
    """The objects of a JSON file that is one list, numbered from 1."""
    for number, record in enumerate(read_list(path), 1):
        if not isinstance(record, dict):
            raise refuse(path, number, "the record must be a JSON object", record)
        yield number, record


def _read_scitail(path: Path) -> Records:
    """SciTail's own form: premise, hypothesis and label, without a header or quotes."""
    names = ("premise", "hypothesis", "label")
    for number, cells in read_table(path, delimiter="\t", quoted=False):
        if cells == [""]:
            continue
        if len(cells) != len(names):
            rule = f"a row must have the columns {', '.join(names)}"
            raise refuse(path, number, rule, cells, f"it has {len(cells)}")
        yield number, dict(zip(names, cells, strict=True))


def _read_contracts(path: Path) -> Records:
    """Every contract with every hypothesis that it is annotated for, numbered by contract."""
    documents: list[dict[str, Any]] = []
    labels: dict[str, Any] = {}
    for name, value in read_object(path, listed="documents"):
        if name == "documents":
            documents.append(value)
        elif name == "labels":
            labels = value
    for number, document in enumerate(documents, 1):
        sets = field_of(path, number, document, "annotation_sets")
        if not isinstance(sets, list) or len(sets) != 1:
            raise refuse(path, number, "'annotation_sets' must be a list of one", sets)
        for key, annotation in field_of(path, number, sets[0], "annotations").items():
            hypothesis = field_of(path, number, field_of(path, number, labels, key), "hypothesis")
            yield (
                number,
                {
                    "id": f"{field_of(path, number, document, 'id')}/{key}",
                    "premise": field_of(path, number, document, "text"),
                    "hypothesis": hypothesis,
                    "label": field_of(path, number, annotation, "choice"),
                },
            )


def _read_ntrex(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """One language beside the English that all of them translate, line by line."""
    english = _english_beside(path)
    rows: list[Row] = []
    sides = zip_longest(read_lines(path), read_lines(english))
    for number, (target, source) in enumerate(sides, 1):
        if source is None or target is None:
            short, long = (path, english) if target is None else (english, path)
            rule = f"every line must have its translation in {short.name}"
            raise refuse(long, number, rule, f"{number - 1} lines there")
        rows.append({"source_sentence": target[1], "target_sentence": source[1]})
    features = dict.fromkeys(("source_sentence", "target_sentence"), STRING)
    yield Imported("xstilts/ntrex", Split(match["lang"], "test", features, rows))


def _read_english(path: Path, match: re.Match[str]) -> Iterable[Imported]:
    """It is read with each translation."""
    return ()


def _english_beside(path: Path) -> Path:
    english = path.with_name("newstest2019-src.eng.txt")
    if not english.is_file():
        rule = f"the English that it translates, {english.name}, must lie beside it"
        raise DataError(str(Problem(str(path), rule)))
    return english


_COMMA = partial(read_named_table, delimiter=",", quoted=True)
_QUOTED = partial(read_named_table, quoted=True)

IMPORTERS: tuple[Importer, ...] = (
    Importer(
        "KLUE-NLI",
        r"klue-nli-v[0-9.]+_(?P<split>train|dev)\.json",
        Format(_KLUE, _read_listed, {"label": "gold_label"}).read,
    ),
    # Training sets of 3,000 to 50,000 pairs contain each other; the largest is taken.
    Importer(
        "OCNLI",
        r"(?i:ocnli)/(?P<split>train|dev)(?:\.[0-9]+k)?\.json",
        Format(_OCNLI, read_jsonl, _SENTENCES).read,
    ),
    Importer(
        "IndoNLI",
        r"(?i:indonli)/(?P<split>train|val|test_lay|test_expert)\.jsonl",
        Format(_INDONLI, read_jsonl).read,
    ),
    Importer(
        "FarsTail",
        r"(?P<split>Train|Val|Test)-word\.csv",
        Format(
            _FARSTAIL, _QUOTED, splits={"Train": "train", "Val": "validation", "Test": "test"}
        ).read,
    ),
    Importer(
        "SciTail",
        r"scitail_1\.0_(?P<split>train|dev|test)\.tsv",
        Format(_SCITAIL, _read_scitail).read,
    ),
    Importer(
        "SciTail as SNLI is written",
        r"scitail_1\.0_(?P<split>train|dev|test)\.txt",
        Format(_SCITAIL, read_jsonl, _GOLD).read,
    ),
    Importer(
        "SciNLI",
        r"(?i:scinli)/(?P<split>train|dev|test)\.csv",
        Format(_SCINLI, _COMMA).read,
    ),
    Importer(
        "SciNLI",
        r"(?i:scinli)/(?P<split>train|dev|test)\.jsonl",
        Format(_SCINLI, read_jsonl).read,
    ),
    Importer(
        "ContractNLI",
        r"(?i:contract[-_]?nli)/(?P<split>train|dev|test)\.json",
        Format(_CONTRACTS, _read_contracts).read,
    ),
    Importer(
        "MedNLI",
        r"mli_(?P<split>train|dev|test)_v1\.jsonl",
        Format(_MEDNLI, read_jsonl, _GOLD).read,
    ),
    Importer(
        "SIB-200",
        r"annotated/(?P<lang>[a-z]{3}_[A-Z][a-z]{3})/(?P<split>train|dev|test)\.tsv",
        Format(_SIB, _QUOTED).read,
    ),
    Importer(
        "NTREX-128",
        r"newstest2019-ref\.(?P<lang>[a-z]{3}(?:-[A-Za-z]+)?)\.txt",
        _read_ntrex,
    ),
    Importer("NTREX-128's English", r"newstest2019-src\.eng\.txt", _read_english),
)

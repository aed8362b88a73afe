"""Original files of multiple choice: HellaSwag, CosmosQA, CommonsenseQA, SIQA, XCOPA and COPA.

Rows keep the columns of the Hub's copies; which of them are prompt and choices is the tasks' to
say. XCOPA's `changed` is left out: the mirror has no truth values, and nothing reads it. Its
`question` stays as released, wrong as it is in some languages; where the English COPA that it
translates is imported with it, a data set of another name has that one's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from xstilts.data.hub_layout import INT32, STRING, STRINGS, Features, Split, class_label
from xstilts.data.importers.original import (
    Imported,
    Importer,
    field_of,
    read_jsonl,
    read_lines,
    refuse,
)
from xstilts.data.importers.pair import SPLITS, Format, Labelled, Records, read_named_table

_LETTERS = ["A", "B", "C", "D", "E"]


def _read_hellaswag(path: Path) -> Records:
    """Objects whose endings are four, as everything that scores choices needs."""
    for number, record in read_jsonl(path):
        endings = field_of(path, number, record, "endings")
        if not isinstance(endings, list) or len(endings) != 4:
            raise refuse(path, number, "'endings' must be a list of 4", endings)
        yield number, record


def _read_commonsense(path: Path) -> Records:
    """Objects with the parts of their question beside the rest, and choices as columns."""
    for number, record in read_jsonl(path):
        question = field_of(path, number, record, "question")
        if not isinstance(question, dict):
            raise refuse(path, number, "'question' must be an object", question)
        choices = field_of(path, number, question, "choices")
        if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
            raise refuse(path, number, "'choices' must be a list of objects", choices)
        columns = {
            name: [field_of(path, number, one, name) for one in choices]
            for name in ("label", "text")
        }
        if columns["label"] != _LETTERS:
            rule = f"the choices must be {', '.join(_LETTERS)}, in this order"
            raise refuse(path, number, rule, columns["label"])
        yield number, {**record, **question, "question": question.get("stem"), "choices": columns}


def _read_siqa(path: Path) -> Records:
    """Objects with the labels of the file beside it, a line each."""
    beside = path.with_name(f"{path.stem}-labels.lst")
    if not beside.is_file():
        raise refuse(path, 1, "the labels must be beside the file", "none", f"give {beside.name}")
    labels = dict(read_lines(beside))
    number = 0
    for number, record in read_jsonl(path):
        if number not in labels:
            raise refuse(path, number, f"{beside.name} must have a label for every line", "none")
        yield number, {**record, "correct": labels[number].strip()}
    if len(labels) > number:
        rule = f"there must be a record for every line of {beside.name}"
        raise refuse(path, number + 1, rule, "none")


def _read_nothing(path: Path, match: re.Match[str]) -> Iterator[Imported]:
    """A file that is read together with another."""
    yield from ()


_HELLASWAG = Labelled(
    "Rowan/hellaswag",
    {
        "ind": INT32,
        "activity_label": STRING,
        "ctx_a": STRING,
        "ctx_b": STRING,
        "ctx": STRING,
        "endings": STRINGS,
        "source_id": STRING,
        "split": STRING,
        "split_type": STRING,
        "label": STRING,
    },
    {label: label for label in "0123"},
    unlabelled="",
)
_COSMOS = Labelled(
    "allenai/cosmos_qa",
    {
        "id": STRING,
        "context": STRING,
        "question": STRING,
        **{f"answer{i}": STRING for i in range(4)},
        "label": INT32,
    },
    {str(label): label for label in range(4)},
)
_COMMONSENSE = Labelled(
    "tau/commonsense_qa",
    {
        "id": STRING,
        "question": STRING,
        "question_concept": STRING,
        "choices": {"label": STRINGS, "text": STRINGS},
        "answerKey": STRING,
    },
    {letter: letter for letter in _LETTERS},
    unlabelled="",
    label="answerKey",
)
_SIQA = Labelled(
    "lighteval/siqa",
    {
        "context": STRING,
        "question": STRING,
        **{f"answer{letter}": STRING for letter in "ABC"},
        "label": STRING,
    },
    # The first release has numbers, the second letters.
    {"1": "1", "2": "2", "3": "3", "A": "1", "B": "2", "C": "3"},
    unlabelled="",
)
_COPA_COLUMNS: Features = {
    "premise": STRING,
    "choice1": STRING,
    "choice2": STRING,
    "question": STRING,
}
_TWO = {"0": 0, "1": 1}
_XCOPA = Labelled("cambridgeltl/xcopa", {**_COPA_COLUMNS, "label": INT32, "idx": INT32}, _TWO)
_COPA = Labelled(
    "aps/super_glue",
    {**_COPA_COLUMNS, "idx": INT32, "label": class_label(("choice1", "choice2"))},
    _TWO,
    config="copa",
)
FIXED = "xstilts/xcopa_fixed"
"""The data set of XCOPA's rows with the questions of English COPA."""

_SIQA_SPLITS = {"trn": "train", "tst": "test", **SPLITS}


def with_english_questions(
    splits: Mapping[tuple[str, str, str], Split],
) -> Iterator[tuple[tuple[str, str, str], Imported]]:
    """XCOPA's splits with the questions of the English items of the same `idx`.

    Args:
        splits: all that is imported, by data set, configuration and split.

    Returns:
        For each split of which the English one has all items, the key of XCOPA's and the corrected
        one.
    """
    for (hub_id, language, name), split in splits.items():
        english = splits.get((_COPA.hub_id, _COPA.config, name))
        if hub_id != _XCOPA.hub_id or english is None:
            continue
        questions = {row["idx"]: row["question"] for row in english.rows}
        if all(row["idx"] in questions for row in split.rows):
            rows = [{**row, "question": questions[row["idx"]]} for row in split.rows]
            corrected = Imported(FIXED, Split(language, name, split.features, rows))
            yield (hub_id, language, name), corrected


IMPORTERS: tuple[Importer, ...] = (
    Importer(
        "HellaSwag",
        r"hellaswag_(?P<split>train|val|test)\.jsonl",
        Format(_HELLASWAG, _read_hellaswag, test_labels="some").read,
    ),
    Importer(
        "CosmosQA",
        r"[^/]*(?i:cosmos)[^/]*/(?:data/)?(?P<split>train|valid)\.csv",
        Format(_COSMOS, partial(read_named_table, delimiter=",", quoted=True)).read,
    ),
    Importer(
        "CosmosQA",
        r"[^/]*(?i:cosmos)[^/]*/(?:data/)?(?P<split>test)\.jsonl",
        Format(_COSMOS, read_jsonl, test_labels="some").read,
    ),
    Importer(
        "CommonsenseQA",
        r"(?P<split>train|dev|test)_rand_split(?:_no_answers)?\.jsonl",
        Format(_COMMONSENSE, _read_commonsense, test_labels="some").read,
    ),
    Importer(
        "SIQA 1.4",
        r"socialIQa_v1\.4_(?P<split>trn|dev|tst)\.jsonl",
        Format(_SIQA, read_jsonl, {"label": "correct"}, _SIQA_SPLITS, test_labels="some").read,
    ),
    Importer(
        "SIQA",
        r"(?i:social_?iqa)[^/]*/(?P<split>train|dev)\.jsonl",
        Format(_SIQA, _read_siqa, {"label": "correct"}).read,
    ),
    Importer("labels of SIQA", r"(?i:social_?iqa)[^/]*/(?:train|dev)-labels\.lst", _read_nothing),
    Importer(
        "XCOPA",
        r"data/(?P<lang>[a-z]{2})/(?P<split>val|test)\.(?P=lang)\.jsonl",
        Format(_XCOPA, read_jsonl).read,
    ),
    Importer(
        "XCOPA translated to English",
        r"data-gmt/(?P<source>[a-z]{2})/(?P<split>val|test)\.(?P=source)\.jsonl",
        Format(replace(_XCOPA, config="translation-{source}"), read_jsonl).read,
    ),
    Importer(
        "COPA as XTREME leaves it",
        r"xcopa/(?P<split>train|val|test)-en\.jsonl",
        Format(_COPA, read_jsonl, test_labels="filler").read,
    ),
    Importer(
        "COPA of SuperGLUE",
        r"COPA/(?P<split>train|val|test)\.jsonl",
        Format(_COPA, read_jsonl, test_labels="some").read,
    ),
)

"""Files of one's own: each format's rows with their lines, and what is no file of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xstilts.data.formats import format_of, read_file
from xstilts.errors import DataError

SQUAD = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": "Ada was born in Oslo.",
                    "qas": [
                        {
                            "id": "q1",
                            "question": "Where?",
                            "answers": [{"text": "Oslo", "answer_start": 16}],
                        }
                    ],
                }
            ]
        }
    ]
}
CONLLU = (
    "# sent_id = 1\n1\tIt\tit\tPRON\t_\t_\t2\tnsubj\t_\t_\n"
    "2\trains\train\tVERB\t_\t_\t0\troot\t_\t_\n"
)


@pytest.mark.parametrize(
    ("name", "text", "kind", "rows"),
    [
        ("a.csv", 'text,label\n"a, ""b""",1\n\nc,2\n', "sentence", [(2, 'a, "b"'), (4, "c")]),
        (
            "a.CSV",
            '\ufefftext,label\n"two\nlines",1\nc,2\n',
            "sentence",
            [(3, "two\nlines"), (4, "c")],
        ),
        ("a.tsv", "text\tlabel\na, b\t1\n", "sentence", [(2, "a, b")]),
        ("a.jsonl", '{"text": "a"}\n\n{"text": "b"}\n', "sentence", [(1, "a"), (3, "b")]),
    ],
)
def test_tables(tmp_path: Path, name: str, text: str, kind: str, rows: list[Any]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = list(read_file(tmp_path / name, kind, "en"))
    assert [(line, record["text"]) for line, record in found] == rows


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1, 0]}), tmp_path / "a.parquet")
    found = list(read_file(tmp_path / "a.parquet", "sentence", "en"))
    assert found == [(1, {"text": "a", "label": 1}), (2, {"text": "b", "label": 0})]


def test_squad(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SQUAD))
    ((line, record),) = read_file(tmp_path / "a.json", "span", "en")
    assert line == 1 and record["answers"] == {"text": ["Oslo"], "answer_start": [16]}


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.conll", "-DOCSTART- O\n\nAda B-PER\nran O\n\nOslo B-LOC\n", [(3, 2), (6, 1)]),
        ("a.conll", "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n", [(1, 2)]),
        ("a.tsv", "New York\tB-LOC\n\n#\tO\n", [(1, 1), (3, 1)]),
        ("a.conllu", CONLLU, [(2, 2)]),
    ],
)
def test_tagged_words(tmp_path: Path, name: str, text: str, rows: list[Any]) -> None:
    (tmp_path / name).write_text(text)
    found = list(read_file(tmp_path / name, "tagging", "en"))
    assert [(line, len(record["tokens"])) for line, record in found] == rows
    assert all(len(record["tokens"]) == len(record["tags"]) for _, record in found)
    if name == "a.conllu":
        assert found[0][1] == {"tokens": ["It", "rains"], "tags": ["PRON", "VERB"]}
    if "EU" in text:
        assert found[0][1] == {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}


@pytest.mark.parametrize(
    ("name", "text", "kind", "message"),
    [
        ("a.csv", "", "sentence", "{path}:1: the file is empty"),
        ("a.csv", "a,b,a\n1,2,3\n", "sentence", "{path}:1: a column stands once; got 'a'"),
        (
            "a.csv",
            "a,b\n1,2\n1\n",
            "sentence",
            "{path}:3: a row must have the 2 fields of the header",
        ),
        ("a.tsv", 'a\tb\n"c\t2\n', "sentence", "{path}:2: the row must be readable"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "sentence", "{path}:2: the line must be a JSON object"),
        ("a.parquet", "no", "sentence", "{path}: is no Parquet file"),
        ("a.xlsx", "no", "sentence", "{path}: has an ending of a format"),
        ("a.json", "{}", "sentence", "{path}: has an ending of a format"),
        ("a.conll", "Ada B-PER\nran\n", "tagging", "{path}:2: a word must have its tag"),
        ("a.json", "{}", "span", "{path}:1: the record must have 'data'"),
    ],
)
def test_what_is_no_file_of_its_format(
    tmp_path: Path, name: str, text: str, kind: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        list(read_file(path, kind, "en"))
    assert str(caught.value).startswith(message.format(path=path)), str(caught.value)


def test_a_tsv_is_a_table_unless_words_are_tagged() -> None:
    assert format_of(Path("a.tsv"), "tagging").name == "CoNLL"
    assert format_of(Path("a.tsv"), "pair").name == "TSV"

"""JSON value by value: what `json.loads` reads, wherever a piece ends, and no more at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xstilts.data.importers import json_stream
from xstilts.data.importers.json_stream import read_list, read_object
from xstilts.errors import DataError

TEXTS = [
    "{}",
    ' {"data": [] } ',
    '{"version": 1.5e-3, "data": [1, -20, 3.25, true, false, null], "end": NaN}',
    r'{"data": [{"a": "\u00e9\ud83d\ude00 \"\\"}, {"b": [[], {}, "ä中"]}, "data"], "x": "\n"}',
    '\ufeff{"data":[{"k":"v"}],"more":{"data":[1,2]}}\n',
    '{"data": "no list", "other": -Infinity}',
]


@pytest.mark.parametrize("piece", [1, 3, 2**20])
@pytest.mark.parametrize("text", ["[]", ' [ {"a": [1, "]"]} ,2.5 ]\n', '\ufeff["ä\\"", null]'])
def test_a_list_is_what_json_reads_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, piece: int
) -> None:
    monkeypatch.setattr(json_stream, "PIECE", piece)
    path = tmp_path / "file.json"
    path.write_text(text, encoding="utf-8")
    assert list(read_list(path)) == json.loads(path.read_bytes())


@pytest.mark.parametrize("text", ["{}", "", "[1", "[1] 2", "[1 2]", "[,]"])
def test_what_is_no_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(DataError, match=r"file\.json: the file must be JSON"):
        list(read_list(tmp_path / "file.json"))


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 2**20])
@pytest.mark.parametrize("text", TEXTS)
def test_it_is_what_json_reads_wherever_a_piece_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, piece: int
) -> None:
    monkeypatch.setattr(json_stream, "PIECE", piece)
    path = tmp_path / "file.json"
    path.write_text(text, encoding="utf-8")
    whole = json.loads(path.read_bytes())
    listed = [value for key, value in read_object(path, listed="data") if key == "data"]
    expected = whole.get("data", [])
    assert repr(listed) == repr(expected if isinstance(expected, list) else [expected])
    assert repr(dict(read_object(path))) == repr(whole)


@pytest.mark.parametrize("piece", [1, 5, 2**20])
@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("", 1, "must hold an object"),
        ("[1]", 1, "must hold an object"),
        ('{"data": [{"a": 1}, {"a" 2}]}', 26, "Expecting ':' delimiter"),
        ('{"data": [{"a": 1} {}]}', 20, "elements must be separated by commas"),
        ('{"data": [1, 2', 15, "elements must be separated by commas"),
        ('{"data": ["open]}', 11, "Unterminated string"),
        ('{"a": 1, 2: 3}', 11, "a key must be a text"),
        ('{"a" 1}', 6, "a key must have a value"),
        ('{"a": 1 "b": 2}', 9, "members must be separated by commas"),
        ('{"a": 1} {"b": 2}', 10, "nothing must follow the object"),
        ('{"a": ' + "[" * 100_000, 7, "nested so deep"),
    ],
)
def test_what_is_broken_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, place: int, rule: str, piece: int
) -> None:
    if len(text) > 1000 and piece < 2**20:
        return  # as deep as it is, it would be tried at every piece
    monkeypatch.setattr(json_stream, "PIECE", piece)
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        list(read_object(path, listed="data"))
    assert str(caught.value).startswith(f"{path}: the file must be JSON; at character {place}: ")
    assert rule in str(caught.value)


GROWTH = """
import resource, sys
from pathlib import Path
from xstilts.data.importers import import_folder
from xstilts.errors import DataError

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    import_folder(Path(sys.argv[1]), Path(sys.argv[2]))
except DataError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
MIB = 2**20


def growth_of(source: Path, tmp_path: Path) -> tuple[list[str], float]:
    """What an import says, and by how many MiB it grows."""
    command = [sys.executable, "-c", GROWTH, str(source), str(tmp_path / "mirror")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    *said, kib = done.stdout.splitlines()
    return said, int(kib) / 1024


def a_line(path: Path) -> None:
    path.write_bytes(b'{"ind": 1, "ctx": "' + b"x" * (64 * MIB) + b'"}\n')


def a_row(path: Path) -> None:
    path.write_bytes(b"id,context\n1," + b"x" * (64 * MIB) + b"\n")


def an_article(path: Path) -> None:
    path.write_bytes(b'{"data": [{"title": "' + b"x" * (64 * MIB) + b'"}]}')


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("hellaswag_train.jsonl", a_line, ':1: a line must have at most 4 MiB; got \'{"ind": 1'),
        ("cosmos/train.csv", a_row, ":2: a line must have at most 4 MiB; got '1,xxx"),
        ("train-v1.1.json", an_article, "a value must have at most 8388608 characters; got '{\"ti"),
    ],
)
def test_what_is_too_long_is_refused_within_little_memory(
    tmp_path: Path, name: str, write: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "originals" / name
    path.parent.mkdir(parents=True)
    write(path)
    lines, grown = growth_of(tmp_path / "originals", tmp_path)
    assert len(lines) == 1 and said in lines[0] and str(path) in lines[0]
    assert grown < 40, "of 64 MiB"


def test_a_large_file_is_read_within_what_its_rows_take(tmp_path: Path) -> None:
    """32 MiB of articles, and hardly more in memory than their few rows."""
    question = {"id": "1", "question": "x", "answers": [{"answer_start": 0, "text": "y"}]}
    paragraph = {"context": "y" * MIB, "qas": [question]}
    article = json.dumps({"paragraphs": [paragraph, {"context": "z" * MIB, "qas": []}]})
    path = tmp_path / "originals" / "train-v1.1.json"
    path.parent.mkdir()
    with path.open("w") as stream:
        stream.write('{"version": "1.1", "data": [')
        stream.write(",".join([article] * 16))
        stream.write("]}")
    lines, grown = growth_of(path.parent, tmp_path)
    assert lines == []
    assert grown < 100


def test_a_file_larger_than_any_that_was_published_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "originals" / "hellaswag_train.jsonl"
    path.parent.mkdir()
    with path.open("w") as stream:
        stream.truncate(5 * 2**30)  # a hole, which takes no disk
    (line,), grown = growth_of(path.parent, tmp_path)
    assert line == f"{path}: a file must have at most 4 GiB; got 5.0 GiB; split it"
    assert grown < 10

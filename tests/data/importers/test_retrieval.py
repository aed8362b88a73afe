"""Retrieval files into the mirror: Tatoeba's pairs, BUCC's pools and gold, broken rows."""

from __future__ import annotations

import csv
from pathlib import Path

import datasets
import pytest

from xstilts.data.hub_layout import write_dataset
from xstilts.data.importers.original import Imported
from xstilts.data.importers.retrieval import IMPORTERS
from xstilts.errors import DataError

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.usefixtures("data")


def read_all(path: Path, root: Path) -> list[Imported]:
    name = path.relative_to(root).as_posix()
    [match] = [(i, found) for i in IMPORTERS if (found := i.match(name))]
    return list(match[0].read(path, match[1]))


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def lines_of(name: str) -> list[str]:
    return (DATA / name).read_bytes().decode().removesuffix("\n").split("\n")


@needs_data
def test_every_tatoeba_file_is_known_and_has_the_pairs_that_the_manifest_counts() -> None:
    with (DATA / "MANIFEST.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    counts = {r["path"]: int(r["records"]) for r in rows if r["path"].startswith("tatoeba/")}
    found = {name: read_all(DATA / name, DATA) for name in counts}
    assert len(found) == 82
    assert all(found[name] == [] for name in counts if name.endswith(".eng"))
    read = {name: imported[0].split for name, imported in found.items() if imported}
    assert len(read) == 41
    assert {name: len(split.rows) for name, split in read.items()} == {
        name: counts[name] for name in read
    }
    assert all(split.config == f"tatoeba.{name[-3:]}" for name, split in read.items())


@needs_data
@pytest.mark.parametrize("code", ["deu", "jav"])
def test_tatoeba_loads_back_line_by_line(tmp_path: Path, code: str) -> None:
    name = f"tatoeba/v1/tatoeba.{code}-eng"
    [imported] = read_all(DATA / f"{name}.{code}", DATA)
    assert imported.hub_id == "google/xtreme"
    write_dataset(tmp_path / "xtreme", [imported.split], "a note")
    loaded = datasets.load_dataset(
        str(tmp_path / "xtreme"),
        f"tatoeba.{code}",
        split="validation",
        cache_dir=str(tmp_path / "cache"),
    )
    assert loaded["source_sentence"] == lines_of(f"{name}.{code}")
    assert loaded["target_sentence"] == lines_of(f"{name}.eng")
    assert set(loaded["source_lang"]) == {code}
    assert set(loaded["target_lang"]) == {"eng"}


@needs_data
@pytest.mark.parametrize(
    ("side", "config", "columns", "count"),
    [
        ("zh", "zh", ("id", "sentence"), 8624),
        ("en", "zh.en", ("id", "sentence"), 13589),
        ("gold", "zh.gold", ("source_id", "target_id"), 257),
    ],
)
def test_bucc_loads_back(
    tmp_path: Path, side: str, config: str, columns: tuple[str, str], count: int
) -> None:
    name = f"xtreme/bucc2018/zh-en.dev.{side}"
    [imported] = read_all(DATA / name, DATA)
    assert imported.hub_id == "xtreme/bucc2018"
    write_dataset(tmp_path / "bucc2018", [imported.split], "a note")
    loaded = datasets.load_dataset(
        str(tmp_path / "bucc2018"), config, split="validation", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.num_rows == count
    assert list(zip(*(loaded[column] for column in columns), strict=True)) == [
        tuple(line.split("\t", 1)) for line in lines_of(name)
    ]


@needs_data
def test_gold_pairs_name_sentences_of_the_pools_and_may_come_without_them() -> None:
    gold, source, english = (
        read_all(DATA / f"xtreme/bucc2018/zh-en.dev.{side}", DATA)[0].split.rows
        for side in ("gold", "zh", "en")
    )
    assert {row["source_id"] for row in gold} <= {row["id"] for row in source}
    assert {row["target_id"] for row in gold} <= {row["id"] for row in english}
    counts = {"de": 1038, "fr": 929, "ru": 2374}
    for code, count in counts.items():
        [imported] = read_all(DATA / f"xtreme/bucc2018/{code}-en.dev.gold", DATA)
        assert (imported.split.config, len(imported.split.rows)) == (f"{code}.gold", count)


@pytest.mark.parametrize(
    ("part", "split"),
    [("dev", "validation"), ("sample", "validation"), ("test", "test"), ("training", "test")],
)
def test_parts_of_bucc_become_splits(tmp_path: Path, part: str, split: str) -> None:
    path = write(tmp_path, f"bucc2018/de-en/de-en.{part}.de", "de-1\tTee\tist heiß")
    [imported] = read_all(path, tmp_path)
    assert (imported.split.config, imported.split.name) == ("de", split)
    assert imported.split.rows == [{"id": "de-1", "sentence": "Tee\tist heiß"}]


def test_sentences_keep_their_spaces_and_separators(tmp_path: Path) -> None:
    path = write(tmp_path, "tatoeba.deu-eng.deu", " Tee\u2028heiß \r\n\nja")
    write(tmp_path, "tatoeba.deu-eng.eng", "tea\n\nyes\n")
    [imported] = read_all(path, tmp_path)
    pairs = [(row["source_sentence"], row["target_sentence"]) for row in imported.split.rows]
    assert pairs == [(" Tee\u2028heiß ", "tea"), ("", ""), ("ja", "yes")]


@pytest.mark.parametrize(
    ("german", "english", "message"),
    [
        ("a\nb\n", "c\n", ".deu:2: every line must have its translation in tatoeba.deu-eng.eng"),
        ("a\n", "c\nd\ne\n", ".eng:2: every line must have its translation in tatoeba.deu-eng.deu"),
    ],
)
def test_unequal_files_are_refused(tmp_path: Path, german: str, english: str, message: str) -> None:
    path = write(tmp_path, "tatoeba.deu-eng.deu", german)
    write(tmp_path, "tatoeba.deu-eng.eng", english)
    with pytest.raises(DataError) as caught:
        read_all(path, tmp_path)
    assert message in str(caught.value)
    assert "got '1 lines there'" in str(caught.value)


@pytest.mark.parametrize(("side", "other"), [("deu", "eng"), ("eng", "deu")])
def test_half_a_pair_is_refused(tmp_path: Path, side: str, other: str) -> None:
    path = write(tmp_path, f"tatoeba.deu-eng.{side}", "a\n")
    with pytest.raises(DataError) as caught:
        read_all(path, tmp_path)
    expected = f"{path}: its other half tatoeba.deu-eng.{other} must lie beside it"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("name", "text", "row", "message"),
    [
        ("bucc2018/de-en.dev.de", "de-1\ta\nde-2 b\n", 2, "must be id, tab, sentence"),
        ("bucc2018/de-en.dev.en", "\ta\n", 1, "must be id, tab, sentence"),
        ("bucc2018/de-en.dev.gold", "de-1\n", 1, "must be source_id, tab, target_id"),
        ("bucc2018/de-en.dev.gold", "de-1\ten-1\tx\n", 1, "must be source_id, tab, target_id"),
    ],
)
def test_a_broken_row_is_named(
    tmp_path: Path, name: str, text: str, row: int, message: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(DataError) as caught:
        read_all(path, tmp_path)
    assert str(caught.value).startswith(f"{path}:{row}: ")
    assert message in str(caught.value)

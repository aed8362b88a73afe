"""Original pair files: real records come back whole, every trap of the formats one by one."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from xstilts.data.hub_layout import write_dataset
from xstilts.data.importers.original import Imported
from xstilts.data.importers.pair import IMPORTERS
from xstilts.errors import DataError

DATA = Path(__file__).parents[4] / "shared" / "data"
NLI = ("entailment", "neutral", "contradiction")
BINARY = ("0", "1")
XNLI_LANGUAGES = [
    "ar",
    "bg",
    "de",
    "el",
    "en",
    "es",
    "fr",
    "hi",
    "ru",
    "sw",
    "th",
    "tr",
    "ur",
    "vi",
    "zh",
]
PAWSX_LANGUAGES = ["de", "en", "es", "fr", "ja", "ko", "zh"]

Triple = tuple[str, str, str]


def read(path: Path) -> list[Imported]:
    """What the importer that knows the file's name reads from it."""
    for importer in IMPORTERS:
        match = importer.match(path.as_posix())
        if match:
            return list(importer.read(path, match))
    raise AssertionError(f"{path} is not known")


def load(imported: list[Imported], tmp_path: Path) -> list[list[dict[str, Any]]]:
    """The rows of splits after they were written and loaded back, class numbers as names."""
    datasets.disable_progress_bars()
    folder = tmp_path / imported[0].hub_id
    write_dataset(folder, [one.split for one in imported], "test")
    loaded = []
    for one in imported:
        split = datasets.load_dataset(
            str(folder),
            one.split.config,
            split=one.split.name,
            cache_dir=str(tmp_path / "cache"),
        )
        label = split.features["label"]
        rows = [dict(row) for row in split]
        for row in rows:
            row["label"] = label.names[row["label"]] if row["label"] >= 0 else ""
        loaded.append(rows)
    return loaded


def triples(rows: list[dict[str, Any]]) -> list[Triple]:
    """Both texts and the label of rows, whatever their columns are called."""
    left = next(name for name in ("premise", "question1", "sentence1") if name in rows[0])
    right = {"premise": "hypothesis", "question1": "question2", "sentence1": "sentence2"}[left]
    return [(row[left], row[right], row["label"]) for row in rows]


def cut(path: Path, left: int, right: int, label: int, first: int = 1) -> list[Triple]:
    """Columns of a table by position, its lines cut at tabs."""
    lines = path.read_bytes().decode().replace("\r\n", "\n").split("\n")
    cells = [line.split("\t") for line in lines[first:] if line]
    return [(row[left], row[right], row[label]) for row in cells]


def parse(path: Path) -> list[Triple]:
    """The pairs of an XTREME table, as another reader of quoted tables has them."""
    table = pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False)
    if len(table.columns) == 2:
        table[2] = ""
    return list(table.itertuples(index=False, name=None))


QQP_NAMES = {"0": "not_duplicate", "1": "duplicate"}


def named(pairs: list[Triple], names: dict[str, str]) -> list[Triple]:
    return [(left, right, names[label]) for left, right, label in pairs]


@pytest.mark.parametrize(
    ("name", "config", "split", "columns"),
    [
        ("mnli/train.tsv", "mnli", "train", (8, 9, -1)),
        ("mnli/dev_matched.tsv", "mnli", "validation_matched", (8, 9, -1)),
        ("hf_dummy/glue/MNLI/dev_matched.tsv", "mnli", "validation_matched", (8, 9, 15)),
        ("hf_dummy/glue/MNLI/dev_mismatched.tsv", "mnli", "validation_mismatched", (8, 9, 15)),
        ("snli/train.tsv", "plain_text", "train", (7, 8, -1)),
        ("snli/dev.tsv", "plain_text", "validation", (7, 8, -1)),
        ("snli/snli_1.0/snli_1.0_dev.txt", "plain_text", "validation", (5, 6, 0)),
        ("snli/snli_1.0/snli_1.0_test.txt", "plain_text", "test", (5, 6, 0)),
        ("hf_dummy/snli/snli_1.0/snli_1.0_train.txt", "plain_text", "train", (5, 6, 0)),
        ("hf_dummy/multi_nli/multinli_1.0/multinli_1.0_train.txt", "mnli", "train", (5, 6, 0)),
        ("qqp/train.tsv", "qqp", "train", (3, 4, 5)),
        ("qqp/dev.tsv", "qqp", "validation", (3, 4, 5)),
    ],
)
def test_english_tables_come_back_whole(
    name: str,
    config: str,
    split: str,
    columns: tuple[int, int, int],
    data: Path,
    counts: dict[str, int],
    tmp_path: Path,
) -> None:
    imported = read(data / name)
    assert [(one.split.config, one.split.name) for one in imported] == [(config, split)]

    (rows,) = load(imported, tmp_path)

    expected = cut(data / name, *columns)
    if config == "qqp":
        expected = named(expected, QQP_NAMES)
    assert triples(rows) == expected
    if not name.startswith("hf_dummy/"):
        assert len(rows) == counts[name]
    if config != "plain_text":
        assert [row["idx"] for row in rows] == list(range(len(rows)))


@pytest.mark.parametrize("name", ["train", "dev", "test"])
def test_both_forms_of_snli_are_equal(name: str, data: Path, tmp_path: Path) -> None:
    folder = data / "snli" / "snli_1.0"
    imported = read(folder / f"snli_1.0_{name}.jsonl")
    (rows,) = load(imported, tmp_path)
    text = (folder / f"snli_1.0_{name}.jsonl").read_text(encoding="utf-8")
    objects = [json.loads(line) for line in text.splitlines()]
    assert triples(rows) == [(x["sentence1"], x["sentence2"], x["gold_label"]) for x in objects]
    assert imported[0].hub_id == "stanfordnlp/snli"
    if name != "train":
        assert read(folder / f"snli_1.0_{name}.txt") == imported


@pytest.mark.parametrize("name", ["train", "dev_matched", "dev_mismatched"])
def test_both_forms_of_multinli_are_equal(name: str, data: Path) -> None:
    folder = data / "hf_dummy" / "multi_nli" / "multinli_1.0"
    from_json, from_table = (
        read(folder / f"multinli_1.0_{name}.{ending}") for ending in ("jsonl", "txt")
    )
    assert from_json[0].hub_id == "nyu-mll/glue"
    assert from_json[0].split.name == name.replace("dev_", "validation_")
    # The table was cut one record earlier.
    assert from_json[0].split.rows[: len(from_table[0].split.rows)] == from_table[0].split.rows
    assert len(from_json[0].split.rows) == 5


@pytest.mark.parametrize("name", ["mnli", "snli", "qqp"])
@pytest.mark.parametrize("split", ["train", "dev"])
def test_pairs_in_json(name: str, split: str, data: Path, counts: dict[str, int]) -> None:
    path = data / name / "pairs" / f"{split}.json"
    (imported,) = read(path)
    objects = json.loads(path.read_text(encoding="utf-8"))
    expected = [(x["text_a"], x["text_b"], x["label"]) for x in objects.values()]
    labels = BINARY if name == "qqp" else NLI
    found = [(a, b, labels[label]) for a, b, label in triples(list(imported.split.rows))]
    assert found == expected
    assert len(found) == counts[f"{name}/pairs/{split}.json"]
    validation = "validation_matched" if name == "mnli" else "validation"
    assert imported.split.name == ("train" if split == "train" else validation)


def test_glue_tests_have_no_labels(data: Path, tmp_path: Path) -> None:
    glue = data / "hf_dummy" / "glue"
    imported = read(glue / "MNLI" / "test_matched.tsv") + read(
        glue / "MNLI" / "test_mismatched.tsv"
    )
    assert [one.split.name for one in imported] == ["test_matched", "test_mismatched"]
    assert [one.split.rows[0]["label"] for one in imported] == [-1, -1]
    matched, _ = load(imported, tmp_path)
    assert matched[0]["hypothesis"] == "Hierbas is a name worth looking out for."
    (qqp,) = read(glue / "QQP" / "test.tsv")
    assert (qqp.split.config, qqp.split.name) == ("qqp", "test")
    assert [row["label"] for row in qqp.split.rows] == [-1]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_anli(number: int, data: Path, tmp_path: Path) -> None:
    folder = data / "hf_dummy" / "anli" / "anli_v0.1" / f"R{number}"
    imported = [one for name in ("train", "dev", "test") for one in read(folder / f"{name}.jsonl")]
    assert {one.hub_id for one in imported} == {"facebook/anli"}
    names = [f"train_r{number}", f"dev_r{number}", f"test_r{number}"]
    assert [one.split.name for one in imported] == names
    letters = {"e": "entailment", "n": "neutral", "c": "contradiction"}
    for name, rows in zip(("train", "dev", "test"), load(imported, tmp_path), strict=True):
        text = (folder / f"{name}.jsonl").read_text(encoding="utf-8")
        objects = [json.loads(line) for line in text.split("\n") if line]
        assert rows == [
            {
                "uid": x["uid"],
                "premise": x["context"],
                "hypothesis": x["hypothesis"],
                "label": letters[x["label"]],
                "reason": x["reason"],
            }
            for x in objects
        ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_annotated_anli(number: int, data: Path, counts: dict[str, int], tmp_path: Path) -> None:
    name = f"anli/anlizinganli/ANLI_analysis_r{number}_dev.csv"
    imported = read(data / name)
    assert imported[0].split.name == f"dev_r{number}"
    (rows,) = load(imported, tmp_path)
    table = pd.read_csv(data / name, dtype=str, keep_default_na=False)
    letters = {"e": "entailment", "n": "neutral", "c": "contradiction"}
    columns = ("uid", "context", "statement", "gold_label", "reason")
    expected = list(zip(*(table[column] for column in columns), strict=True))
    expected = [(u, p, h, letters[label], r) for u, p, h, label, r in expected]
    assert [tuple(row.values()) for row in rows] == expected
    assert len(rows) == counts[name]


def test_annotated_anli_keeps_line_breaks_in_fields(tmp_path: Path) -> None:
    path = tmp_path / "ANLI_analysis_r1_dev.csv"
    fields = '"A ""house""\r\nof\nstone",It is of stone.,"so\nit is",e,1'
    path.write_bytes(f"context,statement,reason,gold_label,uid\r\n{fields}\r\nP,H,,c,2".encode())
    (imported,) = read(path)
    first, second = imported.split.rows
    assert first["premise"] == 'A "house"\r\nof\nstone'
    assert (first["reason"], first["label"]) == ("so\nit is", 0)
    assert (second["uid"], second["label"]) == ("2", 2)
    path.write_text('context,statement,reason,gold_label,uid\n"a\nb",H,,e,1\nP,H,,x,2\n')
    with pytest.raises(DataError, match=r"r1_dev\.csv:4: the label must be one of e, n, c"):
        read(path)


def test_xnli_as_xtreme_leaves_it(data: Path, counts: dict[str, int], tmp_path: Path) -> None:
    names = [f"{split}-{language}" for language in XNLI_LANGUAGES for split in ("dev", "test")]
    imported = [read(data / "xtreme" / "xnli" / f"{name}.tsv")[0] for name in names]
    for name, one in zip(names, imported, strict=True):
        assert len(one.split.rows) == counts[f"xtreme/xnli/{name}.tsv"], name
        assert one.split.config == name[-2:]
    chosen = [i for i, one in enumerate(imported) if one.split.config in ("en", "th", "zh")]
    loaded = load([imported[i] for i in chosen], tmp_path)
    for i, rows in zip(chosen, loaded, strict=True):
        assert triples(rows) == parse(data / "xtreme" / "xnli" / f"{names[i]}.tsv")
        labels = {row["label"] for row in rows}
        assert labels == ({""} if names[i].startswith("test") else set(NLI))


def test_pawsx_as_xtreme_leaves_it(data: Path, counts: dict[str, int], tmp_path: Path) -> None:
    names = [f"{split}-{language}" for language in PAWSX_LANGUAGES for split in ("dev", "test")]
    folder = data / "xtreme" / "pawsx"
    imported = [read(folder / f"{name}.tsv")[0] for name in names]
    for name, one in zip(names, imported, strict=True):
        assert len(one.split.rows) == counts[f"xtreme/pawsx/{name}.tsv"], name
        assert one.hub_id == "google-research-datasets/paws-x"
    some = [i for i, one in enumerate(imported) if one.split.config in ("de", "en", "es")]
    for i, rows in zip(some, load([imported[i] for i in some], tmp_path), strict=True):
        assert triples(rows) == parse(folder / f"{names[i]}.tsv")
        assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    # The traps are in the records: doubled quotes, and sentences that are `NS`.
    german, spanish = (one.split.rows for one in (imported[0], imported[4]))
    assert sum("NS" in (row["sentence1"], row["sentence2"]) for row in german) == 10
    assert spanish[8]["sentence2"].startswith("El Cementerio Machpelah, también escrito como ''")
    assert "''Cementerio Macpelah\"\" o" not in spanish[8]["sentence2"]
    assert "''Cementerio Macpelah\" o" in spanish[8]["sentence2"]


def test_original_pawsx(data: Path, tmp_path: Path) -> None:
    folder = data / "hf_dummy" / "paws-x" / "x-final"
    paths = sorted(folder.glob("*/*.tsv"))
    imported = [one for path in paths for one in read(path)]
    kinds = Counter(one.split.name for one in imported)
    assert kinds == {"train": 7, "validation": 7, "test": 7}
    assert [len(one.split.rows) for one in imported] == [4] * 21
    some = [i for i, one in enumerate(imported) if one.split.config in ("es", "ko")]
    for i, rows in zip(some, load([imported[i] for i in some], tmp_path), strict=True):
        path = paths[i]
        # No file ends in a line end, and the last record counts like the others.
        assert not path.read_bytes().endswith(b"\n")
        assert triples(rows) == cut(path, 1, 2, 3)
        assert [str(row["id"]) for row in rows] == [x[0] for x in cut(path, 0, 1, 2)]


def test_original_pawsx_takes_quotes_as_letters(data: Path, tmp_path: Path) -> None:
    """The Spanish records in the form that their authors gave them: with single, open quotes."""
    records = parse(data / "xtreme" / "pawsx" / "dev-es.tsv")
    assert sum(left.count('"') % 2 or right.count('"') % 2 for left, right, _ in records) > 0
    path = tmp_path / "x-final" / "es" / "dev_2k.tsv"
    path.parent.mkdir(parents=True)
    lines = ["\t".join((str(i), *record)) for i, record in enumerate(records)]
    path.write_text("\n".join(["id\tsentence1\tsentence2\tlabel", *lines]), encoding="utf-8")
    (rows,) = load(read(path), tmp_path)
    assert triples(rows) == records
    assert len(rows) == 300


def test_original_xnli(data: Path, tmp_path: Path) -> None:
    folder = data / "hf_dummy" / "xnli" / "XNLI-1.0"
    for name, split in (("dev", "validation"), ("test", "test")):
        imported = read(folder / f"xnli.{name}.tsv")
        assert [one.split.config for one in imported] == XNLI_LANGUAGES
        assert {one.split.name for one in imported} == {split}
        expected = cut(folder / f"xnli.{name}.tsv", 6, 7, 1)
        for one, rows in zip(imported[::7], load(imported[::7], tmp_path / name), strict=True):
            assert triples(rows) == [expected[imported.index(one)]]
        assert {row["genre"] for one in imported for row in one.split.rows} == {"facetoface"}
        from_json = read(folder / f"xnli.{name}.jsonl")
        assert from_json[0].split.rows[0] in imported[0].split.rows


def test_xnli_translated_to_english_is_not_taken_for_xnli() -> None:
    name = "XNLI-MT-1.0/xnli/xnli.dev.en.tsv"
    assert not any(importer.match(name) for importer in IMPORTERS)


def test_translated_multinli(data: Path, tmp_path: Path) -> None:
    folder = data / "hf_dummy" / "xnli" / "XNLI-MT-1.0" / "multinli"
    paths = sorted(folder.iterdir())
    imported = [one for path in paths for one in read(path)]
    assert [one.split.config for one in imported] == XNLI_LANGUAGES
    assert [len(one.split.rows) for one in imported] == [4] * 15
    for path, rows in zip(paths[::7], load(imported[::7], tmp_path), strict=True):
        assert triples(rows) == cut(path, 0, 1, 2)


def write(path: Path, *rows: str, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(end.join(row.replace("|", "\t") for row in rows).encode())
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    (imported,) = read(path)
    return list(imported.split.rows)


def test_contradictory_means_contradiction(tmp_path: Path) -> None:
    path = write(
        tmp_path / "multinli.train.sw.tsv",
        "premise|hypo|label",
        "a|b|contradictory",
        'c "|d|entailment',
    )
    assert [row["label"] for row in rows_of(path)] == [2, 0]
    assert rows_of(path)[1]["premise"] == 'c "'


@pytest.mark.parametrize("name", ["snli_1.0_dev", "multinli_1.0_dev_matched"])
def test_pairs_without_agreement_are_left_out(name: str, tmp_path: Path) -> None:
    table = write(
        tmp_path / f"{name}.txt",
        "gold_label|sentence1|sentence2|pairID|label1|label2",
        "-|a|b|1|neutral|entailment",
        "neutral|c|d|2|neutral|",
        "entailment|e|f|3|entailment",
    )
    rows = rows_of(table)
    assert [(row["premise"], row["label"]) for row in rows] == [("c", 1), ("e", 0)]
    assert [row["idx"] for row in rows if "idx" in row] in ([], [0, 1])
    objects = [
        {"gold_label": "-", "sentence1": "a", "sentence2": "b"},
        {"gold_label": "neutral", "sentence1": "c", "sentence2": "d"},
    ]
    lines = write(tmp_path / f"{name}.jsonl", *(json.dumps(x) for x in objects))
    assert rows_of(lines) == rows[:1]


def test_gold_labels_of_ragged_rows_are_the_last(data: Path, tmp_path: Path) -> None:
    path = data / "snli" / "train.tsv"
    widths = Counter(line.count("\t") + 1 for line in path.read_text().split("\n") if line)
    assert widths == {11: 229, 15: 12}
    # In real rows the annotators mostly agree with the gold label; here they mostly do not.
    path = write(
        tmp_path / "SNLI" / "train.tsv",
        "index|sentence1|sentence2|label1|gold_label",
        "0| a|b |neutral|neutral|neutral|contradiction|contradiction|entailment",
        "1|c|d|neutral|contradiction",
    )
    rows = rows_of(path)
    assert [row["label"] for row in rows] == [0, 2]
    assert (rows[0]["premise"], rows[0]["hypothesis"]) == (" a", "b ")


def test_tables_with_windows_line_ends_and_doubled_quotes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "pawsx" / "train-en.tsv",
        '"a ""b"" c"|d "e"|1',
        '"f\r\ng"| h |0',
        end="\r\n",
    )
    assert [tuple(row.values()) for row in rows_of(path)] == [
        (1, 'a "b" c', 'd "e"', 1),
        (2, "f\r\ng", " h ", 0),
    ]


QQP_HEADER = "id|qid1|qid2|question1|question2|is_duplicate"


def test_questions_broken_over_lines_are_joined(tmp_path: Path) -> None:
    path = write(
        tmp_path / "QQP" / "train.tsv",
        QQP_HEADER,
        "0|1|2|Who?|Why?|0",
        '3|4|5|"Was he real?',
        "",
        '"|Was "he a figure?|1',
        "6|7|8|Where|When",
        "or never?|0",
        "9|10|11|a||1",
    )
    assert [tuple(row.values()) for row in rows_of(path)] == [
        ("Who?", "Why?", 0, 0),
        ('"Was he real?\n\n"', 'Was "he a figure?', 1, 1),
        ("Where", "When\nor never?", 0, 2),
        ("a", "", 1, 3),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["3|4|5|Was he real?", "6|7|8|a|b|1"], r":3: a row must have the 6 columns.*it has 4"),
        (["3|4|5|Was he real?"], r":3: a row must have the 6 columns.*it has 4"),
        (["3|4|5|a|b", "c|d|1"], r":3: a row must have the 6 columns.*it has 7"),
        (["rest|1", "6|7|8|a|b|1"], r":3: a row must have the 6 columns.*it has 2"),
        (["3|4|5|a|b|2"], r":3: the label must be one of 0, 1; got '2'"),
        (["3|4|5|a", "b|c|yes"], r":3: the label must be one of 0, 1; got 'yes'"),
    ],
)
def test_broken_rows_of_qqp(rows: list[str], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "qqp" / "train.tsv", QQP_HEADER, "0|1|2|Who?|Why?|0", *rows)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}{message}"):
        read(path)


GLUE = "index|sentence1|sentence2|label1|gold_label"


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("MNLI/train.tsv", [GLUE, "0|a|b|neutral|maybe"], ":2: the label must be one of"),
        ("MNLI/train.tsv", [GLUE, "0|a|b|neutral|neutral", "1|a|b|neutral"], ":3: a row must"),
        ("SNLI/train.tsv", [GLUE, "0|a|b|tab|neutral|neutral"], ":2: a row must have the 5"),
        ("SNLI/dev.tsv", [GLUE.replace("sentence2", "x"), "0|a|b|neutral|neutral"], "'sentence2'"),
        ("SNLI/dev.tsv", [""], "must hold rows"),
        ("SNLI/dev.tsv", [GLUE, "0|a|b|-|-"], "must hold rows"),
        ("snli_1.0_test.txt", ["sentence1|sentence2", "a|b"], ":2: .* must have 'gold_label'"),
        ("multinli.train.de.tsv", ["premise|hypo|label", "a|b|-"], ":2: the label must be"),
        ("multinli.train.de.tsv", ["premise|hypo|label", "a|b|neutral|"], ":2: .*it has 4"),
        ("xnli/dev-de.tsv", ["a|b|neutral", "a|b"], ":2: the record must have 'label'"),
        ("xnli/dev-de.tsv", ["a|b|neutral", "a"], ":2: a row must have the columns"),
        ("xnli/test-de.tsv", ["a|b", "a|b|c|d"], ":2: a row must have the columns"),
        ("xnli/test-de.tsv", ["a|b", "a|b|c"], ":2: the label must be one of"),
        ("pawsx/dev-de.tsv", ["a|b|1", '"a|b|1'], ":2: the row must be readable"),
        (
            "x-final/de/dev_2k.tsv",
            ["id|sentence1|sentence2|label", "one|a|b|1"],
            ":2: 'id' must be a whole number",
        ),
        (
            "XNLI-1.0/xnli.dev.tsv",
            ["language|gold_label|sentence1|sentence2", "../en|neutral|a|b"],
            ":2: the language must be a code",
        ),
        ("R1/train.jsonl", ['{"uid": "1", "label": "e"}'], ":1: the record must have 'context'"),
        ("R1/test.jsonl", ['{"uid": "1"}'], ":1: the record must have 'label'"),
        ("R1/train.jsonl", ['{"uid": 1, "label": "e"}'], ":1: 'uid' must be a text"),
        ("qqp/pairs/dev.json", ['{"0": []}'], ":1: the record must be a JSON object"),
        ("mnli/pairs/dev.json", ['{"0": {"text_a": "", "text_b": "", "label": "1"}}'], ":1: the l"),
    ],
)
def test_broken_rows_are_refused(name: str, rows: list[str], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, *rows)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}.*{message}") as refused:
        read(path)
    assert "\n" not in str(refused.value)

"""Original files of the further tasks: real records whole, and files of the forms that had none."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from xstilts.data.importers import import_folder
from xstilts.data.importers.further import IMPORTERS
from xstilts.data.importers.original import Imported
from xstilts.data.sources import load_rows
from xstilts.errors import DataError
from xstilts.tasks import lookup
from xstilts.tasks.further import ENTRIES, FLORES, NTREX

NLI = ("entailment", "neutral", "contradiction")


def read(path: Path) -> list[Imported]:
    """What the one importer that knows the file's name reads from it."""
    found = [(one, match) for one in IMPORTERS if (match := one.match(path.as_posix()))]
    ((importer, match),) = found
    return list(importer.read(path, match))


def rows_of(path: Path) -> list[dict[str, Any]]:
    (imported,) = read(path)
    return list(imported.split.rows)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def triples(rows: list[dict[str, Any]], names: tuple[str, str, str]) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_klue(data: Path, counts: dict[str, int]) -> None:
    path = data / "native_nli/klue/klue-nli-v1.1_dev.json"
    (imported,) = read(path)
    assert (imported.hub_id, imported.split.config, imported.split.name) == (
        "klue/klue",
        "nli",
        "validation",
    )
    original = json.loads(path.read_text(encoding="utf-8"))
    rows = imported.split.rows
    assert len(rows) == 500 == len(original)
    for row, record in zip(rows, original, strict=True):
        assert row == {
            **{name: record[name] for name in ("guid", "source", "premise", "hypothesis")},
            "label": NLI.index(record["gold_label"]),
        }


def test_ocnli_loses_what_annotators_did_not_agree_on(data: Path) -> None:
    folder = data / "native_nli/ocnli"
    (dev,), (train,) = read(folder / "dev.json"), read(folder / "train.3k.json")
    original = [x for x in lines(folder / "dev.json") if x["label"] != "-"]
    names = ("premise", "hypothesis", "genre")
    assert triples(list(dev.split.rows), names) == triples(
        original, ("sentence1", "sentence2", "genre")
    )
    assert [NLI[row["label"]] for row in dev.split.rows] == [x["label"] for x in original]
    assert list(dev.without.values()) == [5] and len(dev.split.rows) == 495
    assert (train.split.name, len(train.split.rows)) == ("train", 1000)
    assert {row["genre"] for row in dev.split.rows} == {"gov", "news", "lit", "tv", "phone"}


def test_indonli_and_farstail_write_letters(data: Path) -> None:
    letters = {name[0]: NLI.index(name) for name in NLI}
    for name, split in (("train", "train"), ("val", "validation"), ("test_expert", "test_expert")):
        path = data / f"native_nli/indonli/{name}.jsonl"
        (imported,) = read(path)
        assert imported.split.name == split
        expected = [(x["premise"], x["hypothesis"], letters[x["label"]]) for x in lines(path)]
        assert triples(list(imported.split.rows), ("premise", "hypothesis", "label")) == expected
    for name, split, count in (("Train", "train", 1000), ("Val", "validation", 300)):
        path = data / f"native_nli/farstail/{name}-word.csv"
        (imported,) = read(path)
        with path.open(encoding="utf-8", newline="") as stream:
            table = list(csv.DictReader(stream, delimiter="\t"))
        assert (imported.split.name, len(imported.split.rows)) == (split, count)
        expected = [(x["premise"], x["hypothesis"], letters[x["label"]]) for x in table]
        assert triples(list(imported.split.rows), ("premise", "hypothesis", "label")) == expected
    assert len(rows_of(data / "native_nli/farstail/Test-word.csv")) == 300, "two columns more"


def test_scitail_in_both_forms(data: Path) -> None:
    folder = data / "scitail/SciTailV1.1"
    names = ("premise", "hypothesis", "label")
    for split in ("train", "dev", "test"):
        rows = rows_of(folder / f"tsv_format/scitail_1.0_{split}.tsv")
        text = (folder / f"tsv_format/scitail_1.0_{split}.tsv").read_text(encoding="utf-8")
        expected = [tuple(line.split("\t")) for line in text.splitlines()]
        assert triples(rows, names) == expected and len(rows) == 6
        same = rows_of(folder / f"snli_format/scitail_1.0_{split}.txt")
        assert triples(same, names) == expected[: len(same)], "entailment is entails there"
    assert {row["label"] for row in rows} == {"entails", "neutral"}


def test_contracts_with_every_hypothesis(data: Path) -> None:
    path = data / "contract_nli/dev.json"
    original = json.loads(path.read_text(encoding="utf-8"))
    rows = rows_of(path)
    assert len(rows) == 102 == 17 * len(original["documents"])
    choices = ("Entailment", "NotMentioned", "Contradiction")
    found = iter(rows)
    for document in original["documents"]:
        for key, annotation in document["annotation_sets"][0]["annotations"].items():
            row = next(found)
            assert row["id"] == f"{document['id']}/{key}" and row["premise"] == document["text"]
            assert row["hypothesis"] == original["labels"][key]["hypothesis"]
            assert choices[row["label"]] == annotation["choice"]
    assert Counter(row["label"] for row in rows) == {0: 58, 1: 38, 2: 6}


def test_topics_are_parallel_by_their_number(data: Path) -> None:
    folder = data / "sib200/data/annotated"
    assert {path.name for path in folder.iterdir()} == set(FLORES.values())
    english = {row["index_id"]: row for row in rows_of(folder / "eng_Latn/dev.tsv")}
    for name in FLORES.values():
        rows = rows_of(folder / name / "dev.tsv")
        assert len(rows) == 99 and {row["index_id"] for row in rows} == set(english)
        assert all(row["category"] == english[row["index_id"]]["category"] for row in rows)
    (afrikaans,) = (
        row for row in rows_of(folder / "afr_Latn/dev.tsv") if "Rogaland" in row["text"]
    )
    assert afrikaans["text"].startswith('In Rogaland en Agder word hulle meestal "hei" genoem')


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_forms_without_records(tmp_path: Path) -> None:
    """SciNLI's and MedNLI's files as their authors describe them."""
    text = 'id,sentence1,sentence2,label\n1,"A, b",C,reasoning\n2,D,E,contrasting\n'
    rows = rows_of(write(tmp_path / "scinli/train.csv", text))
    assert rows[0] == {"sentence1": "A, b", "sentence2": "C", "label": "reasoning"}
    line = '{"sentence1": "A, b", "sentence2": "C", "label": "reasoning"}\n'
    assert rows_of(write(tmp_path / "SciNLI/train.jsonl", line)) == rows[:1]
    line = '{"sentence1": "A", "sentence2": "B", "gold_label": "neutral", "pairID": "x"}\n'
    (imported,) = read(write(tmp_path / "mli_dev_v1.jsonl", line))
    assert (imported.hub_id, imported.split.name) == ("xstilts/mednli", "validation")
    assert imported.split.rows == [{"premise": "A", "hypothesis": "B", "label": 1}]


def test_parallel_news_line_by_line(tmp_path: Path) -> None:
    folder = tmp_path / "in/NTREX-128"
    write(folder / "newstest2019-src.eng.txt", "One.\nTwo.\n")
    write(folder / "newstest2019-ref.deu.txt", "Eins.\nZwei.\n")
    write(folder / "newstest2019-ref.zho-CN.txt", "一。\n二。\n")
    write(folder / "newstest2019-ref.fra-CA.txt", "Un.\nDeux.\n")
    report = import_folder(tmp_path / "in", tmp_path / "out")
    assert {one.config for one in report.taken} == {"deu", "zho-CN", "fra-CA"}
    task, folders = lookup("ntrex"), {"xstilts/ntrex": tmp_path / "out/xstilts/ntrex"}
    for language, text in (("de", "Zwei."), ("zh", "二。")):
        rows = load_rows(folders, task, "validation", language)
        assert (rows["source_sentence"][1], rows["target_sentence"][1]) == (text, "Two.")
    short = write(folder / "newstest2019-ref.deu.txt", "Eins.\n")
    with pytest.raises(DataError, match=r"src\.eng\.txt:2: every line must have its translation"):
        read(short)
    (folder / "newstest2019-src.eng.txt").unlink()
    with pytest.raises(DataError, match=r"newstest2019-src\.eng\.txt, must lie beside it"):
        read(short)
    assert set(NTREX) == set(FLORES) - {"en", "ht", "jv", "qu"}


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("klue-nli-v1.1_dev.json", '["x"]', r":1: the record must be a JSON object"),
        ("scitail_1.0_dev.tsv", "a\tb\n", r":1: a row must have the columns premise"),
        ("scitail_1.0_dev.tsv", "a\tb\tmaybe\n", r":1: the label must be one of entails"),
        ("contract_nli/dev.json", '{"documents": [{"id": 3}]}', r":1: the record must have 'ann"),
        ("annotated/eng_Latn/dev.tsv", "index_id\tcategory\ttext\n1\tfood\tx\n", "one of science"),
        ("indonli/train.jsonl", '{"premise": "a", "hypothesis": "b", "label": "x"}', "one of e, n"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, name: str, text: str, line: str) -> None:
    with pytest.raises(DataError, match=line):
        read(write(tmp_path / name, text))


@pytest.mark.parametrize("task", ENTRIES, ids=lambda task: task.name)
def test_no_entry_trains_on_rows_of_another(task: Any) -> None:
    own = task.origins_of("train")
    others = [one for one in ENTRIES if one.name != task.name]
    others += [lookup(name) for name in ("xnli", "mnli", "anli_plus", "pawsx", "xquad", "udpos")]
    assert not any(own & other.origins_of("train") for other in others)

"""Original choice files: real records come back whole, every trap of the formats one by one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from xstilts.data.hub_layout import write_dataset
from xstilts.data.importers.choice import IMPORTERS
from xstilts.data.importers.original import Imported
from xstilts.errors import DataError

DATA = Path(__file__).parents[4] / "shared" / "data"
XCOPA_LANGUAGES = ["et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"]


def read(path: Path) -> list[Imported]:
    """What the importer that knows the file's name reads from it."""
    for importer in IMPORTERS:
        match = importer.match(path.as_posix())
        if match:
            return list(importer.read(path, match))
    raise AssertionError(f"{path} is not known")


def rows_of(path: Path) -> list[dict[str, Any]]:
    (imported,) = read(path)
    return list(imported.split.rows)


def load(imported: list[Imported], tmp_path: Path) -> list[datasets.Dataset]:
    """Splits after they were written and loaded back."""
    datasets.disable_progress_bars()
    folder = tmp_path / imported[0].hub_id
    write_dataset(folder, [one.split for one in imported], "test")
    cache = str(tmp_path / "cache")
    return [
        datasets.load_dataset(str(folder), one.split.config, split=one.split.name, cache_dir=cache)
        for one in imported
    ]


def objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, read as one JSON list."""
    text = path.read_bytes().decode().replace("\r\n", "\n").strip("\n")
    found: list[dict[str, Any]] = json.loads("[" + text.replace("\n", ",") + "]")
    return found


def identity(imported: Imported) -> tuple[str, str, str]:
    return imported.hub_id, imported.split.config, imported.split.name


@pytest.mark.parametrize("folder", ["hellaswag", "hf_dummy/hellaswag"])
def test_hellaswag(folder: str, data: Path, counts: dict[str, int], tmp_path: Path) -> None:
    names = {"train": "train", "val": "validation", "test": "test"}
    paths = {name: data / folder / f"hellaswag_{name}.jsonl" for name in names}
    present = [name for name in names if paths[name].exists()]
    imported = [read(paths[name])[0] for name in present]
    for name, one, rows in zip(present, imported, load(imported, tmp_path), strict=True):
        assert identity(one) == ("Rowan/hellaswag", "default", names[name])
        expected = objects(paths[name])
        assert len(rows) == counts[f"{folder}/hellaswag_{name}.jsonl"]
        # Keys have another order in WikiHow's records, the label is a number, tests have none.
        assert list(rows) == [
            {key: x[key] for key in rows.column_names if key != "label"}
            | {"label": str(x.get("label", ""))}
            for x in expected
        ]


def test_hellaswag_from_wikihow_has_no_second_part(data: Path) -> None:
    rows = rows_of(data / "hellaswag" / "hellaswag_val.jsonl")
    wikihow = [row for row in rows if row["source_id"].startswith("wikihow")]
    assert len(wikihow) == 87
    assert all(row["ctx_b"] == "" and row["ctx"] == row["ctx_a"] for row in wikihow)
    assert sum(row["ctx_b"] == "" for row in rows) == 87
    assert sum("[header]" in row["ctx"] for row in rows) == 87


def test_cosmos(data: Path, counts: dict[str, int], tmp_path: Path) -> None:
    for name in ("cosmos_qa/valid.csv", "hf_dummy/cosmos_qa/train.csv"):
        imported = read(data / name)
        split = "train" if "train" in name else "validation"
        assert identity(imported[0]) == ("allenai/cosmos_qa", "default", split)
        (rows,) = load(imported, tmp_path / split)
        table = pd.read_csv(data / name, dtype=str, keep_default_na=False)
        expected = table.to_dict("records")
        assert list(rows) == [{**row, "label": int(row["label"])} for row in expected]
        is_header_counted = name.startswith("hf_dummy")
        assert len(rows) == counts[name] - is_header_counted


def test_the_test_of_cosmos_has_no_labels(data: Path, tmp_path: Path) -> None:
    path = data / "hf_dummy" / "cosmos_qa" / "test.jsonl"
    (rows,) = load(read(path), tmp_path)
    assert list(rows) == [{**x, "label": -1} for x in objects(path)]


@pytest.mark.parametrize("name", ["train_rand_split", "dev_rand_split"])
@pytest.mark.parametrize("folder", ["commonsense_qa", "hf_dummy/commonsense_qa"])
def test_commonsense(
    folder: str, name: str, data: Path, counts: dict[str, int], tmp_path: Path
) -> None:
    path = data / folder / f"{name}.jsonl"
    imported = read(path)
    split = "train" if "train" in name else "validation"
    assert identity(imported[0]) == ("tau/commonsense_qa", "default", split)
    (rows,) = load(imported, tmp_path)
    expected = objects(path)
    assert len(rows) == counts[f"{folder}/{name}.jsonl"]
    assert list(rows) == [
        {
            "id": x["id"],
            "question": x["question"]["stem"],
            "question_concept": x["question"]["question_concept"],
            "choices": {
                "label": ["A", "B", "C", "D", "E"],
                "text": [choice["text"] for choice in x["question"]["choices"]],
            },
            "answerKey": x["answerKey"],
        }
        for x in expected
    ]


def test_the_test_of_commonsense_has_no_answers(data: Path, counts: dict[str, int]) -> None:
    name = "commonsense_qa/test_rand_split_no_answers.jsonl"
    (imported,) = read(data / name)
    assert imported.split.name == "test"
    assert {row["answerKey"] for row in imported.split.rows} == {""}
    assert len(imported.split.rows) == counts[name]


def test_siqa(data: Path, counts: dict[str, int], tmp_path: Path) -> None:
    name = "xtreme/siqa/socialIQa_v1.4_dev.jsonl"
    imported = read(data / name)
    assert identity(imported[0]) == ("lighteval/siqa", "default", "validation")
    (rows,) = load(imported, tmp_path)
    expected = objects(data / name)
    for x in expected:
        x["label"] = str("ABC".index(x.pop("correct")) + 1)
    assert list(rows) == expected
    assert len(rows) == counts[name]


def test_siqa_with_labels_beside(data: Path, tmp_path: Path) -> None:
    second = data / "xtreme" / "siqa" / "socialIQa_v1.4_dev.jsonl"
    records = objects(second)
    folder = tmp_path / "socialiqa-train-dev"
    folder.mkdir()
    labels = [str("ABC".index(x.pop("correct")) + 1) for x in records]
    (folder / "dev.jsonl").write_text("".join(json.dumps(x) + "\n" for x in records))
    (folder / "dev-labels.lst").write_text("\n".join(labels))
    assert rows_of(folder / "dev.jsonl") == rows_of(second)
    assert read(folder / "dev-labels.lst") == []
    (folder / "dev-labels.lst").write_text("\n".join(labels[:-1]))
    with pytest.raises(DataError, match=r"dev\.jsonl:300: dev-labels\.lst must have a label for"):
        read(folder / "dev.jsonl")
    (folder / "dev-labels.lst").write_text("\n".join([*labels, "1"]))
    with pytest.raises(DataError, match=r"dev\.jsonl:301: there must be a record for every line"):
        read(folder / "dev.jsonl")
    (folder / "dev-labels.lst").unlink()
    with pytest.raises(DataError, match=r"dev\.jsonl:1: .* give dev-labels\.lst"):
        read(folder / "dev.jsonl")


def test_xcopa(data: Path, counts: dict[str, int], tmp_path: Path) -> None:
    names = [
        f"xcopa/data/{language}/{split}.{language}.jsonl"
        for language in XCOPA_LANGUAGES
        for split in ("val", "test")
    ]
    imported = [read(data / name)[0] for name in names]
    expected = {name: objects(data / name) for name in names}
    for name, one in zip(names, imported, strict=True):
        language, file = name.split("/")[2:]
        split = "validation" if file.startswith("val") else "test"
        assert identity(one) == ("cambridgeltl/xcopa", language, split)
        # The files have Windows line ends, and numbers and truth values as JSON has them.
        for x in expected[name]:
            del x["changed"]
        assert list(one.split.rows) == expected[name]
        assert len(one.split.rows) == counts[name]
        assert {row["label"] for row in one.split.rows} == {0, 1}
    some = [i for i, one in enumerate(imported) if one.split.config in ("qu", "zh")]
    for i, rows in zip(some, load([imported[i] for i in some], tmp_path), strict=True):
        assert list(rows) == expected[names[i]]


def test_english_copa(data: Path, counts: dict[str, int], tmp_path: Path) -> None:
    names = [f"xtreme/xcopa/{split}-en.jsonl" for split in ("train", "val", "test")]
    imported = [read(data / name)[0] for name in names]
    assert [identity(one) for one in imported] == [
        ("aps/super_glue", "copa", split) for split in ("train", "validation", "test")
    ]
    for name, rows in zip(names, load(imported, tmp_path), strict=True):
        expected = objects(data / name)
        if "test" in name:
            # What the file says there is the same everywhere: a filler.
            assert {x["label"] for x in expected} == {0}
            expected = [{**x, "label": -1} for x in expected]
        assert list(rows) == expected
        assert len(rows) == counts[name]
        assert rows.features["label"].names == ["choice1", "choice2"]


def test_copa_of_superglue(tmp_path: Path) -> None:
    """Its archive has the folder COPA, and a test set without labels."""
    rows = rows_of(write(tmp_path / "COPA" / "val.jsonl", COPA))
    assert rows == [COPA]
    (imported,) = read(write(tmp_path / "COPA" / "test.jsonl", without(COPA, "label")))
    assert identity(imported) == ("aps/super_glue", "copa", "test")
    assert [row["label"] for row in imported.split.rows] == [-1]


@pytest.mark.parametrize(
    "name",
    [
        "xcopa/data/it/test.et.jsonl",
        "elsewhere/test.jsonl",
    ],
)
def test_files_that_only_look_alike(name: str) -> None:
    assert not any(importer.match(name) for importer in IMPORTERS)


SWAG = {
    **dict.fromkeys(("activity_label", "ctx_a", "ctx_b", "ctx"), "a "),
    **dict.fromkeys(("source_id", "split", "split_type"), "b"),
    "ind": 1,
    "endings": ["a", "b", "c", "d"],
    "label": 3,
}
COSMOS = "id,context,question,answer0,answer1,answer2,answer3,label"
LETTERS = [{"label": letter, "text": "t"} for letter in "ABCDE"]
QUESTION = {"stem": "s", "question_concept": "c", "choices": LETTERS}
CSQA = {"id": "1", "question": QUESTION, "answerKey": "E"}
SIQA = {**dict.fromkeys(("context", "question", "answerA", "answerB", "answerC"), "t")}
COPA = {**dict.fromkeys(("premise", "choice1", "choice2", "question"), "t"), "idx": 0, "label": 1}


def write(path: Path, *rows: str | dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_bytes("\n".join(lines).encode())
    return path


def test_made_records_are_read(tmp_path: Path) -> None:
    """The base of the broken ones below, with texts as they are and no final line end."""
    (row,) = rows_of(write(tmp_path / "hellaswag_val.jsonl", SWAG))
    assert row == {**SWAG, "label": "3"}
    (row,) = rows_of(write(tmp_path / "dev_rand_split.jsonl", CSQA))
    assert row["choices"]["text"] == ["t"] * 5
    (row,) = rows_of(write(tmp_path / "socialIQa_v1.4_tst.jsonl", SIQA))
    assert row == {**SIQA, "label": ""}
    path = write(tmp_path / "cosmosqa" / "data" / "train.csv", COSMOS, '1," a\r\n""b""",q,,,,x,3')
    (row,) = rows_of(path)
    assert (row["context"], row["answer0"], row["label"]) == (' a\r\n"b"', "", 3)


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


@pytest.mark.parametrize(
    ("name", "good", "bad", "message"),
    [
        ("hellaswag_val.jsonl", SWAG, {**SWAG, "label": 4}, "label must be one of 0, 1, 2, 3; g"),
        ("hellaswag_val.jsonl", SWAG, {**SWAG, "label": ""}, "label must be one of 0, 1, 2, 3; g"),
        ("hellaswag_val.jsonl", SWAG, without(SWAG, "label"), "must have 'label'"),
        ("hellaswag_test.jsonl", SWAG, without(SWAG, "ctx_b"), "must have 'ctx_b'"),
        ("hellaswag_val.jsonl", SWAG, {**SWAG, "endings": ["a"]}, "'endings' must be a list of 4"),
        ("hellaswag_val.jsonl", SWAG, {**SWAG, "endings": [1] * 4}, "'endings' must be a list of"),
        ("hellaswag_val.jsonl", SWAG, {**SWAG, "ctx_b": None}, "'ctx_b' must be a text; got None"),
        ("hellaswag_val.jsonl", SWAG, {**SWAG, "ind": 2**31}, "'ind' must be a whole number"),
        ("hellaswag_val.jsonl", SWAG, '{"ind": 1', "the line must be JSON"),
        ("cosmos/train.csv", COSMOS, "1,c,q,a,b,c,d", "must have the 8 columns .*; it has 7"),
        ("cosmos/train.csv", COSMOS, "1,c,q,a,b,c,d,", "label must be one of 0, 1, 2, 3; got ''"),
        ("cosmos/train.csv", COSMOS, '1,c,"q,a,b,c,d,1', "the row must be readable"),
        ("cosmos/train.csv", COSMOS.replace("answer3", "x"), "1,c,q,a,b,c,d,1", "have 'answer3'"),
        ("dev_rand_split.jsonl", CSQA, without(CSQA, "answerKey"), "must have 'answerKey'"),
        ("dev_rand_split.jsonl", CSQA, {**CSQA, "answerKey": "F"}, "must be one of A, B, C, D, E"),
        ("dev_rand_split.jsonl", CSQA, {**CSQA, "question": "s"}, "'question' must be an object"),
        (
            "dev_rand_split.jsonl",
            CSQA,
            {**CSQA, "question": {**QUESTION, "choices": LETTERS[:4]}},
            "the choices must be A, B, C, D, E, in this order",
        ),
        (
            "dev_rand_split.jsonl",
            CSQA,
            {**CSQA, "question": {**QUESTION, "choices": "ABCDE"}},
            "'choices' must be a list of objects",
        ),
        (
            "dev_rand_split.jsonl",
            CSQA,
            {**CSQA, "question": without(QUESTION, "stem")},
            "'question' must be a text; got None",
        ),
        ("socialIQa_v1.4_trn.jsonl", {**SIQA, "correct": "A"}, SIQA, "must have 'correct'"),
        ("socialIQa_v1.4_tst.jsonl", SIQA, {**SIQA, "correct": "D"}, "must be one of 1, 2, 3, A"),
        ("socialIQa_v1.4_tst.jsonl", SIQA, {**SIQA, "correct": 0}, "must be one of 1, 2, 3, A"),
        ("data/it/test.it.jsonl", COPA, {**COPA, "label": -1}, "label must be one of 0, 1; got"),
        ("data/it/test.it.jsonl", COPA, {**COPA, "idx": "x"}, "'idx' must be a whole number"),
        ("xcopa/val-en.jsonl", COPA, without(COPA, "label"), "must have 'label'"),
        ("xcopa/test-en.jsonl", COPA, without(COPA, "choice2"), "must have 'choice2'"),
    ],
)
def test_broken_rows_are_refused(
    name: str, good: str | dict[str, Any], bad: str | dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / name, good, bad)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:2: .*{message}") as refused:
        read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["hellaswag_val.jsonl", "cosmos/train.csv", "cosmos/valid.csv"])
def test_files_without_rows_are_refused(name: str, tmp_path: Path) -> None:
    for lines in ([], [COSMOS] if name.endswith("csv") else [""]):
        with pytest.raises(DataError, match="the file must hold rows"):
            read(write(tmp_path / name, *lines))

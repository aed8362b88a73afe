"""Span QA files into the mirror: real records of every format, their traps, broken rows."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from xstilts.data.hub_layout import write_dataset
from xstilts.data.importers.original import Imported
from xstilts.data.importers.span import IMPORTERS
from xstilts.data.sources import load_rows
from xstilts.errors import DataError
from xstilts.tasks import lookup

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.usefixtures("data")

TYDIQA = {
    "ar": "arabic",
    "bn": "bengali",
    "en": "english",
    "fi": "finnish",
    "id": "indonesian",
    "ko": "korean",
    "ru": "russian",
    "sw": "swahili",
    "te": "telugu",
}
DEV = "xtreme/tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{}.dev.json"
TRAIN = "xtreme/tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.{}.train.json"


def read_all(path: Path, root: Path) -> list[Imported]:
    name = path.relative_to(root).as_posix()
    [match] = [(i, found) for i in IMPORTERS if (found := i.match(name))]
    return list(match[0].read(path, match[1]))


def read_real(name: str) -> Imported:
    [imported] = read_all(DATA / name, DATA)
    return imported


def questions(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Context and question of a SQuAD-style file, read without the importer."""
    for article in json.loads((DATA / name).read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield paragraph["context"], question


def question(**changes: Any) -> dict[str, Any]:
    answers = [{"text": "tea", "answer_start": 2}]
    return {"id": "q1", "question": "What?", "answers": answers, **changes}


def squad_file(*qas: Any, context: str = "  tea is hot") -> dict[str, Any]:
    return {"data": [{"paragraphs": [{"qas": list(qas), "context": context}]}], "version": "1"}


def written(tmp_path: Path, name: str, *records: Any) -> list[Imported]:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return read_all(path, tmp_path)


@needs_data
def test_every_file_has_the_questions_that_the_manifest_counts() -> None:
    with (DATA / "MANIFEST.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    folders = ("squad/", "squad_v2/", "xquad/", "mlqa/", "xtreme/tydiqa/", "tydiqa/")
    files = {r["path"]: int(r["records"]) for r in rows if r["path"].startswith(folders)}
    assert len(files) == 2 + 2 + 12 + 11 + 12 + 9
    assert {name: len(read_real(name).split.rows) for name in files} == files


@needs_data
@pytest.mark.parametrize(
    ("name", "hub_id", "config", "split"),
    [
        ("squad/train-v1.1.json", "rajpurkar/squad", "plain_text", "train"),
        ("squad/dev-v1.1.json", "rajpurkar/squad", "plain_text", "validation"),
        ("squad_v2/cs224n_dev-v2.0.json", "rajpurkar/squad_v2", "squad_v2", "train"),
        ("squad_v2/dev-v2.0.json", "rajpurkar/squad_v2", "squad_v2", "validation"),
        ("xquad/xquad.th.json", "google/xquad", "xquad.th", "validation"),
        (
            "mlqa/MLQA_V1/dev/dev-context-en-question-hi.json",
            *("google/xtreme", "MLQA.en.hi", "validation"),
        ),
        (
            "mlqa/MLQA_V1/test/test-context-de-question-es.json",
            *("google/xtreme", "MLQA.de.es", "test"),
        ),
        (TRAIN.format("ko"), "xtreme/tydiqa", "ko", "train"),
        (DEV.format("fi"), "xtreme/tydiqa", "fi", "validation"),
    ],
)
def test_what_is_loaded_back_is_what_the_file_says(
    tmp_path: Path, name: str, hub_id: str, config: str, split: str
) -> None:
    imported = read_real(name)
    assert imported.hub_id == hub_id
    write_dataset(tmp_path / hub_id, [imported.split], "a note")
    loaded = datasets.load_dataset(
        str(tmp_path / hub_id), config, split=split, cache_dir=str(tmp_path / "cache")
    )
    assert loaded.column_names == ["id", "title", "context", "question", "answers"]
    rows = loaded.to_list()
    assert rows == imported.split.rows
    expected = list(questions(name))
    assert [(row["context"], row["question"]) for row in rows] == [
        (context, asked["question"]) for context, asked in expected
    ]
    for row, (context, asked) in zip(rows, expected, strict=True):
        given = [(a["text"], a["answer_start"]) for a in asked["answers"] if a["text"]]
        assert list(zip(*row["answers"].values(), strict=True)) == given
        assert all(context[start:].startswith(text) for text, start in given)
        assert row["id"].split("#")[0] == asked["id"]


@needs_data
def test_titles_come_from_the_articles_and_are_empty_where_absent() -> None:
    assert read_real("squad/dev-v1.1.json").split.rows[0]["title"] == "Super_Bowl_50"
    assert {row["title"] for row in read_real(DEV.format("fi")).split.rows} == {""}


@needs_data
def test_unanswerable_questions_have_no_answers_not_even_plausible_ones() -> None:
    rows = read_real("squad_v2/dev-v2.0.json").split.rows
    without = {row["id"] for row in rows if not row["answers"]["text"]}
    assert (len(rows), len(without)) == (626, 333)
    plausible = [
        asked for _, asked in questions("squad_v2/dev-v2.0.json") if asked["id"] in without
    ]
    assert all(asked["is_impossible"] and asked["plausible_answers"] for asked in plausible)


@needs_data
def test_contexts_keep_the_spaces_they_begin_with() -> None:
    blank = {code: read_real(DEV.format(code)).split.rows for code in ("fi", "en")}
    begins = {code: sum(row["context"][0] == " " for row in rows) for code, rows in blank.items()}
    assert begins == {"fi": 43, "en": 1}
    rows = [row for row in read_real(TRAIN.format("ko")).split.rows if row["context"][0] == " "]
    assert len(rows) == 41
    for row in rows:
        [text], [start] = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(text)] == text


@needs_data
def test_repeated_ids_become_unique_and_stay_the_same() -> None:
    name = TRAIN.format("en")
    ids = [row["id"] for row in read_real(name).split.rows]
    given = [asked["id"] for _, asked in questions(name)]
    assert (len(set(given)), len(set(ids))) == (72, 2000)
    alone = {question_id for question_id, count in Counter(given).items() if count == 1}
    assert {i for i in ids if "#" not in i} == alone
    assert ids[:2] == [f"{given[0]}#1", f"{given[1]}#{2 if given[1] == given[0] else 1}"]
    assert ids == [row["id"] for row in read_real(name).split.rows]


@needs_data
@pytest.mark.parametrize("code", TYDIQA)
def test_labelled_tydiqa_answers_the_blank_questions(code: str) -> None:
    blank = {row["id"]: row for row in read_real(DEV.format(code)).split.rows}
    imported = read_real(f"tydiqa/labelled_dev/{TYDIQA[code]}-dev.jsonl")
    assert (imported.hub_id, imported.split.config) == ("xtreme/tydiqa", code)
    assert imported.split.name == "validation"
    assert {row["id"] for row in imported.split.rows} == set(blank)
    for row in imported.split.rows:
        asked = blank[row["id"]]
        assert asked["answers"] == {"text": [], "answer_start": []}
        assert row["question"] == asked["question"]
        # This copy has other white space, and the offsets that belong to it.
        assert "".join(row["context"].split()) == "".join(asked["context"].split())
        assert row["answers"]["text"]
        for text, start in zip(*row["answers"].values(), strict=True):
            assert row["context"][start : start + len(text)] == text


@needs_data
def test_labelled_tydiqa_loads_back(tmp_path: Path) -> None:
    imported = read_real("tydiqa/labelled_dev/bengali-dev.jsonl")
    write_dataset(tmp_path / "tydiqa", [imported.split], "a note")
    loaded = datasets.load_dataset(
        str(tmp_path / "tydiqa"), "bn", split="validation", cache_dir=str(tmp_path / "cache")
    )
    lines = (DATA / "tydiqa/labelled_dev/bengali-dev.jsonl").read_text(encoding="utf-8")
    records = [json.loads(text) for text in lines.split("\n") if text]
    assert loaded["context"] == [record["passage_text"] for record in records]
    assert [answers["text"] for answers in loaded["answers"]] == [
        [answer["text"] for answer in record["answers"]] for record in records
    ]


@needs_data
def test_the_original_tydiqa_gives_a_split_for_every_language() -> None:
    name = "hf_dummy/tydiqa/tydiqa-goldp-v1.1-train.json"
    found = {i.split.config: i.split for i in read_all(DATA / name, DATA)}
    given = Counter(asked["id"].split("-")[0] for _, asked in questions(name))
    assert {TYDIQA[code]: len(split.rows) for code, split in found.items()} == given
    [altruism] = [row for row in found["fi"].rows if row["context"].startswith("   Altruismi")]
    assert re.fullmatch(r"finnish--?\d+-\d+", altruism["id"])
    assert {split.name for split in found.values()} == {"train"}


def test_ids_with_two_hyphens_name_their_language(tmp_path: Path) -> None:
    asked = question(id="swahili--8211684794284159625-4")
    [imported] = written(tmp_path, "tydiqa-goldp-v1.1-dev.json", squad_file(asked))
    assert (imported.split.config, imported.split.name) == ("sw", "validation")
    assert imported.split.rows[0]["id"] == asked["id"]


def test_an_xtreme_dev_file_with_answers_is_the_validation_split(tmp_path: Path) -> None:
    [imported] = written(tmp_path, "tydiqa.goldp.sw.dev.json", squad_file(question()))
    assert imported.split.name == "validation"
    assert imported.split.rows[0]["answers"] == {"text": ["tea"], "answer_start": [2]}
    assert imported.split.rows[0]["context"] == "  tea is hot"


BLANK = question(id="q2", answers=[{"answer_start": 0, "text": ""}])
LABELLED = {
    "id": "7-1",
    "passage_text": "é tea",
    "question_text": "What?",
    "answers": [{"text": "tea", "start_byte": 3, "limit_byte": 6}],
}


def test_bytes_become_characters(tmp_path: Path) -> None:
    [imported] = written(tmp_path, "labelled_dev/korean-dev.jsonl", LABELLED)
    assert imported.split.rows[0]["answers"] == {"text": ["tea"], "answer_start": [2]}
    assert imported.split.rows[0]["id"] == "korean-7-1"


def test_translated_squad_leaves_out_what_was_not_found_again(tmp_path: Path) -> None:
    """A question whose answer is not where the file says cannot be trained on; it is counted."""
    lost = [
        question(id="lost", answers=[]),
        question(id="moved", answers=[{"text": "tea", "answer_start": 5}]),
        question(id="nowhere", answers=[{"text": "tea", "answer_start": None}]),
        BLANK,
    ]
    (imported,) = written(
        tmp_path, "squad.translate.train.en-th.json", squad_file(question(), *lost)
    )
    assert (imported.hub_id, imported.split.config) == ("xstilts/squad_translated", "th")
    assert [row["id"] for row in imported.split.rows] == ["q1"]
    assert list(imported.without.values()) == [4]
    with pytest.raises(DataError, match="must have its answer in its context; got '4 have none'"):
        written(tmp_path, "squad.translate.train.en-th.json", squad_file(*lost))


def test_it_is_read_where_translations_of_squad_are_asked_for(tmp_path: Path) -> None:
    task = lookup("squad_v1").variant(translated=True, where=None)
    folders = {}
    # The paragraphs of XQuAD, which SQuAD's training set is read without, in English.
    for name, context in (("squad.translate.train.en-th", "  tea"), ("xquad.en", "x tea is hot")):
        (imported,) = written(tmp_path, f"{name}.json", squad_file(question(), context=context))
        folders[imported.hub_id] = tmp_path / imported.hub_id
        write_dataset(folders[imported.hub_id], [imported.split], "a note")
    rows = load_rows(folders, task, "train", "th")
    assert rows["context"] == ["  tea"] and rows["answers"][0]["answer_start"] == [2]


@pytest.mark.parametrize(
    ("name", "record", "row", "message"),
    [
        (
            "train-v1.1.json",
            squad_file(question(), question(id="q2", answers=[{"text": "tea", "answer_start": 0}])),
            2,
            "question q2: the context must hold the answer at its offset; got (0, 'tea')",
        ),
        (
            "dev-v1.1.json",
            squad_file(question(answers=[{"text": "tea", "answer_start": -10}])),
            1,
            "question q1: the context must hold",
        ),
        ("dev-v1.1.json", squad_file(question(answers=[])), 1, "must have an answer; got 'q1'"),
        ("dev-v1.1.json", squad_file(BLANK), 1, "question q2: the context must hold"),
        ("dev-v1.1.json", squad_file({"id": "q1"}), 1, "the record must have 'answers'"),
        ("dev-v1.1.json", squad_file(question(id=7)), 1, "'id' must be a text; got 7"),
        ("dev-v1.1.json", squad_file(question(), "x"), 1, "'qas' must be a list of objects"),
        ("dev-v1.1.json", {"data": [{}]}, 1, "the record must have 'paragraphs'"),
        ("dev-v1.1.json", {"version": "1"}, 1, "the record must have 'data'"),
        (
            "dev-v2.0.json",
            squad_file(question(is_impossible=True)),
            1,
            "must either have answers or be impossible; got 'q1'",
        ),
        ("dev-v2.0.json", squad_file(question()), 1, "the record must have 'is_impossible'"),
        (
            "xquad.de.json",
            squad_file(question(), BLANK),
            2,
            "either every question of a file has an answer or none; got 'q2'",
        ),
        ("tydiqa-goldp-v1.1-dev.json", squad_file(question(id="welsh-1-1")), 1, "got 'welsh'"),
        (
            "labelled_dev/korean-dev.jsonl",
            {**LABELLED, "answers": [{"text": "tea", "start_byte": 1}]},
            1,
            "question korean-7-1: start_byte must be where a character begins; got 1",
        ),
        (
            "labelled_dev/korean-dev.jsonl",
            {**LABELLED, "answers": [{"text": "tea", "start_byte": 2}]},
            1,
            "question korean-7-1: the context must hold the answer at its offset; got (1, 'tea')",
        ),
        ("labelled_dev/korean-dev.jsonl", {**LABELLED, "answers": []}, 1, "must have an answer"),
        ("labelled_dev/welsh-dev.jsonl", LABELLED, 1, "got 'welsh'"),
    ],
)
def test_a_broken_row_is_named(
    tmp_path: Path, name: str, record: dict[str, Any], row: int, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        written(tmp_path, name, record)
    assert str(caught.value).startswith(f"{tmp_path / name}:{row}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

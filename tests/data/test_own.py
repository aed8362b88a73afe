"""A sweep's own files: what is wrong is said with file and line; what is right is read back."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xstilts.cli import app
from xstilts.config.load import load_sweep
from xstilts.config.own_tasks import find_task
from xstilts.config.schema import Sweep
from xstilts.data import own
from xstilts.data.inventory import Hashes
from xstilts.data.own import read_own, write_own
from xstilts.data.sources import count_rows, load_rows
from xstilts.data.token_cache import CacheEntry
from xstilts.errors import ConfigError
from xstilts.plan.stage import Rows

ROWS = [(f"film {i}", "1" if i % 3 else "5") for i in range(60)]
SWEEP: dict[str, Any] = {
    "name": "mine",
    "benchmark": "custom",
    "recipe": "mini",
    "models": {"mini": {"path": "builtin:mini"}},
    "targets": ["reviews"],
}


def write_csv(path: Path, rows: list[Any], header: tuple[str, ...] = ("text", "label")) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def write_jsonl(path: Path, rows: list[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def sweep_in(folder: Path, task: dict[str, Any], name: str = "reviews", **changes: Any) -> Sweep:
    """A sweep file, JSON being YAML, whose own task reads files beside it."""
    sweep = {**SWEEP, "tasks": {name: task}, "targets": [name], **changes}
    (folder / "sweep.yaml").write_text(json.dumps(sweep))
    return load_sweep(folder / "sweep.yaml")


def reviews(**changes: Any) -> dict[str, Any]:
    files = {"train": "train.csv", "test": {"de": "de.csv"}}
    return {"kind": "sentence", "files": files, "labels": {"1": "neg", "5": "pos"}, **changes}


def problems_of(sweep: Sweep, folder: Path, name: str = "reviews") -> list[str]:
    _, problems = read_own(name, sweep.tasks[name])
    return [str(problem).replace(f"{folder}/", "") for problem in problems]


def test_files_become_data_sets_that_are_read_as_all_others(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    write_jsonl(tmp_path / "de.jsonl", [{"text": "Spiel 1", "label": 5}, {"text": "b", "label": 1}])
    (tmp_path / "sw.tsv").write_text("text\tlabel\nfilamu\t5\n")
    files = {"train": "train.csv", "test": {"de": "*.jsonl", "sw": "sw.tsv"}}
    sweep = sweep_in(tmp_path, reviews(files=files))
    task, hashes = find_task(sweep, "reviews"), Hashes(tmp_path / "hashes.json")
    folders = write_own("reviews", sweep.tasks["reviews"], tmp_path / "runs", hashes)

    def rows(use: str, language: str) -> dict[str, list[Any]]:
        return load_rows(folders, task, use, language)

    assert rows("test", "de") == {"text": ["Spiel 1", "b"], "label": ["pos", "neg"]}
    assert rows("test", "sw") == {"text": ["filamu"], "label": ["pos"]}
    train, dev = rows("train", "en"), rows("dev", "en")
    assert sorted(train["text"] + dev["text"]) == sorted(text for text, _ in ROWS)
    assert 0 < count_rows(folders, task, "dev", "en") == len(dev["text"]) < len(train["text"])
    names = {text: {"1": "neg", "5": "pos"}[label] for text, label in ROWS}
    assert all(names[t] == x for t, x in zip(train["text"], train["label"], strict=True))


def test_what_was_written_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    write_csv(tmp_path / "de.csv", [("a", "1"), ("b", "5")])
    hashes = Hashes(tmp_path / "hashes.json")

    def written(**changes: Any) -> dict[str, Path]:
        spec = sweep_in(tmp_path, reviews(**changes)).tasks["reviews"]
        return write_own("reviews", spec, tmp_path / "runs", hashes)

    first = written()
    with monkeypatch.context() as patch:
        patch.setattr(own, "read_own", lambda *_: pytest.fail("read again"))
        for folder in first.values():
            os.utime(folder, (0, 0))
        assert written(metrics=["f1_macro"]) == first
        used = [time.time() - folder.stat().st_mtime for folder in first.values()]
        assert max(used) < 3600, "gc sees that they are used"
    write_csv(tmp_path / "de.csv", [("a", "1"), ("c", "5")])
    second = written()
    assert second["own:reviews"] == first["own:reviews"], "another test set trains nothing again"
    assert second["own:reviews/scored"] != first["own:reviews/scored"]
    assert written(labels={"1": "bad", "5": "good"})["own:reviews"] != first["own:reviews"]
    assert not list((tmp_path / "runs/own").glob(".*")), "nothing is left of what was written aside"


LONG = "This film has a text that is much longer than any label would be."

WRONG: dict[str, tuple[dict[str, Any], dict[str, list[Any]], list[str]]] = {
    "no such file": (
        {},
        {"train.csv": ROWS},
        ['tasks.reviews.files.test: names no file that is there; got "de.csv"'],
    ),
    "a missing column": (
        {"columns": {"text": "review"}},
        {},
        [
            "train.csv:2: has no column 'review' (and 59 rows more); it has text, label; write "
            "columns: {text: ONE OF THEM}",
            "de.csv:2: has no column 'review' (and 1 rows more)",
        ],
    ),
    "a label outside": (
        {},
        {"de.csv": [("a", "1"), ("b", "3"), ("c", "4"), ("d", "5")]},
        ["de.csv:3: the label must be one of 1, 5 (and 1 rows more); got '3'; add it to `labels`"],
    ),
    "no label": ({}, {"de.csv": [("a", "1"), ("b", "")]}, ["de.csv:3: a row must have a label"]),
    "a text in the label column": (
        {"columns": {"text": "label", "label": "text"}},
        {"de.csv": [(LONG, "1")], "train.csv": [(LONG, "1")]},
        [
            f"train.csv:2: the label must be one of 1, 5; got '{LONG}'; 'text' holds texts",
            f"de.csv:2: the label must be one of 1, 5; got '{LONG}'; 'text' holds texts",
        ],
    ),
    "a label unseen in training": (
        {"labels": ["1", "3", "5"]},
        {"de.csv": [("a", "1"), ("b", "3")]},
        ['de.csv:3: no row of train has the label 3; got "3" in test'],
    ),
    "a label of no row": (
        {"labels": ["1", "3", "5"]},
        {},
        ["tasks.reviews.labels: no row of train has the label 3"],
    ),
    "rows of train in test": (
        {},
        {"de.csv": [("a", "1"), ("film 7", "1"), ("film 9", "5")]},
        ["de.csv:3: the row stands in train too, train.csv:9 (and 1 rows more); take it out of"],
    ),
    "an id twice": (
        {"columns": {"id": "text"}},
        {"de.csv": [("a", "1"), ("b", "5"), ("a", "5")]},
        ['de.csv:4: an id stands once; got "a", as line 2'],
    ),
    "a file of two splits": (
        {"files": {"train": "*.csv", "test": {"de": "de.csv"}}},
        {},
        ["tasks.reviews.files.test: a file is of one split and one language; got "],
    ),
    "no row": ({}, {"de.csv": []}, ["de.csv:1: the file has no row"]),
    "too few rows for a dev set": (
        {},
        {"train.csv": ROWS[:3]},
        ["tasks.reviews.files.train: train has too few rows to hold out a tenth"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, name: str) -> None:
    changes, files, expected = WRONG[name]
    usual = {"train.csv": ROWS, "de.csv": [("a", "1"), ("b", "5")]}
    for file, rows in (files if name == "no such file" else {**usual, **files}).items():
        write_csv(tmp_path / file, rows)
    sweep = sweep_in(tmp_path, reviews(**changes))
    found = problems_of(sweep, tmp_path)
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start), line
    # Before anything is written, and by `validate` already.
    with pytest.raises(ConfigError) as caught:
        write_own("reviews", sweep.tasks["reviews"], tmp_path / "runs", Hashes(tmp_path / "h"))
    assert caught.value.exit_status == 2 and not (tmp_path / "runs").exists()
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "sweep.yaml")])
    assert result.exit_code == 2 and expected[0] in result.output.replace(f"{tmp_path}/", "")


def test_rows_of_train_in_test_may_be_allowed(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    write_csv(tmp_path / "de.csv", ROWS[:2])
    assert problems_of(sweep_in(tmp_path, reviews()), tmp_path)
    assert not problems_of(sweep_in(tmp_path, reviews(allow_overlap=True)), tmp_path)


OTHERS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[str]]] = {
    "pair": (
        {"labels": ["no", "yes"]},
        [{"premise": f"p{i}", "hypothesis": "h", "label": ["no", "yes"][i % 2]} for i in range(40)],
        [],
    ),
    "choice": (
        {"columns": {"choices": ["a", "b"]}},
        [{"prompt": f"p{i}", "a": "x", "b": "y", "label": i % 2} for i in range(40)],
        [],
    ),
    "choice without its label": (
        {"kind": "choice"},
        [{"prompt": f"p{i}", "choices": ["x", "y"], "label": i % 3} for i in range(40)],
        ["train.jsonl:3: the label must be the position of a choice, 0 to 1 (and 12 rows more)"],
    ),
    "unequal choices": (
        {"kind": "choice"},
        [{"prompt": f"p{i}", "choices": ["x"] * (2 + i // 39), "label": 0} for i in range(40)],
        ["train.jsonl:40: every row has as many choices as the first of train.jsonl, 2; got 3"],
    ),
    "tagging": ({}, [{"tokens": [f"w{i}", "x"], "tags": ["A", "B"]} for i in range(40)], []),
    "a tag missing": (
        {"kind": "tagging"},
        [{"tokens": ["w", "x"], "tags": ["A"]}] * 40,
        ["train.jsonl:1: a row must have a tag for every word (and 39 rows more); got '2 and 1'"],
    ),
    "span": (
        {},
        [
            {
                "id": str(i),
                "context": f"Ada {i}",
                "question": "Who?",
                "answers": {"text": ["Ada"], "answer_start": [0]},
            }
            for i in range(40)
        ],
        [],
    ),
    "an answer elsewhere": (
        {"kind": "span"},
        [
            {
                "context": f"Ada {i}",
                "question": "Who?",
                "answers": {"text": ["Ada"], "answer_start": [i // 39]},
            }
            for i in range(40)
        ],
        ["train.jsonl:40: the context must hold the answer at its offset; got (1, 'Ada')"],
    ),
    "dual_encoder": (
        {"columns": {"query": "q", "candidate": "text"}},
        [{"q": f"q{i}", "text": f"a{i // 2}"} for i in range(40)],
        [],
    ),
    "a query without words": (
        {"kind": "dual_encoder"},
        [{"query": "q " * (i < 39), "candidate": f"a{i // 2}"} for i in range(40)],
        ["train.jsonl:40: 'query' must have words"],
    ),
    "one candidate": (
        {"kind": "dual_encoder", "files": {"train": "train.jsonl", "dev": "dev.jsonl"}},
        [{"query": f"q{i}", "candidate": f"a{i}", "keys": "same"} for i in range(40)],
        [
            "tasks.mine.files.train: the rows in en have two candidates at least; got 1; add rows",
            "tasks.mine.files.dev: the rows in en have two candidates at least; got 1; add rows",
        ],
    ),
    "mlm": ({}, [{"text": "a"}, {"text": "b"}], []),
    "a text that is none": (
        {"kind": "mlm"},
        [{"text": "a"}, {"text": 3}],
        ["train.jsonl:2: 'text' must be a text; got 3"],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds(tmp_path: Path, name: str) -> None:
    changes, rows, expected = OTHERS[name]
    write_jsonl(tmp_path / "train.jsonl", rows)
    write_jsonl(tmp_path / "dev.jsonl", rows)
    task = {"kind": name, "files": {"train": "train.jsonl"}, **changes}
    intermediates = {"own": {"tasks": ["mine"]}}
    sweep = sweep_in(tmp_path, task, "mine", targets=["mini_xnli"], intermediates=intermediates)
    found = problems_of(sweep, tmp_path, "mine")
    assert len(found) == len(expected), found
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found
    if expected:
        return
    folders = write_own("mine", sweep.tasks["mine"], tmp_path / "runs", Hashes(tmp_path / "h"))
    own_task = find_task(sweep, "mine")
    read = {use: load_rows(folders, own_task, use, "en") for use in own_task.splits}
    assert sum(len(next(iter(columns.values()))) for columns in read.values()) == len(rows)
    assert set(own_task.kind_spec.columns) <= set(read["train"])


def test_other_declarations_have_other_encoded_rows(tmp_path: Path) -> None:
    """Two sweeps of a storage may read a data set of the Hub by other columns, under one name."""

    def key(**changes: Any) -> str:
        splits = {"train": "train", "test": "test"}
        task = {"kind": "sentence", "hub": "me/x", "splits": splits, "labels": ["a", "b"]}
        declared = find_task(sweep_in(tmp_path, {**task, **changes}), "reviews")
        rows = Rows("reviews", "test", "sha", (("en", 2),), 1, 1, ("a", "b"), 16, declared=declared)
        return CacheEntry(tmp_path, rows, "en", "sha").key

    assert key() == key() != key(columns={"text": "title"})


EMOTIONS = {"kind": "multilabel", "labels": ["joy", "fear"]}


def test_several_labels_come_as_lists_or_divided_texts(tmp_path: Path) -> None:
    texts = ["joy", "fear| joy", "", "fear"] * 12
    write_csv(tmp_path / "train.csv", [(f"t {i}", x) for i, x in enumerate(texts)])
    write_jsonl(
        tmp_path / "de.jsonl", [{"text": "a", "label": ["fear"]}, {"text": "b", "label": []}]
    )
    files = {"train": "train.csv", "test": {"de": "de.jsonl"}}
    spec = sweep_in(tmp_path, {**EMOTIONS, "files": files, "separator": "|"}).tasks["reviews"]
    found, problems = read_own("reviews", spec)
    assert not problems
    labels = {one.use: [row["label"] for row in one.rows] for one in found}
    assert labels["train"][:4] == [["joy"], ["fear", "joy"], [], ["fear"]]
    assert labels["test"] == [["fear"], []]
    many = [{"text": f"t {i}", "label": ["joy"]} for i in range(48)]
    write_jsonl(tmp_path / "train.jsonl", many)
    guessed = CliRunner().invoke(app, ["data", "add", str(tmp_path / "train.jsonl")])
    assert "kind: multilabel" in guessed.output, guessed.output


@pytest.mark.parametrize(
    ("label", "line"),
    [
        (
            "joy",
            "de.jsonl:2: 'label' must be a list of labels; got 'joy'; write separator: \"|\", ",
        ),
        (None, "de.jsonl:2: 'label' must be a list of labels; got None; write separator"),
        (["joy", "joy"], "de.jsonl:2: a label of a row stands once; got ['joy', 'joy']"),
        (["sad"], "de.jsonl:2: the label must be one of joy, fear; got 'sad'; add it to `labels`"),
        ([""], "de.jsonl:2: a row must have a label"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(tmp_path: Path, label: Any, line: str) -> None:
    write_jsonl(
        tmp_path / "train.jsonl",
        [{"text": f"t {i}", "label": ["joy", "fear"][: i % 3]} for i in range(48)],
    )
    rows = [{"text": "a", "label": ["joy"]}, {"text": "b", "label": label}]
    write_jsonl(tmp_path / "de.jsonl", rows)
    files = {"train": "train.jsonl", "test": {"de": "de.jsonl"}}
    (found,) = problems_of(sweep_in(tmp_path, {**EMOTIONS, "files": files}), tmp_path)
    assert found.startswith(line), found


def test_a_separator_is_of_several_labels_in_files(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    hub = {**EMOTIONS, "hub": "me/x", "splits": {"train": "train"}, "separator": "|"}
    for entry in (reviews(separator="|"), hub):
        with pytest.raises(ConfigError, match="`separator` is of files of a task of kind multil"):
            sweep_in(tmp_path, entry)
    unseen = {**EMOTIONS, "labels": ["joy", "fear", "love"], "separator": "|"}
    write_csv(tmp_path / "train.csv", [(f"t {i}", "joy|fear") for i in range(48)])
    write_csv(tmp_path / "de.csv", [("a", "joy"), ("b", "joy|love")])
    files = {"train": "train.csv", "test": {"de": "de.csv"}}
    (found,) = problems_of(sweep_in(tmp_path, {**unseen, "files": files}), tmp_path)
    assert found.startswith("de.csv:3: no row of train has the label love"), found

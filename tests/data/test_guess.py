"""Files alone: the entry that is printed is valid when pasted, and says what the files are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner, Result

from xstilts.cli import app

from .test_formats import SQUAD
from .test_own import SWEEP, write_csv, write_jsonl

WORDS = ["good", "bad", "fine", "poor"]


def add(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["data", "add", *arguments], catch_exceptions=False)


def review(i: int, language: str = "en") -> tuple[str, int]:
    return f"a {WORDS[i % 4]} film, number {i} in {language}", 5 if i % 2 else 1


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of reviews, where the command runs."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    write_csv(data / "reviews-train.csv", [review(i) for i in range(80)], ("review", "stars"))
    rows = [review(i, "de") for i in range(10)]
    write_jsonl(data / "reviews-test-de.jsonl", [{"review": t, "stars": s} for t, s in rows])
    text = "".join(f"{t}\t{s}\n" for t, s in (review(i, "sw") for i in range(10)))
    (data / "reviews-sw.tsv").write_text("review\tstars\n" + text)
    return tmp_path


REVIEWS = ["data/reviews-train.csv", "data/reviews-test-de.jsonl", "data/reviews-sw.tsv"]


def validates(folder: Path, printed: str, **changes: Any) -> Any:
    """Paste what was printed into a sweep file, as it is, and validate it; the entry."""
    entry = yaml.safe_load(printed)["tasks"]
    (name,) = entry
    sweep = {**SWEEP, "targets": [name], **changes}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep) + printed)
    result = CliRunner().invoke(app, ["validate", str(folder / "sweep.yaml")])
    assert result.exit_code == 0, result.output
    return entry


def test_what_is_printed_validates_as_it_stands(here: Path) -> None:
    result = add(*REVIEWS)
    assert result.exit_code == 0, result.output
    assert validates(here, result.stdout) == {
        "reviews": {
            "kind": "sentence",
            "files": {
                "train": "data/reviews-train.csv",
                "test": {"de": "data/reviews-test-de.jsonl", "sw": "data/reviews-sw.tsv"},
            },
            "columns": {"text": "review", "label": "stars"},
            "labels": ["1", "5"],
        }
    }
    assert "train: en 80 rows" in result.stderr and "test: de 10, sw 10 rows" in result.stderr
    assert "labels of train: 1 40, 5 40" in result.stderr
    assert "odd: no file is dev" in result.stderr


def test_json_holds_the_same(here: Path) -> None:
    found = json.loads(add(*REVIEWS, "--json").stdout)
    assert {found["name"]: found["entry"]} == yaml.safe_load(add(*REVIEWS).stdout)["tasks"]
    assert found["sizes"] == {"train": {"en": 80}, "test": {"de": 10, "sw": 10}}
    assert found["labels"] == {"1": 40, "5": 40}


def test_data_check_says_what_a_sweep_file_reads(here: Path) -> None:
    validates(here, add(*REVIEWS).stdout)
    arguments = ["data", "check", "sweep.yaml", "--json"]
    rows = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert [(r["task"], r["use"], r["language"], r["rows"]) for r in rows] == [
        ("reviews", "train", "en", 80),
        ("reviews", "test", "de", 10),
        ("reviews", "test", "sw", 10),
    ]
    assert rows[1]["labels"] == {"1": 5, "5": 5}
    shown = CliRunner().invoke(app, ["data", "check", "sweep.yaml"])
    assert shown.exit_code == 0 and "reviews  train  en        80    1 40" in shown.output
    (here / "data/reviews-sw.tsv").write_text("review\tstars\nx\t7\n")
    broken = CliRunner().invoke(app, ["data", "check", "sweep.yaml"])
    assert broken.exit_code == 2 and "reviews-sw.tsv:2: the label must be one of" in broken.output
    assert CliRunner().invoke(app, ["data", "check"]).exit_code == 2


def test_what_is_odd_is_said_and_the_entry_is_valid(here: Path) -> None:
    rows = [review(i) for i in range(80)]
    write_csv(here / "data/reviews-train.csv", [*rows, rows[0], ("", 3)], ("review", "stars"))
    write_csv(here / "data/reviews-test-de.csv", rows[:4], ("review", "stars"))
    result = add("data/reviews-train.csv", "data/reviews-test-de.csv")
    assert result.exit_code == 0, result.output
    entry = validates(here, result.stdout)["reviews"]
    assert entry["allow_overlap"] is True and entry["labels"] == ["1", "3", "5"]
    for odd in (
        "data/reviews-test-de.csv:2: the row stands in train too, reviews-train.csv",
        "data/reviews-train.csv: 1 rows repeat the text of another",
        "data/reviews-train.csv: 1 texts are empty",
        "labels with fewer than 10 rows of train: 3 (1)",
    ):
        assert odd in result.stderr, result.stderr


def write(path: Path) -> None:
    """A file of a kind, by its name."""
    count = range(40)
    if path.name == "nli.jsonl":
        pairs = [{"sentence1": f"a {i}", "sentence2": "b", "gold": "ny"[i % 2]} for i in count]
        write_jsonl(path, pairs)
    elif path.name == "nli.csv":
        rows = [(f"this is {i}", f"that was {i}", "ny"[i % 2]) for i in count]
        write_csv(path, rows, ("a", "b", "c"))
    elif path.name == "ner.parquet":
        tags = [[f"B-{i % 3}"] for i in count]
        pq.write_table(pa.table({"tokens": [[f"w{i}"] for i in count], "ner_tags": tags}), path)
    elif path.stem == "words":
        path.write_text("".join(f"Ada{i}\tB-PER\nran\tO\n\n" for i in count))
    elif path.name == "squad.json":
        text = json.dumps(SQUAD["data"][0])
        articles = [
            json.loads(text.replace("Ada", f"A{i:02}").replace("q1", f"q{i}")) for i in count
        ]
        path.write_text(json.dumps({"data": articles}))
    elif path.name == "choices.jsonl":
        prompts = [{"prompt": f"p{i}", "choices": ["a", "b"], "label": i % 2} for i in count]
        write_jsonl(path, prompts)
    else:
        write_csv(path, [(f"a line of text, {i}",) for i in count], ("line",))


@pytest.mark.parametrize(
    ("name", "kind", "columns"),
    [
        ("nli.jsonl", "pair", {"premise": "sentence1", "hypothesis": "sentence2", "label": "gold"}),
        ("nli.csv", "pair", {"premise": "a", "hypothesis": "b", "label": "c"}),
        ("ner.parquet", "tagging", {"tags": "ner_tags"}),
        ("words.conll", "tagging", None),
        ("words.tsv", "tagging", None),
        ("squad.json", "span", None),
        ("choices.jsonl", "choice", None),
        ("plain.csv", "mlm", {"text": "line"}),
    ],
)
def test_kinds_are_told_by_columns_and_values(
    here: Path, name: str, kind: str, columns: dict[str, str] | None
) -> None:
    write(here / name)
    result = add(name)
    assert result.exit_code == 0, result.output
    own = {"own": {"tasks": [*yaml.safe_load(result.stdout)["tasks"]]}}
    (entry,) = validates(here, result.stdout, targets=["mini_xnli"], intermediates=own).values()
    assert entry["kind"] == kind and entry.get("columns") == columns


def test_two_files_for_one_split_are_refused(here: Path) -> None:
    write_csv(here / "data/train.csv", [review(1)], ("review", "stars"))
    result = add("data/reviews-train.csv", "data/train.csv")
    assert result.exit_code == 2 and result.stdout == ""
    assert 'data/train.csv: two files would be train in en; got "data/reviews-train.csv" too' in (
        result.stderr
    )


def test_what_no_entry_could_read_is_refused(here: Path) -> None:
    write_jsonl(here / "data/reviews-test-de.jsonl", [{"review": "x", "stars": 4}])
    result = add(*REVIEWS)
    assert result.exit_code == 2
    assert "data/reviews-test-de.jsonl:1: the label must be one of 1, 5; got '4'" in result.stderr
    assert add("data/none.csv").exit_code == 2

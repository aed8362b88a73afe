"""LAReQA and Mewsli-X into the mirror: the strings, ids and gold that the official code has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xstilts.data.importers.folder import import_folder
from xstilts.data.importers.original import Imported
from xstilts.data.importers.ranked import IMPORTERS
from xstilts.errors import DataError

SHARED = Path(__file__).parents[4] / "shared"
EXTRA = SHARED / "conformance" / "xtreme_r_mock" / "extra"
needs_data = pytest.mark.usefixtures("data")
TEXT = "In Lorn a bridge fell. Nobody was hurt."


def read_all(path: Path, root: Path) -> list[Imported]:
    name = path.relative_to(root).as_posix()
    [match] = [(i, found) for i in IMPORTERS if (found := i.match(name))]
    return list(match[0].read(path, match[1]))


def by_split(files: list[Path], root: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    imported = [one for path in files for one in read_all(path, root)]
    return {(one.split.config, one.split.name): list(one.split.rows) for one in imported}


@needs_data
def test_lareqa_has_the_ids_the_texts_and_the_gold_of_the_official_loader() -> None:
    """A sentence that stands twice in a paragraph is right twice; a question whose answer begins in
    no sentence is left out, and its gold in other languages stays."""
    root = EXTRA / "lareqa"
    expected = json.loads((root / "expected.json").read_text())
    rows = by_split(sorted((root / "xquad-r").glob("*.json")), root)
    pool = [row for (_, split), own in rows.items() if split == "pool" for row in own]
    assert {row["id"]: row["candidate"] for row in pool} == expected["candidates"]
    questions = [row for (_, split), own in rows.items() if split == "test" for row in own]
    assert {row["id"]: row["query"] for row in questions} == {
        name: own["text"] for name, own in expected["questions"].items()
    }
    gold = {
        row["id"]: {one["id"] for one in pool if row["keys"][0] in one["keys"]} for row in questions
    }
    assert gold == {name: set(own["gold"]) for name, own in expected["questions"].items()}
    assert {row["item"] for row in questions} == {"a1", "a2", "b1", "b2"}


@needs_data
def test_the_records_of_lareqa_have_eleven_right_candidates_each() -> None:
    root = SHARED / "data" / "lareqa"
    files = sorted((root / "xquad-r").glob("*.json"))
    rows = by_split(files, root)
    assert len(files) == 11 and len(rows) == 22
    questions = [row for (_, split), own in rows.items() if split == "test" for row in own]
    counts: dict[str, int] = {}
    for own in (own for (_, split), own in rows.items() if split == "pool"):
        for row in own:
            for key in row["keys"]:
                counts[key] = counts.get(key, 0) + 1
    assert len(questions) == 11 * len(counts)
    assert set(counts.values()) == {11}


@needs_data
def test_mewslix_has_the_strings_of_the_official_code() -> None:
    root = EXTRA / "mewslix"
    expected = json.loads((root / "expected.json").read_text())
    rows = by_split([root / "wikinews_mentions-dev.jsonl"], root)
    found = {row["id"]: row["query"] for own in rows.values() for row in own}
    wanted = {k: v for k, v in expected["query_strings"].items() if "-" in k}
    assert {name: found.get(name) for name in wanted} == wanted
    assert {config for config, _ in rows} == {"en", "de", "ja"}
    (entities,) = by_split([root / "candidate_set_entities.jsonl"], root).values()
    assert {row["id"]: row["candidate"] for row in entities} == expected["entity_strings"]
    assert all(row["keys"] == [row["id"]] for row in entities)


@needs_data
def test_the_authors_own_mentions_give_the_official_strings(tmp_path: Path) -> None:
    """Their text is the one that its md5 is of."""
    expected = json.loads((EXTRA / "mewslix" / "expected.json").read_text())["query_strings"]
    given = SHARED / "data" / "mewslix" / "testdata"
    path = tmp_path / "wikinews_mentions-test.jsonl"
    path.write_bytes((given / "example_mentions.jsonl").read_bytes())
    rows = by_split([path], tmp_path)
    assert {split for _, split in rows} == {"test"}
    found = {row["id"]: row["query"] for own in rows.values() for row in own}
    assert len(found) == 3 and found == {name: expected[name] for name in found}
    path.write_bytes((given / "example_mentions_no_text.jsonl").read_bytes())
    with pytest.raises(DataError, match=r"must have its text.*get-mewsli-x"):
        read_all(path, tmp_path)
    path.write_text((given / "example_mentions.jsonl").read_text().replace("Helsinki", "Xelsinki"))
    with pytest.raises(DataError, match="text_md5"):
        read_all(path, tmp_path)


def mention(**changes: Any) -> dict[str, Any]:
    span = {"start": 10, "end": 16, "text": "bridge"}
    return {"example_id": "m1", "mention_span": span, "entity_id": "Q1", **changes}


def context(**changes: Any) -> dict[str, Any]:
    spans = [{"start": 0, "end": 22}, {"start": 23, "end": 39}]
    return {"language": "en", "text": TEXT, "sentence_spans": spans, **changes}


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_pairs_of_wikipedia_train(tmp_path: Path) -> None:
    entity = {"entity_id": "Q1", "description": "A {bridge}.  Old.", "sentence_spans": [[0, 11]]}
    whole = {"contextual_mention": {"context": context(), "mention": mention()}, "entity": entity}
    across = mention(mention_span={"start": 17, "end": 29, "text": TEXT[17:29]})
    cut = {**whole, "contextual_mention": {"context": context(), "mention": across}}
    path = write(tmp_path / "wikipedia_pairs-train.jsonl", whole, cut)
    (imported,) = read_all(path, tmp_path)
    assert (imported.split.config, imported.split.name) == ("wikipedia_pairs", "train")
    assert imported.split.rows == [
        {
            "id": "m1",
            "query": "bridge: In Lorn a { bridge } fell.",
            "candidate": "A {bridge}.",
            "keys": ["Q1"],
        }
    ]
    assert imported.without == {"mentions that cross sentences": 1}


def test_blanked_entities_have_no_key(tmp_path: Path) -> None:
    """As XTREME leaves them; beside the release's file those with entities are taken."""
    folder = tmp_path / "originals"
    (folder / "wikinews_mentions").mkdir(parents=True)
    blank = {"context": context(), "mentions": [mention(entity_id="")]}
    write(folder / "wikinews_mentions" / "test-en.jsonl", blank)
    whole = {"context": context(), "mentions": [mention()]}
    import_folder(folder, tmp_path / "blank")
    write(folder / "wikinews_mentions-test.jsonl", whole)
    report = import_folder(folder, tmp_path / "both")
    assert [taken.path for taken in report.taken] == ["wikinews_mentions-test.jsonl"]


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        ({"context": context(text="")}, "must have its text"),
        ({"mentions": [mention(mention_span={"start": 3, "end": 9, "text": "bridge"})]}, "offsets"),
        ({"context": context(sentence_spans=[{"start": 0, "end": 99}])}, "within the text"),
        ({"context": context(sentence_spans=[{"start": 0}])}, "pairs of whole numbers"),
        ({"context": context(language=3)}, "must be a text"),
        ({"mentions": {}}, "list of objects"),
        ({"context": []}, "must be an object"),
    ],
)
def test_a_broken_mention_is_refused(tmp_path: Path, record: dict[str, Any], rule: str) -> None:
    whole = {"context": context(), "mentions": [mention()], **record}
    path = write(tmp_path / "wikinews_mentions-dev.jsonl", whole)
    with pytest.raises(DataError, match=rule) as caught:
        read_all(path, tmp_path)
    assert str(caught.value).startswith(f"{path}:1: ")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"sentence_breaks": [[0, 999]]}, "within the text"),
        ({"qas": [{"id": "a", "question": "?", "answers": []}]}, "must have an answer"),
        ({"context": None}, "must be a text"),
    ],
)
def test_a_broken_paragraph_is_refused(tmp_path: Path, changes: dict[str, Any], rule: str) -> None:
    answers = [{"text": "x", "answer_start": 0}]
    qas = [{"id": "a", "question": "?", "answers": answers}]
    paragraph = {"context": "x y.", "sentence_breaks": [[0, 4]], "qas": qas, **changes}
    (tmp_path / "xquad-r").mkdir()
    path = tmp_path / "xquad-r" / "en.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    with pytest.raises(DataError, match=rule):
        read_all(path, tmp_path)
